//! Checkers: what must hold after every step, whatever happens.

use std::collections::BTreeMap;

use driftless_core::codec::Writer;
use driftless_core::digest::{Digest, Digests, OwnedChecksum, shared_checksum};
use driftless_core::id::{Dot, RecordKey};
use driftless_core::message::{Message, State};
use driftless_core::schema::ModelId;
use driftless_core::store::Store;
use driftless_core::version::{OwnedHead, OwnedVector, Vector};
use driftless_store::StoreError;
use xxhash_rust::xxh3::xxh3_128;

use crate::bench::BenchStore;
use crate::fold::{fold, shown};
use crate::ledger::Place;
use crate::models::rule_of;
use crate::violation::{Rule, Violation};
use crate::world::World;

/// How many steps pass between two comparisons of a replica with the fold of the ledger.
const FOLD_EVERY: u64 = 25;
/// Messages from one replica to another within a second, above which something feeds on itself.
const MOST_MESSAGES: u64 = 1_000;
/// Up to so many replicas each is looked at thoroughly after every step.
const EVERY_STEP_UP_TO: usize = 30;

/// What a replica looked like after its last step.
#[derive(Clone, Debug, Default)]
struct Look {
    state: State,
    clock: driftless_core::clock::Hlc,
    /// A hash of the dump.
    dump: u128,
    digests: Digests,
    /// The head of its own lane.
    own: Option<OwnedHead>,
    steps: u64,
}

/// What the checkers remember.
pub(crate) struct Checker {
    looks: Vec<Look>,
    /// How many steps of a replica pass between two thorough looks at it.
    every: u64,
    /// What was held at a state, by its hash: by whom first, and the hash of the dump.
    states: BTreeMap<u128, (usize, u128, Digests)>,
    /// Messages from one replica to another within the second that began then.
    floods: BTreeMap<(usize, usize), (u64, u64)>,
}

impl Checker {
    pub(crate) fn new(replicas: usize) -> Self {
        let every = if replicas <= EVERY_STEP_UP_TO { 1 } else { replicas as u64 };
        let looks = vec![Look::default(); replicas];
        Self { looks, every, states: BTreeMap::new(), floods: BTreeMap::new() }
    }
}

/// A hash of everything that a replica holds exactly, in one canonical form.
fn dump(store: &BenchStore) -> Result<u128, StoreError> {
    let mut w = Writer::new();
    for (model, key, record) in store.records()? {
        w.u32_le(model.0);
        w.key(&key);
        record.encode(&mut w);
    }
    for (device, head, rows) in store.all_rows()? {
        w.raw(&device.0);
        head.life.encode(&mut w);
        w.var(head.seq);
        for ((model, key), seq, fields) in rows {
            w.u32_le(model.0);
            w.key(&key);
            w.var(seq);
            for (field, value) in &fields {
                w.u32_le(field.0);
                value.encode(&mut w);
            }
        }
    }
    Ok(xxh3_128(w.as_bytes()))
}

/// The digests of what is there, made anew.
fn digests_of(store: &BenchStore) -> Result<Digests, StoreError> {
    let mut digests = Digests::new();
    for (model, key, record) in store.records()? {
        digests.entry(model).or_default().add(shared_checksum(model, &key, &record));
    }
    for (device, head, rows) in store.all_rows()? {
        let mut sums = OwnedChecksum::new(device, head.life);
        for ((model, key), seq, fields) in rows {
            let fields = fields.iter().map(|(id, value)| (*id, value.as_ref()));
            digests.entry(model).or_default().add(sums.of(model, key.as_bytes(), seq, fields));
        }
    }
    Ok(digests)
}

fn without_empty(digests: &Digests) -> Digests {
    let some = digests.iter().filter(|(_, digest)| **digest != Digest::default());
    some.map(|(model, digest)| (*model, *digest)).collect()
}

/// A hash that stands for a state.
fn hash_of(state: &State) -> u128 {
    let mut w = Writer::new();
    state.shared.encode(&mut w);
    state.owned.encode(&mut w);
    xxh3_128(w.as_bytes())
}

fn covers(a: &State, b: &State) -> bool {
    a.shared.includes(&b.shared) && a.owned.includes(&b.owned)
}

impl World {
    /// Looks at a replica after a step, in which it wrote these change sets itself.
    pub(crate) fn check_after(&mut self, i: usize, written: &[Dot]) -> Result<(), Violation> {
        self.check_clock(i, written)?;
        self.check_acknowledgements(i)?;
        self.enter_own_lane(i)?;
        self.checker.looks[i].steps += 1;
        if !self.checker.looks[i].steps.is_multiple_of(self.checker.every) {
            return Ok(());
        }
        self.look_at(i)?;
        if self.checker.looks[i].steps.is_multiple_of(FOLD_EVERY * self.checker.every) {
            self.check_fold(i)?;
        }
        Ok(())
    }

    /// Compares what a replica holds with what it held, with what others held at that state, and
    /// with the ledger.
    fn look_at(&mut self, i: usize) -> Result<(), Violation> {
        let store = &self.replicas[i].store;
        let state = State { shared: store.vector().clone(), owned: store.owned_vector() };
        self.check_growth(i, &state)?;
        let old = &self.checker.looks[i].state;
        let changed = state != *old;
        if changed {
            let shared = state.shared.grown_since(&old.shared);
            self.check_closed(i, &state.shared, &shared)?;
            self.check_lanes(i, &state.owned.grown_since(&old.owned))?;
        }
        let digests = without_empty(self.replicas[i].store.digests());
        if changed || digests != self.checker.looks[i].digests {
            let dump = self.read(i, dump)?;
            self.check_equals(i, &state, dump, &digests)?;
            let look = &mut self.checker.looks[i];
            (look.state, look.dump, look.digests) = (state, dump, digests);
        }
        self.checker.looks[i].clock = self.replicas[i].store.clock();
        Ok(())
    }

    /// A replica has lost what was visible and not durable: it holds what is durable, and that must
    /// be so at the next look.
    pub(crate) fn lost_power(&mut self, i: usize) -> Result<(), Violation> {
        let dump = self.read(i, dump)?;
        let replica = &self.replicas[i];
        let look = &mut self.checker.looks[i];
        look.state = replica.durable.clone();
        look.clock = replica.durable_clock;
        look.dump = dump;
        look.digests = without_empty(replica.store.digests());
        Ok(())
    }

    /// Reads what a replica holds, from outside of its engine.
    fn read<T>(
        &self,
        i: usize,
        read: impl FnOnce(&BenchStore) -> Result<T, StoreError>,
    ) -> Result<T, Violation> {
        read(&self.replicas[i].store).map_err(|error| self.store_failed(i, &error))
    }

    /// A store refused, which none of the faults is a reason for.
    pub(crate) fn store_failed(&self, i: usize, error: &StoreError) -> Violation {
        self.violation(Rule::Store, format!("the store of {i} fails: {error}: {error:?}"))
    }

    /// Everything that can be checked, thoroughly.
    pub(crate) fn check_all(&mut self, i: usize) -> Result<(), Violation> {
        if self.checker.every > 1 {
            self.look_at(i)?;
        }
        self.check_fold(i)?;
        self.check_history(i)?;
        let store = &self.replicas[i].store;
        if self.read(i, dump)? != self.checker.looks[i].dump {
            return Err(self.violation(Rule::Equal, format!("{i} changed without a step")));
        }
        let must = self.read(i, digests_of)?;
        if without_empty(store.digests()) != without_empty(&must) {
            let what = format!("{i} keeps {:?}, not {must:?}", store.digests());
            return Err(self.violation(Rule::Digest, what));
        }
        let lanes = store.owned_vector();
        self.check_lanes(i, &lanes)
    }

    fn check_growth(&self, i: usize, state: &State) -> Result<(), Violation> {
        let old = &self.checker.looks[i];
        let kept = |(origin, head): (&_, &driftless_core::version::Head)| {
            state.shared.head(origin).is_some_and(|new| {
                new.seq > head.seq || (new.seq == head.seq && new.hash == head.hash)
            })
        };
        let grown = old.state.shared.iter().all(kept) && state.owned.includes(&old.state.owned);
        if !grown {
            let what = format!("{i} held {:?} and holds {state:?}", old.state);
            return Err(self.violation(Rule::Grows, what));
        }
        if self.replicas[i].store.clock() < old.clock {
            return Err(self.violation(Rule::Grows, format!("{i}'s clock ran backwards")));
        }
        Ok(())
    }

    /// Times of one writer grow with its seqs, and the store keeps them.
    fn check_clock(&self, i: usize, written: &[Dot]) -> Result<(), Violation> {
        for dot in written {
            let before = Dot { seq: dot.seq - 1, ..*dot };
            let (new, old) = (self.ledger.get(dot), self.ledger.get(&before));
            if let (Some(new), Some(old)) = (new, old)
                && new.hlc <= old.hlc
            {
                let what = format!("{dot:?} at {:?} after {:?}", new.hlc, old.hlc);
                return Err(self.violation(Rule::Clock, what));
            }
            if new.is_some_and(|new| new.hlc > self.replicas[i].store.clock()) {
                return Err(self.violation(Rule::Clock, format!("{i} does not keep its clock")));
            }
        }
        Ok(())
    }

    /// Each head is that of a committed change set, and all that its writer had seen is there.
    fn check_closed(&self, i: usize, vector: &Vector, grown: &Vector) -> Result<(), Violation> {
        for (origin, head) in grown.iter() {
            let dot = Dot::new(*origin, head.seq);
            let entry = self.ledger.get(&dot).filter(|entry| entry.head == head.hash);
            let Some(entry) = entry else {
                let what = format!("{i} holds {dot:?}, which nobody committed so");
                return Err(self.violation(Rule::Closed, what));
            };
            if !vector.includes(&entry.past) {
                let lacks = entry.past.grown_since(vector);
                let what = format!("{i} holds {dot:?} without {lacks:?}");
                return Err(self.violation(Rule::Closed, what));
            }
        }
        Ok(())
    }

    /// Exact lanes are what their owners had.
    fn check_lanes(&self, i: usize, lanes: &OwnedVector) -> Result<(), Violation> {
        for (device, head) in lanes.iter() {
            let rows = self.read(i, |store| store.rows(device))?;
            let must = self.ledger.rows(*device, *head);
            if must != Some(&rows) {
                let what = format!("{i} has {rows:?} of {device:?} at {head:?}, not {must:?}");
                return Err(self.violation(Rule::Lane, what));
            }
        }
        Ok(())
    }

    /// An owner's own rows are entered into the ledger whenever their head has moved.
    pub(crate) fn enter_own_lane(&mut self, i: usize) -> Result<(), Violation> {
        let (device, store) = (self.replicas[i].id, &self.replicas[i].store);
        let head = store.lane(&device).and_then(|lane| lane.exact);
        if head == self.checker.looks[i].own {
            return Ok(());
        }
        self.checker.looks[i].own = head;
        let Some(head) = head else { return Ok(()) };
        let rows = self.read(i, |store| store.rows(&device))?;
        self.check_own(i, head)?;
        self.ledger.add_rows(device, head, rows);
        Ok(())
    }

    fn check_own(&self, i: usize, head: OwnedHead) -> Result<(), Violation> {
        let replica = &self.replicas[i];
        let rows = self.read(i, |store| store.rows(&replica.id))?;
        let has = rows.iter().map(|(place, _, fields)| (place, fields));
        if !has.eq(replica.mine_durable.iter()) {
            let what = format!("{i} at {head:?} has {rows:?}, wrote {:?}", replica.mine_durable);
            return Err(self.violation(Rule::Own, what));
        }
        if let Some(old) = self.ledger.rows(replica.id, head)
            && *old != rows
        {
            return Err(self.violation(Rule::Own, format!("{i} rewrote its rows at {head:?}")));
        }
        Ok(())
    }

    /// What is taken for acknowledged is durable at the peer.
    fn check_acknowledgements(&self, i: usize) -> Result<(), Violation> {
        let replica = &self.replicas[i];
        for j in self.network.peers_of(i) {
            let peer = &self.replicas[j];
            let durable = peer.said();
            let known = replica.engine.as_ref().and_then(|engine| engine.known(&peer.id));
            let kept = replica.store.acknowledged(&peer.id);
            let kept = kept.map(|acked| {
                let (shared, owned) = (&acked.shared, &acked.owned);
                durable.shared.includes(shared) && durable.owned.includes(owned)
            });
            if kept == Some(false) || known.is_some_and(|known| !covers(durable, known)) {
                let what = format!("{i} takes {known:?} for acknowledged by {:?}", peer.id);
                return Err(self.violation(Rule::Durable, what));
            }
        }
        Ok(())
    }

    /// What is told is durable.
    pub(crate) fn check_promise(&self, i: usize, message: &Message) -> Result<(), Violation> {
        let told = match message {
            Message::Hello(hello) => &hello.state,
            Message::Vector(state) | Message::Pong { state, .. } => state,
            _ => return Ok(()),
        };
        if covers(&self.replicas[i].durable, told) {
            return Ok(());
        }
        let what = format!("{i} tells {told:?} and has {:?}", self.replicas[i].durable);
        Err(self.violation(Rule::Durable, what))
    }

    /// Whatever is lost or repeated, the answer to it is bounded.
    pub(crate) fn check_flood(&mut self, from: usize, to: usize) -> Result<(), Violation> {
        let now = self.now;
        let (since, messages) = self.checker.floods.entry((from, to)).or_insert((now, 0));
        if now >= *since + 1_000 {
            (*since, *messages) = (now, 0);
        }
        *messages += 1;
        let messages = *messages;
        if messages > MOST_MESSAGES {
            let what = format!("{from} sends {to} more than {MOST_MESSAGES} messages in a second");
            return Err(self.violation(Rule::Flood, what));
        }
        Ok(())
    }

    /// Replicas with equal states are equal, whenever they hold them.
    fn check_equals(
        &mut self,
        i: usize,
        state: &State,
        dump: u128,
        digests: &Digests,
    ) -> Result<(), Violation> {
        let first = self.checker.states.entry(hash_of(state));
        let (j, theirs, sums) = first.or_insert_with(|| (i, dump, digests.clone()));
        if *theirs != dump || sums != digests {
            let j = *j;
            let part = if *theirs == dump { "digests" } else { "data" };
            // Whichever of them is not what the ledger says tells more.
            let wrong = [i, j].map(|one| self.check_fold(one).err().map(|found| found.what));
            let wrong = wrong.into_iter().flatten().collect::<Vec<_>>().join("; ");
            let what = format!("{i} and {j} have equal states and differ in {part}. {wrong}");
            return Err(self.violation(Rule::Equal, what));
        }
        Ok(())
    }

    /// The shared records are the fold of the ledger, and what shows of them is what must show.
    pub(crate) fn check_fold(&self, i: usize) -> Result<(), Violation> {
        let store = &self.replicas[i].store;
        let vector = store.vector();
        let found = store.records().map_err(|error| self.store_failed(i, &error))?;
        let mut found = found.into_iter().peekable();
        for place in self.ledger.places() {
            let must = fold(&self.ledger, place, |dot| vector.covers(dot));
            let is_there =
                |(model, key, _): &(ModelId, RecordKey, _)| (model, key) == (&place.0, &place.1);
            let record = found.next_if(is_there).map(|(_, _, record)| record.into_owned());
            let record = record.unwrap_or_default();
            if record != must {
                let what = format!("{i} has {record:?} at {place:?}, not {must:?}");
                return Err(self.violation(Rule::Fold, what));
            }
            self.check_shown(i, place, &record)?;
        }
        match found.next() {
            None => Ok(()),
            Some((model, key, _)) => {
                let what = format!("{i} has {model:?} {key}, which nobody wrote");
                Err(self.violation(Rule::Fold, what))
            }
        }
    }

    fn check_shown(
        &self,
        i: usize,
        place: &Place,
        record: &driftless_core::record::Record,
    ) -> Result<(), Violation> {
        for field in record.fields.keys() {
            let shows = self.replicas[i].store.project(record, *field, rule_of(*field));
            let must = shown(record, *field);
            if shows != must {
                let what = format!("{i} shows {shows:?} of {place:?} {field:?}, not {must:?}");
                return Err(self.violation(Rule::Shown, what));
            }
        }
        Ok(())
    }
}
