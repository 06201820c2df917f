//! One process at a time writes to a library.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::StoreError;

/// A lock on a library's directory, held as long as this value lives, and by the system alone: a
/// process that dies leaves none behind.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock, or fails at once with [`StoreError::Locked`] if another process holds it.
    pub fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::NotALibrary { path: dir.to_owned() },
            _ => StoreError::io(&path, "opening the lock", error),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(StoreError::io(&path, "taking the lock", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_no_library() {
        let gone = DirLock::acquire(Path::new("/nowhere/at/all"));
        assert!(matches!(gone, Err(StoreError::NotALibrary { .. })));
    }

    #[test]
    fn the_second_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(StoreError::Locked { .. })));
        drop(first);
        DirLock::acquire(dir.path()).unwrap();
    }
}
