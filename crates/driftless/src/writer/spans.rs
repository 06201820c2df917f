//! Spans: who did what with which change sets, so that one can be followed from device to device by its
//! dot. They cost a comparison where nobody subscribes to them.
//!
//! | span | is |
//! |---|---|
//! | `session` | a connection with a peer, from its first moment to its last |
//! | `commit` | a transaction of local writes, durable at its end |
//! | `send` | a message on its way into a session |
//! | `receive` | a message out of a session, until the engine has taken it in |
//! | `apply` | a transaction of what came from others, visible and durable at its end |
//!
//! Each names `library` and this `device`; the last four name `dot`: the change sets that they are
//! about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use driftless_core::id::{DeviceId, LibraryId, Origin, Seq};
use driftless_core::message::Message;
use driftless_core::store::Store as _;
use driftless_core::version::{OwnedVector, Vector};
use tracing::field::Empty;
use tracing::{Level, Span};

use super::Writer;

/// How many streams a span names; more come together only where a device was away for long.
const NAMED: usize = 16;

/// The connections that stand.
#[derive(Default)]
pub(super) struct Sessions(BTreeMap<DeviceId, Span>);

impl Sessions {
    /// A connection has come about.
    pub(super) fn begin(&mut self, here: &Here, peer: DeviceId, conn: u64, route: &str) {
        let Here { library, device } = here;
        let span =
            tracing::debug_span!("session", %library, %device, %peer, conn, route, ended = Empty);
        if !span.is_disabled() {
            self.0.insert(peer, span);
        }
    }

    /// It has ended.
    pub(super) fn end(&mut self, peer: &DeviceId, reason: &str) {
        if let Some(span) = self.0.remove(peer) {
            span.record("ended", reason);
        }
    }

    /// The span of a message that goes to a peer, or has come from it.
    fn of_message(&self, here: &Here, peer: DeviceId, passing: &Passing<'_>) -> Span {
        let Here { library, device } = here;
        let Passing { message, bytes, sent } = *passing;
        let session = self.0.get(&peer).and_then(Span::id);
        let name = message.name();
        // What carries no change sets is beats and questions.
        match (dots_of(message), sent) {
            (Some(dot), true) => {
                tracing::debug_span!(parent: session, "send", %library, %device, %peer, kind = name, bytes, dot)
            }
            (Some(dot), false) => {
                tracing::debug_span!(parent: session, "receive", %library, %device, %peer, kind = name, bytes, dot)
            }
            (None, true) => {
                tracing::trace_span!(parent: session, "send", %library, %device, %peer, kind = name, bytes)
            }
            (None, false) => {
                tracing::trace_span!(parent: session, "receive", %library, %device, %peer, kind = name, bytes)
            }
        }
    }
}

/// Whose spans these are.
pub(super) struct Here {
    library: LibraryId,
    device: DeviceId,
}

/// A message that passes the network's door.
pub(super) struct Passing<'a> {
    pub(super) message: &'a Message,
    pub(super) bytes: usize,
    /// Whether it goes out.
    pub(super) sent: bool,
}

/// A transaction under way.
pub(super) struct Work {
    /// Entered while it lasts.
    pub(super) span: Span,
    /// What was held before it; `None` if nobody wants to know.
    before: Option<(Vector, OwnedVector)>,
}

impl Writer {
    /// A transaction begins: of local writes, or of what others sent.
    pub(super) fn begin_work(&self, local: bool) -> Work {
        let Here { library, device } = self.here();
        let span = if local {
            tracing::debug_span!("commit", %library, %device, dot = Empty, failed = Empty)
        } else {
            tracing::debug_span!("apply", %library, %device, dot = Empty, failed = Empty)
        };
        let before =
            (!span.is_disabled()).then(|| (self.store.vector().clone(), self.store.owned_vector()));
        Work { span, before }
    }

    /// It has ended.
    pub(super) fn end_work(&self, work: &Work, well: bool) {
        let Some((shared, owned)) = &work.before else { return };
        if !well {
            work.span.record("failed", true);
            return;
        }
        let dots = grown(shared, self.store.vector(), owned, &self.store.owned_vector());
        if let Some(dots) = dots {
            work.span.record("dot", dots);
        }
    }

    /// The span of a message.
    pub(super) fn passing(&self, peer: DeviceId, passing: &Passing<'_>) -> Span {
        // Without a subscriber not even the library's id is looked up.
        if !tracing::enabled!(Level::DEBUG) {
            return Span::none();
        }
        self.sessions.of_message(&self.here(), peer, passing)
    }

    /// Who tells.
    pub(super) fn here(&self) -> Here {
        let identity = self.store.identity();
        Here { library: identity.library, device: identity.device }
    }
}

/// The change sets that came between two states.
fn grown(
    shared: &Vector,
    shared_now: &Vector,
    owned: &OwnedVector,
    owned_now: &OwnedVector,
) -> Option<String> {
    let mut dots = Dots::default();
    for (origin, head) in shared_now.grown_since(shared).iter() {
        dots.add(*origin, shared.seq(origin) + 1, head.seq);
    }
    for (device, head) in owned_now.grown_since(owned).iter() {
        // A life that is new here counts whole.
        let before = owned.head(device).filter(|before| before.life == head.life);
        let first = before.map_or(1, |before| before.seq + 1);
        dots.add(Origin::owned(*device, head.life.epoch), first, head.seq);
    }
    dots.text()
}

/// The change sets that a message carries; `None` if it carries none.
fn dots_of(message: &Message) -> Option<String> {
    let mut dots = Dots::default();
    match message {
        Message::Changes(changes) => {
            for dot in changes.sets.iter().map(|set| set.dot()) {
                dots.add(dot.origin, dot.seq, dot.seq);
            }
        }
        Message::Page(page) => {
            let origin = Origin::owned(page.device, page.as_of.life.epoch);
            dots.add(origin, page.from.complete() + 1, page.next.seq.max(page.as_of.seq));
        }
        _ => {}
    }
    dots.text()
}

/// Change sets by their streams, `ORIGIN#SEQ` or `ORIGIN#FIRST..LAST`.
#[derive(Default)]
struct Dots {
    streams: Vec<(Origin, Seq, Seq)>,
}

impl Dots {
    fn add(&mut self, origin: Origin, first: Seq, last: Seq) {
        match self.streams.last_mut() {
            Some((same, _, end)) if *same == origin && *end + 1 == first => *end = last,
            _ => self.streams.push((origin, first, last)),
        }
    }

    fn text(&self) -> Option<String> {
        let mut text = String::new();
        for (origin, first, last) in self.streams.iter().take(NAMED) {
            let comma = if text.is_empty() { "" } else { ", " };
            let told = if first < last {
                write!(text, "{comma}{origin}#{first}..{last}")
            } else {
                write!(text, "{comma}{origin}#{last}")
            };
            debug_assert!(told.is_ok(), "a string takes everything");
        }
        let more = self.streams.len().saturating_sub(NAMED);
        if more > 0 {
            let told = write!(text, ", and of {more} more streams");
            debug_assert!(told.is_ok(), "a string takes everything");
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driftless_core::id::Epoch;

    #[test]
    fn dots_of_a_stream_are_told_as_a_range_and_many_streams_in_short() {
        let stream = |n: u8| Origin::shared(DeviceId([n; 32]), Epoch(1));
        let mut dots = Dots::default();
        assert_eq!(dots.text(), None);
        dots.add(stream(1), 5, 5);
        assert_eq!(dots.text(), Some(format!("{}#5", stream(1))));
        dots.add(stream(1), 6, 6);
        dots.add(stream(1), 7, 9);
        dots.add(stream(2), 1, 1);
        assert_eq!(dots.text(), Some(format!("{}#5..9, {}#1", stream(1), stream(2))));
        for n in 3..40 {
            dots.add(stream(n), 1, 1);
        }
        let text = dots.text().unwrap_or_default();
        assert!(text.ends_with(&format!("{}#1, and of 23 more streams", stream(16))), "{text}");
    }
}
