//! Why a device lacks something, in words, with the cure: the same words wherever it is asked.

use std::time::Duration;

use driftless::{NextStep, WhyNot};
use serde_json::{Value, json};

use crate::text::{ago, bytes, duration, plain, plural};

/// A reason: its name, its words, what cures it, and what there is to know beyond the name.
pub(crate) struct Told {
    pub(crate) name: &'static str,
    pub(crate) words: String,
    pub(crate) cure: String,
    pub(crate) fields: Value,
}

const UPDATE: &str = "update driftless on the older of the two devices";

/// What there is to say of a reason; `name` is the device's.
pub(crate) fn told(why: &WhyNot, name: &str, now_ms: u64) -> Told {
    let name = plain(name);
    let (tag, words, cure) = words(why, &name, now_ms);
    Told { name: tag, words, cure, fields: fields(why) }
}

fn words(why: &WhyNot, name: &str, now_ms: u64) -> (&'static str, String, String) {
    let said = |tag, words: &str, cure: &str| (tag, words.to_owned(), cure.to_owned());
    match why {
        WhyNot::SyncOff => said("sync_off", "the daemon is not running here", "driftless up"),
        WhyNot::Offline { last_seen_ms, failure } => {
            let seen = last_seen_ms.map(|seen| format!(", last seen {}", ago(seen, now_ms)));
            let words = format!("it is offline{}{}", seen.unwrap_or_default(), why_so(failure));
            let cure = format!(
                "switch {name} on and run driftless up there; driftless peers add ADDRESS if it is \
                 not found"
            );
            ("offline", words, cure)
        }
        WhyNot::NeverMet { failure } => (
            "never_met",
            format!("it has not been met yet{}", why_so(failure)),
            format!("driftless up on {name}; driftless peers add ADDRESS if it is not found"),
        ),
        WhyNot::NoNeighbour => said(
            "no_neighbour",
            "this device keeps no link with it: it hears by way of others",
            "driftless sync, which asks it",
        ),
        WhyNot::PausedHere => (
            "paused_here",
            "its link is paused on this device".to_owned(),
            format!("driftless peers resume {name}"),
        ),
        WhyNot::PausedThere => (
            "paused_there",
            "it has paused its links with this device".to_owned(),
            format!("driftless peers resume, on {name}"),
        ),
        WhyNot::Evicted => (
            "evicted",
            "it was evicted: nothing waits for it, and what it lacks it gets if it comes back"
                .to_owned(),
            format!("driftless up on {name}: it then counts again"),
        ),
        WhyNot::OtherVersion => {
            said("other_version", "it speaks another major version of the protocol", UPDATE)
        }
        WhyNot::NotMemberThere => (
            "not_member_there",
            "it does not know this device as a member".to_owned(),
            format!("connect {name} with another device first, which tells it of this one"),
        ),
        WhyNot::OtherLibrary => said(
            "other_library",
            "what answers at its address speaks for another library",
            "driftless down there, and driftless up with the right --dir",
        ),
        WhyNot::UnwritableHere { full } => {
            let tag = if *full { "disk_full_here" } else { "unwritable_here" };
            let words = match full {
                true => "this device's disk is full, and it takes part in nothing until it is not",
                false => "this device cannot write to its disk",
            };
            said(tag, words, "free some space on this device's disk: driftless doctor")
        }
        WhyNot::UnwritableThere => (
            "unwritable_there",
            "it cannot write to its disk: most likely that is full".to_owned(),
            format!("free some space on the disk of {name}; driftless doctor there says more"),
        ),
        WhyNot::DamagedHere => said(
            "damaged_here",
            "the library is damaged here, and nothing of it is given to others",
            "driftless doctor",
        ),
        WhyNot::DamagedThere => (
            "damaged_there",
            "its library is damaged".to_owned(),
            format!("driftless doctor, on {name}"),
        ),
        WhyNot::Twin => (
            "twin",
            "two copies of its data are in use".to_owned(),
            format!("on one of the two copies of {name}: join anew as a device of its own"),
        ),
        WhyNot::InFlight { sent_ms, behind } => {
            let sent = sent_ms.map(|sent| format!(", sent {}", ago(sent, now_ms)));
            let words = format!(
                "it is on its way{}: {name} is {} behind",
                sent.unwrap_or_default(),
                plural(*behind, "change", "changes")
            );
            ("in_flight", words, "driftless sync, which waits for it".to_owned())
        }
        WhyNot::SlowLink { queued, rtt_ms, behind } => {
            let rtt = rtt_ms.map(|ms| format!(", its answers take {ms:.0} ms"));
            let words = format!(
                "its link is slow: {} wait to be sent{}, and it is {} behind",
                bytes(*queued),
                rtt.unwrap_or_default(),
                plural(*behind, "change", "changes")
            );
            ("slow_link", words, "driftless sync, with a longer --wait".to_owned())
        }
        WhyNot::NotHere => said(
            "not_here",
            "this device does not have it itself",
            "driftless sync, then ask again",
        ),
        _ => said("other", "it does not have it", "driftless doctor"),
    }
}

fn why_so(failure: &Option<String>) -> String {
    failure.as_ref().map(|why| format!(" ({})", plain(why))).unwrap_or_default()
}

fn fields(why: &WhyNot) -> Value {
    match why {
        WhyNot::Offline { last_seen_ms, failure } => {
            json!({"last_seen": last_seen_ms.map(crate::text::time), "failure": failure})
        }
        WhyNot::NeverMet { failure } => json!({"failure": failure}),
        WhyNot::InFlight { sent_ms, behind } => {
            json!({"sent": sent_ms.map(crate::text::time), "behind": behind})
        }
        WhyNot::SlowLink { queued, rtt_ms, behind } => {
            json!({"queued": queued, "rtt_ms": rtt_ms, "behind": behind})
        }
        _ => json!({}),
    }
}

/// What happens next: its name, its words, and in how long.
pub(crate) fn next(step: NextStep) -> (&'static str, String, Option<u64>) {
    let (name, words, ms) = match step {
        NextStep::OnItsWay => ("on_its_way", "nothing has to be done", None),
        NextStep::DialIn { ms } => {
            let wait = duration(Duration::from_millis(ms));
            let words = format!("it is tried again in {wait}, and gets everything once it answers");
            return ("dial", words, Some(ms));
        }
        NextStep::WhenItComes => ("when_it_comes", "it gets everything once it comes back", None),
        NextStep::WhenSyncIsOn => ("when_sync_is_on", "it goes out once the daemon runs", None),
        _ => ("by_hand", "somebody has to see to that first", None),
    };
    (name, words.to_owned(), ms)
}
