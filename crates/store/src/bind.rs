//! Values on their way into and out of SQLite.

use driftless_core::codec::CodecError;
use driftless_core::schema::FieldType;
use driftless_core::value::ValueRef;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef as SqlRef};

/// A value as a parameter, borrowed all the way.
pub(crate) struct Bind<'a>(pub(crate) ValueRef<'a>);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            ValueRef::Null => SqlRef::Null,
            ValueRef::Int(n) => SqlRef::Integer(n),
            ValueRef::Real(x) => SqlRef::Real(x),
            ValueRef::Text(text) => SqlRef::Text(text.as_bytes()),
            ValueRef::Blob(bytes) => SqlRef::Blob(bytes),
        }))
    }
}

/// A column's value, borrowed from its row.
pub(crate) fn column_value(sql: SqlRef<'_>) -> Result<ValueRef<'_>, CodecError> {
    Ok(match sql {
        SqlRef::Null => ValueRef::Null,
        SqlRef::Integer(n) => ValueRef::Int(n),
        SqlRef::Real(x) => ValueRef::Real(x),
        SqlRef::Text(text) => {
            ValueRef::Text(std::str::from_utf8(text).map_err(|_| CodecError::NotUtf8("a text"))?)
        }
        SqlRef::Blob(bytes) => ValueRef::Blob(bytes),
    })
}

/// Whether a column of this type gives the value back exactly as it went in, and whoever reads the
/// field can make sense of it.
pub(crate) fn fits(ty: FieldType, value: &ValueRef<'_>) -> bool {
    match (ty, value) {
        (_, ValueRef::Null)
        | (FieldType::Int | FieldType::Time, ValueRef::Int(_))
        | (FieldType::Real, ValueRef::Real(_))
        | (FieldType::Text | FieldType::Json, ValueRef::Text(_))
        | (FieldType::Blob, ValueRef::Blob(_)) => true,
        (FieldType::Bool, ValueRef::Int(n)) => (0..=1).contains(n),
        (FieldType::Uuid, ValueRef::Blob(bytes)) => bytes.len() == 16,
        _ => false,
    }
}

/// The type of a field's column in a strict table.
pub(crate) fn column_type(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Bool | FieldType::Int | FieldType::Time => "INTEGER",
        FieldType::Real => "REAL",
        FieldType::Text | FieldType::Json => "TEXT",
        FieldType::Blob | FieldType::Uuid => "BLOB",
    }
}
