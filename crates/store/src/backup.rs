//! A consistent copy of `library.db` in one file, made while everything runs, and life from it.

use std::fs::{self, OpenOptions};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use crate::error::{StoreError, Within};
use crate::local::Local;
use crate::open::{LIBRARY_FILE, StoreOptions, check_format, connect, sync_dir};

const DOING: &str = "making a backup";
const RESTORING: &str = "restoring a backup";
/// The space of what a backup has beside the library's data.
const SPACE: &str = "backup";

/// Writes what is committed in the library in `dir` into the new file `file`, which only this user
/// may read, together with `beside`. Values of the spaces `without` are left out. It is durable when it
/// returns; on an error no file is left. Returns its size in bytes.
pub fn back_up(
    dir: &Path,
    file: &Path,
    beside: &[Local],
    without: &[&str],
) -> Result<u64, StoreError> {
    let mut new = OpenOptions::new();
    new.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
    new.open(file).map_err(|error| StoreError::io(file, DOING, error))?;
    let made = fill(dir, file, beside, without);
    if made.is_err() {
        // The first error is the one to tell; what is left is no backup and is refused as one.
        drop(fs::remove_file(file));
    }
    made
}

fn fill(dir: &Path, file: &Path, beside: &[Local], without: &[&str]) -> Result<u64, StoreError> {
    let options = StoreOptions::default();
    let source = connect(&dir.join(LIBRARY_FILE), OpenFlags::SQLITE_OPEN_READ_WRITE, &options)?;
    let name = file.to_str().ok_or_else(|| {
        let error = std::io::Error::other("its name is no UTF-8");
        StoreError::io(file, DOING, error)
    })?;
    // One read transaction: writers go on meanwhile.
    source.execute("VACUUM INTO ?1", [name]).within(&source, DOING)?;
    let copy = alone(file)?;
    for space in without.iter().chain([&SPACE]) {
        copy.execute("DELETE FROM _local WHERE space = ?1", [space]).within(&copy, DOING)?;
    }
    for (key, value) in beside {
        let sql = "INSERT INTO _local (space, key, value) VALUES (?1, ?2, ?3)";
        copy.execute(sql, params![SPACE, key, value]).within(&copy, DOING)?;
    }
    close(copy, file, DOING)?;
    let synced = fs::File::open(file).and_then(|file| file.sync_all().map(|()| file));
    let bytes =
        synced.and_then(|file| file.metadata()).map_err(|e| StoreError::io(file, DOING, e))?;
    sync_dir(file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(bytes.len())
}

/// Reads a backup into the new library file of `dir`, a directory that has none. `take` is given what
/// the backup has beside the data, before the library is there; `keep` says what is kept in a space of
/// its local values. On an error there is no library in `dir`.
pub fn restore<E: From<StoreError>>(
    file: &Path,
    dir: &Path,
    (space, keep): (&str, &[Local]),
    take: impl FnOnce(Vec<Local>) -> Result<(), E>,
) -> Result<(), E> {
    let target = dir.join(LIBRARY_FILE);
    if target.exists() {
        return Err(StoreError::Exists { path: dir.to_owned() }.into());
    }
    let part = dir.join("library.db.restoring");
    let io = |error| StoreError::io(file, RESTORING, error);
    fs::copy(file, &part).map_err(io)?;
    let done = check(&part, (space, keep)).map_err(E::from).and_then(take);
    let done = done.and_then(|()| {
        fs::rename(&part, &target).map_err(|error| StoreError::io(&target, RESTORING, error))?;
        Ok(sync_dir(dir)?)
    });
    if done.is_err() {
        // The first error is the one to tell; the name says what it is.
        drop(fs::remove_file(&part));
    }
    done
}

/// Makes a library of a backup's file. What the backup had beside the data.
fn check(file: &Path, (space, keep): (&str, &[Local])) -> Result<Vec<Local>, StoreError> {
    let copy = alone(file)?;
    check_format(&copy, file)?;
    let sound: String = copy
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .within(&copy, RESTORING)?;
    if sound != "ok" {
        return Err(StoreError::damaged(&copy, sound));
    }
    let mut select = copy
        .prepare("SELECT key, value FROM _local WHERE space = ?1 ORDER BY key")
        .within(&copy, RESTORING)?;
    let beside = select.query_map([SPACE], |row| Ok((row.get(0)?, row.get(1)?)));
    let beside: Vec<Local> = beside.and_then(Iterator::collect).within(&copy, RESTORING)?;
    drop(select);
    if beside.is_empty() {
        return Err(StoreError::NotALibrary { path: file.to_owned() });
    }
    copy.execute("DELETE FROM _local WHERE space = ?1", [SPACE]).within(&copy, RESTORING)?;
    for (key, value) in keep {
        let sql = "INSERT OR REPLACE INTO _local (space, key, value) VALUES (?1, ?2, ?3)";
        copy.execute(sql, params![space, key, value]).within(&copy, RESTORING)?;
    }
    close(copy, file, RESTORING)?;
    let synced = fs::File::open(file).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::io(file, RESTORING, error))?;
    Ok(beside)
}

/// Opens a file that nobody else has open, and that is to stay a single file.
fn alone(file: &Path) -> Result<Connection, StoreError> {
    let conn = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE, &StoreOptions::default())?;
    conn.pragma_update(None, "journal_mode", "DELETE").within(&conn, "opening a backup")?;
    Ok(conn)
}

fn close(conn: Connection, file: &Path, doing: &'static str) -> Result<(), StoreError> {
    conn.close().map_err(|(_, error)| StoreError::sqlite(file.to_owned(), doing, error))
}
