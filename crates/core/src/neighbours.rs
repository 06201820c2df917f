//! With whom a device keeps a link: with everybody while there are few, with a bounded set beyond.
//!
//! The members stand on a ring in the order of their ids, and each keeps a link with those that stand
//! 1, 2, 4, 8 … places from it, in either direction: the finger table of Chord (Stoica et al. 2001),
//! made symmetric. Among n devices that is at most 2·⌈log₂ n⌉ links for each and at most ⌈log₂ n⌉
//! hops between any two; the neighbours at distance 1 alone connect everybody. Nothing is agreed
//! upon: who knows the members knows everybody's links.
//!
//! Where two devices know of different members, they may differ on whether they are neighbours. A
//! link stands if either of them wants it, so the rule asks for a link too many then, for as long as
//! they differ, rather than for one too few.

use std::collections::BTreeSet;

use crate::id::DeviceId;

/// Up to so many members, everybody keeps a link with everybody.
pub const ALL_UP_TO: usize = 12;

/// With whom `own` keeps links, of `members`, among whom it counts whether it is listed or not.
/// Symmetric: who is in the answer has `own` in its own answer for the same members.
pub fn neighbours(
    own: &DeviceId,
    members: impl IntoIterator<Item = DeviceId>,
) -> BTreeSet<DeviceId> {
    let mut ring: BTreeSet<DeviceId> = members.into_iter().collect();
    ring.insert(*own);
    if ring.len() <= ALL_UP_TO {
        ring.remove(own);
        return ring;
    }
    let ring: Vec<DeviceId> = ring.into_iter().collect();
    let n = ring.len();
    let at = ring.partition_point(|id| id < own);
    let distances = std::iter::successors(Some(1_usize), |distance| distance.checked_mul(2));
    let distances = distances.take_while(|distance| *distance < n);
    distances.flat_map(|far| [ring[(at + far) % n], ring[(at + n - far) % n]]).collect()
}

/// Whether two of the members, who are in `ring` in the order of their ids, keep a link with each
/// other. A device that is not among them is taken to have links with everybody.
pub(crate) fn are_neighbours(ring: &[DeviceId], one: &DeviceId, other: &DeviceId) -> bool {
    if ring.len() <= ALL_UP_TO {
        return true;
    }
    let (Ok(one), Ok(other)) = (ring.binary_search(one), ring.binary_search(other)) else {
        return true;
    };
    let apart = one.abs_diff(other);
    apart.is_power_of_two() || (ring.len() - apart).is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids without any order in them, as those of devices are.
    fn ids(n: u32) -> Vec<DeviceId> {
        (0..n).map(|i| DeviceId(*blake3::hash(&i.to_le_bytes()).as_bytes())).collect()
    }

    /// How many hops the farthest member is from the first, all members being reached.
    fn farthest(ids: &[DeviceId]) -> usize {
        let mut reached = BTreeSet::from([ids[0]]);
        let mut last: Vec<DeviceId> = vec![ids[0]];
        let mut hops = 0;
        while reached.len() < ids.len() {
            let next = last.iter().flat_map(|id| neighbours(id, ids.iter().copied()));
            last = next.filter(|id| reached.insert(*id)).collect();
            assert!(!last.is_empty(), "{} of {} are reached", reached.len(), ids.len());
            hops += 1;
        }
        hops
    }

    #[test]
    fn a_few_keep_links_with_everybody() {
        for n in 1..=12 {
            let ids = ids(n);
            for own in &ids {
                let others = neighbours(own, ids.iter().copied());
                assert_eq!(others.len(), ids.len() - 1);
                assert!(!others.contains(own));
            }
        }
    }

    #[test]
    fn many_keep_links_with_few_and_reach_everybody_in_few_hops() {
        for n in [13, 16, 17, 31, 32, 33, 100, 257] {
            let ids = ids(n);
            let log = usize::BITS - (ids.len() - 1).leading_zeros();
            let log = usize::try_from(log).unwrap();
            for own in &ids {
                let mine = neighbours(own, ids.iter().copied());
                assert!(mine.len() <= 2 * log && !mine.contains(own), "{n}: {}", mine.len());
                for other in &mine {
                    assert!(neighbours(other, ids.iter().copied()).contains(own), "not symmetric");
                }
            }
            assert!(farthest(&ids) <= log, "{n}: {} hops", farthest(&ids));
        }
    }

    #[test]
    fn a_device_counts_whether_it_is_listed_or_not() {
        let ids = ids(40);
        let listed = neighbours(&ids[7], ids.iter().copied());
        let unlisted = neighbours(&ids[7], ids.iter().copied().filter(|id| *id != ids[7]));
        assert_eq!(listed, unlisted);
        assert!(neighbours(&ids[0], []).is_empty());
    }

    #[test]
    fn the_question_and_the_list_agree() {
        for n in [2, 12, 13, 16, 33, 100] {
            let mut ring = ids(n);
            ring.sort_unstable();
            for one in &ring {
                let all = neighbours(one, ring.iter().copied());
                for other in ring.iter().filter(|other| *other != one) {
                    assert_eq!(are_neighbours(&ring, one, other), all.contains(other));
                }
            }
        }
        let (ring, stranger) = (ids(13), DeviceId([0; 32]));
        assert!(are_neighbours(&ring, &ring[0], &stranger));
    }
}
