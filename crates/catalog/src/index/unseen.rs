//! Rows that hang nowhere: below a folder that is not there, or in a ring. Nobody sees them, no walk
//! comes to them, and so nothing but this would ever take them away.

use driftless::Uuid;
use driftless::rusqlite::{Connection, named_params};

use super::begin::Begun;
use super::known::Below;
use super::report::Report;
use super::sink::{Batch, ROWS};
use super::walking::failed;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::uuid;
use crate::owners::Owners;

impl Catalog<'_> {
    /// Takes away the rows of a location that hang nowhere. All of it was just scanned, and all that was
    /// found is durable; only if there are more rows than that they are looked through.
    pub(super) fn take_unseen(
        &self,
        begun: &Begun,
        report: &mut Report<'_>,
    ) -> Result<(), CatalogError> {
        let found = report.counts().entries();
        let (location, device) = (begun.location.id, self.library.device_id());
        let unseen = self.read(|db| {
            let Some(lane) = Owners::load(db)?.lane(&device) else { return Ok(Vec::new()) };
            let rows = u64::try_from(rows(db, location, lane)?).unwrap_or(0);
            if rows > found { unseen(db, location, lane) } else { Ok(Vec::new()) }
        })?;
        if unseen.is_empty() {
            return Ok(());
        }
        self.writing(|sink| {
            for some in unseen.chunks(ROWS) {
                let mut batch = Batch::default();
                for row in some {
                    report.removed(row.kind, row.size);
                    batch.gone.push(row.id);
                }
                if !sink.send(batch) {
                    return Err(failed());
                }
            }
            Ok(())
        })
    }
}

fn rows(db: &Connection, location: Uuid, lane: i64) -> Result<i64, CatalogError> {
    let mut select =
        db.prepare_cached("SELECT count(*) FROM entry WHERE location = ?1 AND _lane = ?2")?;
    Ok(select.query_row((location.as_bytes(), lane), |row| row.get(0))?)
}

fn unseen(db: &Connection, location: Uuid, lane: i64) -> Result<Vec<Below>, CatalogError> {
    let mut select = db.prepare_cached(
        "WITH RECURSIVE seen (id) AS ( \
           VALUES (:location) \
           UNION SELECT e.id FROM seen CROSS JOIN entry AS e ON e.parent = seen.id \
           WHERE e.location = :location AND e._lane = :lane) \
         SELECT id, kind, size FROM entry \
         WHERE location = :location AND _lane = :lane AND id NOT IN (SELECT id FROM seen)",
    )?;
    let mut rows = select.query(named_params! {":location": location.as_bytes(), ":lane": lane})?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, kind, size) = (uuid(row, 0)?, row.get(1)?, row.get(2)?);
        all.push(Below { id, kind, size, content: None });
    }
    Ok(all)
}
