//! What can happen to a store, and what different builds know.

use driftless_core::schema::{FieldType, ModelDescriptor, ModelId, ModelKind, Schema};
use driftless_core::value::Value;
use proptest::prelude::*;

use crate::common::{entry, field, model, tag, volume};

/// A model and the fields that are written in it; the first three and "tag" have tables.
pub(crate) const OWNED: [&str; 3] = ["entry", "volume", "from_the_future"];
pub(crate) const SHARED: [&str; 2] = ["tag", "link_from_the_future"];
pub(crate) const FIELDS: [&str; 5] = ["name", "size", "hidden", "hash", "new_field"];

pub(crate) const SCHEMAS: usize = 7;

/// What different builds know.
pub(crate) fn schemas(at: usize) -> Schema {
    use FieldType::{Blob, Bool, Int, Text};
    let future = model("from_the_future", ModelKind::Owned, vec![field("name", Text)]);
    let link = model("link_from_the_future", ModelKind::Link, vec![field("hash", Blob)]);
    let with = |mut model: ModelDescriptor, name, ty| {
        model.fields.retain(|field| field.name != name);
        model.fields.push(field(name, ty));
        model
    };
    let without = |mut model: ModelDescriptor, name| {
        model.fields.retain(|field| field.name != name);
        model.indexes.clear();
        model
    };
    let models = match at {
        0 => vec![tag(), entry(), volume()],
        1 => vec![tag(), entry(), volume(), future, link],
        2 => vec![without(tag(), "name"), without(entry(), "name")],
        3 => vec![with(tag(), "new_field", Text), with(entry(), "new_field", Int), volume()],
        4 => {
            vec![with(tag(), "size", Int), with(entry(), "size", Bool), with(volume(), "name", Int)]
        }
        // Names and kinds change hands.
        5 => vec![
            ModelDescriptor { name: "volume".into(), ..entry() },
            ModelDescriptor { name: "entry".into(), ..volume() },
            ModelDescriptor { kind: ModelKind::Link, ..without(tag(), "count") },
        ],
        _ => vec![
            ModelDescriptor { id: ModelId::of("tag"), ..volume() },
            ModelDescriptor { id: ModelId::of("entry"), ..tag() },
        ],
    };
    Schema::new(models).unwrap()
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Writes a shared record.
    Record {
        model: usize,
        key: u8,
        fields: Vec<(usize, Vec<Val>)>,
        alive: bool,
    },
    /// Logs a change set.
    Append {
        origin: u8,
    },
    /// Writes or deletes rows of a device's own lane: of the tested store's (1) or a server's.
    Rows {
        device: u8,
        rows: Vec<Row>,
    },
    /// The device goes on under a new life.
    NewLife {
        device: u8,
    },
    /// Pulls a page of a server's lane.
    Pull {
        device: u8,
        max_rows: usize,
        delta: bool,
    },
    /// Gives up a session.
    Drop {
        device: u8,
    },
    Commit,
    Rollback,
    /// Opens the library again, with one of [`schemas`].
    Reopen {
        schema: usize,
    },
    Flush,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) model: usize,
    pub(crate) key: u8,
    pub(crate) fields: Option<Vec<(usize, Val)>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Val {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Val {
    pub(crate) fn value(&self) -> Value {
        match self {
            Val::Null => Value::Null,
            Val::Int(n) => Value::Int(*n),
            Val::Real(x) => Value::Real(*x),
            Val::Text(text) => Value::Text(text.clone()),
            Val::Blob(bytes) => Value::Blob(bytes.clone()),
        }
    }
}

pub(crate) fn val() -> impl Strategy<Value = Val> {
    prop_oneof![
        Just(Val::Null),
        prop_oneof![Just(0), Just(1), any::<i64>()].prop_map(Val::Int),
        (-1000i32..1000).prop_map(|n| Val::Real(f64::from(n.max(1)) / 3.0)),
        ".{0,6}".prop_map(Val::Text),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(Val::Blob),
    ]
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let fields = proptest::collection::vec((0..FIELDS.len(), val()), 0..5);
    (0..OWNED.len(), 0u8..6, proptest::option::weighted(0.75, fields))
        .prop_map(|(model, key, fields)| Row { model, key, fields })
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let versions = proptest::collection::vec(val(), 1..4);
    let fields = proptest::collection::vec((0..FIELDS.len(), versions), 0..4);
    let record = (0..SHARED.len(), 0u8..4, fields, proptest::bool::weighted(0.8))
        .prop_map(|(model, key, fields, alive)| Op::Record { model, key, fields, alive });
    let rows = (1u8..4, proptest::collection::vec(row(), 1..8))
        .prop_map(|(device, rows)| Op::Rows { device, rows });
    let pull = (2u8..4, prop_oneof![1usize..4, Just(1000)], any::<bool>())
        .prop_map(|(device, max_rows, delta)| Op::Pull { device, max_rows, delta });
    prop_oneof![
        3 => record,
        2 => (1u8..4).prop_map(|origin| Op::Append { origin }),
        6 => rows,
        1 => (1u8..4).prop_map(|device| Op::NewLife { device }),
        10 => pull,
        1 => (2u8..4).prop_map(|device| Op::Drop { device }),
        3 => Just(Op::Commit),
        1 => Just(Op::Rollback),
        2 => (0..SCHEMAS).prop_map(|schema| Op::Reopen { schema }),
        1 => Just(Op::Flush),
    ]
}
