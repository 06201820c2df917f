//! Tables as they were: temporary views over a model's table that hide the rows which have changed,
//! and show others in their place. Only the connection on which they are made sees them.

use std::collections::BTreeMap;

use driftless_core::id::RecordKey;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::value::Value;
use rusqlite::params_from_iter;

use crate::bind::{Bind, column_type, fits};
use crate::error::{StoreError, Within};
use crate::layout::{Table, quoted};
use crate::past::Past;

const DOING: &str = "showing what was";

/// Records of a model as they were; one that was not there has no life.
pub type AsOf = BTreeMap<RecordKey, Record>;

impl Past {
    /// From now on the snapshot's connection shows these records in the place of what they are.
    pub fn show(&self, models: &BTreeMap<ModelId, AsOf>) -> Result<(), StoreError> {
        let conn = self.snapshot().connection();
        // The file was opened for reading alone; what is temporary may be written.
        conn.pragma_update(None, "query_only", false).within(conn, DOING)?;
        for (model, records) in models {
            if let Some(table) = self.snapshot().table(*model) {
                self.cover(table, records)?;
            }
        }
        conn.pragma_update(None, "query_only", true).within(conn, DOING)
    }

    fn cover(&self, table: &Table, records: &AsOf) -> Result<(), StoreError> {
        let conn = self.snapshot().connection();
        let then = quoted(&format!("_then.{}", table.name));
        let columns: Vec<String> =
            table.columns.iter().map(|column| quoted(&column.name)).collect();
        let typed: String = table
            .columns
            .iter()
            .map(|column| format!(", {} {}", quoted(&column.name), column_type(column.ty)))
            .collect();
        let all = [&["id".to_owned()][..], &columns].concat().join(", ");
        let name = quoted(&table.name);
        conn.execute_batch(&format!(
            "CREATE TEMP TABLE {then} (id BLOB PRIMARY KEY NOT NULL{typed}, \"_there\" INTEGER); \
             CREATE TEMP VIEW {name} AS SELECT {all} FROM main.{name} AS m \
             WHERE NOT EXISTS (SELECT 1 FROM temp.{then} AS t WHERE t.id = m.id) \
             UNION ALL SELECT {all} FROM temp.{then} WHERE \"_there\""
        ))
        .within(conn, DOING)?;
        let marks: String = (0..columns.len()).map(|n| format!(", ?{}", n + 3)).collect();
        let sql = format!("INSERT INTO temp.{then} (\"_there\", {all}) VALUES (?1, ?2{marks})");
        let mut insert = conn.prepare(&sql).within(conn, DOING)?;
        for (key, record) in records {
            let (there, id) = (record.is_alive(), Value::Blob(key.as_bytes().to_vec()));
            let mut values = vec![Value::Int(there.into()), id];
            values.extend(table.columns.iter().map(|column| {
                let value = record.shown(column.field, column.rule);
                if fits(column.ty, &value.as_ref()) { value } else { Value::Null }
            }));
            let bound = values.iter().map(|value| Bind(value.as_ref()));
            insert.execute(params_from_iter(bound)).within(conn, DOING)?;
        }
        Ok(())
    }
}
