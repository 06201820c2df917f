//! How fast 100,000 file entries get into a library, against a plain INSERT of the same rows into
//! the same columns with the same indexes: `cargo run --release -p driftless-store --example
//! insert_rate [ROWS] [ROUNDS]`. Times are CPU time where the system tells it, else wall time;
//! figures are medians.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use driftless_core::change::{Change, ChangeSet, Draft, Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, Epoch, LibraryId, Origin, RecordKey, time_ordered_id};
use driftless_core::merge;
use driftless_core::page::{Cursor, PageModel, PageWriter};
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, IndexDescriptor, MergeRule, ModelDescriptor, ModelId,
    ModelKind, Schema,
};
use driftless_core::store::{Session, Store};
use driftless_core::value::Value;
use driftless_core::version::{Life, OwnedHead};
use driftless_store::{Identity, SqliteStore};
use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

const BATCH: usize = 1_000;
const FIELDS: [(&str, FieldType); 16] = [
    ("location", FieldType::Uuid),
    ("parent", FieldType::Uuid),
    ("name", FieldType::Text),
    ("name_raw", FieldType::Blob),
    ("extension", FieldType::Text),
    ("kind", FieldType::Int),
    ("size", FieldType::Int),
    ("modified", FieldType::Time),
    ("changed", FieldType::Time),
    ("created", FieldType::Time),
    ("inode", FieldType::Int),
    ("links", FieldType::Int),
    ("hash", FieldType::Blob),
    ("hidden", FieldType::Bool),
    ("scan", FieldType::Int),
    ("depth", FieldType::Int),
];
const INDEXES: [(&[&str], bool); 3] =
    [(&["parent", "name"], false), (&["hash"], true), (&["location"], false)];

fn entry() -> ModelDescriptor {
    let fields = FIELDS.iter().map(|(name, ty)| FieldDescriptor {
        id: FieldId::of(name),
        name: (*name).into(),
        ty: *ty,
        rule: MergeRule::Lww,
        nullable: true,
    });
    let indexes = INDEXES.iter().map(|(columns, partial)| IndexDescriptor {
        columns: columns.iter().map(|name| (*name).into()).collect(),
        partial: *partial,
    });
    ModelDescriptor {
        id: ModelId::of("entry"),
        name: "entry".into(),
        kind: ModelKind::Owned,
        fields: fields.collect(),
        indexes: indexes.collect(),
    }
}

/// A file's row: its key, and its values in the order of [`FIELDS`].
type Row = (Uuid, Vec<Value>);

fn rows(n: usize) -> Outcome<Vec<Row>> {
    let location = time_ordered_id(1, [7; 10]);
    let mut parent = location;
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        let hash = *blake3_like(i as u64);
        let mut random = [0; 10];
        random.copy_from_slice(&hash[..10]);
        let id = time_ordered_id(1_700_000_000_000 + i as u64 / 20, random);
        let number = i64::try_from(i)?;
        let dir = i % 12 == 0;
        let name = format!("{}-{number:05}.{}", ["notes", "IMG", "main", "report"][i % 4], "jpg");
        let time = Value::Int(1_650_000_000_000 + number * 997);
        out.push((
            id,
            vec![
                Value::Blob(location.as_bytes().to_vec()),
                Value::Blob(parent.as_bytes().to_vec()),
                Value::Text(name),
                Value::Null,
                if dir { Value::Null } else { Value::Text("jpg".into()) },
                Value::Int(i64::from(dir)),
                Value::Int(number * 4_321),
                time.clone(),
                time.clone(),
                time,
                Value::Int(1_000_000 + number),
                Value::Int(1),
                if dir { Value::Null } else { Value::Blob(hash.to_vec()) },
                Value::Int(0),
                Value::Int(1),
                Value::Int(number % 9),
            ],
        ));
        if dir {
            parent = id;
        }
    }
    Ok(out)
}

/// 32 bytes without pattern.
fn blake3_like(seed: u64) -> Box<[u8; 32]> {
    let mut state = seed.wrapping_add(1);
    let mut out = Box::new([0; 32]);
    for chunk in out.chunks_mut(8) {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ 0xd1b5_4a32_d192_ed03;
        let mixed = (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        chunk.copy_from_slice(&mixed.to_le_bytes());
    }
    out
}

/// The time that this thread has been on a CPU, in seconds.
fn cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: f64 = text.split(' ').next()?.parse().ok()?;
    Some(nanos / 1e9)
}

fn timed<T>(run: impl FnOnce() -> Outcome<T>) -> Outcome<(f64, T)> {
    let (wall, before) = (Instant::now(), cpu());
    let out = run()?;
    let seconds = match (before, cpu()) {
        (Some(before), Some(after)) => after - before,
        _ => wall.elapsed().as_secs_f64(),
    };
    Ok((seconds, out))
}

fn plain(dir: &Path, rows: &[Row]) -> Outcome<Connection> {
    let conn = Connection::open(dir.join("plain.db"))?;
    conn.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -8192; PRAGMA foreign_keys = OFF",
    )?;
    let types = |ty| match ty {
        FieldType::Text => "TEXT",
        FieldType::Uuid | FieldType::Blob => "BLOB",
        _ => "INTEGER",
    };
    let columns: Vec<String> =
        FIELDS.iter().map(|(name, ty)| format!("\"{name}\" {}", types(*ty))).collect();
    conn.execute_batch(&format!(
        "CREATE TABLE entry (id BLOB PRIMARY KEY NOT NULL, {}) STRICT",
        columns.join(", ")
    ))?;
    for (at, (columns, partial)) in INDEXES.iter().enumerate() {
        let only = if *partial { format!(" WHERE {} IS NOT NULL", columns[0]) } else { "".into() };
        let columns = columns.join(", ");
        conn.execute_batch(&format!("CREATE INDEX i{at} ON entry ({columns}){only}"))?;
    }
    let marks: Vec<String> = (1..=FIELDS.len() + 1).map(|n| format!("?{n}")).collect();
    let sql = format!("INSERT INTO entry VALUES ({})", marks.join(", "));
    for batch in rows.chunks(BATCH) {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = conn.prepare_cached(&sql)?;
        for (id, values) in batch {
            insert.raw_bind_parameter(1, &id.as_bytes()[..])?;
            for (at, value) in values.iter().enumerate() {
                insert.raw_bind_parameter(at + 2, sql_value(value))?;
            }
            insert.raw_execute()?;
        }
        drop(insert);
        conn.execute_batch("COMMIT")?;
    }
    Ok(conn)
}

fn sql_value(value: &Value) -> ToSqlOutput<'_> {
    use rusqlite::types::ValueRef as Sql;
    ToSqlOutput::Borrowed(match value {
        Value::Null => Sql::Null,
        Value::Int(n) => Sql::Integer(*n),
        Value::Real(x) => Sql::Real(*x),
        Value::Text(text) => Sql::Text(text.as_bytes()),
        Value::Blob(bytes) => Sql::Blob(bytes),
    })
}

fn life() -> Life {
    Life { mint: Hlc(1), epoch: Epoch(1) }
}

fn create(dir: &Path) -> Outcome<SqliteStore> {
    let identity = Identity {
        library: LibraryId(Uuid::from_bytes([1; 16])),
        device: DeviceId([1; 32]),
        shared_epoch: Epoch(1),
        owned_life: life(),
    };
    Ok(SqliteStore::create(dir, identity, Schema::new([entry(), tag_model()])?)?)
}

/// The rows as pages, each the change set of its number.
fn pages(rows: &[Row]) -> Outcome<Vec<Vec<u8>>> {
    let mut fields: Vec<(FieldId, usize)> =
        FIELDS.iter().enumerate().map(|(at, (name, _))| (FieldId::of(name), at)).collect();
    fields.sort();
    let ids = fields.iter().map(|(id, _)| *id).collect();
    let models = [PageModel { model: ModelId::of("entry"), fields: ids }];
    let mut out = Vec::new();
    for (batch, seq) in rows.chunks(BATCH).zip(1..) {
        let mut sorted: Vec<&Row> = batch.iter().collect();
        sorted.sort_by_key(|(id, _)| *id);
        let mut page = PageWriter::new(&models);
        for (id, values) in sorted {
            let values = fields.iter().map(|(_, at)| values[*at].as_ref());
            page.row(0, seq, id.as_bytes(), values, &[]);
        }
        out.push(page.finish());
    }
    Ok(out)
}

/// A whole session of another device's lane, a page a transaction.
fn session(store: &mut SqliteStore, pages: &[Vec<u8>], life: Life) -> Outcome<()> {
    let device = DeviceId([2; 32]);
    let target = pages.len() as u64;
    for (page, seq) in pages.iter().zip(1..) {
        let cursor = Cursor::after(seq);
        store.begin()?;
        let session = Session { life, cursor, target, first: target, full: true };
        store.stage_page(&device, page, session)?;
        if seq == target {
            store.finish_session(&device)?;
        }
        store.commit()?;
    }
    Ok(())
}

/// The same rows as this device's own.
fn own(store: &mut SqliteStore, rows: &[Row]) -> Outcome<()> {
    let entry = ModelId::of("entry");
    let ids: Vec<FieldId> = FIELDS.iter().map(|(name, _)| FieldId::of(name)).collect();
    for (batch, seq) in rows.chunks(BATCH).zip(1..) {
        store.begin()?;
        store.set_own_head(OwnedHead { life: life(), seq })?;
        for (id, values) in batch {
            let named = ids.iter().copied().zip(values.iter().cloned());
            let fields: Vec<_> = named.filter(|(_, value)| !value.is_null()).collect();
            store.put_owned(entry, &RecordKey::from(*id), seq, Some(&fields))?;
        }
        store.commit()?;
    }
    Ok(())
}

fn tag_model() -> ModelDescriptor {
    let field = |name: &str, ty| FieldDescriptor {
        id: FieldId::of(name),
        name: name.into(),
        ty,
        rule: MergeRule::Lww,
        nullable: true,
    };
    ModelDescriptor {
        id: ModelId::of("tag"),
        name: "tag".into(),
        kind: ModelKind::Shared,
        fields: vec![
            field("name", FieldType::Text),
            field("color", FieldType::Text),
            field("description", FieldType::Text),
            field("parent", FieldType::Uuid),
            field("kind", FieldType::Int),
        ],
        indexes: vec![IndexDescriptor { columns: vec!["name".into()], partial: false }],
    }
}

const TAGS: u64 = 10_000;

/// Tags as shared records, each made by a change set of its own, a hundred a transaction; and the
/// same in a plain table. Returns seconds and the sizes of the two files.
fn tags(dir: &Path) -> Outcome<(f64, u64, u64)> {
    let conn = Connection::open(dir.join("tags.db"))?;
    conn.execute_batch(
        "PRAGMA page_size = 8192; CREATE TABLE tag (id BLOB PRIMARY KEY NOT NULL, name TEXT, \
         color TEXT, description TEXT, parent BLOB, kind INTEGER) STRICT; \
         CREATE INDEX by_name ON tag (name); BEGIN",
    )?;
    let mut store = create(dir)?;
    let origin = Origin::shared(DeviceId([1; 32]), Epoch(1));
    let mut spent = 0.0;
    for chunk in 0..TAGS / 100 {
        let tags: Vec<_> = (chunk * 100..chunk * 100 + 100).map(tag).collect();
        for (id, values) in &tags {
            let mut insert =
                conn.prepare_cached("INSERT INTO tag VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            insert.raw_bind_parameter(1, &id.as_bytes()[..])?;
            for (at, (_, value)) in values.iter().enumerate() {
                insert.raw_bind_parameter(at + 2, sql_value(value))?;
            }
            insert.raw_execute()?;
        }
        let (seconds, ()) = timed(|| {
            store.begin()?;
            for (id, values) in &tags {
                create_tag(&mut store, origin, RecordKey::from(*id), values)?;
            }
            store.commit()?;
            Ok(store.flush_log()?)
        })?;
        spent += seconds;
    }
    conn.execute_batch("COMMIT")?;
    store.begin()?;
    store.commit()?;
    store.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok((spent, store.sizes()?.library, std::fs::metadata(dir.join("tags.db"))?.len()))
}

/// A tag's id and values.
fn tag(n: u64) -> (Uuid, Vec<(FieldId, Value)>) {
    let mut random = [0; 10];
    random.copy_from_slice(&blake3_like(n)[..10]);
    let id = time_ordered_id(1_700_000_000_000 + n, random);
    let values = vec![
        (FieldId::of("name"), Value::Text(format!("holiday {n}"))),
        (FieldId::of("color"), Value::Text("#a0c4ff".into())),
        (FieldId::of("description"), Value::Null),
        (FieldId::of("parent"), Value::Blob(id.as_bytes().to_vec())),
        (FieldId::of("kind"), Value::Int(0)),
    ];
    (id, values)
}

fn create_tag(
    store: &mut SqliteStore,
    origin: Origin,
    key: RecordKey,
    values: &[(FieldId, Value)],
) -> Outcome<()> {
    let model = ModelId::of("tag");
    let head = store.vector().head(&origin);
    let dot = Dot::new(origin, head.map_or(1, |head| head.seq + 1));
    let hlc = Hlc::from_ms(1_700_000_000_000 + dot.seq);
    let write = |(field, value): &(FieldId, Value)| Write {
        field: *field,
        over: vec![],
        value: value.clone(),
    };
    let op = Op::Create { over: vec![], fields: values.iter().map(write).collect() };
    let mut record = store.record(model, &key)?;
    merge::apply(&mut record, &op, dot, hlc, |_| false);
    store.put_record(model, &key, &record)?;
    let draft = Draft { dot, prev: head.map_or([0; 32], |head| head.hash), hlc, needs: vec![] };
    let change = Change { model, key, op };
    Ok(store.append(&ChangeSet::new(draft, &[change])?)?)
}

/// Reads a lane from begin to end, in pages of 5,000 rows.
fn read(store: &mut SqliteStore, device: DeviceId, head: u64) -> Outcome<usize> {
    let (mut cursor, mut n) = (Cursor::after(0), 0);
    while cursor < Cursor::after(head) {
        let page = store.read_page(&device, &cursor, 5_000, 1 << 20)?;
        n += page.count;
        cursor = page.next;
    }
    Ok(n)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What one round measured: a name, and seconds.
type Times = Vec<(&'static str, f64)>;

fn round(rows: &[Row], pages: &[Vec<u8>], report: bool) -> Outcome<Times> {
    let mut times = Times::new();
    let dir = tempfile::tempdir()?;
    let (seconds, conn) = timed(|| plain(dir.path(), rows))?;
    times.push(("plain INSERT", seconds));
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let plain_size = std::fs::metadata(dir.path().join("plain.db"))?.len();
    let mut store = create(&dir.path().join("joiner"))?;
    let (seconds, ()) = timed(|| session(&mut store, pages, life()))?;
    times.push(("stage_page in place, finish_session", seconds));
    store.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let sizes = store.sizes()?;
    if report {
        println!(
            "library.db {:.1} MB, plain {:.1} MB: {:.3} times",
            megabytes(sizes.library),
            megabytes(plain_size),
            sizes.library as f64 / plain_size as f64
        );
    }
    let device = DeviceId([2; 32]);
    let (seconds, n) = timed(|| read(&mut store, device, pages.len() as u64))?;
    assert_eq!(n, rows.len());
    times.push(("read_page", seconds));
    let (seconds, read) = timed(|| Ok(store.snapshot()?.read_rows()?))?;
    assert_eq!(&read.digests, store.digests());
    times.push(("reading all rows", seconds));
    let later = Life { mint: Hlc(2), epoch: Epoch(2) };
    let (seconds, ()) = timed(|| session(&mut store, pages, later))?;
    times.push(("staged beside exact rows, replacing all", seconds));
    let mut store = create(&dir.path().join("owner"))?;
    let (seconds, ()) = timed(|| own(&mut store, rows))?;
    times.push(("put_owned", seconds));
    let (seconds, ()) = timed(|| own(&mut store, rows))?;
    times.push(("put_owned again", seconds));
    Ok(times)
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let n: usize = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse())?;
    let rows = rows(n)?;
    let pages = pages(&rows)?;
    let mut all = Vec::new();
    for at in 0..rounds.max(1) {
        all.push(round(&rows, &pages, at == 0)?);
    }
    let dir = tempfile::tempdir()?;
    let (seconds, ours, plain) = tags(dir.path())?;
    println!(
        "{TAGS} tags, a change set each, 100 a transaction: {:.0} a second; library.db {:.2} MB, \
         plain {:.2} MB: {:.2} times",
        TAGS as f64 / seconds,
        megabytes(ours),
        megabytes(plain),
        ours as f64 / plain as f64
    );
    let base: Vec<f64> = all.iter().filter_map(|times| times.first()).map(|t| t.1).collect();
    for at in 0..all[0].len() {
        let mut seconds: Vec<f64> = all.iter().map(|times| times[at].1).collect();
        let mut ratios: Vec<f64> = seconds.iter().zip(&base).map(|(s, b)| s / b).collect();
        seconds.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        let (seconds, ratio) = (seconds[seconds.len() / 2], ratios[ratios.len() / 2]);
        println!("{:>9.0} rows/s  {ratio:>5.2} x  {}", n as f64 / seconds, all[0][at].0);
    }
    Ok(())
}
