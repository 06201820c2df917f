//! What pages say in common: how good things are, when something was, how far it is.

use std::time::Duration;

use serde_json::Value;

use crate::answer::StatusReport;
use crate::text::{self, ago, count, duration};

/// How good something is; a colour and a sign stand for it, never a colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Good,
    /// Neither: nothing is known to be wrong.
    Plain,
    Watch,
    Bad,
}

impl Tone {
    /// The name that the style sheet has for it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "plain",
            Self::Watch => "watch",
            Self::Bad => "bad",
        }
    }

    /// The icon.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Good => "i-check",
            Self::Plain => "i-dot",
            Self::Watch => "i-clock",
            Self::Bad => "i-alert",
        }
    }
}

/// How good it is that things stand like this.
pub(super) fn tone(status: &StatusReport) -> Tone {
    let damage = &status.damage;
    let counted = || status.peers.iter().filter(|peer| !peer.evicted);
    if damage.unsound.is_some() || !damage.given_up.is_empty() || status.twin {
        return Tone::Bad;
    }
    let current = |peer: &crate::answer::PeerState| {
        peer.online && peer.behind == 0 && peer.ahead == 0 && !peer.twin
    };
    match counted().all(current) {
        _ if damage.missing > 0 || status.conflicts > 0 => Tone::Watch,
        true if counted().next().is_none() => Tone::Plain,
        true => Tone::Good,
        false => Tone::Watch,
    }
}

/// How far a phase is.
pub(super) struct Progress {
    pub(super) words: String,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) percent: u64,
    pub(super) rest: String,
}

pub(super) fn progress(status: &StatusReport) -> Option<Progress> {
    let progress = status.progress.as_ref().filter(|progress| progress.done < progress.total)?;
    let words = match progress.phase.as_str() {
        "backfilling" => "Receiving the library",
        "catching_up" => "Catching up",
        _ => "Getting on",
    };
    let from = progress.peer.as_ref().and_then(|peer| {
        let known = status.peers.iter().find(|known| known.device_id == *peer);
        known.map(|known| format!(" from {}", known.name))
    });
    let mut rest = format!("{} of {} changes", count(progress.done), count(progress.total));
    if let Some(rate) = progress.per_second {
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        #[expect(clippy::cast_sign_loss, reason = "a rate is not negative")]
        let rate = rate as u64;
        rest.push_str(&format!(", {} a second", count(rate)));
    }
    if let Some(seconds) = progress.remaining_seconds {
        rest.push_str(&format!(", {} to go", duration(Duration::from_secs(seconds))));
    }
    Some(Progress {
        words: format!("{words}{}", from.unwrap_or_default()),
        done: progress.done,
        total: progress.total,
        percent: progress.percent,
        rest,
    })
}

/// A point in time: exactly, and how long ago it is.
pub(super) struct Moment {
    pub(super) exact: String,
    pub(super) words: String,
}

/// A time as the answers have it.
pub(super) fn moment(exact: &str, now_ms: u64) -> Moment {
    let ms = exact.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    let words = match ms.and_then(|ms| u64::try_from(ms).ok()) {
        Some(ms) => ago(ms, now_ms),
        None => exact.to_owned(),
    };
    Moment { exact: exact.to_owned(), words }
}

/// The day and minute of a time as the answers have it.
pub(super) fn minute(exact: &str) -> String {
    exact.get(..16).map_or_else(|| exact.to_owned(), |minute| minute.replace('T', " "))
}

/// A value of a field, for people: a text as it is, else as JSON.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

/// A round trip.
pub(super) fn round_trip(ms: Option<f64>) -> Option<String> {
    ms.map(|ms| if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") })
}

/// A model's name for people: `entry` and `entries`.
pub(super) fn models(counts: &[(String, u64)]) -> Vec<(String, String)> {
    counts.iter().map(|(model, rows)| (model.replace('_', " "), text::count(*rows))).collect()
}
