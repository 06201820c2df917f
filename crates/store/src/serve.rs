//! Reading pages of an exact lane: rows of all tables and tombstones, merged by (seq, model, key).

use std::collections::BTreeMap;

use driftless_core::digest::OwnedChecksum;
use driftless_core::id::{DeviceId, RecordKey, Seq};
use driftless_core::page::{Cursor, PageModel, PageWriter};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::RowPage;
use driftless_core::value::ValueRef;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, Row, Rows, params};

use crate::bind::column_value;
use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::fields::{Fields, decode_fields};
use crate::layout::Table;
use crate::open::SqliteStore;
use crate::quarantine::key_of;

const WHAT: &str = "an owned row";
/// A seq with more rows than this of one model is walked by key, as sorting all of them for each
/// page would cost the square of their number.
const MAX_SORTED: i64 = 20_000;
const WHOLE: &str = "SELECT key, seq, model, fields, _sum FROM _unknown_owned \
     WHERE lane = ?1 AND (seq, model, key) > (?2, ?3, ?4) ORDER BY seq, model, key LIMIT ?5";
const TOMBSTONES: &str = "SELECT key, seq, model FROM _tombstone \
     WHERE lane = ?1 AND (seq, model, key) > (?2, ?3, ?4) ORDER BY seq, model, key LIMIT ?5";

/// What a source's rows are.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Table(&'a Table),
    Whole,
    Tombstones,
}

/// Rows in order, with the place of the one that comes next.
struct Source<'a, 's> {
    kind: Kind<'a>,
    rows: Vec<Rows<'s>>,
    next: Option<(Seq, ModelId)>,
    key: Vec<u8>,
}

/// A query that has been prepared and not yet run.
struct Prepared<'a, 'c> {
    kind: Kind<'a>,
    statements: Vec<(CachedStatement<'c>, Bounds)>,
}

/// Where a query begins.
#[derive(Clone)]
enum Bounds {
    /// Behind the key within the seq.
    Row(i64, Vec<u8>),
    /// Behind the model and the key within the seq.
    Place(i64, i64, Vec<u8>),
}

impl SqliteStore {
    pub(crate) fn serve_page(
        &self,
        device: &DeviceId,
        cursor: &Cursor,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<RowPage, StoreError> {
        let lane = self.state.lanes.get(device).ok_or(StoreError::NotExact(*device))?;
        let head = lane.state.exact.ok_or(StoreError::NotExact(*device))?;
        let lane = lane.id;
        let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX).saturating_add(1);
        let conn = &self.conn;
        let mut prepared = Vec::new();
        for table in self.layout.iter().filter(|table| !table.kind.is_shared()) {
            prepared.push(prepare_table(conn, table, lane, cursor)?);
        }
        for (kind, sql) in [(Kind::Whole, WHOLE), (Kind::Tombstones, TOMBSTONES)] {
            let statement = conn.prepare_cached(sql).within(conn, WHAT)?;
            prepared.push(Prepared { kind, statements: vec![(statement, place_of(cursor)?)] });
        }
        let mut sources = Vec::new();
        for query in &mut prepared {
            let mut source = query.run(conn, lane, limit)?;
            source.advance(conn)?;
            if source.next.is_some() {
                sources.push(source);
            }
        }
        let models = page_models(conn, &sources, lane, cursor, limit)?;
        let mut sums = OwnedChecksum::new(*device, head.life);
        let page = fill(conn, sources, (&models, &mut sums), (max_rows.max(1), max_bytes))?;
        let next = page.next.unwrap_or(Cursor::after(head.seq));
        Ok(RowPage { count: page.writer.rows(), rows: page.writer.finish().into(), next })
    }
}

/// The place behind which rows of a table's model are wanted: a seq, and a key within it. No key is
/// empty, so the empty key stands before all of them.
fn behind(cursor: &Cursor, model: ModelId) -> Result<(i64, Vec<u8>), StoreError> {
    let seq = to_sql_seq(cursor.seq)?;
    Ok(match &cursor.at {
        Some((at, _)) if model > *at => (seq, Vec::new()),
        Some((at, key)) if model == *at => (seq, key.as_bytes().to_vec()),
        _ => (seq.saturating_add(1), Vec::new()),
    })
}

fn place_of(cursor: &Cursor) -> Result<Bounds, StoreError> {
    let seq = to_sql_seq(cursor.seq)?;
    Ok(match &cursor.at {
        None => Bounds::Place(seq, i64::MAX, Vec::new()),
        Some((model, key)) => Bounds::Place(seq, model.0.into(), key.as_bytes().to_vec()),
    })
}

fn prepare_table<'a, 'c>(
    conn: &'c Connection,
    table: &'a Table,
    lane: i64,
    cursor: &Cursor,
) -> Result<Prepared<'a, 'c>, StoreError> {
    let (seq, key) = behind(cursor, table.model)?;
    let mut statements = Vec::new();
    let mut first = conn.prepare_cached(&table.sql.first).within(conn, WHAT)?;
    let mut rows = first.query(params![lane, seq, MAX_SORTED + 1]).within(conn, WHAT)?;
    if let Some(row) = rows.next().within(conn, WHAT)? {
        let (found, count): (i64, i64) =
            (row.get(0).within(conn, WHAT)?, row.get(1).within(conn, WHAT)?);
        let key = if found == seq { key } else { Vec::new() };
        let mut from = (found, key);
        if count > MAX_SORTED {
            let block = conn.prepare_cached(&table.sql.block).within(conn, WHAT)?;
            statements.push((block, Bounds::Row(from.0, from.1)));
            from = (found.saturating_add(1), Vec::new());
        }
        let page = conn.prepare_cached(&table.sql.page).within(conn, WHAT)?;
        statements.push((page, Bounds::Row(from.0, from.1)));
    }
    Ok(Prepared { kind: Kind::Table(table), statements })
}

impl<'a> Prepared<'a, '_> {
    fn run<'s>(
        &'s mut self,
        conn: &Connection,
        lane: i64,
        limit: i64,
    ) -> Result<Source<'a, 's>, StoreError> {
        let mut rows = Vec::new();
        for (statement, bounds) in &mut self.statements {
            let query = match bounds {
                Bounds::Row(seq, key) => statement.query(params![lane, *seq, *key, limit]),
                Bounds::Place(seq, model, key) => {
                    statement.query(params![lane, *seq, *model, *key, limit])
                }
            };
            rows.push(query.within(conn, WHAT)?);
        }
        // The last is taken first.
        rows.reverse();
        Ok(Source { kind: self.kind, rows, next: None, key: Vec::new() })
    }
}

impl Source<'_, '_> {
    fn advance(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.next = None;
        while let Some(rows) = self.rows.last_mut() {
            rows.advance().within(conn, WHAT)?;
            let Some(row) = rows.get() else {
                self.rows.pop();
                continue;
            };
            let key = row.get_ref(0).and_then(|key| Ok(key.as_blob()?)).within(conn, WHAT)?;
            self.key.clear();
            self.key.extend_from_slice(key);
            let model = match self.kind {
                Kind::Table(table) => table.model,
                Kind::Whole | Kind::Tombstones => ModelId(row.get(2).within(conn, WHAT)?),
            };
            let seq = from_sql_seq(conn, row.get(1).within(conn, WHAT)?)?;
            self.next = Some((seq, model));
            break;
        }
        Ok(())
    }

    fn row(&self) -> Option<&Row<'_>> {
        self.rows.last().and_then(FallibleStreamingIterator::get)
    }

    fn place(&self) -> Option<(Seq, ModelId, &[u8])> {
        self.next.map(|(seq, model)| (seq, model, &self.key[..]))
    }

    /// Fails if the row that comes next is not what its checksum says.
    fn check(&self, conn: &Connection, made: u64, kept: i64) -> Result<(), StoreError> {
        if made == kept.cast_unsigned() {
            return Ok(());
        }
        Err(StoreError::damaged(conn, format!("the row {}", key_of(conn, &self.key)?)))
    }

    /// Adds the row that comes next to the page.
    fn write(
        &self,
        conn: &Connection,
        (page, sums): (&mut PageWriter, &mut OwnedChecksum),
        (at, columns): (usize, &[FieldId]),
    ) -> Result<(), StoreError> {
        let (Some((seq, model)), Some(row)) = (self.next, self.row()) else { return Ok(()) };
        match self.kind {
            Kind::Tombstones => page.tombstone(at, seq, &self.key),
            Kind::Whole => {
                let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob()?));
                let mut extras = Fields::new();
                decode_fields(bytes.within(conn, WHAT)?, &mut extras).within(conn, WHAT)?;
                let sum = sums.of(model, &self.key, seq, extras.iter().copied());
                self.check(conn, sum, row.get(4).within(conn, WHAT)?)?;
                let mut values = vec![ValueRef::Null; columns.len()];
                extras.retain(|(id, value)| match columns.binary_search(id) {
                    Err(_) => true,
                    Ok(at) => {
                        values[at] = *value;
                        false
                    }
                });
                page.row(at, seq, &self.key, values, &extras);
            }
            Kind::Table(table) => {
                let (values, extras) = table_values(conn, table, row)?;
                let ids = table.columns.iter().map(|column| column.field);
                let named = ids.zip(values.iter().copied());
                let sum = if extras.is_empty() {
                    sums.of(model, &self.key, seq, named)
                } else {
                    let mut all: Fields<'_> = named.chain(extras.iter().copied()).collect();
                    all.sort_by_key(|(id, _)| *id);
                    sums.of(model, &self.key, seq, all.into_iter())
                };
                let kept = row.get(table.columns.len() + 3).within(conn, WHAT)?;
                self.check(conn, sum, kept)?;
                page.row(at, seq, &self.key, values, &extras);
            }
        }
        Ok(())
    }
}

/// The values of a table's row in the order of its columns, and the fields that have no column.
fn table_values<'r>(
    conn: &Connection,
    table: &Table,
    row: &'r Row<'_>,
) -> Result<(Vec<ValueRef<'r>>, Fields<'r>), StoreError> {
    let n = table.columns.len();
    let mut values = Vec::with_capacity(n);
    for at in 2..n + 2 {
        let value = row.get_ref(at).within(conn, WHAT)?;
        values.push(column_value(value).within(conn, WHAT)?);
    }
    let mut extras = Vec::new();
    let more = row.get_ref(n + 2).and_then(|more| Ok(more.as_blob_or_null()?));
    if let Some(more) = more.within(conn, WHAT)? {
        let mut fields = Fields::new();
        decode_fields(more, &mut fields).within(conn, WHAT)?;
        for (id, value) in fields {
            match table.column(id) {
                Some(at) => values[at] = value,
                None => extras.push((id, value)),
            }
        }
    }
    Ok((values, extras))
}

/// The models that a page's rows can be of, with the columns that each has in it.
fn page_models(
    conn: &Connection,
    sources: &[Source<'_, '_>],
    lane: i64,
    cursor: &Cursor,
    limit: i64,
) -> Result<BTreeMap<ModelId, Vec<FieldId>>, StoreError> {
    let mut models = BTreeMap::new();
    let Bounds::Place(seq, model, key) = place_of(cursor)? else { return Ok(models) };
    for source in sources {
        let (Kind::Whole | Kind::Tombstones) = source.kind else { continue };
        let sql = if matches!(source.kind, Kind::Whole) { WHOLE } else { TOMBSTONES };
        let sql = format!("SELECT DISTINCT model FROM ({sql})");
        let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
        let mut rows = select.query(params![lane, seq, model, key, limit]).within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            models.insert(ModelId(row.get(0).within(conn, WHAT)?), Vec::new());
        }
    }
    for source in sources {
        if let Kind::Table(table) = source.kind {
            let fields = table.columns.iter().map(|column| column.field).collect();
            models.insert(table.model, fields);
        }
    }
    Ok(models)
}

/// A page that is full, and what is behind it, if anything.
struct Filled {
    writer: PageWriter,
    next: Option<Cursor>,
}

fn fill(
    conn: &Connection,
    mut sources: Vec<Source<'_, '_>>,
    (models, sums): (&BTreeMap<ModelId, Vec<FieldId>>, &mut OwnedChecksum),
    (max_rows, max_bytes): (usize, usize),
) -> Result<Filled, StoreError> {
    let described: Vec<PageModel> = models
        .iter()
        .map(|(model, fields)| PageModel { model: *model, fields: fields.clone() })
        .collect();
    let mut writer = PageWriter::new(&described);
    let mut last: Option<(Seq, ModelId, RecordKey)> = None;
    loop {
        let least = (0..sources.len()).min_by(|a, b| {
            let (a, b) = (sources[*a].place(), sources[*b].place());
            // What is exhausted stands behind everything.
            (a.is_none(), a).cmp(&(b.is_none(), b))
        });
        let Some(source) = least.and_then(|at| sources.get_mut(at)) else { break };
        let Some((seq, model, key)) = source.place() else { break };
        if writer.rows() >= max_rows || (writer.len() >= max_bytes && !writer.is_empty()) {
            let next = last.map(|(seq, model, key)| Cursor::at(seq, model, key));
            return Ok(Filled { writer, next });
        }
        let at = described.binary_search_by_key(&model, |described| described.model);
        let at = at.map_err(|_| StoreError::damaged(conn, format!("the model {model:?}")))?;
        let place = (seq, model, key_of(conn, key)?);
        if last.as_ref().is_some_and(|last| *last >= place) {
            return Err(StoreError::damaged(conn, format!("the order of {}", place.2)));
        }
        last = Some(place);
        source.write(conn, (&mut writer, sums), (at, &described[at].fields))?;
        source.advance(conn)?;
    }
    Ok(Filled { writer, next: None })
}
