//! The catalogue of a library, as programs hold it.

use driftless::Library;
use driftless::rusqlite::Connection;

use crate::error::CatalogError;

/// The catalogue of a library that was opened with [`crate::models()`].
#[derive(Clone, Copy)]
pub struct Catalog<'a> {
    pub(crate) library: &'a Library,
}

impl<'a> Catalog<'a> {
    /// The catalogue of this library.
    #[must_use]
    pub fn new(library: &'a Library) -> Self {
        Self { library }
    }

    /// The library.
    #[must_use]
    pub fn library(&self) -> &'a Library {
        self.library
    }

    /// Reads with one and the same state of the library in all of `read`'s statements.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.library.query(|db| {
            // It ends by being dropped, as there is nothing to commit.
            let snapshot = db.unchecked_transaction()?;
            read(&snapshot)
        })?
    }
}
