//! `#[derive(Syncable)]`: a plain struct becomes a model.
//!
//! The macro reads the struct (`model` and `field`), refuses in words what cannot be a model, and
//! writes an implementation of `driftless_core::schema::Syncable` (`expand`). It makes no decision
//! of its own: what a name, a type or a rule means is said in `driftless_core::schema`.

mod attr;
mod expand;
mod field;
mod model;
#[cfg(test)]
mod tests;

use syn::{DeriveInput, parse_macro_input};

/// Makes a model of a struct with named fields: implements `schema::Syncable` for it.
///
/// ```
/// use driftless_core::id::RecordKey;
/// use driftless_core::schema::{FieldId, MergeRule, ModelKind, Schema, Syncable as _};
/// use driftless_derive::Syncable;
/// use uuid::Uuid;
///
/// #[derive(Syncable, Clone, PartialEq, Debug)]
/// #[sync(shared, index(title, year), partial_index(lent_to))]
/// // Only for crates that depend on `driftless-core` rather than on `driftless`:
/// #[sync(crate = "driftless_core")]
/// struct Book {
///     id: Uuid,
///     title: String,
///     year: Option<i32>,
///     lent_to: Option<Uuid>,
///     #[sync(rule = "counter")]
///     times_read: i64,
///     #[sync(ty = "time")]
///     bought: Option<i64>,
///     // Was `remarks` in an earlier version: the stable id stays, the column is renamed.
///     #[sync(was = "remarks")]
///     note: Option<String>,
/// }
///
/// let model = Book::descriptor();
/// assert_eq!(model.name, "book");
/// assert_eq!(model.kind, ModelKind::Shared);
/// assert_eq!(model.fields[3].rule, MergeRule::Counter);
/// assert_eq!(model.field_named("note").unwrap().id, FieldId::of("remarks"));
/// Schema::new([model])?;
///
/// let book = Book {
///     id: Uuid::from_bytes([7; 16]),
///     title: "Momo".into(),
///     year: Some(1973),
///     lent_to: None,
///     times_read: 2,
///     bought: None,
///     note: None,
/// };
/// assert_eq!(book.key(), RecordKey::from(book.id));
/// assert_eq!(Book::from_values(&book.key(), book.values())?, book);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # On the struct
///
/// | attribute | meaning |
/// |---|---|
/// | `owned`, `shared`, `link` | who writes the records and how they merge; exactly one |
/// | `name = "tag"` | the model's name and table; by default the struct's name in snake_case |
/// | `model_id = 123` | the stable id; by default `ModelId::of` the name |
/// | `index(a, b)` | an index for queries, by the struct's field names; may be repeated |
/// | `partial_index(a, b)` | the same, without the rows that have a null in the first column |
/// | `crate = "path"` | where `schema`, `value` and `id` are found; by default `::driftless::core` |
///
/// # On a field
///
/// | attribute | meaning |
/// |---|---|
/// | `id` | the record's key, a `Uuid` or a `RecordKey`; by default the field named `id` |
/// | `name = "colour"` | its name and column; by default the field's name |
/// | `field_id = 7` | the stable id; by default `FieldId::of` the name |
/// | `was = "old"` | the stable id is the one that follows from this earlier name |
/// | `rule = "lww"` | how concurrent values merge: `lww` (default), `counter`, `max` or `min`; others than `lww` for whole numbers of shared models |
/// | `ty = "json"` | what the column holds: `bool`, `int`, `real`, `text`, `blob`, `uuid`, `json` or `time`; by default what the Rust type says. It must be kept in the same way: `json` and `text` as text, `bool`, `int` and `time` as whole numbers, `blob` and `uuid` as bytes |
///
/// A field's type is any `schema::FieldValue`; `Option` makes it nullable. Every field is synced:
/// there is no attribute to leave one out, as a record must come back as it was written.
///
/// # What is refused when
///
/// The compiler refuses what can be seen in the struct alone: the errors stand at the word at fault.
/// Clashes of stable ids are seen by `Schema::new`, which knows all models. `from_values` refuses a
/// wrong number of values, a value that does not fit its field's type, and a key that is no UUID
/// where the struct asks for one.
///
/// ```compile_fail
/// # use driftless_derive::Syncable;
/// #[derive(Syncable)]
/// #[sync(shared, crate = "driftless_core")]
/// struct Book {
///     id: uuid::Uuid,
///     #[sync(rule = "max")] // "this merge rule is for whole numbers"
///     title: String,
/// }
/// ```
#[proc_macro_derive(Syncable, attributes(sync))]
pub fn derive_syncable(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}
