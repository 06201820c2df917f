//! The schema in the tables: what was written under another one is brought over when a library is
//! opened, in one transaction.
//!
//! A model whose table must change goes the way through `_unknown_shared` and `_unknown_owned`:
//! its records are kept whole there, the table is made anew, and they are put into it as if their
//! model had become known. Checksums, and so digests, do not change. The one case that is frequent
//! and large, a new field of device-owned rows, is done in place.

use std::collections::BTreeMap;

use driftless_core::codec::Writer;
use driftless_core::schema::{
    FieldId, FieldType, IndexDescriptor, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};
use rusqlite::{Connection, params};

use crate::bind::column_type;
use crate::conflict::{count_conflicts, set_conflicts};
use crate::error::{StoreError, Within, from_sql_seq};
use crate::fields::encode_fields;
use crate::lane::Lane;
use crate::layout::{Column, Layout, Table, quoted};
use crate::origins::Origins;
use crate::quarantine::{key_of, set_notes};
use crate::row::{OwnedRow, Split, note_row, read_fields};
use crate::state::count_notes;
use crate::{shared, whole};

const DOING: &str = "bringing the tables to the schema";
/// Records that are looked at between two walks of a table that changes meanwhile.
const CHUNK: i64 = 1_000;

/// Brings the tables of the models to the state that the schema asks for.
pub(crate) fn bring_up_to_date(
    conn: &Connection,
    schema: &Schema,
    layout: &Layout,
) -> Result<(), StoreError> {
    let old = load(conn)?;
    let (had, want) = (indexes(conn)?, wanted_indexes(schema));
    let same = |table: &Table| old.table(table.model).is_some_and(|old| old.is_like(table));
    let unchanged = layout.iter().all(same) && old.iter().count() == layout.iter().count();
    if unchanged && had == want {
        return Ok(());
    }
    conn.execute_batch("BEGIN IMMEDIATE").within(conn, DOING)?;
    for (name, _) in had.iter().filter(|(name, sql)| want.get(*name) != Some(sql)) {
        conn.execute_batch(&format!("DROP INDEX {}", quoted(name))).within(conn, DOING)?;
    }
    if !unchanged {
        bring_tables(conn, &old, schema, layout)?;
        save(conn, schema)?;
    }
    let had = indexes(conn)?;
    for (_, sql) in want.iter().filter(|(name, _)| !had.contains_key(*name)) {
        conn.execute_batch(sql).within(conn, DOING)?;
    }
    conn.execute_batch("COMMIT").within(conn, DOING)
}

fn bring_tables(
    conn: &Connection,
    old: &Layout,
    schema: &Schema,
    layout: &Layout,
) -> Result<(), StoreError> {
    let mut make: Vec<&Table> = Vec::new();
    let mut grow: Vec<(&Table, &Table)> = Vec::new();
    for was in old.iter() {
        match layout.table(was.model) {
            Some(table) if was.is_like(table) => {}
            Some(table) if was.grows_into(table) => grow.push((was, table)),
            _ => empty(conn, was)?,
        }
    }
    for table in layout.iter() {
        let kept = |was: &Table| was.is_like(table) || was.grows_into(table);
        if !old.table(table.model).is_some_and(kept) {
            make.push(table);
        }
    }
    let mut notes = count_notes(conn)?;
    for table in make {
        let order = schema.model(table.model).map(|model| &model.fields[..]).unwrap_or(&[]);
        let order: Vec<FieldId> = order.iter().map(|field| field.id).collect();
        conn.execute_batch(&table.create(&order)).within(conn, DOING)?;
        if table.kind.is_shared() {
            fill_shared(conn, table, &mut notes)?;
        } else {
            fill_owned(conn, table, &mut notes)?;
        }
    }
    for (was, table) in grow {
        grow_owned(conn, was, table, &mut notes)?;
    }
    Ok(())
}

impl Table {
    /// Whether a table needs no change to be `other`.
    fn is_like(&self, other: &Table) -> bool {
        (&self.name, self.kind, &self.columns) == (&other.name, other.kind, &other.columns)
    }

    /// Whether a table of owned rows needs nothing but more columns to be `other`.
    fn grows_into(&self, other: &Table) -> bool {
        let kept = |column: &Column| {
            let same = other.column(column.field).map(|at| &other.columns[at]);
            same.is_some_and(|same| (&same.name, same.ty) == (&column.name, column.ty))
        };
        self.name == other.name
            && !self.kind.is_shared()
            && !other.kind.is_shared()
            && self.columns.iter().all(kept)
    }
}

/// Moves all records of a table out and drops it.
fn empty(conn: &Connection, table: &Table) -> Result<(), StoreError> {
    let origins = Origins::load(conn, "_origin")?;
    let n = table.columns.len();
    let mut conflicts = count_conflicts(conn)?;
    let mut scan = conn.prepare(&table.sql.scan).within(conn, DOING)?;
    let mut rows = scan.query(params![&[][..] as &[u8], -1]).within(conn, DOING)?;
    while let Some(row) = rows.next().within(conn, DOING)? {
        let key = row.get_ref(0).and_then(|key| Ok(key.as_blob()?)).within(conn, DOING)?;
        let number = |at: usize| row.get::<_, i64>(n + at).within(conn, DOING);
        if table.kind.is_shared() {
            let record = shared::decode_row(conn, &origins, table, row, 1)?;
            shared::write_whole(conn, &origins, table.model, (key, &record, number(2)?))?;
            set_conflicts(conn, &mut conflicts, (table.model, key), None, &record)?;
        } else {
            let mut w = Writer::new();
            encode_fields(&mut w, &read_fields(conn, table, row, 1)?);
            let content = (number(3)?, w.as_bytes(), number(4)?);
            whole::write(conn, (table.model, key, number(2)?), content)?;
        }
    }
    drop(rows);
    drop(scan);
    conn.execute("DELETE FROM _quarantine WHERE model = ?1", [table.model.0])
        .within(conn, DOING)?;
    conn.flush_prepared_statement_cache();
    conn.execute_batch(&format!("DROP TABLE {}", quoted(&table.name))).within(conn, DOING)
}

/// The key, the bytes and the checksum of a record that is kept whole.
type Whole = (Vec<u8>, Vec<u8>, i64);

/// Puts records that were kept whole into the table that they now have.
fn fill_shared(conn: &Connection, table: &Table, notes: &mut u64) -> Result<(), StoreError> {
    let origins = Origins::load(conn, "_origin")?;
    let mut select = conn
        .prepare(
            "SELECT key, record, _sum FROM _unknown_shared \
             WHERE model = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
        )
        .within(conn, DOING)?;
    let mut last: Vec<u8> = Vec::new();
    let mut conflicts = count_conflicts(conn)?;
    loop {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let chunk = select.query_map(params![table.model.0, last, CHUNK], row);
        let chunk: Vec<Whole> = chunk.and_then(Iterator::collect).within(conn, DOING)?;
        let Some((end, ..)) = chunk.last() else { return Ok(()) };
        last.clone_from(end);
        for (key, bytes, sum) in chunk {
            let record = shared::decode_whole(conn, &origins, &bytes)?;
            if !record.is_alive() {
                continue;
            }
            let found = shared::write_row(conn, &origins, table, (&key, &record, sum), false)?;
            set_notes(conn, notes, table.model, &key, &found)?;
            set_conflicts(conn, &mut conflicts, (table.model, &key), Some(table), &record)?;
            conn.execute(
                "DELETE FROM _unknown_shared WHERE model = ?1 AND key = ?2",
                params![table.model.0, key],
            )
            .within(conn, DOING)?;
        }
    }
}

/// Puts rows that were kept whole into the table that they now have.
fn fill_owned(conn: &Connection, table: &Table, notes: &mut u64) -> Result<(), StoreError> {
    let lanes = Lane::load_all(conn)?;
    let mut select = conn
        .prepare(
            "SELECT DISTINCT key FROM _unknown_owned \
             WHERE model = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
        )
        .within(conn, DOING)?;
    let mut last: Vec<u8> = Vec::new();
    loop {
        let keys = select.query_map(params![table.model.0, last, CHUNK], |row| row.get(0));
        let keys: Result<Vec<Vec<u8>>, _> = keys.and_then(Iterator::collect);
        let keys = keys.within(conn, DOING)?;
        let Some(end) = keys.last() else { return Ok(()) };
        last.clone_from(end);
        for key in keys {
            whole::move_in(conn, table, &key, &lanes, notes)?;
        }
    }
}

/// Adds columns to a table of owned rows, and moves into them what waited for them.
fn grow_owned(
    conn: &Connection,
    was: &Table,
    table: &Table,
    notes: &mut u64,
) -> Result<(), StoreError> {
    for column in table.columns.iter().filter(|column| was.column(column.field).is_none()) {
        let (name, ty) = (quoted(&column.name), column_type(column.ty));
        let sql = format!("ALTER TABLE {} ADD COLUMN {name} {ty}", quoted(&table.name));
        conn.execute_batch(&sql).within(conn, DOING)?;
    }
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let sql = format!(
        "SELECT id, {}, _more, _lane, _seq, _sum, _rowid_ FROM {} \
         WHERE _more IS NOT NULL AND _rowid_ > ?1 ORDER BY _rowid_ LIMIT 1",
        names.join(", "),
        quoted(&table.name)
    );
    let mut select = conn.prepare(&sql).within(conn, DOING)?;
    let mut update = conn.prepare_cached(&table.sql.update).within(conn, DOING)?;
    let n = table.columns.len();
    let mut last = i64::MIN;
    let mut more = Writer::new();
    loop {
        let mut rows = select.query([last]).within(conn, DOING)?;
        let Some(row) = rows.next().within(conn, DOING)? else { return Ok(()) };
        let number = |at: usize| row.get::<_, i64>(n + at).within(conn, DOING);
        last = number(5)?;
        let key = row.get_ref(0).and_then(|key| Ok(key.as_blob()?)).within(conn, DOING)?;
        let key = key_of(conn, key)?;
        let seq = from_sql_seq(conn, number(3)?)?;
        let fields = read_fields(conn, table, row, 1)?;
        let row = OwnedRow { key: key.as_bytes(), seq, fields: &fields };
        let split = Split::new(table, row.fields);
        let bound = (row.key, number(2)?, seq, number(4)?.cast_unsigned());
        split.write(conn, &mut update, bound, &mut more)?;
        if split.refused || *notes > 0 {
            note_row(conn, table, &row, notes)?;
        }
    }
}

/// The indexes for the user's queries that are there: names and statements.
fn indexes(conn: &Connection) -> Result<BTreeMap<String, String>, StoreError> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND name GLOB '_ix.*'";
    let mut select = conn.prepare(sql).within(conn, DOING)?;
    let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    found.and_then(Iterator::collect).within(conn, DOING)
}

fn wanted_indexes(schema: &Schema) -> BTreeMap<String, String> {
    let of = |model: &ModelDescriptor| -> Vec<(String, String)> {
        model.indexes.iter().map(|index| index_of(model, index)).collect()
    };
    schema.iter().flat_map(of).collect()
}

fn index_of(model: &ModelDescriptor, index: &IndexDescriptor) -> (String, String) {
    let columns: Vec<String> = index.columns.iter().map(|name| quoted(name)).collect();
    let name = format!("_ix.{}.{}", model.name, index.columns.join("."));
    let only = match columns.first() {
        Some(first) if index.partial => format!(" WHERE {first} IS NOT NULL"),
        _ => String::new(),
    };
    let (table, columns) = (quoted(&model.name), columns.join(", "));
    let sql = format!("CREATE INDEX {} ON {table} ({columns}){only}", quoted(&name));
    (name, sql)
}

const KINDS: [ModelKind; 3] = [ModelKind::Owned, ModelKind::Shared, ModelKind::Link];
const TYPES: [FieldType; 8] = [
    FieldType::Bool,
    FieldType::Int,
    FieldType::Real,
    FieldType::Text,
    FieldType::Blob,
    FieldType::Uuid,
    FieldType::Json,
    FieldType::Time,
];
const RULES: [MergeRule; 4] = [MergeRule::Lww, MergeRule::Counter, MergeRule::Max, MergeRule::Min];

/// The number of one of the kinds, types or rules in `_model` and `_field`.
fn number_of<T: PartialEq>(all: &[T], one: &T) -> i64 {
    let at = all.iter().position(|other| other == one).expect("the list is complete");
    i64::try_from(at).expect("a short list")
}

fn numbered<T: Copy>(conn: &Connection, all: &[T], number: i64) -> Result<T, StoreError> {
    let found = usize::try_from(number).ok().and_then(|at| all.get(at)).copied();
    found.ok_or_else(|| StoreError::damaged(conn, format!("the number {number} in a schema")))
}

/// The tables as they were made.
fn load(conn: &Connection) -> Result<Layout, StoreError> {
    let mut columns: BTreeMap<ModelId, Vec<Column>> = BTreeMap::new();
    let mut select =
        conn.prepare("SELECT model, id, name, type, rule FROM _field").within(conn, DOING)?;
    let mut rows = select.query([]).within(conn, DOING)?;
    while let Some(row) = rows.next().within(conn, DOING)? {
        let number = |at: usize| row.get::<_, i64>(at).within(conn, DOING);
        let column = Column {
            field: FieldId(row.get(1).within(conn, DOING)?),
            name: row.get(2).within(conn, DOING)?,
            ty: numbered(conn, &TYPES, number(3)?)?,
            rule: numbered(conn, &RULES, number(4)?)?,
        };
        columns.entry(ModelId(row.get(0).within(conn, DOING)?)).or_default().push(column);
    }
    let mut select = conn.prepare("SELECT id, name, kind FROM _model").within(conn, DOING)?;
    let mut rows = select.query([]).within(conn, DOING)?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next().within(conn, DOING)? {
        let model = ModelId(row.get(0).within(conn, DOING)?);
        let name: String = row.get(1).within(conn, DOING)?;
        let kind = numbered(conn, &KINDS, row.get(2).within(conn, DOING)?)?;
        tables.push(Table::new(model, &name, kind, columns.remove(&model).unwrap_or_default()));
    }
    Ok(tables.into_iter().collect())
}

/// Keeps what the tables are made by.
fn save(conn: &Connection, schema: &Schema) -> Result<(), StoreError> {
    conn.execute_batch("DELETE FROM _model; DELETE FROM _field").within(conn, DOING)?;
    for model in schema.iter() {
        conn.execute(
            "INSERT INTO _model (id, name, kind) VALUES (?1, ?2, ?3)",
            params![model.id.0, model.name, number_of(&KINDS, &model.kind)],
        )
        .within(conn, DOING)?;
        for field in &model.fields {
            let (ty, rule) = (number_of(&TYPES, &field.ty), number_of(&RULES, &field.rule));
            conn.execute(
                "INSERT INTO _field (model, id, name, type, rule) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![model.id.0, field.id.0, field.name, ty, rule],
            )
            .within(conn, DOING)?;
        }
    }
    Ok(())
}
