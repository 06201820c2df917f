//! The limit: SQLite itself, with the same columns, indexes and settings, and nothing of sync.

use std::path::Path;

use driftless::core::schema::{FieldType, ModelDescriptor};
use driftless::core::value::Value;
use driftless::rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use driftless::rusqlite::{self, CachedStatement, Connection};

use crate::failure::{Exit, Failure};

/// A row of such a table.
pub(super) struct PlainRow {
    pub(super) key: Vec<u8>,
    pub(super) values: Vec<Value>,
}

/// A database with one table.
pub(super) struct Plain {
    conn: Connection,
    insert: String,
    upsert: String,
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn failed(error: rusqlite::Error) -> Failure {
    Failure::new(Exit::Failed, "bench", format!("plain SQLite failed: {error}"))
        .next("see to the cause and run the command again")
}

impl Plain {
    /// Makes the table of a model in a new database, with the settings of a library's.
    pub(super) fn create(dir: &Path, model: &ModelDescriptor) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir).map_err(|error| Failure::io("making a directory", &error))?;
        let conn = Connection::open(dir.join("plain.db")).map_err(failed)?;
        conn.execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA wal_autocheckpoint = 2048; PRAGMA cache_size = -8192; PRAGMA foreign_keys = OFF",
        )
        .map_err(failed)?;
        conn.execute_batch(&schema_of(model)).map_err(failed)?;
        let names: Vec<&str> = model.fields.iter().map(|field| field.name.as_str()).collect();
        let marks: String = (2..names.len() + 2).map(|n| format!(", ?{n}")).collect();
        let insert = format!(
            "INSERT INTO {} (id, {}) VALUES (?1{marks})",
            quoted(&model.name),
            list(&names, quoted),
        );
        let sets = list(&names, |name| format!("{0} = excluded.{0}", quoted(name)));
        let upsert = format!("{insert} ON CONFLICT (id) DO UPDATE SET {sets}");
        Ok(Self { conn, insert, upsert })
    }

    /// Inserts rows, so many in a transaction.
    pub(super) fn insert(&self, rows: &[PlainRow], at_once: usize) -> Result<(), Failure> {
        self.write(&self.insert, rows, at_once).map_err(failed)
    }

    /// Writes rows whether or not they are there, so many in a transaction.
    pub(super) fn upsert(&self, rows: &[PlainRow], at_once: usize) -> Result<(), Failure> {
        self.write(&self.upsert, rows, at_once).map_err(failed)
    }

    fn write(&self, sql: &str, rows: &[PlainRow], at_once: usize) -> rusqlite::Result<()> {
        for rows in rows.chunks(at_once) {
            self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let mut statement = self.conn.prepare_cached(sql)?;
            rows.iter().try_for_each(|row| write_row(&mut statement, row))?;
            self.conn.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

fn write_row(statement: &mut CachedStatement<'_>, row: &PlainRow) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, &row.key[..])?;
    for (at, value) in row.values.iter().enumerate() {
        statement.raw_bind_parameter(at + 2, Bound(value))?;
    }
    statement.raw_execute().map(drop)
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn list(names: &[&str], one: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| one(name)).collect::<Vec<_>>().join(", ")
}

fn schema_of(model: &ModelDescriptor) -> String {
    let table = quoted(&model.name);
    let columns: String = model
        .fields
        .iter()
        .map(|field| format!(", {} {}", quoted(&field.name), type_of(field.ty)))
        .collect();
    let mut sql = format!("CREATE TABLE {table} (id BLOB PRIMARY KEY NOT NULL{columns}) STRICT;");
    for (n, index) in model.indexes.iter().enumerate() {
        let columns: Vec<&str> = index.columns.iter().map(String::as_str).collect();
        let only = match columns.first() {
            Some(first) if index.partial => format!(" WHERE {} IS NOT NULL", quoted(first)),
            _ => String::new(),
        };
        let columns = list(&columns, quoted);
        sql.push_str(&format!("CREATE INDEX \"index {n}\" ON {table} ({columns}){only};"));
    }
    sql
}

fn type_of(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Bool | FieldType::Int | FieldType::Time => "INTEGER",
        FieldType::Real => "REAL",
        FieldType::Text | FieldType::Json => "TEXT",
        FieldType::Blob | FieldType::Uuid => "BLOB",
    }
}

#[cfg(test)]
mod tests {
    use driftless::Syncable as _;
    use driftless_catalog::Entry;

    use super::super::rows;
    use super::*;

    #[test]
    fn the_limit_has_the_same_rows_and_indexes() {
        let place = tempfile::tempdir().unwrap();
        let model = Entry::descriptor();
        let plain = Plain::create(place.path(), &model).unwrap();
        let bare: Vec<PlainRow> = rows::entries(30).iter().map(rows::bare).collect();
        plain.insert(&bare, 7).unwrap();
        plain.upsert(&bare, 30).unwrap();
        let count = |sql: &str| plain.conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM entry WHERE length(id) = 16 AND name > ''"), 30);
        let indexes = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL";
        assert_eq!(count(indexes), i64::try_from(model.indexes.len()).unwrap());
        assert!(plain.insert(&bare, 30).is_err(), "they are there already");
    }
}
