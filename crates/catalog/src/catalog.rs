//! The catalogue of a library, as programs hold it.

use driftless::Library;
use driftless::rusqlite::Connection;

use crate::error::CatalogError;

/// The catalogue of a library that was opened with [`crate::models()`].
#[derive(Clone, Copy)]
pub struct Catalog<'a> {
    pub(crate) library: &'a Library,
    /// The time as of which it is looked at, if that is not now.
    as_of_ms: Option<u64>,
}

impl<'a> Catalog<'a> {
    /// The catalogue of this library.
    #[must_use]
    pub fn new(library: &'a Library) -> Self {
        Self { library, as_of_ms: None }
    }

    /// The catalogue as it was at a time, Unix milliseconds: tags, collections and what is noted. The
    /// entries of devices are those that there are now. For looking alone: what is written is
    /// written now.
    #[must_use]
    pub fn as_of(library: &'a Library, at_ms: u64) -> Self {
        Self { library, as_of_ms: Some(at_ms) }
    }

    /// The library.
    #[must_use]
    pub fn library(&self) -> &'a Library {
        self.library
    }

    /// Whether it is looked at as it is now.
    pub(crate) fn is_now(&self) -> bool {
        self.as_of_ms.is_none()
    }

    /// Reads with one and the same state of the library in all of `read`'s statements.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        if let Some(at_ms) = self.as_of_ms {
            return self.library.query_as_of(at_ms, read)?;
        }
        self.library.query(|db| {
            // It ends by being dropped, as there is nothing to commit.
            let snapshot = db.unchecked_transaction()?;
            read(&snapshot)
        })?
    }
}
