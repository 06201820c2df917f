//! Owned lanes: fetching them in pages, and serving those that are exact here.
//!
//! A transfer is a [`Session`]: pages in the order (seq, model, key), from a cursor on. Every page
//! says `as_of`, the server's exact head when it was read; as the lane may move on meanwhile, the
//! transfer is exact only when its cursor has reached the join of all `as_of`s. It survives the death
//! of either side after any page, and goes on from any peer that covers its target. One that nobody
//! connected covers is dropped, and what is exact stays.

use super::peer::Serving;
use super::{Engine, Event, Now};
use crate::clock::Hlc;
use crate::codec::CodecError;
use crate::id::{DeviceId, Epoch, Seq};
use crate::message::{Message, OwnedPull, Page};
use crate::page::{Cursor, PageReader};
use crate::store::{OwnedLane, Session, Store};
use crate::version::{Life, OwnedHead, OwnedVector};

/// An owned lane that is being asked for.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    /// From whom.
    pub(super) peer: DeviceId,
    /// When to give up on that peer.
    pub(super) deadline: u64,
}

impl Session {
    /// The head at which the session would be exact now.
    fn goal(&self) -> OwnedHead {
        OwnedHead { life: self.life, seq: self.target }
    }
}

// ---- fetching

impl Engine {
    /// Asks for lanes that are further elsewhere.
    pub(super) fn fetch_missing<S: Store>(
        &mut self,
        store: &mut S,
        now: Now,
    ) -> Result<(), S::Error> {
        let mut best = OwnedVector::new();
        for (_, peer) in self.ready() {
            for (device, head) in peer.known.owned.iter() {
                if best.head(device).is_none_or(|old| old < *head) {
                    best.set(*device, *head);
                }
            }
        }
        for (device, head) in best.iter() {
            if self.fetches.len() >= self.config.fetches {
                break;
            }
            let behind =
                store.lane(device).and_then(|lane| lane.exact).is_none_or(|exact| exact < *head);
            if *device == self.identity.device || !behind || self.fetches.contains_key(device) {
                continue;
            }
            self.fetch(store, *device, *head, now)?;
        }
        Ok(())
    }

    fn fetch<S: Store>(
        &mut self,
        store: &mut S,
        device: DeviceId,
        best: OwnedHead,
        now: Now,
    ) -> Result<(), S::Error> {
        let session = store.lane(&device).and_then(|lane| lane.session.as_ref());
        if session.is_some_and(|session| session.goal() > best) {
            store.drop_session(&device)?;
        }
        let has = |id: &DeviceId| {
            self.peers[id].known.owned.head(&device).is_some_and(|head| head >= best)
        };
        // The owner itself if it is there, as it is certain to be furthest.
        let servers: Vec<DeviceId> = self.ready_peers().into_iter().filter(has).collect();
        let owner = servers.iter().find(|id| **id == device);
        if let Some(peer) = owner.or(servers.first()).copied() {
            self.ask_pages(store, peer, device, now);
        }
        Ok(())
    }

    fn ask_pages<S: Store>(&mut self, store: &S, peer: DeviceId, device: DeviceId, now: Now) {
        let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
        self.fetches.insert(device, Fetch { peer, deadline });
        let lane = store.lane(&device).cloned().unwrap_or_default();
        let pull = OwnedPull {
            device,
            exact: lane.exact,
            session: lane.session,
            credit: self.config.page_credit,
        };
        self.send(vec![peer], Message::OwnedPull(pull));
    }

    pub(super) fn give_up_fetches(&mut self, now: Now) {
        self.fetches.retain(|_, fetch| fetch.deadline > now.steady_ms);
    }

    pub(super) fn on_page<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        page: Page,
        now: Now,
    ) -> Result<(), S::Error> {
        if let Err(error) = check_page(&page) {
            self.disconnect(id, format!("a page of {:?} cannot be read: {error}", page.device));
            return Ok(());
        }
        let device = page.device;
        if device == self.identity.device {
            return Ok(());
        }
        let lane = store.lane(&device).cloned().unwrap_or_default();
        let asked = self.fetches.get(&device).is_some_and(|fetch| fetch.peer == id);
        let Some(session) = next_session(&lane, &page) else {
            if asked && lane.exact.is_none_or(|exact| exact < page.as_of) {
                self.ask_pages(store, id, device, now);
            }
            return Ok(());
        };
        self.changed[0].extend(page_models(&page));
        let exact = session.cursor >= Cursor::after(session.target);
        let fresh = lane.session.is_none() || !page.goes_on && page.full;
        if exact && fresh && !session.full {
            store.drop_session(&device)?;
            store.apply_delta(&device, &page.rows, session.target)?;
        } else {
            if fresh {
                store.drop_session(&device)?;
            }
            store.stage_page(&device, &page.rows, session)?;
            if exact {
                store.finish_session(&device)?;
            }
        }
        if exact {
            self.fetches.remove(&device);
            self.event(Event::LaneExact { device });
        } else if asked {
            let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
            self.fetches.insert(device, Fetch { peer: id, deadline });
            let more = Message::More { device, life: page.as_of.life, credit: 1 };
            self.send(vec![id], more);
        }
        Ok(())
    }

    pub(super) fn on_void<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        device: DeviceId,
        life: Life,
        target: Seq,
    ) -> Result<(), S::Error> {
        let session = store.lane(&device).and_then(|lane| lane.session.clone());
        if session.is_some_and(|session| session.life == life && session.target >= target) {
            store.drop_session(&device)?;
        }
        if self.fetches.get(&device).is_some_and(|fetch| fetch.peer == id) {
            self.fetches.remove(&device);
        }
        Ok(())
    }
}

/// The session that a page makes of what is held; `None` if the page does not fit.
fn next_session(lane: &OwnedLane, page: &Page) -> Option<Session> {
    let life = page.as_of.life;
    if lane.exact.is_some_and(|exact| page.as_of <= exact) {
        return None;
    }
    let old = lane.session.as_ref().filter(|session| session.life >= life);
    if old.is_some_and(|session| session.life > life || page.as_of.seq < session.target) {
        return None;
    }
    let begins_full = page.full && !page.goes_on;
    let base = match old {
        Some(session) if !begins_full => session.clone(),
        _ if begins_full => {
            Session { life, cursor: Cursor::after(0), target: 0, first: page.as_of.seq, full: true }
        }
        _ => {
            let exact = lane.exact.filter(|exact| exact.life == life)?;
            let cursor = Cursor::after(exact.seq);
            Session { life, cursor, target: 0, first: 0, full: false }
        }
    };
    if page.from != base.cursor || page.full != base.full || page.next < page.from {
        return None;
    }
    let target = base.target.max(page.as_of.seq);
    Some(Session { cursor: page.next.clone(), target, ..base })
}

/// Reads a page through once: its rows are well-formed, in order, behind its start, not behind its
/// end, and no newer than it says.
fn check_page(page: &Page) -> Result<(), CodecError> {
    let mut reader = PageReader::new(&page.rows)?;
    let (mut values, mut extras) = (Vec::new(), Vec::new());
    while let Some(row) = reader.next_row(&mut values, &mut extras)? {
        let model = reader.models()[row.model].model;
        let inside = !page.from.passed(row.seq, model, row.key)
            && page.next.passed(row.seq, model, row.key)
            && row.seq <= page.as_of.seq;
        if !inside {
            return Err(CodecError::Invalid { what: "a row's place in its page", found: row.seq });
        }
    }
    Ok(())
}

fn page_models(page: &Page) -> Vec<crate::schema::ModelId> {
    let models = PageReader::new(&page.rows).map(|reader| reader.models().to_vec());
    models.map_or_else(|_| Vec::new(), |models| models.iter().map(|model| model.model).collect())
}

// ---- serving

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
            self.remint_above(store, met, now)?;
        }
        let lane = store.lane(&device).cloned().unwrap_or_default();
        let void = |session: &Session| Message::Void {
            device,
            life: session.life,
            target: session.target,
        };
        let Some(exact) = lane.exact else {
            let refusal = pull.session.as_ref().map(void);
            self.send_some(id, refusal);
            return Ok(());
        };
        let Some((full, cursor)) = plan(&lane, exact, &pull) else {
            let refusal = pull.session.as_ref().filter(|s| s.goal() > exact).map(void);
            self.send_some(id, refusal);
            return Ok(());
        };
        let serving = Serving { life: exact.life, full, cursor };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.serving.insert(device, serving);
        }
        self.serve_pages(store, id, device, exact.life, pull.credit)
    }

    fn send_some(&mut self, to: DeviceId, message: Option<Message>) {
        if let Some(message) = message {
            self.send(vec![to], message);
        }
    }

    /// Sends the next pages of a transfer, as far as credit goes.
    pub(super) fn serve_pages<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        device: DeviceId,
        life: Life,
        credit: u64,
    ) -> Result<(), S::Error> {
        for _ in 0..credit.min(self.config.page_credit) {
            let exact = store.lane(&device).and_then(|lane| lane.exact);
            let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
            let Some(serving) = peer.serving.get(&device).cloned() else { return Ok(()) };
            let Some(exact) = exact.filter(|exact| exact.life == life && life == serving.life)
            else {
                peer.serving.remove(&device);
                return Ok(());
            };
            let (rows, bytes) = (self.config.page_rows, self.config.page_bytes);
            let page = store.read_page(&device, &serving.cursor, rows, bytes)?;
            let begins = serving.cursor == Cursor::after(0);
            let done = page.next == Cursor::after(exact.seq);
            let message = Message::Page(Page {
                device,
                as_of: exact,
                full: serving.full,
                goes_on: !begins,
                from: serving.cursor,
                next: page.next.clone(),
                rows: page.rows,
            });
            if let Some(peer) = self.peers.get_mut(&id) {
                if done {
                    peer.serving.remove(&device);
                } else {
                    let full = serving.full;
                    peer.serving.insert(device, Serving { life, full, cursor: page.next });
                }
            }
            self.send(vec![id], message);
            if done {
                break;
            }
        }
        Ok(())
    }
}

/// From where a lane is read for a pull, and whether that replaces what the asker has; `None` if it
/// lacks nothing that is here, or wants to go on with what is not covered here.
fn plan(lane: &OwnedLane, exact: OwnedHead, pull: &OwnedPull) -> Option<(bool, Cursor)> {
    let whole = Some((true, Cursor::after(0)));
    if let Some(session) = &pull.session {
        if exact < session.goal() {
            return None;
        }
        let floor_below = |seq: Seq| lane.floor <= seq;
        let covered = session.cursor.complete();
        let goes_on = exact.life == session.life
            && if session.full {
                floor_below(covered.max(session.first))
            } else {
                floor_below(covered)
            };
        return if goes_on { Some((session.full, session.cursor.clone())) } else { whole };
    }
    match pull.exact {
        Some(theirs) if theirs >= exact => None,
        Some(theirs) if theirs.life == exact.life && lane.floor <= theirs.seq => {
            Some((false, Cursor::after(theirs.seq)))
        }
        _ => whole,
    }
}

// ---- the own lane

impl Engine {
    /// Gives the own lane its head, should it have none yet.
    pub(super) fn open_own_lane<S: Store>(&mut self, store: &mut S) -> Result<(), S::Error> {
        let life = self.identity.owned_life;
        let exact = store.lane(&self.identity.device).and_then(|lane| lane.exact);
        match exact {
            Some(head) => self.identity.owned_life = head.life,
            None => store.set_own_head(OwnedHead { life, seq: 1 })?,
        }
        Ok(())
    }

    /// A peer holds an own lane of a greater life than ours: it was restored or cloned. The lane goes
    /// on above it, as this device sees its rows now.
    pub(super) fn meet_own_lane<S: Store>(
        &mut self,
        store: &mut S,
        owned: &OwnedVector,
        now: Now,
    ) -> Result<(), S::Error> {
        let met = owned.head(&self.identity.device);
        self.remint_above(store, met, now)
    }

    fn remint_above<S: Store>(
        &mut self,
        store: &mut S,
        met: Option<OwnedHead>,
        now: Now,
    ) -> Result<(), S::Error> {
        let mine = store.lane(&self.identity.device).and_then(|lane| lane.exact);
        let Some(met) = met.filter(|met| mine.is_none_or(|mine| *met > mine)) else {
            return Ok(());
        };
        let above = Hlc(met.life.mint.0.saturating_add(1));
        let mint = above.max(Hlc::from_ms(now.wall_ms));
        let life = Life { mint, epoch: Epoch(self.random()) };
        self.identity.owned_life = life;
        store.set_own_head(OwnedHead { life, seq: 1 })?;
        self.event(Event::Restated);
        Ok(())
    }
}
