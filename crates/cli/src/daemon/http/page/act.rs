//! What is done from a page: a form sends a command's parameters, and goes back to where it stood. The
//! script sends the same form, and is answered as the API answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, Response};
use tokio::time::timeout;

use super::super::params::decoded;
use super::super::routes::{self, Verb};
use super::super::{BODY, Site, run};
use super::{is_for_people, problem, redirect};
use crate::failure::{Exit, Failure};

/// What the addresses of forms begin with; the command's words follow.
pub(in super::super) const PREFIX: &str = "/do/";
/// The largest form.
const MAX_FORM: usize = 64 << 10;
/// The field that says where the form stood.
const BACK: &str = "back";
/// What the names of a record's fields begin with.
const FIELD: &str = "field.";
/// The parameter that they are.
const FIELDS: &str = "fields";

/// Does what a form asks for.
pub(super) async fn act(
    State(site): State<Arc<Site>>,
    Path(command): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let for_people = is_for_people(request.headers());
    match ask(&site, &command, request).await {
        Err(failure) if for_people => problem(&failure),
        Err(failure) => super::reply::failed(&failure),
        Ok((answer, _)) if !for_people => answer,
        Ok((answer, back)) if answer.status().is_success() => redirect(&back),
        Ok((answer, _)) => problem(&said(answer).await),
    }
}

/// Runs the command: what the API answers, and where the form stood.
async fn ask(
    site: &Arc<Site>,
    command: &str,
    request: Request<Body>,
) -> Result<(Response<Body>, String), Failure> {
    let path = format!("{}{command}", routes::PREFIX);
    let operation = site.operations.get(&path).filter(|known| known.route.verb == Verb::Post);
    let operation = operation.ok_or_else(|| {
        Failure::not_found("no_route", "there is nothing at this address")
            .next("driftless dashboard")
    })?;
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY, to_bytes(body, MAX_FORM)).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body).into_owned(),
        Ok(Err(_)) => return Err(Failure::usage(format!("a form has at most {MAX_FORM} bytes"))),
        Err(_) => {
            let failure = Failure::new(Exit::NotYet, "slow", "the form did not come in time");
            return Err(failure.next("send it again"));
        }
    };
    // What is no text, such as some paths, stands in the address: a browser leaves that as it is.
    let query = parts.uri.query().unwrap_or_default();
    let form = Form::of(query.split('&').chain(body.split('&')));
    let mut said = operation.of_query(&form.said.join("&"))?;
    let fields = form.fields.into_iter().map(OsString::from_vec);
    said.entry(FIELDS.to_owned()).or_default().extend(fields);
    let command = operation.command(&said)?;
    let back = form.back.filter(|back| is_ours(back)).unwrap_or_else(|| "/".to_owned());
    let shape = operation.route.shape;
    let answer = run::run(site.background.clone(), site.places.clone(), command, shape).await;
    Ok((answer, back))
}

/// What a form says.
struct Form<'f> {
    /// Parameters as they stand there; what was left empty is not said.
    said: Vec<&'f str>,
    /// `NAME=VALUE` of each field of a record, also of those that are emptied.
    fields: Vec<Vec<u8>>,
    back: Option<String>,
}

impl<'f> Form<'f> {
    fn of(pairs: impl Iterator<Item = &'f str>) -> Self {
        let mut form = Self { said: Vec::new(), fields: Vec::new(), back: None };
        let mut fields = BTreeMap::new();
        for pair in pairs {
            let Some((name, value)) = pair.split_once('=') else { continue };
            match name.strip_prefix(FIELD) {
                // A box that is not ticked says nothing: what stands behind it does, and comes first.
                Some(field) => drop(fields.insert(field, decoded(value))),
                None if name == BACK => {
                    form.back = Some(String::from_utf8_lossy(&decoded(value)).into_owned());
                }
                None if value.is_empty() => {}
                None => form.said.push(pair),
            }
        }
        let field = |(name, value): (&str, Vec<u8>)| [name.as_bytes(), b"=", &value].concat();
        form.fields = fields.into_iter().map(field).collect();
        form
    }
}

/// Whether an address leads to a page of ours, wherever a browser takes it for.
fn is_ours(address: &str) -> bool {
    let plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    plain && address.starts_with('/') && !address.starts_with("//")
}

/// What a command that failed has answered.
async fn said(answer: Response<Body>) -> Failure {
    let status = answer.status();
    let body = to_bytes(answer.into_body(), MAX_FORM).await;
    let value = body.ok().and_then(|body| serde_json::from_slice::<serde_json::Value>(&body).ok());
    let word = |key: &str| {
        let text = value.as_ref().and_then(|value| value["error"][key].as_str());
        text.map(str::to_owned)
    };
    let exit = match status.as_u16() {
        400 => Exit::Usage,
        403 => Exit::Refused,
        404 => Exit::NotFound,
        409 => Exit::NotYet,
        _ => Exit::Failed,
    };
    let message = word("message").unwrap_or_else(|| "it was not done".to_owned());
    let failure = Failure::new(exit, &word("code").unwrap_or_default(), message);
    match word("next") {
        Some(next) => failure.next(next),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, is_ours};

    #[test]
    fn what_is_left_empty_is_not_said_but_a_field_is_emptied() {
        let form = "color=&name=a&field.favourite=false&field.favourite=true&field.note=&back=%2Fx";
        let form = Form::of(form.split('&'));
        assert_eq!(form.said, ["name=a"]);
        assert_eq!(form.fields, [b"favourite=true".to_vec(), b"note=".to_vec()]);
        assert_eq!(form.back.as_deref(), Some("/x"));
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for address in ["/", "/files?tag=a%20b", "/conflicts#x"] {
            assert!(is_ours(address), "{address}");
        }
        for address in
            ["", "//evil.example", "http://evil.example", "/\\evil.example", "/a\r\nX: y"]
        {
            assert!(!is_ours(address), "{address}");
        }
    }
}
