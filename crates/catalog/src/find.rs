//! Finding entries of all devices by name, tag, kind and device.
//!
//! Candidates come from the index that narrows most: a collection's or tag's links, the favourites, a
//! prefix's ranges among the names, a device's rows, or all names. The rest is looked at row by row, and the search ends when
//! the limit is reached. Case is folded here, as SQLite knows ASCII alone.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use driftless::rusqlite::{Connection, Params, Rows};
use driftless::{DeviceId, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::fold::Needle;
use crate::item::{Item, Listing, Loader, sort};
use crate::links::{all_subjects_of, is_there};
use crate::locations::locations;
use crate::models::{CollectionMember, EntryKind};
use crate::names::{self, Names, Part, Range, Rest};

/// How many items are found if the query does not say.
pub const DEFAULT_LIMIT: usize = 1_000;

/// What to find; everything that is given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FindQuery {
    /// A part of the name, whatever the case.
    pub text: Option<String>,
    /// Whether the name must begin with the text.
    pub prefix: bool,
    /// One of these tags is on it; see [`Catalog::select_tags`]. `None` for whatever tags.
    pub tags: Option<Vec<Uuid>>,
    /// It is in this collection.
    pub collection: Option<Uuid>,
    /// Only favourites.
    pub favourite: bool,
    /// Also what people have hidden.
    pub hidden: bool,
    /// What it is.
    pub kind: Option<EntryKind>,
    /// The device that it is on.
    pub device: Option<DeviceId>,
    /// How many at most; [`DEFAULT_LIMIT`] if `None`.
    pub limit: Option<usize>,
}

impl Catalog<'_> {
    /// Finds entries and locations. If there are more than the limit, which of them are given is
    /// not by chance (by name those that come first, byte by byte) but no more than that.
    pub fn find(&self, query: &FindQuery) -> Result<Listing, CatalogError> {
        if self.is_now() && query.looks_at_all_names() {
            let threads = self.library().query(names::threads)??;
            if let Some(found) = self.find_in(threads, query)? {
                return Ok(found);
            }
        }
        self.read(|db| Search::new(db, query)?.run(Range::default(), None))
    }

    /// Goes through all names in several threads; `None` if they would not see the same.
    fn find_in(&self, threads: usize, query: &FindQuery) -> Result<Option<Listing>, CatalogError> {
        let parts = self.library().query(|db| names::parts(db, threads))??;
        let found = self.library().query_together(parts, |part, db| match part {
            Part::First(range, rest) => Search::new(db, query)?.run(range, Some(rest)).map(Some),
            Part::Other(range, found) => {
                let needle = query.needle();
                let (kinds, ranges) = (query.kinds(), [range]);
                let names = Names { kinds: &kinds, ranges: &ranges, needle: needle.as_ref() };
                found.find(&names, db).map(|()| None)
            }
        })?;
        let found = found.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().flatten().next())
    }
}

impl FindQuery {
    fn needle(&self) -> Option<Needle> {
        let text = self.text.as_deref().filter(|text| !text.is_empty());
        text.map(|text| Needle::new(text, self.prefix))
    }

    fn kinds(&self) -> Vec<EntryKind> {
        self.kind.map_or_else(|| EntryKind::ALL.to_vec(), |kind| vec![kind])
    }

    /// Whether nothing but a part of the names says where to look.
    fn looks_at_all_names(&self) -> bool {
        self.needle().is_some_and(|needle| needle.ranges().is_none())
            && self.tags.is_none()
            && self.collection.is_none()
            && !self.favourite
    }
}

struct Search<'db, 'q> {
    db: &'db Connection,
    query: &'q FindQuery,
    loader: Loader<'db>,
    needle: Option<Needle>,
    /// The number of the device's rows; `Some(None)` if there are none.
    lane: Option<Option<i64>>,
    limit: usize,
    met: HashSet<Uuid>,
    items: Vec<Item>,
}

/// Where links and records are, and which of them.
const TAGGED: (&str, &str) = ("tagging", "g.tag = ?1");
const MEMBERS: (&str, &str) = ("collection_member", "g.collection = ?1");
const FAVOURITES: (&str, &str) = ("user_metadata", "g.favourite = 1");

type Step = Result<ControlFlow<()>, CatalogError>;
const ON: ControlFlow<()> = ControlFlow::Continue(());

impl<'db, 'q> Search<'db, 'q> {
    fn new(db: &'db Connection, query: &'q FindQuery) -> Result<Self, CatalogError> {
        let loader = Loader::new(db)?;
        let lane = query.device.map(|device| loader.owners().lane(&device));
        Ok(Self {
            db,
            query,
            loader,
            needle: query.needle(),
            lane,
            limit: query.limit.unwrap_or(DEFAULT_LIMIT),
            met: HashSet::new(),
            items: Vec::new(),
        })
    }

    /// Looks in this range of names, and then at the `rest` of them, which others go through.
    fn run(mut self, range: Range, rest: Option<Rest>) -> Result<Listing, CatalogError> {
        if self.lane != Some(None) && self.search(range, rest)?.is_continue() {
            // Locations are few, and people look for them as for any folder.
            self.search_locations()?;
        }
        let more = self.items.len() > self.limit;
        self.items.truncate(self.limit);
        sort(&mut self.items);
        Ok(Listing { items: self.items, more })
    }

    fn search(&mut self, range: Range, rest: Option<Rest>) -> Step {
        if let Some(collection) = self.query.collection {
            return self.collected(collection);
        }
        if let Some(tags) = &self.query.tags {
            return self.tagged(tags);
        }
        if self.query.favourite {
            return self.joined(FAVOURITES, []);
        }
        match (&self.needle, self.lane) {
            (None, Some(Some(lane))) => self.of_device(lane),
            _ => self.named(range, rest),
        }
    }

    /// Looks at the entry in this row of the table, whose name fits.
    fn load(&mut self, rowid: i64) -> Step {
        match self.loader.by_rowid(rowid)? {
            Some(item) => self.keep(item),
            None => Ok(ON),
        }
    }

    /// Keeps what fits; breaks when it is one more than the limit.
    fn keep(&mut self, item: Item) -> Step {
        if self.fits(&item)? && self.met.insert(item.id) {
            self.items.push(item);
        }
        Ok(if self.items.len() > self.limit { ControlFlow::Break(()) } else { ON })
    }

    /// All that is asked for besides the name.
    fn fits(&self, item: &Item) -> Result<bool, CatalogError> {
        let query = self.query;
        let tagged = |tags: &Vec<Uuid>| item.tags.iter().any(|tag| tags.contains(&tag.id));
        let fits = query.kind.is_none_or(|kind| item.kind == kind)
            && query.device.is_none_or(|device| item.device == device)
            && query.tags.as_ref().is_none_or(tagged)
            && (!query.favourite || item.metadata.favourite)
            && (query.hidden || !item.metadata.hidden);
        match query.collection {
            Some(collection) if fits => is_member(self.db, collection, item),
            _ => Ok(fits),
        }
    }

    fn collected(&mut self, collection: Uuid) -> Step {
        // What was in a collection that is gone is in none.
        if self.loader.is_there("collection", collection)? {
            self.joined(MEMBERS, [collection.as_bytes()])
        } else {
            Ok(ON)
        }
    }

    fn tagged(&mut self, tags: &[Uuid]) -> Step {
        for tag in tags {
            // Tags that are gone are on nothing.
            if self.loader.is_there("tag", *tag)?
                && self.joined(TAGGED, [tag.as_bytes()])?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    /// Entries that something is said of: by their content, and by themselves.
    fn joined(&mut self, (table, condition): (&str, &str), params: impl Params + Copy) -> Step {
        for to in ["e.content = g.content", "e.id = g.entry"] {
            let sql = format!(
                "SELECT e.rowid, e.name FROM {table} AS g CROSS JOIN entry AS e ON {to} \
                 WHERE {condition}"
            );
            let mut select = self.db.prepare_cached(&sql)?;
            let rows = select.query(params)?;
            if self.each(rows)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    fn of_device(&mut self, lane: i64) -> Step {
        let sql = "SELECT rowid, name FROM entry WHERE _lane = ?1 AND (?2 IS NULL OR +kind = ?2)";
        let mut select = self.db.prepare_cached(sql)?;
        let rows = select.query((lane, self.query.kind.map(EntryKind::number)))?;
        self.each(rows)
    }

    fn each(&mut self, mut rows: Rows<'_>) -> Step {
        while let Some(row) = rows.next()? {
            // A name that is no text fits nothing.
            let Ok(name) = row.get_ref(1)?.as_str() else { continue };
            if self.needle.as_ref().is_some_and(|needle| !needle.fits(name)) {
                continue;
            }
            if self.load(row.get(0)?)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    /// Goes through names in their order, so that what comes first comes by name.
    fn named(&mut self, range: Range, rest: Option<Rest>) -> Step {
        let needle = self.needle.clone();
        let ranges = needle.as_ref().and_then(Needle::ranges).unwrap_or_else(|| vec![range]);
        let kinds = self.query.kinds();
        let names = Names { kinds: &kinds, ranges: &ranges, needle: needle.as_ref() };
        if names.each(self.db, &Arc::default(), |row| self.load(row))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for row in rest.iter().flat_map(Rest::rows) {
            if self.load(row)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    fn search_locations(&mut self) -> Result<(), CatalogError> {
        for (location, _) in locations(self.db)? {
            if self.needle.as_ref().is_some_and(|needle| !needle.fits(&location.name)) {
                continue;
            }
            let Some(item) = self.loader.location(location.id)? else { continue };
            if self.keep(item)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Whether an item is in a collection, by its content or by itself.
fn is_member(db: &Connection, collection: Uuid, item: &Item) -> Result<bool, CatalogError> {
    for subject in all_subjects_of(std::slice::from_ref(item)) {
        if is_there(db, "collection_member", CollectionMember::id_of(collection, subject))? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use driftless::Library;

    use super::*;
    use crate::index::ScanOptions;
    use crate::models::models;

    /// Several threads find what one finds, in its order, whatever the limit leaves out.
    #[test]
    fn in_parts_as_in_one() {
        let place = tempfile::tempdir().unwrap();
        let (dir, root) = (place.path().join("library"), place.path().join("files"));
        let library = Library::create(&dir, &models(), "Home", "laptop").unwrap();
        fs::create_dir_all(root.join("deep")).unwrap();
        // More in each part than are kept ahead.
        for n in 0..6_000 {
            let folder = if n % 3 == 0 { root.join("deep") } else { root.clone() };
            fs::write(folder.join(format!("{:04}{}", n * 7_919 % 6_000, ["a", "b"][n % 2])), [])
                .unwrap();
        }
        let catalog = Catalog::new(&library);
        catalog.add_location(&root, &ScanOptions::default(), &mut |_| {}).unwrap();
        let limits = [1, 100, 4_000, 10_000];
        for text in ["a", "b", "59", "0000a", "deep", "no such name"] {
            for limit in limits {
                let text = Some(text.to_owned());
                let query = FindQuery { text, limit: Some(limit), ..FindQuery::default() };
                let one = catalog.find(&query).unwrap();
                assert_eq!(one.items.is_empty(), query.text.as_deref() == Some("no such name"));
                for threads in [1, 2, 4] {
                    let parts = catalog.find_in(threads, &query).unwrap();
                    assert_eq!(parts.as_ref(), Some(&one), "{query:?} in {threads} parts");
                }
            }
        }
    }
}
