//! Plain SQL over a library, with connections that can only read and are kept between queries.

use std::panic::resume_unwind;
use std::sync::PoisonError;

use rusqlite::Connection;

use crate::error::Error;
use crate::library::Library;
use crate::reader;

/// Readers that are kept open between queries.
const IDLE_READERS: usize = 4;
/// How often readers begin anew to see the same. Something has to be committed within some 50 µs for it,
/// each time.
const TRIES: usize = 8;

impl Library {
    /// Queries with a read-only connection that sees everything that was durable when it began. Plain
    /// SQL over the models' tables; it waits for no writer.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let open: i64 = library.query(|db| {
    ///     db.query_row("SELECT count(*) FROM todo WHERE NOT done", [], |row| row.get(0))
    /// })??;
    /// assert_eq!(open, 0);
    /// // Writing goes by `write`, and only by that.
    /// assert!(library.query(|db| db.execute("DELETE FROM todo", []))?.is_err());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn query<T>(&self, query: impl FnOnce(&Connection) -> T) -> Result<T, Error> {
        let reader = self.reader()?;
        let result = query(&reader);
        self.keep(reader);
        Ok(result)
    }

    /// Queries in parts, each in a thread (the first one in the calling one) and with a connection of
    /// its own, within a transaction; all see one and the same state of the library. For what looks at
    /// very many rows. Gives what each part found, in their order.
    ///
    /// It waits for no writer: `None`, and nothing was asked, if the connections would not see the
    /// same, as when something is committed all the time. A panic in a part goes on in the caller once
    /// all have ended.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// # library.write(|tx| tx.put(&Reading { id: Uuid::from_u128(7), value: 20 }))?;
    /// let sums = library.query_together(vec![0, 1], |rest, db| {
    ///     let sql = "SELECT total(value) FROM reading WHERE rowid % 2 = ?1";
    ///     db.query_row(sql, [rest], |row| row.get::<_, f64>(0))
    /// })?;
    /// if let Some(sums) = sums {
    ///     assert_eq!(sums.into_iter().sum::<Result<f64, _>>()?, 20.0);
    /// }
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn query_together<P: Send, T: Send>(
        &self,
        parts: Vec<P>,
        query: impl Fn(P, &Connection) -> T + Sync,
    ) -> Result<Option<Vec<T>>, Error> {
        let readers = parts.iter().map(|_| self.reader()).collect::<Result<Vec<_>, _>>()?;
        if !see_the_same(&readers)? {
            readers.into_iter().for_each(|reader| self.keep(reader));
            return Ok(None);
        }
        let run = |(part, reader): (P, Connection)| (query(part, &reader), reader);
        let done: Vec<_> = std::thread::scope(|scope| {
            let (run, mut parts) = (&run, parts.into_iter().zip(readers));
            let first = parts.next();
            let others: Vec<_> = parts.map(|part| scope.spawn(move || run(part))).collect();
            let first = first.map(run);
            let others = others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            first.into_iter().chain(others).collect()
        });
        let mut found = Vec::with_capacity(done.len());
        for (part, reader) in done {
            found.push(part);
            reader.execute_batch("ROLLBACK")?;
            self.keep(reader);
        }
        Ok(Some(found))
    }

    /// The record with this key.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.get::<Todo>(Uuid::nil())?, None);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn get<T: crate::Syncable>(
        &self,
        key: impl Into<driftless_core::id::RecordKey>,
    ) -> Result<Option<T>, Error> {
        self.query(|db| reader::get(db, key))?
    }

    /// A connection that nobody else uses.
    fn reader(&self) -> Result<Connection, Error> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(reader) => Ok(reader),
            None => Ok(self.call(|writer| writer.store.reader())??),
        }
    }

    /// Keeps a connection for the next query, unless it was left within a transaction.
    fn keep(&self, reader: Connection) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS && reader.is_autocommit() {
            readers.push(reader);
        }
    }
}

/// Begins to read with all of them, so that all see the same; or with none, if that did not come to be.
///
/// The first one asks before and after the others begin whether anything was committed. What they see
/// lies between its two answers, and it sees what it answers last.
fn see_the_same(readers: &[Connection]) -> Result<bool, rusqlite::Error> {
    let [first, others @ ..] = readers else { return Ok(true) };
    for _ in 0..TRIES {
        let before = version(first)?;
        for reader in others {
            begin(reader)?;
        }
        begin(first)?;
        if version(first)? == before {
            return Ok(true);
        }
        for reader in readers {
            reader.execute_batch("ROLLBACK")?;
        }
    }
    Ok(false)
}

/// Changes with each commit of another connection (<https://sqlite.org/pragma.html#pragma_data_version>).
fn version(reader: &Connection) -> Result<i64, rusqlite::Error> {
    reader.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// What a transaction sees is settled when it first reads.
fn begin(reader: &Connection) -> Result<(), rusqlite::Error> {
    reader.execute_batch("BEGIN")?;
    reader.query_row("SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_begin_while_others_commit_see_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let db = Connection::open(dir.path().join("db")).unwrap();
            db.pragma_update(None, "journal_mode", "wal").unwrap();
            db.pragma_update(None, "synchronous", "off").unwrap();
            db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            db
        };
        let writer = open();
        writer.execute_batch("CREATE TABLE t (n)").unwrap();
        let readers = [open(), open(), open()];
        let stop = std::sync::atomic::AtomicBool::new(false);
        let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut commits = 0;
                while !stopped() {
                    commits += writer.execute("INSERT INTO t VALUES (1)", []).unwrap();
                }
                commits
            });
            let mut together = 0;
            while together < 500 && !writer.is_finished() {
                if see_the_same(&readers).unwrap() {
                    let count = |db: &Connection| -> i64 {
                        db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
                    };
                    let counts: Vec<i64> = readers.iter().map(count).collect();
                    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
                    together += 1;
                    readers.iter().for_each(|db| db.execute_batch("ROLLBACK").unwrap());
                }
                assert!(readers.iter().all(Connection::is_autocommit));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(writer.join().unwrap() > 0);
            assert_eq!(together, 500);
        });
    }
}
