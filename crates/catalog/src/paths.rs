//! From an entry up to its location: where it lies.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use driftless::Uuid;
use driftless::rusqlite::Connection;

use crate::error::CatalogError;
use crate::item::{shown, uuid};

/// The longest path that is put together, far above what systems take. Rows come from other
/// devices, and a ring of folders must end somewhere.
const MAX_PATH: usize = 64 << 10;

/// A folder on the way up.
#[derive(Clone)]
enum Above {
    /// An entry in another folder.
    Entry { parent: Uuid, location: Uuid, lane: i64, name: Vec<u8> },
    /// A location with its path.
    Location { lane: i64, path: Vec<u8> },
    /// Nothing that is here.
    Nothing,
}

/// Puts paths together; folders that were met are not looked up again.
pub(crate) struct Paths<'db> {
    db: &'db Connection,
    met: HashMap<Uuid, Above>,
}

impl<'db> Paths<'db> {
    pub(crate) fn new(db: &'db Connection) -> Self {
        Self { db, met: HashMap::new() }
    }

    /// The path of what has this name in the folder `parent`. `None` if the way up leads to nothing,
    /// in a ring, or out of the location or the device: then it cannot be shown.
    pub(crate) fn of(
        &mut self,
        (parent, location, lane): (Uuid, Uuid, i64),
        name: &[u8],
    ) -> Result<Option<Vec<u8>>, CatalogError> {
        let (mut names, mut length) = (vec![name.to_vec()], name.len());
        let mut at = parent;
        loop {
            match self.look(at, at == location)? {
                Above::Location { lane: of, path } if of == lane && at == location => {
                    return Ok(Some(join(&path, &names)));
                }
                Above::Entry { parent, location: of, lane: whose, name }
                    if of == location && whose == lane =>
                {
                    length += name.len() + 1;
                    if length > MAX_PATH {
                        return Ok(None);
                    }
                    names.push(name);
                    at = parent;
                }
                Above::Location { .. } | Above::Entry { .. } | Above::Nothing => return Ok(None),
            }
        }
    }

    fn look(&mut self, id: Uuid, location: bool) -> Result<Above, CatalogError> {
        if let Some(above) = self.met.get(&id) {
            return Ok(above.clone());
        }
        let above = if location { self.location(id)? } else { self.entry(id)? };
        let above = above.unwrap_or(Above::Nothing);
        self.met.insert(id, above.clone());
        Ok(above)
    }

    fn entry(&self, id: Uuid) -> Result<Option<Above>, CatalogError> {
        let mut select = self.db.prepare_cached(
            "SELECT parent, location, _lane, name, name_raw FROM entry WHERE id = ?1",
        )?;
        let mut rows = select.query([id.as_bytes()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(shown(|| {
            let (name, raw): (String, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?);
            let name = raw.unwrap_or(name.into_bytes());
            let (parent, location) = (uuid(row, 0)?, uuid(row, 1)?);
            Ok(Above::Entry { parent, location, lane: row.get(2)?, name })
        })?)
    }

    fn location(&self, id: Uuid) -> Result<Option<Above>, CatalogError> {
        let mut select =
            self.db.prepare_cached("SELECT _lane, path, path_raw FROM location WHERE id = ?1")?;
        let mut rows = select.query([id.as_bytes()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(shown(|| {
            let (path, raw): (String, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
            Ok(Above::Location { lane: row.get(0)?, path: raw.unwrap_or(path.into_bytes()) })
        })?)
    }
}

/// The names are from the lowest up.
fn join(location: &[u8], names: &[Vec<u8>]) -> Vec<u8> {
    let mut path = location.to_vec();
    for name in names.iter().rev() {
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    path
}

/// The bytes of a path of this system.
pub(crate) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// What remains of `path` below `folder`, without a leading slash; `None` if it does not lie there.
pub(crate) fn below<'p>(path: &'p [u8], folder: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(folder)?;
    match rest {
        [] => Some(rest),
        [b'/', rest @ ..] => Some(rest),
        rest if folder.ends_with(b"/") => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_to_the_locations_path() {
        let names = [b"file".to_vec(), b"folder".to_vec()];
        assert_eq!(join(b"/home", &names), b"/home/folder/file");
        assert_eq!(join(b"/", &names), b"/folder/file");
        assert_eq!(join(b"/home", &[]), b"/home");
    }

    #[test]
    fn below_a_folder() {
        assert_eq!(below(b"/a/b/c", b"/a/b"), Some(b"c".as_slice()));
        assert_eq!(below(b"/a/b", b"/a/b"), Some(b"".as_slice()));
        assert_eq!(below(b"/a/bc", b"/a/b"), None);
        assert_eq!(below(b"/a", b"/"), Some(b"a".as_slice()));
        assert_eq!(below(b"/a", b"/a/b"), None);
    }
}
