//! `dashboard`.

use super::{Context, gone};
use crate::answer::{Answer, DashboardReport};
use crate::daemon::Background;
use crate::explain::no_daemon;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) fn run(context: Context<'_>, out: &mut dyn Output) -> Result<Exit, Failure> {
    let place = context.background.and_then(Background::http);
    let place = place.ok_or_else(|| no_daemon("the dashboard is the daemon's, and none runs"))?;
    let report = DashboardReport {
        url: format!("http://{}/?token={}", place.address, place.token),
        address: place.address.to_string(),
        token: place.token.clone(),
    };
    out.answer(Answer::Dashboard(report)).map_err(gone)?;
    Ok(Exit::Done)
}
