//! What pages load: a style sheet, a script, an icon. They hold nothing of the library, and whoever is
//! not let in is told so in the same clothes.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;

use super::super::reply;
use crate::failure::Failure;

/// What their addresses begin with.
pub(in super::super) const PREFIX: &str = "/assets/";

const ASSETS: [(&str, &str, &str); 3] = [
    ("page.css", "text/css; charset=utf-8", include_str!("../../../../assets/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("../../../../assets/page.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../../../assets/icon.svg")),
];

/// Where an asset is.
pub(super) fn address(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// An asset.
pub(super) async fn asset(Path(name): Path<String>) -> Response<Body> {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, bytes)) => reply::bytes(content_type, *bytes),
        None => {
            let failure = Failure::not_found("no_route", "there is nothing at this address")
                .next("driftless dashboard");
            reply::failed(&failure)
        }
    }
}
