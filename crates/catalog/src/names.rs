//! Going through names in their order, by the index on kind and name: in all kinds at once, and where
//! there are very many in several threads.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use driftless::rusqlite::functions::FunctionFlags;
use driftless::rusqlite::{CachedStatement, Connection, Error, Rows};

use crate::error::CatalogError;
use crate::fold::Needle;
use crate::models::EntryKind;

/// From this many rows on several threads look: that takes some 10 ms, and beginning them 0.3 ms.
const MANY: i64 = 100_000;
/// More threads than this are not begun.
const MOST_PARTS: usize = 4;
/// Names that are looked at, for each part, to see where it should begin.
const SAMPLES: usize = 64;
/// Rows that a part has found before they were asked for.
const AHEAD: usize = 1_024;

/// Names from one, inclusive, to another, exclusive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Range {
    /// Empty for whatever comes first.
    pub(crate) low: String,
    /// `None` for whatever comes last.
    pub(crate) high: Option<String>,
}

/// The function that tells SQLite whether a name fits what is looked for. Names that do not fit never
/// leave SQLite: handing out a row for each costs more than looking at it. It is given bytes, as SQLite
/// copies a text to end it with a zero.
const FITS: &str = "driftless_fits";

/// What is gone through.
pub(crate) struct Names<'q> {
    pub(crate) kinds: &'q [EntryKind],
    pub(crate) ranges: &'q [Range],
    pub(crate) needle: Option<&'q Needle>,
}

impl Names<'_> {
    /// Gives the rows of names that fit, as they come by name, until `row` breaks.
    ///
    /// Once `enough` is set, whatever comes next fits.
    pub(crate) fn each<E: From<Error>>(
        &self,
        db: &Connection,
        enough: &Arc<AtomicBool>,
        mut row: impl FnMut(i64) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        if let Some(needle) = self.needle {
            let (needle, enough) = (needle.clone(), enough.clone());
            let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
            db.create_scalar_function(FITS, 1, flags, move |call| {
                let fits = || call.get_raw(0).as_blob().is_ok_and(|name| needle.fits_bytes(name));
                Ok(fits() || enough.load(Ordering::Relaxed))
            })?;
        }
        let mut statements = Vec::new();
        for kind in self.kinds {
            for range in self.ranges {
                statements.push((self.prepare(db, range)?, kind.number(), range));
            }
        }
        let mut cursors = Vec::new();
        for (statement, kind, Range { low, high }) in &mut statements {
            let rows = match high {
                Some(high) => statement.query((*kind, low, high))?,
                None if low.is_empty() => statement.query([*kind])?,
                None => statement.query((*kind, low))?,
            };
            cursors.extend(Cursor::begin(rows)?);
        }
        while let Some(at) = least(&cursors) {
            let cursor = &mut cursors[at];
            if row(cursor.rowid)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if !cursor.next()? {
                drop(cursors.swap_remove(at));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Names of one kind in a range, those that fit. The conditions are no more than are needed, as each
    /// is looked at for each name.
    fn prepare<'db>(
        &self,
        db: &'db Connection,
        range: &Range,
    ) -> Result<CachedStatement<'db>, Error> {
        let range = match range {
            Range { high: Some(_), .. } => " AND name >= ?2 AND name < ?3",
            Range { low, .. } if low.is_empty() => "",
            Range { .. } => " AND name >= ?2",
        };
        let fits = match self.needle {
            Some(_) => format!(" AND {FITS}(CAST(name AS BLOB))"),
            None => String::new(),
        };
        db.prepare_cached(&format!(
            "SELECT rowid, name FROM entry WHERE kind = ?1{range}{fits} ORDER BY name"
        ))
    }
}

/// Rows whose names fit, in the order of names, with the next one at hand.
struct Cursor<'r> {
    rows: Rows<'r>,
    rowid: i64,
    name: String,
}

impl<'r> Cursor<'r> {
    /// `None` if there are no rows.
    fn begin(rows: Rows<'r>) -> Result<Option<Self>, Error> {
        let mut cursor = Self { rows, rowid: 0, name: String::new() };
        Ok(cursor.next()?.then_some(cursor))
    }

    fn next(&mut self) -> Result<bool, Error> {
        while let Some(row) = self.rows.next()? {
            // A name that is no text cannot be shown.
            let Ok(name) = row.get_ref(1)?.as_str() else { continue };
            self.name.clear();
            self.name.push_str(name);
            self.rowid = row.get(0)?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// The cursor with the least name. There are a hundred at most, mostly few.
fn least(cursors: &[Cursor<'_>]) -> Option<usize> {
    let all = cursors.iter().enumerate();
    all.min_by(|(_, a), (_, b)| a.name.cmp(&b.name)).map(|(at, _)| at)
}

/// One of the parts in which all names are gone through.
pub(crate) enum Part {
    /// The first one goes through its own, then through what the others have found.
    First(Range, Rest),
    /// Each other one looks on its own.
    Other(Range, Found),
}

/// In how many parts all names should be gone through.
pub(crate) fn threads(db: &Connection) -> Result<usize, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(if last_row(db)? < MANY { 1 } else { cores.min(MOST_PARTS) })
}

/// All names in this many parts of about as many each.
pub(crate) fn parts(db: &Connection, parts: usize) -> Result<Vec<Part>, Error> {
    Ok(handed_out(split(db, parts)?))
}

/// Rows are numbered from 1, and few numbers are free.
fn last_row(db: &Connection) -> Result<i64, Error> {
    let last = db.query_row("SELECT max(rowid) FROM entry", [], |row| row.get(0))?;
    Ok(Option::unwrap_or(last, 0))
}

/// The parts of these ranges, the first of which is there.
fn handed_out(ranges: Vec<Range>) -> Vec<Part> {
    let (mut found, mut parts) = (Vec::new(), Vec::new());
    let enough = Arc::new(AtomicBool::new(false));
    let mut ranges = ranges.into_iter();
    let first = ranges.next().unwrap_or_default();
    for range in ranges {
        let (rows, receiver) = sync_channel(AHEAD);
        found.push(receiver);
        parts.push(Part::Other(range, Found { rows, enough: enough.clone() }));
    }
    parts.insert(0, Part::First(first, Rest { found, enough }));
    parts
}

/// Ranges of about as many names each. There are fewer of them if there are few names.
fn split(db: &Connection, parts: usize) -> Result<Vec<Range>, Error> {
    let (mut names, samples): (Vec<String>, _) = (Vec::new(), SAMPLES * (parts - 1));
    let last = last_row(db)?;
    let mut select = db.prepare_cached("SELECT name FROM entry WHERE rowid = ?1")?;
    for sample in 0..samples {
        let rows = select.query_map([spread(sample, last)], |row| row.get(0))?;
        names.extend(rows.collect::<Result<Vec<Option<String>>, _>>()?.into_iter().flatten());
    }
    names.sort_unstable();
    let mut begins: Vec<String> =
        (1..parts).filter_map(|part| names.get(part * names.len() / parts)).cloned().collect();
    begins.dedup();
    begins.retain(|name| !name.is_empty());
    let ends = begins.iter().cloned().map(Some).chain([None]);
    let lows = [String::new()].into_iter().chain(begins.iter().cloned());
    Ok(lows.zip(ends).map(|(low, high)| Range { low, high }).collect())
}

/// The rows of samples, spread evenly but in no step that the names may have too: multiples of the
/// golden ratio, of which only what is behind the point counts.
fn spread(sample: usize, last: i64) -> i64 {
    let turn = (sample as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let at = (u128::from(turn) * u128::from(last.unsigned_abs())) >> 64;
    i64::try_from(at).expect("less than the last row") + 1
}

/// What the parts but the first find, as the first goes on with it when it has come to its end.
pub(crate) struct Rest {
    found: Vec<Receiver<i64>>,
    enough: Arc<AtomicBool>,
}

/// Where a part but the first puts what it finds.
pub(crate) struct Found {
    rows: SyncSender<i64>,
    enough: Arc<AtomicBool>,
}

impl Rest {
    /// The rows, in the order of their names.
    pub(crate) fn rows(&self) -> impl Iterator<Item = i64> {
        self.found.iter().flat_map(Receiver::iter)
    }
}

impl Drop for Rest {
    /// Nothing more is wanted: parts that still look are told so by the next name, fitting or not.
    fn drop(&mut self) {
        self.found.clear();
        self.enough.store(true, Ordering::Relaxed);
    }
}

impl Found {
    /// Looks for them until the first part has enough.
    pub(crate) fn find(self, names: &Names<'_>, db: &Connection) -> Result<(), CatalogError> {
        let give = |row| match self.rows.send(row) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(_) => Ok::<_, CatalogError>(ControlFlow::Break(())), // Nobody wants more.
        };
        names.each(db, &self.enough, give).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: impl IntoIterator<Item = Option<String>>) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE entry (kind INTEGER, name TEXT)").unwrap();
        for name in names {
            db.execute("INSERT INTO entry VALUES (0, ?1)", [name]).unwrap();
        }
        db
    }

    #[test]
    fn parts_are_all_names_and_about_as_many_each() {
        // Names in the order of rows, in steps, and at random.
        let ways: [fn(u64) -> u64; 3] =
            [|n| n, |n| n % 7 * 1_000 + n / 7, |n| n.wrapping_mul(0x2545_f491_4f6c_dd1d) % 9_973];
        for way in ways {
            let db = entries((0..4_000).map(|n| Some(format!("{:05}", way(n)))));
            for parts in 2..=4 {
                let ranges = split(&db, parts).unwrap();
                assert_eq!(ranges.len(), parts);
                assert_eq!((ranges[0].low.as_str(), &ranges[parts - 1].high), ("", &None));
                assert!(ranges.windows(2).all(|two| two[0].high.as_ref() == Some(&two[1].low)));
                for range in ranges {
                    let sql =
                        "SELECT count(*) FROM entry WHERE name >= ?1 AND (?2 IS NULL OR name < ?2)";
                    let within = (range.low, range.high);
                    let count: i64 = db.query_row(sql, within, |row| row.get(0)).unwrap();
                    let parts = parts as i64;
                    assert!(count * parts * 2 > 4_000 && count * parts < 8_000, "{count}");
                }
            }
        }
    }

    #[test]
    fn few_names_equal_names_and_none() {
        let whole = [Range::default()];
        assert_eq!(split(&entries([]), 3).unwrap(), whole);
        assert_eq!(split(&entries([None, None, Some(String::new())]), 3).unwrap(), whole);
        let ranges = split(&entries(vec![Some("a".to_owned()); 9]), 4).unwrap();
        let range = |low: &str, high: Option<&str>| Range {
            low: low.to_owned(),
            high: high.map(str::to_owned),
        };
        assert_eq!(ranges, [range("", Some("a")), range("a", None)]);
    }
}
