//! What is answered: JSON, errors with a status that fits, and the headers that everything carries.

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use serde_json::Value;

use crate::failure::{Exit, Failure};

/// A list as one value.
pub(super) const JSON: &str = "application/json";
/// One value a line.
pub(super) const LINES: &str = "application/x-ndjson";
/// The command's exit code, on every answer of a command that gives one thing.
pub(super) const EXIT: HeaderName = HeaderName::from_static("driftless-exit");

/// The status of a failure: the contract's exit codes, one for one.
pub(super) fn status(failure: &Failure) -> StatusCode {
    match failure.exit {
        Exit::Done => StatusCode::OK,
        Exit::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Exit::Usage => StatusCode::BAD_REQUEST,
        Exit::NotFound => StatusCode::NOT_FOUND,
        Exit::Refused => StatusCode::FORBIDDEN,
        Exit::NotYet => StatusCode::CONFLICT,
    }
}

/// A failure, as `--json` prints it.
pub(super) fn failed(failure: &Failure) -> Response<Body> {
    with_status(status(failure), failure)
}

/// A failure of HTTP itself, that no exit code stands for.
pub(super) fn with_status(status: StatusCode, failure: &Failure) -> Response<Body> {
    let mut response = json(&failure.json());
    *response.status_mut() = status;
    response
}

/// A value.
pub(super) fn json(value: &Value) -> Response<Body> {
    bytes(JSON, format!("{value}\n"))
}

/// Something of this type.
pub(super) fn bytes(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What every answer carries: nothing of it is kept by anybody, shown in a frame, or read by another
/// site; pages load nothing from anywhere else.
pub(super) fn seal(response: &mut Response<Body>) {
    const HEADERS: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}
