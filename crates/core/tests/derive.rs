//! `#[derive(Syncable)]` against the schema that it writes descriptors of.

use driftless_core::id::RecordKey;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, FieldValue, IndexDescriptor, MergeRule, ModelId,
    ModelKind, Schema, SchemaError, Syncable as _,
};
use driftless_core::value::Value;
use driftless_derive::Syncable;
use uuid::Uuid;

/// Every attribute once, and every way to give a key or an id.
#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(crate = "driftless_core", shared, name = "book", model_id = 0x0b00)]
#[sync(index(title, genre), index(year))]
#[sync(partial_index(lent_to))]
struct PaperBook {
    title: String,
    #[sync(name = "kind", field_id = 7)]
    genre: Option<String>,
    #[sync(id)]
    shelf_mark: RecordKey,
    year: Option<i32>,
    lent_to: Option<Uuid>,
    #[sync(rule = "counter")]
    times_read: i64,
    #[sync(rule = "max")]
    best_rank: u32,
    #[sync(rule = "min")]
    lowest_price: Option<i64>,
    #[sync(ty = "time")]
    bought: Option<i64>,
    #[sync(ty = "json", was = "extras")]
    extra: String,
    #[sync(ty = "bool", rule = "lww")]
    r#pub: u8,
    weight: f64,
    signed: bool,
    cover: Vec<u8>,
}

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(owned, crate = "driftless_core")]
struct DiskEntry {
    id: Uuid,
    name: String,
}

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(link, crate = "::driftless_core")]
struct TagOnFile {
    id: Uuid,
    tag: Uuid,
    content: Uuid,
}

fn book() -> PaperBook {
    PaperBook {
        title: "Momo".into(),
        genre: Some("novel".into()),
        shelf_mark: RecordKey::new(b"M-17").expect("a short key"),
        year: Some(1973),
        lent_to: None,
        times_read: -2,
        best_rank: u32::MAX,
        lowest_price: None,
        bought: Some(1_700_000_000_000),
        extra: "{\"a\":1}".into(),
        r#pub: 1,
        weight: 0.25,
        signed: true,
        cover: vec![0, 255],
    }
}

fn field(id: FieldId, name: &str, ty: FieldType, nullable: bool) -> FieldDescriptor {
    FieldDescriptor { id, name: name.into(), ty, rule: MergeRule::Lww, nullable }
}

fn index(columns: &[&str], partial: bool) -> IndexDescriptor {
    IndexDescriptor { columns: columns.iter().map(ToString::to_string).collect(), partial }
}

#[test]
fn the_descriptor_says_what_the_struct_says() {
    use FieldType::*;
    let of = FieldId::of;
    let ruled = |name: &str, rule, nullable| FieldDescriptor {
        rule,
        ..field(FieldId::of(name), name, Int, nullable)
    };
    let model = PaperBook::descriptor();
    assert_eq!(model.id, ModelId(0x0b00));
    assert_eq!(model.name, "book");
    assert_eq!(model.kind, ModelKind::Shared);
    let expected = [
        field(of("title"), "title", Text, false),
        field(FieldId(7), "kind", Text, true),
        field(of("year"), "year", Int, true),
        field(of("lent_to"), "lent_to", Uuid, true),
        ruled("times_read", MergeRule::Counter, false),
        ruled("best_rank", MergeRule::Max, false),
        ruled("lowest_price", MergeRule::Min, true),
        field(of("bought"), "bought", Time, true),
        field(of("extras"), "extra", Json, false),
        field(of("pub"), "pub", Bool, false),
        field(of("weight"), "weight", Real, false),
        field(of("signed"), "signed", Bool, false),
        field(of("cover"), "cover", Blob, false),
    ];
    assert_eq!(model.fields, expected);
    let indexes =
        [index(&["title", "kind"], false), index(&["year"], false), index(&["lent_to"], true)];
    assert_eq!(model.indexes, indexes);
}

#[test]
fn names_and_ids_follow_from_the_struct() {
    let (owned, link) = (DiskEntry::descriptor(), TagOnFile::descriptor());
    assert_eq!((owned.name.as_str(), owned.kind), ("disk_entry", ModelKind::Owned));
    assert_eq!((link.name.as_str(), link.kind), ("tag_on_file", ModelKind::Link));
    assert_eq!(owned.id, ModelId::of("disk_entry"));
    assert_eq!(link.id, ModelId::of("tag_on_file"));
    assert!(owned.indexes.is_empty());
}

#[test]
fn derived_models_make_a_schema() {
    let models = [PaperBook::descriptor(), DiskEntry::descriptor(), TagOnFile::descriptor()];
    let schema = Schema::new(models).unwrap();
    assert_eq!(schema.iter().count(), 3);
    assert_eq!(schema.model_named("book").unwrap().fields.len(), 13);
    let twice = Schema::new([DiskEntry::descriptor(), DiskEntry::descriptor()]);
    assert!(matches!(twice, Err(SchemaError::Twice { .. })));
}

#[test]
fn records_come_back_as_they_were() {
    let book = book();
    assert_eq!(book.key().as_bytes(), b"M-17");
    let values = book.values();
    assert_eq!(values.len(), PaperBook::descriptor().fields.len());
    assert_eq!(values[..2], [Value::Text("Momo".into()), Value::Text("novel".into())]);
    assert_eq!(values[3], Value::Null);
    assert_eq!(PaperBook::from_values(&book.key(), values), Ok(book));

    let (id, tag, content) =
        (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]), Uuid::from_bytes([3; 16]));
    let link = TagOnFile { id, tag, content };
    assert_eq!(link.key(), RecordKey::from(id));
    assert_eq!(link.values(), [tag.to_value(), content.to_value()]);
    assert_eq!(TagOnFile::from_values(&link.key(), link.values()), Ok(link));
}

#[test]
fn a_wrong_number_of_values_is_refused() {
    let key = RecordKey::from(Uuid::from_bytes([1; 16]));
    for count in [0, 2] {
        let refusal = DiskEntry::from_values(&key, vec![Value::Null; count]).unwrap_err();
        assert_eq!(refusal.field, "disk_entry");
        assert_eq!(
            refusal.to_string(),
            format!("field \"disk_entry\" holds {count} values, which is no record of 1 field")
        );
    }
}

#[test]
fn a_value_of_another_type_is_refused_by_field() {
    let book = book();
    let refused = |at: usize, value: Value| {
        let mut values = book.values();
        values[at] = value;
        PaperBook::from_values(&book.key(), values).unwrap_err()
    };
    let refusal = refused(0, Value::Null);
    assert_eq!((refusal.field.as_str(), refusal.found.as_str()), ("title", "Null"));
    assert_eq!(refused(1, Value::Int(1)).field, "kind");
    assert_eq!(refused(2, Value::Int(i64::MAX)).field, "year");
    assert_eq!(refused(3, Value::Blob(vec![0; 15])).field, "lent_to");
    assert_eq!(refused(8, Value::Int(1)).field, "extra");
    assert_eq!(refused(11, Value::Int(2)).field, "signed");
}

#[test]
fn a_key_that_is_no_uuid_is_refused() {
    let key = RecordKey::new(b"short").unwrap();
    let refusal = DiskEntry::from_values(&key, vec![Value::Text("a".into())]).unwrap_err();
    assert_eq!(refusal.field, "id");
    assert_eq!(refusal.found, key.to_string());
}

macro_rules! model {
    ($name:ident { $($field:ident: $ty:ty),* }) => {
        #[derive(Syncable)]
        #[sync(shared, crate = "driftless_core")]
        struct $name { id: Uuid, $($field: $ty),* }
    };
}

model!(Written { by: String, at: Option<i64> });

#[test]
fn structs_may_come_from_other_macros() {
    let written = Written { id: Uuid::nil(), by: "a macro".into(), at: None };
    let back = Written::from_values(&written.key(), written.values()).unwrap();
    assert_eq!((back.by.as_str(), back.at), ("a macro", None));
}

// An embedder sees the core as `driftless::core`; this test crate poses as that crate.
extern crate self as driftless;

#[allow(missing_docs)]
pub mod core {
    pub use driftless_core::{id, schema, value};
}

#[derive(Syncable)]
#[sync(shared)]
struct Plain {
    id: Uuid,
    title: String,
}

#[test]
fn the_default_path_is_the_embedders() {
    let plain = Plain { id: Uuid::nil(), title: "x".into() };
    assert_eq!(Plain::descriptor().id, ModelId::of("plain"));
    assert_eq!(plain.values().len(), 1);
}
