//! An owned row between its canonical form and the columns of its table.

use driftless_core::codec::Writer;
use driftless_core::id::Seq;
use driftless_core::schema::FieldId;
use driftless_core::value::ValueRef;
use rusqlite::{CachedStatement, Connection, Row};

use crate::bind::{Bind, column_value, fits};
use crate::error::{StoreError, Within, to_sql_seq};
use crate::fields::{Fields, decode_fields, encode_fields};
use crate::layout::Table;
use crate::quarantine::{Note, Reason, set_notes};

const WHAT: &str = "an owned row";

/// A row to be written; its fields are canonical.
#[derive(Clone, Copy)]
pub(crate) struct OwnedRow<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) seq: Seq,
    pub(crate) fields: &'a [(FieldId, ValueRef<'a>)],
}

/// A row as its table keeps it.
pub(crate) struct Split<'a> {
    /// The columns' values.
    columns: Vec<ValueRef<'a>>,
    /// What no column can hold, for `_more`.
    rest: Fields<'a>,
    /// Whether a value does not fit its column.
    pub(crate) refused: bool,
}

impl<'a> Split<'a> {
    pub(crate) fn new(table: &Table, fields: &[(FieldId, ValueRef<'a>)]) -> Self {
        let columns = Vec::with_capacity(table.columns.len());
        let mut split = Self { columns, rest: Fields::new(), refused: false };
        let mut fields = fields.iter().copied().peekable();
        for column in &table.columns {
            while let Some(unknown) = fields.next_if(|(id, _)| *id < column.field) {
                split.rest.push(unknown);
            }
            let value = match fields.next_if(|(id, _)| *id == column.field) {
                None => ValueRef::Null,
                Some((_, value)) if fits(column.ty, &value) => value,
                Some(unfit) => {
                    split.rest.push(unfit);
                    split.refused = true;
                    ValueRef::Null
                }
            };
            split.columns.push(value);
        }
        split.rest.extend(fields);
        split
    }

    /// Which columns differ from those of a row, whose columns begin at `first`.
    pub(crate) fn changed(
        &self,
        conn: &Connection,
        row: &Row<'_>,
        first: usize,
    ) -> Result<Vec<bool>, StoreError> {
        let mut changed = Vec::with_capacity(self.columns.len());
        for (at, value) in self.columns.iter().enumerate() {
            let old = row.get_ref(first + at).within(conn, WHAT)?;
            changed.push(!same(&column_value(old).within(conn, WHAT)?, value));
        }
        Ok(changed)
    }

    /// Binds the row to the parameters that inserts and updates share, and runs the statement. How
    /// many rows it wrote.
    pub(crate) fn write(
        &self,
        conn: &Connection,
        statement: &mut CachedStatement<'_>,
        (key, lane, seq, sum): (&[u8], i64, Seq, u64),
        more: &mut Writer,
    ) -> Result<usize, StoreError> {
        let seq = to_sql_seq(seq)?;
        let mut run = || {
            statement.raw_bind_parameter(1, key)?;
            for (at, value) in self.columns.iter().enumerate() {
                statement.raw_bind_parameter(at + 2, Bind(*value))?;
            }
            let at = self.columns.len() + 2;
            if self.rest.is_empty() {
                statement.raw_bind_parameter(at, Bind(ValueRef::Null))?;
            } else {
                more.clear();
                encode_fields(more, &self.rest);
                statement.raw_bind_parameter(at, more.as_bytes())?;
            }
            statement.raw_bind_parameter(at + 1, lane)?;
            statement.raw_bind_parameter(at + 2, seq)?;
            statement.raw_bind_parameter(at + 3, sum.cast_signed())?;
            statement.raw_execute()
        };
        run().within(conn, WHAT)
    }
}

fn same(a: &ValueRef<'_>, b: &ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Null, ValueRef::Null) => true,
        (ValueRef::Int(a), ValueRef::Int(b)) => a == b,
        (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
        (ValueRef::Text(a), ValueRef::Text(b)) => a == b,
        (ValueRef::Blob(a), ValueRef::Blob(b)) => a == b,
        _ => false,
    }
}

/// Notes the values that do not show, and forgets what was noted of the row before.
pub(crate) fn note_row(
    conn: &Connection,
    table: &Table,
    row: &OwnedRow<'_>,
    count: &mut u64,
) -> Result<(), StoreError> {
    let refused = |(id, value): &(FieldId, ValueRef<'_>)| {
        let column = &table.columns[table.column(*id)?];
        (!fits(column.ty, value)).then_some((*id, Reason::RefusedValue))
    };
    let notes: Vec<Note> = row.fields.iter().filter_map(refused).collect();
    set_notes(conn, count, table.model, row.key, &notes)
}

/// The fields of a table's row, whose columns begin at `first`, in canonical form.
pub(crate) fn read_fields<'r>(
    conn: &Connection,
    table: &Table,
    row: &'r Row<'_>,
    first: usize,
) -> Result<Fields<'r>, StoreError> {
    let mut fields = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        let value = row.get_ref(first + at).within(conn, WHAT)?;
        let value = column_value(value).within(conn, WHAT)?;
        if !value.is_null() {
            fields.push((column.field, value));
        }
    }
    let more = row.get_ref(first + table.columns.len());
    if let Some(more) = more.and_then(|more| Ok(more.as_blob_or_null()?)).within(conn, WHAT)? {
        decode_fields(more, &mut fields).within(conn, WHAT)?;
        fields.sort_by_key(|(id, _)| *id);
    }
    Ok(fields)
}
