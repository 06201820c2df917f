//! From descriptors to tables: the columns of each model and the statements that walk them.

use std::collections::BTreeMap;

use driftless_core::schema::{
    FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};

use crate::bind::column_type;

/// A field's column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Column {
    pub(crate) field: FieldId,
    pub(crate) name: String,
    pub(crate) ty: FieldType,
    pub(crate) rule: MergeRule,
}

/// A model's table. Its columns are ascending by field id, as canonical rows are; in statements the
/// key is the first parameter or column, the fields follow in this order.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) model: ModelId,
    pub(crate) name: String,
    pub(crate) kind: ModelKind,
    pub(crate) columns: Vec<Column>,
    pub(crate) sql: Statements,
}

/// The statements of one table. `{own}` below are the columns of ours: `_sync, _sum` of shared
/// records, `_more, _lane, _seq, _sum` of owned rows.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    /// By key: fields, `{own}`.
    pub(crate) load: String,
    /// By key: `{own}` without the BLOB.
    pub(crate) find: String,
    /// Key, fields, `{own}`; does nothing if the key is there.
    pub(crate) insert: String,
    /// The same parameters.
    pub(crate) update: String,
    /// By key.
    pub(crate) delete: String,
    /// Key, fields, `{own}` behind the key ?1, up to ?2.
    pub(crate) scan: String,
    /// Owned: key, seq, fields, `_more`, `_sum` of the lane ?1 behind the seq ?2 and, within it, the key ?3,
    /// in that order, up to ?4.
    pub(crate) page: String,
    /// The same columns and parameters, for the rows of the seq ?2 alone, in the order of keys: for
    /// a seq with so many rows that they should not be sorted for each page.
    pub(crate) block: String,
    /// Owned: how many rows of the lane ?1 the first seq from ?2 on has, counted up to ?3, and that
    /// seq.
    pub(crate) first: String,
}

/// A quoted identifier. Names are checked by the schema; the quotes are for SQL's own words.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

impl Table {
    pub(crate) fn new(
        model: ModelId,
        name: &str,
        kind: ModelKind,
        mut columns: Vec<Column>,
    ) -> Self {
        columns.sort_by_key(|column| column.field);
        let sql = Statements::new(name, kind, &columns);
        Self { model, name: name.into(), kind, columns, sql }
    }

    fn of(model: &ModelDescriptor) -> Self {
        let column = |field: &driftless_core::schema::FieldDescriptor| Column {
            field: field.id,
            name: field.name.clone(),
            ty: field.ty,
            rule: field.rule,
        };
        Self::new(model.id, &model.name, model.kind, model.fields.iter().map(column).collect())
    }

    /// The position of a field's column.
    pub(crate) fn column(&self, field: FieldId) -> Option<usize> {
        self.columns.binary_search_by_key(&field, |column| column.field).ok()
    }

    /// [`Statements::update`] without the columns that did not change. Parameters keep their numbers.
    pub(crate) fn update_of(&self, changed: &[bool]) -> String {
        if changed.iter().all(|changed| *changed) {
            return self.sql.update.clone();
        }
        let mut sql = format!("UPDATE {} SET ", quoted(&self.name));
        for (at, column) in self.columns.iter().enumerate() {
            if changed.get(at) != Some(&false) {
                sql.push_str(&format!("{} = ?{}, ", quoted(&column.name), at + 2));
            }
        }
        let own = self.columns.len() + 2;
        sql.push_str(&format!(
            "_more = ?{own}, _lane = ?{}, _seq = ?{}, _sum = ?{} WHERE id = ?1",
            own + 1,
            own + 2,
            own + 3
        ));
        sql
    }

    /// The statements that make the table, with columns in the order of `fields`.
    pub(crate) fn create(&self, order: &[FieldId]) -> String {
        let mut columns: Vec<&Column> = self.columns.iter().collect();
        let place = |field: FieldId| order.iter().position(|id| *id == field);
        columns.sort_by_key(|column| place(column.field));
        let fields: String = columns
            .iter()
            .map(|column| format!(", {} {}", quoted(&column.name), column_type(column.ty)))
            .collect();
        let table = quoted(&self.name);
        if self.kind.is_shared() {
            return format!(
                "CREATE TABLE {table} (id BLOB PRIMARY KEY NOT NULL{fields}, \
                 _sync BLOB NOT NULL, _sum INTEGER NOT NULL) STRICT"
            );
        }
        let index = quoted(&format!("_lane.{}", self.name));
        format!(
            "CREATE TABLE {table} (id BLOB PRIMARY KEY NOT NULL{fields}, _more BLOB, \
             _lane INTEGER NOT NULL, _seq INTEGER NOT NULL, _sum INTEGER NOT NULL) STRICT; \
             CREATE INDEX {index} ON {table} (_lane, _seq)"
        )
    }
}

impl Statements {
    fn new(name: &str, kind: ModelKind, columns: &[Column]) -> Self {
        let table = quoted(name);
        let own: &[&str] =
            if kind.is_shared() { &["_sync", "_sum"] } else { &["_more", "_lane", "_seq", "_sum"] };
        let names: Vec<String> = columns
            .iter()
            .map(|column| quoted(&column.name))
            .chain(own.iter().map(|name| (*name).to_owned()))
            .collect();
        let values = names.join(", ");
        let marks: String = (2..names.len() + 2).map(|n| format!(", ?{n}")).collect();
        let sets: Vec<String> =
            names.iter().enumerate().map(|(n, name)| format!("{name} = ?{}", n + 2)).collect();
        let row = format!(
            "SELECT id, _seq, {}, _sum FROM {table}",
            names[..names.len() - own.len() + 1].join(", ")
        );
        Self {
            load: format!("SELECT {values} FROM {table} WHERE id = ?1"),
            find: format!("SELECT {} FROM {table} WHERE id = ?1", own[1..].join(", ")),
            insert: format!(
                "INSERT INTO {table} (id, {values}) VALUES (?1{marks}) ON CONFLICT (id) DO NOTHING"
            ),
            update: format!("UPDATE {table} SET {} WHERE id = ?1", sets.join(", ")),
            delete: format!("DELETE FROM {table} WHERE id = ?1"),
            scan: format!("SELECT id, {values} FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2"),
            page: format!(
                "{row} WHERE _lane = ?1 AND _seq >= ?2 AND (_seq > ?2 OR id > ?3) \
                 ORDER BY _seq, id LIMIT ?4"
            ),
            block: format!(
                "{row} WHERE +_lane = ?1 AND +_seq = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
            ),
            first: format!(
                "SELECT _seq, (SELECT count(*) FROM (SELECT 1 FROM {table} AS b \
                 WHERE b._lane = ?1 AND b._seq = a._seq LIMIT ?3)) FROM {table} AS a \
                 WHERE _lane = ?1 AND _seq >= ?2 ORDER BY _seq LIMIT 1"
            ),
        }
    }
}

/// The tables of all models that the schema knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    tables: BTreeMap<ModelId, Table>,
}

impl Layout {
    pub(crate) fn of(schema: &Schema) -> Self {
        schema.iter().map(Table::of).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    pub(crate) fn table(&self, model: ModelId) -> Option<&Table> {
        self.tables.get(&model)
    }

    /// The table of a model, if its records are shared.
    pub(crate) fn shared(&self, model: ModelId) -> Option<&Table> {
        self.table(model).filter(|table| table.kind.is_shared())
    }

    /// The table of a model, if its records are device-owned.
    pub(crate) fn owned(&self, model: ModelId) -> Option<&Table> {
        self.table(model).filter(|table| !table.kind.is_shared())
    }
}

impl FromIterator<Table> for Layout {
    fn from_iter<I: IntoIterator<Item = Table>>(tables: I) -> Self {
        Self { tables: tables.into_iter().map(|table| (table.model, table)).collect() }
    }
}
