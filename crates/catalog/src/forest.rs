//! Tags as people see them: one tag for each name in its place, and a tree without rings.
//!
//! Ids, names and parents are merged field by field, each by itself. What comes of that need not be a
//! tree of different names: the same tag may have been made on several devices, and moves that were
//! made at the same time may have put tags in a ring. So what shows is computed, as a pure function of
//! the merged state, equal on all devices that have equal tags:
//!
//! 1. A parent that is not there counts as none.
//! 2. Of every ring, the tag with the least id stands under nothing: one edge is cut, and nobody is
//!    hidden.
//! 3. From the top down, tags with equal names in the same place are one tag. The one with the least
//!    id, mostly the oldest, is its **canonical** one (but one that a person made goes before a system
//!    tag); the others are **aliases** of it. What is under an alias is under the canonical tag.
//!
//! Nothing of it is written anywhere: a tag that is renamed or moved back takes its own place again.

use std::collections::{BTreeMap, HashMap};

use driftless::Uuid;
use driftless::rusqlite::{Connection, OptionalExtension as _};

use crate::error::CatalogError;
use crate::item::{TagName, shown, uuid};
use crate::models::Tag;

/// A tag as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) parent: Option<Uuid>,
}

/// A tag as it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The canonical tag that it is under.
    pub(crate) parent: Option<Uuid>,
    /// The tag that it is one with, if that is another.
    pub(crate) alias_of: Option<Uuid>,
}

/// Where every tag shows.
#[derive(Default, Debug)]
pub(crate) struct Forest {
    places: BTreeMap<Uuid, Place>,
    /// The aliases of canonical tags that have any, in order.
    aliases: HashMap<Uuid, Vec<Uuid>>,
}

/// What is canonical among equal names: the least.
pub(crate) fn rank(tag: Uuid) -> (bool, Uuid) {
    (Tag::system_with_id(tag).is_some(), tag)
}

impl Forest {
    /// The forest of all tags.
    pub(crate) fn load(db: &Connection) -> Result<Self, CatalogError> {
        let mut select = db.prepare_cached("SELECT id, name, parent FROM tag")?;
        let mut rows = select.query([])?;
        let mut tags = Vec::new();
        while let Some(row) = rows.next()? {
            tags.extend(shown(|| {
                let parent: Option<[u8; 16]> = row.get(2)?;
                let parent = parent.map(Uuid::from_bytes);
                Ok(Kept { id: uuid(row, 0)?, name: row.get(1)?, parent })
            })?);
        }
        Ok(Self::new(&tags))
    }

    pub(crate) fn new(tags: &[Kept]) -> Self {
        let cut = Parents::new(tags).cut();
        let names: HashMap<Uuid, &str> = tags.iter().map(|tag| (tag.id, &*tag.name)).collect();
        let mut below: HashMap<Option<Uuid>, Vec<Uuid>> = HashMap::new();
        for (id, parent) in cut {
            below.entry(parent).or_default().push(id);
        }
        let mut forest = Self::default();
        let mut levels = vec![(None, below.remove(&None).unwrap_or_default())];
        while let Some((parent, tags)) = levels.pop() {
            let mut named: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
            for id in tags {
                named.entry(names[&id]).or_default().push(id);
            }
            for (_, mut same) in named {
                same.sort_unstable_by_key(|id| rank(*id));
                let under = same.iter().filter_map(|id| below.remove(&Some(*id))).flatten();
                levels.push((Some(same[0]), under.collect()));
                forest.place(parent, &same);
            }
        }
        forest
    }

    /// Puts tags that are one, in order, under `parent`.
    fn place(&mut self, parent: Option<Uuid>, same: &[Uuid]) {
        let Some((canonical, aliases)) = same.split_first() else { return };
        self.places.insert(*canonical, Place { parent, alias_of: None });
        for alias in aliases {
            self.places.insert(*alias, Place { parent, alias_of: Some(*canonical) });
        }
        if !aliases.is_empty() {
            self.aliases.insert(*canonical, aliases.to_vec());
        }
    }

    /// Where a tag shows; `None` if there is no such tag.
    pub(crate) fn place_of(&self, tag: Uuid) -> Option<Place> {
        self.places.get(&tag).copied()
    }

    /// The tag that this one is one with, or itself.
    pub(crate) fn canonical(&self, tag: Uuid) -> Uuid {
        self.place_of(tag).and_then(|place| place.alias_of).unwrap_or(tag)
    }

    /// All tags that are one with this one, the canonical one first.
    pub(crate) fn one_with(&self, tag: Uuid) -> Vec<Uuid> {
        let canonical = self.canonical(tag);
        let aliases = self.aliases.get(&canonical).into_iter().flatten();
        std::iter::once(canonical).chain(aliases.copied()).collect()
    }

    /// Whether a tag is another one or stands under it.
    pub(crate) fn is_within(&self, tag: Uuid, above: Uuid) -> bool {
        let above = self.canonical(above);
        let mut at = Some(self.canonical(tag));
        while let Some(here) = at {
            if here == above {
                return true;
            }
            at = self.place_of(here).and_then(|place| place.parent);
        }
        false
    }
}

/// Tags as they show on things. The forest is made only if there are names that are not alone.
#[derive(Default)]
pub(crate) struct Aliases(Option<Option<Forest>>);

impl Aliases {
    /// The canonical ones of these tags, each once.
    pub(crate) fn resolve(
        &mut self,
        db: &Connection,
        tags: Vec<TagName>,
    ) -> Result<Vec<TagName>, CatalogError> {
        if tags.is_empty() {
            return Ok(tags);
        }
        let forest = match &mut self.0 {
            Some(forest) => forest,
            unknown => unknown.insert(shared_names(db)?.then(|| Forest::load(db)).transpose()?),
        };
        let Some(forest) = forest else { return Ok(tags) };
        let mut resolved: Vec<TagName> = Vec::with_capacity(tags.len());
        for tag in tags {
            let id = forest.canonical(tag.id);
            if resolved.iter().all(|other| other.id != id) {
                let one = if id == tag.id { Some(tag) } else { tag_name(db, id)? };
                resolved.extend(one);
            }
        }
        Ok(resolved)
    }
}

fn shared_names(db: &Connection) -> Result<bool, CatalogError> {
    let mut select = db.prepare_cached("SELECT 1 FROM tag GROUP BY name HAVING count(*) > 1")?;
    Ok(select.exists([])?)
}

fn tag_name(db: &Connection, id: Uuid) -> Result<Option<TagName>, CatalogError> {
    let mut select = db.prepare_cached("SELECT name, color FROM tag WHERE id = ?1")?;
    let found = select.query_row([id.as_bytes()], |row| {
        Ok(TagName { id, name: row.get(0)?, color: row.get(1)? })
    });
    Ok(found.optional()?)
}

/// Who is under whom, as it is kept.
struct Parents(BTreeMap<Uuid, Option<Uuid>>);

impl Parents {
    fn new(tags: &[Kept]) -> Self {
        let mut parents: BTreeMap<_, _> = tags.iter().map(|tag| (tag.id, tag.parent)).collect();
        let there: Vec<Uuid> = parents.keys().copied().collect();
        for parent in parents.values_mut() {
            *parent = parent.filter(|parent| there.binary_search(parent).is_ok());
        }
        Self(parents)
    }

    /// Without rings.
    fn cut(mut self) -> BTreeMap<Uuid, Option<Uuid>> {
        // The number of the walk that came by first.
        let mut seen: HashMap<Uuid, usize> = HashMap::new();
        let ids: Vec<Uuid> = self.0.keys().copied().collect();
        for (walk, start) in ids.into_iter().enumerate() {
            let mut at = Some(start);
            while let Some(here) = at {
                match seen.insert(here, walk) {
                    None => at = self.0[&here],
                    Some(by) if by == walk => {
                        self.0.insert(self.least_of_ring(here), None);
                        break;
                    }
                    Some(by) => {
                        seen.insert(here, by);
                        break;
                    }
                }
            }
        }
        self.0
    }

    /// The least id of the ring that this tag is in.
    fn least_of_ring(&self, member: Uuid) -> Uuid {
        let next = |at: &Uuid| self.0[at].filter(|next| *next != member);
        let ring = std::iter::successors(Some(member), next);
        ring.min().unwrap_or(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn tag(n: u8, name: &str, parent: impl Into<Option<u8>>) -> Kept {
        Kept { id: id(n), name: name.to_owned(), parent: parent.into().map(id) }
    }

    fn shows(forest: &Forest, n: u8) -> (Option<Uuid>, Option<Uuid>) {
        let place = forest.place_of(id(n)).unwrap();
        (place.parent, place.alias_of)
    }

    #[test]
    fn equal_names_are_one_tag() {
        let tags = [tag(3, "Holiday", None), tag(1, "Holiday", None), tag(2, "holiday", None)];
        let forest = Forest::new(&tags);
        assert_eq!(shows(&forest, 1), (None, None));
        assert_eq!(shows(&forest, 3), (None, Some(id(1))));
        assert_eq!(shows(&forest, 2), (None, None), "another name");
        assert_eq!(forest.one_with(id(3)), [id(1), id(3)]);
        assert_eq!(forest.one_with(id(2)), [id(2)]);
        assert_eq!((forest.canonical(id(3)), forest.canonical(id(9))), (id(1), id(9)));
    }

    #[test]
    fn one_name_in_two_places_is_two_tags() {
        let tags = [tag(1, "work", None), tag(2, "home", None), tag(3, "urgent", 1)];
        let forest = Forest::new(&[&tags[..], &[tag(4, "urgent", 2)]].concat());
        assert_eq!(shows(&forest, 3), (Some(id(1)), None));
        assert_eq!(shows(&forest, 4), (Some(id(2)), None));
    }

    #[test]
    fn what_is_under_an_alias_is_under_the_canonical_tag() {
        let tags = [
            tag(1, "work", None),
            tag(2, "work", None),
            tag(3, "urgent", 2),
            tag(4, "urgent", 1),
            tag(5, "today", 4),
        ];
        let forest = Forest::new(&tags);
        assert_eq!(shows(&forest, 3), (Some(id(1)), None));
        assert_eq!(shows(&forest, 4), (Some(id(1)), Some(id(3))));
        assert_eq!(shows(&forest, 5), (Some(id(3)), None));
        assert!(forest.is_within(id(5), id(2)) && forest.is_within(id(4), id(3)));
        assert!(!forest.is_within(id(1), id(5)));
    }

    #[test]
    fn one_edge_of_a_ring_is_cut() {
        let ring = [tag(2, "x", 3), tag(3, "y", 4), tag(4, "z", 2), tag(1, "under x", 2)];
        let forest = Forest::new(&ring);
        assert_eq!(shows(&forest, 2), (None, None));
        assert_eq!(shows(&forest, 4), (Some(id(2)), None));
        assert_eq!(shows(&forest, 3), (Some(id(4)), None));
        assert_eq!(shows(&forest, 1), (Some(id(2)), None), "it leads to a ring and is in none");
        let own = Forest::new(&[tag(7, "own parent", 7)]);
        assert_eq!(shows(&own, 7), (None, None));
    }

    #[test]
    fn a_parent_that_is_not_there_counts_as_none() {
        let forest = Forest::new(&[tag(1, "a", 9)]);
        assert_eq!(shows(&forest, 1), (None, None));
    }

    /// All kept states of four tags with two names and any parents, each in two orders.
    #[test]
    fn every_state_of_four_tags_is_a_tree_with_everybody_in_it() {
        const N: u8 = 4;
        for state in 0..(u32::from(N) + 1).pow(N.into()) << N {
            let parent = |n: u8| (state >> N) / (u32::from(N) + 1).pow(n.into()) % 5;
            let mut tags: Vec<Kept> = (0..N)
                .map(|n| {
                    let name = if state >> n & 1 == 0 { "a" } else { "b" };
                    let parent = u8::try_from(parent(n)).unwrap();
                    tag(n, name, (parent < N).then_some(parent))
                })
                .collect();
            let forest = Forest::new(&tags);
            check(&tags, &forest);
            tags.reverse();
            assert_eq!(Forest::new(&tags).places, forest.places, "the order decides nothing");
        }
    }

    fn check(tags: &[Kept], forest: &Forest) {
        let ids: Vec<Uuid> = tags.iter().map(|tag| tag.id).collect();
        assert!(forest.places.keys().eq(&ids), "everybody, once: {tags:?}");
        for tag in tags {
            let place = forest.place_of(tag.id).unwrap();
            // No ring: the way up ends before it is longer than there are tags.
            let up = |at: &Uuid| forest.place_of(*at).unwrap().parent;
            assert!(std::iter::successors(Some(tag.id), up).count() <= tags.len(), "{tags:?}");
            if let Some(parent) = place.parent {
                assert_eq!(forest.canonical(parent), parent, "{tags:?}");
                let kept = tag.parent.map(|parent| forest.canonical(parent));
                assert_eq!(kept, Some(parent), "moved by nobody: {tags:?}");
            }
            let name = |id: Uuid| &tags.iter().find(|tag| tag.id == id).unwrap().name;
            if let Some(canonical) = place.alias_of {
                assert!(canonical < tag.id && name(canonical) == &tag.name, "{tags:?}");
                assert_eq!(forest.place_of(canonical).unwrap().parent, place.parent);
            }
            let twin = |other: &&Uuid| {
                let there = forest.place_of(**other).unwrap();
                name(**other) == &tag.name && there.parent == place.parent
            };
            let same: Vec<Uuid> = ids.iter().filter(twin).copied().collect();
            assert_eq!(forest.one_with(tag.id), same, "{tags:?}");
        }
        // A ring loses one edge: those at the top are there, or are cut for a ring of their own.
        for top in tags.iter().filter(|tag| forest.place_of(tag.id).unwrap().parent.is_none()) {
            let Some(parent) = top.parent else { continue };
            let next = |at: &Uuid| tags.iter().find(|tag| tag.id == *at).unwrap().parent;
            let ring: Vec<Uuid> =
                std::iter::successors(Some(parent), next).take(tags.len()).collect();
            let end = ring.iter().position(|id| *id == top.id).expect("it is in a ring");
            assert!(ring[..=end].iter().all(|id| *id >= top.id), "the least: {tags:?}");
        }
    }
}
