//! The page: what the library is and how its sync stands, as HTML that is made here.
//!
//! Every view is a question to the library, asked as a command is, and a template. What can be done is a
//! form that sends a command's parameters ([`act`]). Nothing of that needs a script; the one there is
//! asks for the same view again when something has changed, and puts the differences in place.

mod act;
mod assets;
mod chart;
mod desk;
mod difference;
mod map;
mod views;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::routing::{get, post};

use super::{Site, guard, reply};
use crate::failure::Failure;
use desk::{Desk, Query};

pub(super) use act::PREFIX as ACT;
pub(super) use assets::PREFIX as ASSETS;

/// The type of a page.
const HTML: &str = "text/html; charset=utf-8";

/// How a view is made.
type View = fn(&Desk<'_>) -> Result<String, Failure>;

/// The page's addresses.
pub(super) fn routes() -> Router<Arc<Site>> {
    let view = |make: View| {
        get(
            move |State(site): State<Arc<Site>>, uri: Uri| async move { show(&site, &uri, make).await },
        )
    };
    Router::new()
        .route("/", get(enter))
        .route("/device", view(views::device::page))
        .route("/files", view(views::files::page))
        .route("/tags", view(views::tags::page))
        .route("/record", view(views::record::page))
        .route("/conflicts", view(views::conflicts::page))
        .route("/quarantine", view(views::quarantine::page))
        .route("/activity", view(views::activity::page))
        .route("/storage", view(views::storage::page))
        .route("/health", view(views::health::page))
        .route(&format!("{ASSETS}{{name}}"), get(assets::asset))
        .route(&format!("{ACT}{{*command}}"), post(act::act))
}

/// The page; or, for an address with the token in it, the cookie that opens the page.
async fn enter(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    match uri.query().and_then(|query| query.strip_prefix("token=")) {
        Some(token) if site.guard.is_token(token) => {
            let mut response = redirect("/");
            if let Ok(cookie) = HeaderValue::try_from(site.guard.cookie()) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Some(_) => guard::no_token(&headers),
        None => show(&site, &uri, views::overview::page).await,
    }
}

/// Makes a view, on a thread that may wait for the library.
async fn show(site: &Arc<Site>, uri: &Uri, make: View) -> Response<Body> {
    let Ok(place) = site.places.clone().acquire_owned().await else {
        return problem(&Failure::internal("views are made while the daemon lives"));
    };
    let (background, query) = (site.background.clone(), Query::of(uri));
    let made = tokio::task::spawn_blocking(move || {
        let made = make(&Desk::new(&background, query));
        drop((background, place));
        made
    });
    match made.await {
        Ok(Ok(page)) => reply::bytes(HTML, page),
        Ok(Err(failure)) => problem(&failure),
        Err(error) => problem(&Failure::internal(error.to_string())),
    }
}

/// What failed, for people.
#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'f> {
    failure: &'f Failure,
}

/// Says to a browser what failed.
pub(super) fn problem(failure: &Failure) -> Response<Body> {
    problem_with(reply::status(failure), failure)
}

/// The same with a status of HTTP's own.
pub(super) fn problem_with(status: StatusCode, failure: &Failure) -> Response<Body> {
    let mut response = match (Problem { failure }).render() {
        Ok(page) => reply::bytes(HTML, page),
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            reply::failed(failure)
        }
    };
    *response.status_mut() = status;
    response
}

/// Whether whoever asks is a browser that shows pages.
pub(super) fn is_for_people(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, location);
    response
}
