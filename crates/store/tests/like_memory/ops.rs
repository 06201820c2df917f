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
    /// Forgets some of the log.
    PruneLog {
        upto: Vec<(u8, u64)>,
    },
    /// Forgets tombstones of a lane, if it is exact.
    PruneLane {
        device: u8,
        upto: u64,
    },
    /// Does what can be done at leisure.
    Sweep,
    /// `sync.db` is deleted, and the library opened again.
    LoseLog,
    /// Keeps the state for a peer.
    Pin {
        peer: u8,
    },
    /// Reads a range of what is kept for a peer.
    ReadPin {
        peer: u8,
        model: usize,
        range: Range,
        rows: u64,
        max: usize,
    },
    Unpin {
        peer: u8,
    },
    /// A peer's records of a range have come.
    Mirror {
        model: usize,
        range: Range,
        records: Vec<(u8, Option<Fields>)>,
    },
    /// A peer's record has come, or that it has none.
    PutMirror {
        model: usize,
        key: u8,
        fields: Option<Fields>,
    },
    ClearMirror,
    /// Takes over heads: so much further than ours.
    Adopt {
        heads: Vec<(u8, u64)>,
    },
}

/// Fields and the versions of each.
pub(crate) type Fields = Vec<(usize, Vec<Val>)>;
/// Behind a key, and up to one.
pub(crate) type Range = (Option<u8>, Option<u8>);

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
        8 => floor_op(),
        10 => reconcile_op(),
    ]
}

fn floor_op() -> impl Strategy<Value = Op> {
    let upto = proptest::collection::vec((1u8..4, 0u64..5), 0..3);
    let heads = proptest::collection::vec((1u8..5, 0u64..4), 0..3);
    prop_oneof![
        3 => upto.prop_map(|upto| Op::PruneLog { upto }),
        3 => (1u8..4, 0u64..9).prop_map(|(device, upto)| Op::PruneLane { device, upto }),
        1 => Just(Op::Sweep),
        1 => Just(Op::LoseLog),
        1 => heads.prop_map(|heads| Op::Adopt { heads }),
    ]
}

fn reconcile_op() -> impl Strategy<Value = Op> {
    let fields = || {
        let versions = proptest::collection::vec(val(), 1..3);
        let fields = proptest::collection::vec((0..FIELDS.len(), versions), 0..3);
        proptest::option::weighted(0.7, fields)
    };
    let range = || (proptest::option::of(0u8..4), proptest::option::of(0u8..4));
    let records = proptest::collection::btree_map(0u8..4, fields(), 0..4);
    let mirror = (0..SHARED.len(), range(), records).prop_map(|(model, range, records)| {
        let inside =
            |key: &u8| range.0.is_none_or(|r| r < *key) && range.1.is_none_or(|r| *key <= r);
        let records = records.into_iter().filter(|(key, _)| inside(key)).collect();
        Op::Mirror { model, range, records }
    });
    let read = (1u8..3, 0..SHARED.len(), range(), 1u64..4, 1usize..4)
        .prop_map(|(peer, model, range, rows, max)| Op::ReadPin { peer, model, range, rows, max });
    prop_oneof![
        2 => (1u8..3).prop_map(|peer| Op::Pin { peer }),
        4 => read,
        1 => (1u8..3).prop_map(|peer| Op::Unpin { peer }),
        4 => mirror,
        2 => (0..SHARED.len(), 0u8..4, fields())
            .prop_map(|(model, key, fields)| Op::PutMirror { model, key, fields }),
        1 => Just(Op::ClearMirror),
    ]
}
