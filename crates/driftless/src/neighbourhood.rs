//! With whom this device keeps a link: everybody while there are few members; beyond that its
//! neighbours, whoever takes the place of those that are away, and guests, who are met for as long as
//! somebody waits for them.
//!
//! Links from any member are accepted. Only who is dialled is decided here.

use std::collections::{BTreeMap, BTreeSet};

use driftless_core::id::DeviceId;
use driftless_core::neighbours::{ALL_UP_TO, neighbours};

/// How long one that is dialled may be without a link before another one is dialled in its place: an
/// attempt takes 4 s at most.
pub(crate) const REPLACED_AFTER_MS: u64 = 5_000;
/// Within what time a device that is there answers a dial.
const ANSWERS_WITHIN_MS: u64 = 500;
/// How long one that was replaced is passed over, before it is tried in its place again. It may have
/// been this device that was cut off, and nobody else dials a device that has not moved.
const FORGIVEN_AFTER_MS: u64 = 600_000;
/// Guests that are dialled at one time.
const GUESTS: usize = 16;

/// Who is dialled, and what is known of those who do not answer. Times are of the steady clock.
#[derive(Debug, Default)]
pub(crate) struct Neighbourhood {
    /// Who has been dialled and has no link, and since when.
    tried: BTreeMap<DeviceId, u64>,
    /// Who is passed over, and since when.
    away: BTreeMap<DeviceId, u64>,
    /// Who is met although he is no neighbour.
    guests: BTreeSet<DeviceId>,
    /// Who is dialled as a neighbour, or in the place of one.
    dialled: BTreeSet<DeviceId>,
    /// When that was decided.
    decided_at: u64,
}

impl Neighbourhood {
    /// Whom to dial.
    pub(crate) fn choose(
        &mut self,
        own: &DeviceId,
        members: &BTreeSet<DeviceId>,
        is_connected: impl Fn(&DeviceId) -> bool,
        now: u64,
    ) -> BTreeSet<DeviceId> {
        self.decided_at = now;
        if members.len() <= ALL_UP_TO {
            *self = Self { dialled: members.iter().copied().collect(), ..Self::default() };
            self.dialled.remove(own);
            return self.dialled.clone();
        }
        let lasting = |since: &u64, after| now.saturating_sub(*since) < after;
        self.away.retain(|device, since| {
            members.contains(device) && !is_connected(device) && lasting(since, FORGIVEN_AFTER_MS)
        });
        for (device, since) in &self.tried {
            if !is_connected(device) && !lasting(since, REPLACED_AFTER_MS) {
                self.away.entry(*device).or_insert(now);
            }
        }
        let here = members.iter().copied().filter(|device| !self.away.contains_key(device));
        let mut dialled = neighbours(own, members.iter().copied());
        dialled.extend(neighbours(own, here));
        self.tried.retain(|device, _| dialled.contains(device) && !is_connected(device));
        for device in dialled.iter().filter(|device| !is_connected(device)) {
            self.tried.entry(*device).or_insert(now);
        }
        self.dialled = dialled;
        let mut all = self.dialled.clone();
        all.extend(self.invited(members, &is_connected, now));
        all
    }

    /// Guests who are there, and of the others those whose turn it is.
    fn invited(
        &self,
        members: &BTreeSet<DeviceId>,
        is_connected: &impl Fn(&DeviceId) -> bool,
        now: u64,
    ) -> Vec<DeviceId> {
        let guests = self.guests.iter().filter(|device| members.contains(*device)).copied();
        let (mut invited, waiting): (Vec<_>, Vec<_>) = guests.partition(is_connected);
        let turns = waiting.len().div_ceil(GUESTS).max(1) as u64;
        let turn = usize::try_from(now / REPLACED_AFTER_MS % turns).unwrap_or(0);
        invited.extend(waiting.into_iter().skip(turn * GUESTS).take(GUESTS));
        invited
    }

    /// These are to be met, and nobody else beyond the neighbours; those who need not be met any more
    /// are given.
    pub(crate) fn set_guests(&mut self, guests: BTreeSet<DeviceId>) -> Vec<DeviceId> {
        let before = std::mem::replace(&mut self.guests, guests);
        before.difference(&self.guests).copied().collect()
    }

    /// Who is met although he is no neighbour.
    pub(crate) fn guests(&self) -> &BTreeSet<DeviceId> {
        &self.guests
    }

    /// Whether a device is one to keep a link with, as far as the last choice goes.
    pub(crate) fn is_neighbour(&self, device: &DeviceId) -> bool {
        self.dialled.contains(device)
    }

    /// How long a member without a link may take until it counts as not reachable: of `absent` ones
    /// among so many members. Up to a dozen everybody is dialled as long as sync is on, and where it was
    /// just turned on whoever is there answers at once.
    pub(crate) fn patience_ms(members: usize, absent: usize) -> u64 {
        if members <= ALL_UP_TO { ANSWERS_WITHIN_MS } else { Self::round_ms(absent) }
    }

    /// Within what time every guest is dialled once.
    fn round_ms(guests: usize) -> u64 {
        let turns = guests.div_ceil(GUESTS) as u64 + 1;
        turns.saturating_mul(REPLACED_AFTER_MS)
    }

    /// When the choice may be another one although nothing happens.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let after = |since: &u64, ms| since.saturating_add(ms);
        let tried = self.tried.values().map(|since| after(since, REPLACED_AFTER_MS));
        let away = self.away.values().map(|since| after(since, FORGIVEN_AFTER_MS));
        let turn = (!self.guests.is_empty())
            .then(|| (self.decided_at / REPLACED_AFTER_MS + 1).saturating_mul(REPLACED_AFTER_MS));
        tried.chain(away).chain(turn).filter(|at| *at > self.decided_at).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ids(n: u32) -> BTreeSet<DeviceId> {
        // No order among them, as there is none among keys.
        let id = |n: u32| driftless_core::id::derived_id("device", &[&n.to_le_bytes()]);
        let id = |n: u32| DeviceId(std::array::from_fn(|at| id(n).as_bytes()[at % 16]));
        (1..=n).map(id).collect()
    }

    #[test]
    fn a_few_are_all_dialled_and_nothing_is_waited_for() {
        let members = ids(12);
        let own = *members.first().unwrap();
        let mut hood = Neighbourhood::default();
        assert_eq!(hood.choose(&own, &members, |_| false, 0).len(), 11);
        assert_eq!(hood.deadline(), None);
        assert_eq!(hood.choose(&own, &members, |_| false, 1 << 40).len(), 11);
    }

    /// Runs all devices that are up until nobody changes his mind any more; who has a link with whom.
    fn settle(
        members: &BTreeSet<DeviceId>,
        up: &BTreeSet<DeviceId>,
    ) -> BTreeSet<(DeviceId, DeviceId)> {
        let mut hoods: BTreeMap<DeviceId, Neighbourhood> =
            up.iter().map(|device| (*device, Neighbourhood::default())).collect();
        let mut links = BTreeSet::new();
        for now in (0..FORGIVEN_AFTER_MS / 4).step_by(2_500) {
            for (own, hood) in &mut hoods {
                let linked = |other: &DeviceId| links.contains(&(*own, *other));
                for other in hood.choose(own, members, linked, now) {
                    assert_ne!(other, *own);
                    if up.contains(&other) {
                        links.insert((*own, other));
                        links.insert((other, *own));
                    }
                }
            }
        }
        links
    }

    fn all_reached(up: &BTreeSet<DeviceId>, links: &BTreeSet<(DeviceId, DeviceId)>) -> bool {
        let mut reached = BTreeSet::from([*up.first().unwrap()]);
        loop {
            let next = links.iter().filter(|(a, b)| reached.contains(a) && !reached.contains(b));
            let next: BTreeSet<DeviceId> = next.map(|(_, b)| *b).collect();
            if next.is_empty() {
                return reached == *up;
            }
            reached.extend(next);
        }
    }

    #[test]
    fn nobody_is_cut_off_however_few_are_there() {
        let members = ids(100);
        for every in [1, 2, 7, 40, 60] {
            let up: BTreeSet<DeviceId> = members.iter().step_by(every).copied().collect();
            let links = settle(&members, &up);
            assert!(all_reached(&up, &links), "one in {every}");
        }
    }

    #[test]
    fn where_all_are_there_few_links_are_kept() {
        let members = ids(100);
        let links = settle(&members, &members);
        let most = members.iter().map(|of| links.iter().filter(|(a, _)| a == of).count()).max();
        assert!(most.unwrap() <= 14, "{most:?}");
    }

    #[test]
    fn whoever_was_passed_over_is_tried_again() {
        let members = ids(40);
        let own = *members.first().unwrap();
        let mut hood = Neighbourhood::default();
        let mut now = 0;
        let first = hood.choose(&own, &members, |_| false, now);
        let mut later = BTreeSet::new();
        while now < FORGIVEN_AFTER_MS - REPLACED_AFTER_MS {
            let next = hood.deadline().unwrap();
            assert!(next > now, "the deadlines go on");
            now = next;
            later = hood.choose(&own, &members, |_| false, now);
            assert!(first.is_subset(&later), "its neighbours are dialled all along");
        }
        assert_eq!(later, first, "all others were tried and passed over");
        let until = 2 * FORGIVEN_AFTER_MS;
        let again = std::iter::from_fn(|| {
            now = hood.deadline().filter(|at| *at < until)?;
            Some(hood.choose(&own, &members, |_| false, now))
        });
        let again: BTreeSet<DeviceId> = again.flatten().collect();
        assert_eq!(again.len(), members.len() - 1);
    }

    #[test]
    fn guests_have_their_turns() {
        let members = ids(100);
        let own = *members.first().unwrap();
        let mut hood = Neighbourhood::default();
        let all: BTreeSet<DeviceId> = members.iter().skip(1).copied().collect();
        assert!(hood.set_guests(all.clone()).is_empty());
        let mut met = BTreeSet::new();
        for now in (0..Neighbourhood::round_ms(all.len())).step_by(1_000) {
            let dialled = hood.choose(&own, &members, |_| false, now);
            assert!(dialled.len() <= GUESTS + 60, "{}", dialled.len());
            met.extend(dialled);
        }
        assert_eq!(met, all);
        let there = *all.last().unwrap();
        let dialled = hood.choose(&own, &members, |device| *device == there, 0);
        assert!(dialled.contains(&there), "whoever has come stays");
        assert_eq!(hood.set_guests(BTreeSet::from([there])).len(), all.len() - 1);
    }
}
