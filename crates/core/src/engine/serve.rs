//! Serving owned lanes that are exact here, page by page, as far as the asker's credit goes.

use super::peer::Serving;
use super::{Engine, Now};
use crate::id::DeviceId;
use crate::message::{Message, OwnedPull, Page, READS_COLUMNS, fit_columns};
use crate::page::Cursor;
use crate::store::{OwnedLane, Session, Store};
use crate::version::{Life, OwnedHead};

impl Engine {
    pub(super) fn on_owned_pull<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        pull: OwnedPull,
        now: Now,
    ) -> Result<(), S::Error> {
        let device = pull.device;
        if device == self.identity.device {
            let met = pull.session.as_ref().map(Session::goal).max(pull.exact);
            self.restate_if_met(store, met, now)?;
        }
        let lane = store.lane(&device).cloned().unwrap_or_default();
        if store.missing().has_rows_of(&device) {
            return Ok(());
        }
        let plan = lane.exact.and_then(|exact| plan(&lane, exact, &pull).map(|plan| (exact, plan)));
        let Some((exact, serving)) = plan else {
            let beyond = |session: &&Session| lane.exact.is_none_or(|exact| session.goal() > exact);
            if let Some(session) = pull.session.as_ref().filter(beyond) {
                let (life, target) = (session.life, session.target);
                self.send(vec![id], Message::Void { device, life, target });
            }
            return Ok(());
        };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.serving.insert(device, serving);
            peer.follows.insert(device);
        }
        self.serve_pages(store, id, device, exact.life, pull.credit)
    }

    /// Sends the next pages of a transfer, up to `credit` of them since the pull.
    pub(super) fn serve_pages<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        device: DeviceId,
        life: Life,
        credit: u64,
    ) -> Result<(), S::Error> {
        for _ in 0..self.config.page_credit {
            let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
            let Some(serving) = peer.serving.remove(&device) else { return Ok(()) };
            if serving.sent >= credit || serving.life != life {
                peer.serving.insert(device, serving);
                return Ok(());
            }
            let lane = store.lane(&device).cloned().unwrap_or_default();
            let Some(exact) = Self::servable(store, &device) else { return Ok(()) };
            let serving = still_right(serving, &lane, exact);
            self.serve_page(store, id, device, exact, serving)?;
        }
        Ok(())
    }

    fn serve_page<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        device: DeviceId,
        exact: OwnedHead,
        serving: Serving,
    ) -> Result<(), S::Error> {
        let (rows, bytes) = (self.config.page_rows, self.config.page_bytes);
        let page = store.read_page(&device, &serving.cursor, rows, bytes)?;
        let next = page.next.clone();
        let reads = self.peers.get(&id).is_some_and(|peer| peer.features & READS_COLUMNS != 0);
        let message = Message::Page(Page {
            device,
            as_of: exact,
            full: serving.full,
            goes_on: serving.cursor != Cursor::after(0),
            from: serving.cursor.clone(),
            next: page.next,
            columns: reads && fit_columns(&page.rows),
            rows: page.rows,
        });
        self.send(vec![id], message);
        let done = next == Cursor::after(exact.seq);
        if let Some(peer) = self.peers.get_mut(&id).filter(|_| !done) {
            let sent = serving.sent + 1;
            peer.serving.insert(device, Serving { cursor: next, sent, ..serving });
        }
        Ok(())
    }
}

/// A transfer that goes on from where it was, or from the beginning if the lane has been replaced
/// meanwhile: rows that were sent may be gone then, without a tombstone that tells.
fn still_right(serving: Serving, lane: &OwnedLane, exact: OwnedHead) -> Serving {
    let known = serving.cursor.complete().max(serving.first);
    if serving.life == exact.life && lane.floor <= known {
        return serving;
    }
    Serving { sent: serving.sent, ..whole(exact) }
}

/// A transfer that replaces what the asker has.
fn whole(exact: OwnedHead) -> Serving {
    let (life, first) = (exact.life, exact.seq);
    Serving { life, full: true, cursor: Cursor::after(0), first, sent: 0 }
}

/// How a lane is read for a pull; `None` if the asker lacks nothing that is here, or wants to go on
/// with what is not covered here.
fn plan(lane: &OwnedLane, exact: OwnedHead, pull: &OwnedPull) -> Option<Serving> {
    let life = exact.life;
    let from = match (&pull.session, pull.exact) {
        (Some(session), _) if session.goal() > exact => return None,
        (Some(session), _) if session.life == life => {
            let first = if session.full { session.first } else { 0 };
            Serving { life, full: session.full, cursor: session.cursor.clone(), first, sent: 0 }
        }
        (None, Some(theirs)) if theirs >= exact => return None,
        (None, Some(theirs)) if theirs.life == life => {
            Serving { life, full: false, cursor: Cursor::after(theirs.seq), first: 0, sent: 0 }
        }
        _ => whole(exact),
    };
    Some(still_right(from, lane, exact))
}
