//! Fetching owned lanes, page by page.
//!
//! A transfer is a [`Session`]: pages in the order (seq, model, key), from a cursor on. Every page
//! says `as_of`, the server's exact head when it was read; as the lane may move on meanwhile, the
//! transfer is exact only when its cursor has reached the join of all `as_of`s. It survives the death
//! of either side after any page, and goes on from any peer that covers its target. One that nobody
//! connected covers is kept for a while and then dropped, if something else can be had; what is exact
//! stays.

use std::cmp::Reverse;

use super::{Engine, Event, Now};
use crate::codec::CodecError;
use crate::id::{DeviceId, Seq};
use crate::message::{Message, OwnedPull, Page};
use crate::page::{Cursor, PageReader};
use crate::store::{OwnedLane, Session, Store};
use crate::version::{Life, OwnedHead, OwnedVector};

/// How long, in patiences, a transfer that nobody connected covers is kept while another one could
/// be begun. To begin anew costs the whole lane; the server is more often back than gone.
const UNCOVERED_PATIENCES: u64 = 6;

/// An owned lane that is being asked for.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    /// From whom.
    pub(super) peer: DeviceId,
    /// When to give up on that peer.
    pub(super) deadline: u64,
    /// How many pages it may send since it was asked.
    allowed: u64,
    /// Whether it was asked again since a page has fitted.
    again: bool,
}

impl Session {
    /// The head at which the session would be exact now.
    pub(super) fn goal(&self) -> OwnedHead {
        OwnedHead { life: self.life, seq: self.target }
    }
}

impl Engine {
    /// Asks for lanes that are further elsewhere, and for those that differ from their owners'.
    pub(super) fn fetch_missing<S: Store>(
        &mut self,
        store: &mut S,
        now: Now,
    ) -> Result<(), S::Error> {
        let mine = store.owned_vector();
        let mut best = OwnedVector::new();
        for (_, peer) in self.ready() {
            for (device, head) in peer.known.owned.ahead_of(&mine) {
                if best.head(device).is_none_or(|old| old < *head) {
                    best.set(*device, *head);
                }
            }
        }
        let differ = self.ready().filter(|(_, peer)| peer.lane_differs);
        let differ: Vec<DeviceId> = differ.map(|(id, _)| *id).collect();
        for device in differ {
            if let Some(head) = store.lane(&device).and_then(|lane| lane.exact) {
                best.set(device, head);
            }
        }
        let mut wanted = Vec::new();
        let waiting = std::mem::take(&mut self.uncovered);
        for (device, head) in best.iter() {
            if *device == self.identity.device || self.fetches.contains_key(device) {
                continue;
            }
            let session = store.lane(device).and_then(|lane| lane.session.as_ref());
            if session.is_none_or(|session| session.goal() <= *head) {
                wanted.push(*device);
                continue;
            }
            let since = waiting.get(device).copied().unwrap_or(now.steady_ms);
            if self.uncovered_until(since) > now.steady_ms {
                self.uncovered.insert(*device, since);
            } else {
                store.drop_session(device)?;
                wanted.push(*device);
            }
        }
        self.ask_for(store, wanted, now);
        Ok(())
    }

    /// Whether a device's lane is to be fetched anew from it, as digests differ.
    fn differs(&self, device: &DeviceId) -> bool {
        self.peers.get(device).is_some_and(|peer| peer.ready && peer.lane_differs)
    }

    /// When a transfer that nobody has covered since then is dropped.
    pub(super) fn uncovered_until(&self, since: u64) -> u64 {
        since.saturating_add(self.config.patience_ms.saturating_mul(UNCOVERED_PATIENCES))
    }

    /// Asks for lanes, as many at once as are allowed; those first whose servers answer.
    fn ask_for<S: Store>(&mut self, store: &S, lanes: Vec<DeviceId>, now: Now) {
        let server = |device: DeviceId| Some((self.server_of(store, device)?, device));
        let mut servers: Vec<_> = lanes.into_iter().filter_map(server).collect();
        servers.sort_unstable_by_key(|(peer, device)| (self.peers[peer].failures, *device));
        let free = self.config.fetches.saturating_sub(self.fetches.len());
        for (peer, device) in servers.into_iter().take(free) {
            self.ask_pages(store, peer, device, false, now);
        }
    }

    /// Whom to ask for a lane: of those that have more of it than is here and cover what is under
    /// way, one that answers; the owner itself rather than others, as it is certain to be furthest.
    fn server_of<S: Store>(&self, store: &S, device: DeviceId) -> Option<DeviceId> {
        if self.differs(&device) {
            return Some(device);
        }
        let lane = store.lane(&device);
        let exact = lane.and_then(|lane| lane.exact);
        let goal = lane.and_then(|lane| lane.session.as_ref()).map(Session::goal);
        let has = |id: &DeviceId| {
            let head = self.peers.get(id)?.known.owned.head(&device);
            (head > exact && head >= goal).then_some(())?;
            Some((self.peers[id].failures, *id != device, Reverse(head), *id))
        };
        self.ready_peers().iter().filter_map(has).min().map(|(.., id)| id)
    }

    fn ask_pages<S: Store>(
        &mut self,
        store: &S,
        peer: DeviceId,
        device: DeviceId,
        again: bool,
        now: Now,
    ) {
        let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
        let credit = self.config.page_credit;
        self.fetches.insert(device, Fetch { peer, deadline, allowed: credit, again });
        let lane = store.lane(&device).cloned().unwrap_or_default();
        let mut pull = OwnedPull { device, exact: lane.exact, session: lane.session, credit };
        if self.differs(&device) && !again {
            (pull.exact, pull.session) = (None, None);
        }
        self.send(vec![peer], Message::OwnedPull(pull));
    }

    pub(super) fn give_up_fetches(&mut self, now: Now) {
        let peers = &mut self.peers;
        self.fetches.retain(|_, fetch| {
            let waits = fetch.deadline > now.steady_ms;
            if let Some(peer) = peers.get_mut(&fetch.peer).filter(|_| !waits) {
                peer.failures = peer.failures.saturating_add(1);
            }
            waits
        });
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
        let anew = id == device && self.differs(&device);
        let Some(session) = next_session(&lane, &page, anew) else {
            self.on_misfit(store, id, &lane, &page, now);
            return Ok(());
        };
        for model in page_models(&page) {
            self.count(false, model, 1);
        }
        let exact = session.cursor >= Cursor::after(session.target);
        take_page(store, &lane, &page, session, exact)?;
        if exact {
            self.fetches.remove(&device);
            self.event(Event::LaneExact { device });
            self.note_mended(device, page.as_of, now);
        } else {
            self.allow_more(id, &page, now);
        }
        Ok(())
    }

    /// A lane was fetched whole; if that was because digests differ, they are compared once more.
    fn note_mended(&mut self, device: DeviceId, head: OwnedHead, now: Now) {
        let compare_at = now.steady_ms.saturating_add(self.config.compare_ms);
        if let Some(peer) = self.peers.get_mut(&device).filter(|peer| peer.lane_differs) {
            peer.lane_differs = false;
            peer.lane_mended = Some(head);
            peer.compared = None;
            peer.compare_at = Some(compare_at);
        }
    }

    /// A page that does not fit: an old one, or one whose predecessor was lost. For the latter, what
    /// is missing is asked for again, but once only until a page has fitted: every answer is several
    /// pages, and of those that are on their way already none will fit.
    fn on_misfit<S: Store>(
        &mut self,
        store: &S,
        id: DeviceId,
        lane: &OwnedLane,
        page: &Page,
        now: Now,
    ) {
        let fetch = self.fetches.get(&page.device);
        let asked = fetch.is_some_and(|fetch| fetch.peer == id && !fetch.again);
        let new = lane.exact.is_none_or(|exact| exact < page.as_of);
        let repeated = lane.session.as_ref().is_some_and(|session| page.from < session.cursor);
        if asked && new && !repeated {
            self.ask_pages(store, id, page.device, true, now);
        }
    }

    /// A page has fitted and there are more to come.
    fn allow_more(&mut self, id: DeviceId, page: &Page, now: Now) {
        let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
        let fetch = self.fetches.get_mut(&page.device).filter(|fetch| fetch.peer == id);
        let Some(fetch) = fetch else { return };
        fetch.deadline = deadline;
        fetch.again = false;
        fetch.allowed = fetch.allowed.saturating_add(1);
        let (device, life, credit) = (page.device, page.as_of.life, fetch.allowed);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failures = 0;
        }
        self.send(vec![id], Message::More { device, life, credit });
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

/// Puts a page into the store: at once if all of it fits one page, else beside what is exact.
fn take_page<S: Store>(
    store: &mut S,
    lane: &OwnedLane,
    page: &Page,
    session: Session,
    exact: bool,
) -> Result<(), S::Error> {
    let device = &page.device;
    let begins = lane.session.is_none() || (page.full && !page.goes_on);
    if begins {
        store.drop_session(device)?;
        if exact && !session.full {
            return store.apply_delta(device, &page.rows, session.target);
        }
    }
    store.stage_page(device, &page.rows, session)?;
    if exact {
        store.finish_session(device)?;
    }
    Ok(())
}

/// The session that a page makes of what is held; `None` if the page does not fit.
/// With `anew` a full transfer may replace what is held at the same head.
fn next_session(lane: &OwnedLane, page: &Page, anew: bool) -> Option<Session> {
    let life = page.as_of.life;
    let again = |exact: OwnedHead| anew && page.full && page.as_of == exact;
    if lane.exact.is_some_and(|exact| page.as_of <= exact && !again(exact)) {
        return None;
    }
    if lane.session.as_ref().is_some_and(|session| page.as_of < session.goal()) {
        return None;
    }
    let begins_full = page.full && !page.goes_on;
    let base = match &lane.session {
        _ if begins_full => {
            Session { life, cursor: Cursor::after(0), target: 0, first: page.as_of.seq, full: true }
        }
        Some(session) => session.clone(),
        None => {
            let exact = lane.exact?;
            let (life, cursor) = (exact.life, Cursor::after(exact.seq));
            Session { life, cursor, target: 0, first: 0, full: false }
        }
    };
    let fits = page.from == base.cursor && page.full == base.full && base.life == life;
    if !fits || page.next < page.from {
        return None;
    }
    let target = base.target.max(page.as_of.seq);
    Some(Session { cursor: page.next.clone(), target, ..base })
}

/// Reads a page through once: its rows are well-formed, in order, behind its start, not behind its
/// end, and no newer than it says.
fn check_page(page: &Page) -> Result<(), CodecError> {
    if page.next > Cursor::after(page.as_of.seq) {
        return Err(CodecError::Invalid { what: "a page's end", found: page.next.seq });
    }
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
