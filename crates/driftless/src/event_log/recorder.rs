//! Keeps the event log short: what happens again and again becomes one event with a count.

use std::collections::BTreeMap;

use driftless_core::id::DeviceId;
use driftless_store::EventRow;
use serde_json::{Map, Value};

use super::kind::EventKind;

/// How often something is told by itself before it is counted only.
const TOLD: u64 = 3;
/// After this long without it, it is told by itself again, in milliseconds.
const QUIET_MS: u64 = 10 * 60_000;

/// Something that has just happened.
pub(crate) struct Happened {
    pub(super) kind: EventKind,
    pub(super) device: Option<DeviceId>,
    pub(super) words: String,
    pub(super) fields: Map<String, Value>,
}

impl Happened {
    pub(crate) fn new(kind: EventKind, words: impl Into<String>) -> Self {
        Self { kind, device: None, words: words.into(), fields: Map::new() }
    }

    /// Whom it concerns.
    pub(crate) fn about(self, device: &DeviceId) -> Self {
        Self { device: Some(*device), ..self }
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

/// What happened lately, of one kind with one device.
struct Recent {
    /// How often, each no later than [`QUIET_MS`] after the one before.
    count: u64,
    /// When last, on the steady clock.
    at: u64,
    row: EventRow,
}

/// What happened lately. It is bounded by the kinds and the members.
#[derive(Default)]
pub(crate) struct Recorder {
    recent: BTreeMap<(EventKind, Option<DeviceId>), Recent>,
}

impl Recorder {
    /// The event as it is to be kept, and whether those who follow are to hear of it.
    pub(super) fn record(
        &mut self,
        happened: Happened,
        (wall_ms, steady_ms): (u64, u64),
        place: impl FnOnce() -> (i64, i64),
    ) -> (EventRow, bool) {
        let Happened { kind, device, words, fields } = happened;
        let fields = Value::Object(fields).to_string();
        let recent = self.recent.get_mut(&(kind, device));
        let recent = recent.filter(|recent| steady_ms.saturating_sub(recent.at) < QUIET_MS);
        let count = recent.as_ref().map_or(1, |recent| recent.count.saturating_add(1));
        if let Some(recent) = recent
            && count > TOLD
        {
            (recent.count, recent.at) = (count, steady_ms);
            let row = &mut recent.row;
            row.times = count - TOLD + 1;
            row.last_ms = wall_ms;
            (row.words, row.fields) = (words, fields);
            return (row.clone(), row.times.is_power_of_two());
        }
        let (id, pos) = place();
        let row = EventRow {
            id,
            pos,
            first_ms: wall_ms,
            last_ms: wall_ms,
            times: 1,
            severity: kind.severity().number(),
            kind: kind.name().to_owned(),
            device,
            words,
            fields,
        };
        self.recent.insert((kind, device), Recent { count, at: steady_ms, row: row.clone() });
        (row, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Happened {
        Happened::new(EventKind::LinkLost, "gone").about(&DeviceId([1; 32])).with("n", 1)
    }

    /// A link that comes and goes all night long takes three events and a count.
    #[test]
    fn what_happens_again_and_again_is_counted() {
        let mut recorder = Recorder::default();
        let mut next = 0;
        let mut told = 0;
        let mut at = |recorder: &mut Recorder, ms| {
            let (row, tell) = recorder.record(lost(), (ms, ms), || {
                next += 1;
                (next, 0)
            });
            told += u64::from(tell);
            (row.id, row.times, row.first_ms, row.last_ms)
        };
        assert_eq!(at(&mut recorder, 0), (1, 1, 0, 0));
        assert_eq!(at(&mut recorder, 1), (2, 1, 1, 1));
        assert_eq!(at(&mut recorder, 2), (3, 1, 2, 2));
        for n in 3..1_000 {
            assert_eq!(at(&mut recorder, n), (3, n - 1, 2, n));
        }
        assert_eq!(at(&mut recorder, 999 + QUIET_MS).0, 4, "it was quiet for a while");
        // Others are not counted with it.
        let other = Happened { device: None, ..lost() };
        assert_eq!(recorder.record(other, (0, 0), || (9, 0)).0.id, 9);
        assert!(told < 15, "{told}");
    }
}
