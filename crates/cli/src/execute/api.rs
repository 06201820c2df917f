//! `api`.

use super::{Context, gone};
use crate::answer::{Answer, ApiReport};
use crate::daemon::Background;
use crate::explain::no_daemon;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) fn run(context: Context<'_>, out: &mut dyn Output) -> Result<Exit, Failure> {
    let place = context.background.and_then(Background::http);
    let place = place.ok_or_else(|| no_daemon("the HTTP API is the daemon's, and none runs"))?;
    let report = ApiReport {
        url: format!("http://{}/?token={}", place.address, place.token),
        address: place.address.to_string(),
        token: place.token.clone(),
    };
    out.answer(Answer::Api(report)).map_err(gone)?;
    Ok(Exit::Done)
}
