//! Rows of one device are not what was written, among a million.

use std::time::{Duration, Instant};

use driftless::Library;
use driftless::rusqlite::{Connection, OpenFlags};

use super::super::catch_up::{PROMISED, kib, peer, until};
use super::super::figure::Figure;
use super::super::place::Bench;
use super::Pair;
use super::meet::{QUIET, equal};
use crate::args::{LibraryCommand, VerifyArgs};
use crate::failure::{Exit, Failure};
use crate::fleet::Device;

/// How many.
const ROWS: usize = 10;
/// What is promised, in seconds and KiB.
const SECONDS: f64 = 2.0;
const KIB: f64 = 256.0;
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(2);

/// What one repair took.
struct Repair {
    /// Until the rows could be read as they were, in seconds.
    mended: f64,
    /// Until all was read, SQLite's check of indexes included.
    answered: f64,
    /// That check alone.
    checked: f64,
    kib: f64,
}

/// From the question whether all rows are what they should be.
pub(super) fn run(
    bench: &mut Bench,
    library: &Library,
    pair: &Pair,
) -> Result<Vec<Figure>, Failure> {
    let all = bench.sample(|_| one(library, pair))?;
    let of = |name, words, one: &dyn Fn(&Repair) -> (f64, f64)| {
        Figure::of(name, words, &all.iter().map(one).collect::<Vec<_>>())
    };
    let words = ("reading all rows, until ten that are damaged are back", PROMISED);
    let mended = of(("large_repair", "s"), words, &|one| (one.mended, SECONDS));
    let words = ("sent both ways for that", PROMISED);
    let sent = of(("large_repair_bytes", "KiB"), words, &|one| (one.kib, KIB));
    let words = ("until all was looked at", "SQLite's own check of the file");
    let answered = of(("large_deep", "s"), words, &|one| (one.answered, one.checked));
    Ok(vec![mended, sent, answered])
}

fn one(library: &Library, pair: &Pair) -> Result<Repair, Failure> {
    let joiner = &pair.joiner;
    joiner.kill();
    let path = joiner.dir().join("library.db");
    let altered = Altered::of(&Connection::open(&path).map_err(failed)?, pair.entries)?;
    joiner.up()?;
    until(library, |peer| peer.online && peer.behind == 0 && peer.ahead == 0)?;
    std::thread::sleep(QUIET);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags).map_err(failed)?;
    let begun = Instant::now();
    db.query_row("PRAGMA integrity_check", [], |_| Ok(())).map_err(failed)?;
    let checked = begun.elapsed().as_secs_f64();
    let before = peer(library)?;
    let begun = Instant::now();
    let (mended, answered) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| verify(joiner).map(|()| begun.elapsed().as_secs_f64()));
        (altered.mended(&db, begun), asked.join())
    });
    let answered = answered.map_err(|_| Failure::internal("a question panicked"))??;
    equal(library)?;
    Ok(Repair { mended: mended?, answered, checked, kib: kib(&before, &peer(library)?) })
}

fn verify(device: &Device) -> Result<(), Failure> {
    device.run(LibraryCommand::Verify(VerifyArgs { deep: true, offline: true })).map(|_| ())
}

/// Rows that were altered behind the library's back: their ids, and sizes before.
struct Altered(Vec<(Vec<u8>, i64)>);

impl Altered {
    /// Alters some, at equal distances.
    fn of(db: &Connection, entries: usize) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        for n in 0..ROWS {
            let at = i64::try_from(n * (entries / ROWS) + 7).unwrap_or(i64::MAX);
            let sql = "SELECT id, size FROM entry ORDER BY id LIMIT 1 OFFSET ?1";
            let row = db.query_row(sql, [at], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.push(row.map_err(failed)?);
        }
        for (id, _) in &rows {
            let sql = "UPDATE entry SET size = size + 1 WHERE id = ?1";
            db.execute(sql, [id]).map_err(failed)?;
        }
        Ok(Self(rows))
    }

    /// How long it takes from `begun` until all can be read as they were.
    fn mended(&self, db: &Connection, begun: Instant) -> Result<f64, Failure> {
        let mut select =
            db.prepare("SELECT count(*) FROM entry WHERE id = ?1 AND size = ?2").map_err(failed)?;
        let mut is_back = |(id, size): &(Vec<u8>, i64)| -> Result<bool, Failure> {
            select.query_row((id, size), |row| row.get(0)).map_err(failed)
        };
        for row in &self.0 {
            while !is_back(row)? {
                if begun.elapsed() > PATIENCE {
                    return Err(Failure::new(Exit::NotYet, "bench", "rows do not come back"));
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}

fn failed(error: driftless::rusqlite::Error) -> Failure {
    Failure::new(Exit::Failed, "bench", format!("a library cannot be read: {error}"))
}
