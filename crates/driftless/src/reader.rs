//! Reading structs with plain SQL.

use driftless_core::id::RecordKey;
use driftless_core::schema::{ModelDescriptor, Syncable};
use driftless_core::value::Value;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

use crate::error::Error;

/// The record with this key, or `None`.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let id = library.write(|tx| {
///     let todo = Todo { id: tx.new_id(), title: "Water the plants".into(), done: false };
///     tx.insert(&todo)?;
///     Ok::<_, driftless::Error>(todo.id)
/// })?;
/// let todo: Option<Todo> = library.query(|db| driftless::get(db, id))??;
/// assert_eq!(todo.unwrap().title, "Water the plants");
/// # Ok::<(), driftless::Error>(())
/// ```
pub fn get<T: Syncable>(db: &Connection, key: impl Into<RecordKey>) -> Result<Option<T>, Error> {
    let key = key.into();
    Ok(all(db, "id = ?1", [key.as_bytes()])?.into_iter().next())
}

/// The records for which `condition` (what stands behind `WHERE`; it may go on with `ORDER BY` and
/// `LIMIT`) holds.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// library.write(|tx| {
///     for title in ["b", "a"] {
///         let id = tx.new_id();
///         tx.insert(&Todo { id, title: title.into(), done: false })?;
///     }
///     Ok::<_, driftless::Error>(())
/// })?;
/// let open: Vec<Todo> =
///     library.query(|db| driftless::all(db, "done = ?1 ORDER BY title LIMIT 10", [false]))??;
/// assert_eq!(open.iter().map(|todo| todo.title.as_str()).collect::<Vec<_>>(), ["a", "b"]);
/// # Ok::<(), driftless::Error>(())
/// ```
pub fn all<T: Syncable>(
    db: &Connection,
    condition: &str,
    params: impl Params,
) -> Result<Vec<T>, Error> {
    let model = T::described();
    let mut select = db.prepare_cached(&select(&model, condition))?;
    let mut rows = select.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn select(model: &ModelDescriptor, condition: &str) -> String {
    let columns = model.fields.iter().map(|field| format!(", \"{}\"", field.name));
    format!("SELECT id{} FROM \"{}\" WHERE {condition}", columns.collect::<String>(), model.name)
}

fn read<T: Syncable>(row: &Row<'_>) -> Result<T, Error> {
    let id: Vec<u8> = row.get(0)?;
    let bad_key = |_| rusqlite::Error::IntegralValueOutOfRange(0, 0);
    let key = RecordKey::new(&id).map_err(bad_key)?;
    let columns = T::described().fields.len();
    let values = (1..=columns).map(|i| value(row.get_ref(i)?));
    let values = values.collect::<Result<Vec<_>, rusqlite::Error>>()?;
    Ok(T::from_values(&key, values)?)
}

fn value(value: ValueRef<'_>) -> Result<Value, rusqlite::Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(x) => Value::Real(x),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}
