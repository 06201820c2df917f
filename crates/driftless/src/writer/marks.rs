//! When what went where: of this device's own shared lane, as long as this process runs.

use std::collections::VecDeque;

use driftless_core::id::{DeviceId, Seq};
use driftless_core::message::Message;

use super::Writer;
use crate::time;

/// How many moments are remembered of one peer.
const KEPT: usize = 128;

/// Moments by which a seq had been reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    marks: VecDeque<(Seq, u64)>,
    /// Up to where moments are forgotten.
    forgotten: Seq,
}

impl Marks {
    /// A seq is reached now.
    fn note(&mut self, seq: Seq, now_ms: u64) {
        if self.marks.back().map_or(self.forgotten, |(last, _)| *last) >= seq {
            return;
        }
        if self.marks.len() >= KEPT
            && let Some((seq, _)) = self.marks.pop_front()
        {
            self.forgotten = seq;
        }
        self.marks.push_back((seq, now_ms));
    }

    /// When this seq was reached, Unix milliseconds, if that is remembered.
    pub(crate) fn when(&self, seq: Seq) -> Option<u64> {
        let reached = self.marks.iter().find(|(reached, _)| *reached >= seq);
        reached.filter(|_| seq > self.forgotten).map(|(_, at)| *at)
    }
}

impl Writer {
    /// A message goes out.
    pub(super) fn note_sent(&mut self, to: &[DeviceId], message: &Message) {
        let Message::Changes(changes) = message else { return };
        let own = self.engine.shared_origin();
        let last = changes.sets.iter().map(|set| set.dot()).rfind(|dot| dot.origin == own);
        let Some(last) = last else { return };
        let now = time::wall_ms();
        for peer in to {
            self.meetings.entry(*peer).or_default().sent.note(last.seq, now);
        }
    }

    /// A peer holds more than before.
    pub(super) fn note_acked(&mut self, peer: &DeviceId) {
        let own = self.engine.shared_origin();
        let held = self.engine.known(peer).map_or(0, |state| state.shared.seq(&own));
        self.meetings.entry(*peer).or_default().acked.note(held, time::wall_ms());
    }

    /// The own shared lane goes on under another epoch.
    pub(super) fn forget_marks(&mut self) {
        for meeting in self.meetings.values_mut() {
            (meeting.sent, meeting.acked) = (Marks::default(), Marks::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_remembered_and_in_time_forgotten() {
        let mut marks = Marks::default();
        marks.note(3, 30);
        marks.note(3, 31);
        marks.note(5, 50);
        let when = [1, 3, 4, 5, 6].map(|seq| marks.when(seq));
        assert_eq!(when, [Some(30), Some(30), Some(50), Some(50), None]);
        for n in 0..KEPT as u64 {
            marks.note(6 + n, 60 + n);
        }
        assert_eq!((marks.when(5), marks.when(6)), (None, Some(60)));
    }
}
