//! The models of the simulated library: few, and with every rule among them.

use std::sync::Arc;

use driftless_core::id::RecordKey;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};

/// A shared model with a field of every rule.
pub const NOTE: ModelId = ModelId(10);
/// A shared model that replicas with the small schema do not know.
pub const BOX: ModelId = ModelId(11);
/// A link.
pub const TAGGING: ModelId = ModelId(12);
/// An owned model.
pub const FILE: ModelId = ModelId(20);
/// An owned model that replicas with the small schema do not know.
pub const DISK: ModelId = ModelId(21);

/// The last writer wins: text.
pub const NAME: FieldId = FieldId(1);
/// The last writer wins: a whole number.
pub const SIZE: FieldId = FieldId(2);
/// A counter.
pub const COUNT: FieldId = FieldId(3);
/// The greatest wins.
pub const TOP: FieldId = FieldId(4);
/// The least wins.
pub const LOW: FieldId = FieldId(5);
/// The last writer wins: the number of the key that it stands under.
pub const PARENT: FieldId = FieldId(6);

/// The rule of a field. Ids mean the same in every model.
pub fn rule_of(field: FieldId) -> MergeRule {
    match field {
        COUNT => MergeRule::Counter,
        TOP => MergeRule::Max,
        LOW => MergeRule::Min,
        _ => MergeRule::Lww,
    }
}

fn model(id: ModelId, name: &str, kind: ModelKind, fields: &[(FieldId, &str)]) -> ModelDescriptor {
    let fields = fields.iter().map(|(id, name)| FieldDescriptor {
        id: *id,
        name: (*name).to_owned(),
        ty: if *id == NAME { FieldType::Text } else { FieldType::Int },
        rule: rule_of(*id),
        nullable: true,
    });
    let fields = fields.collect();
    ModelDescriptor { id, name: name.to_owned(), kind, fields, indexes: vec![] }
}

/// The schema that knows everything, or the one of an older version, which knows less.
pub fn schema(small: bool) -> Arc<Schema> {
    let every = [
        (NAME, "name"),
        (SIZE, "size"),
        (COUNT, "count"),
        (TOP, "top"),
        (LOW, "low"),
        (PARENT, "parent"),
    ];
    let mut models = vec![
        model(NOTE, "note", ModelKind::Shared, &every),
        model(TAGGING, "tagging", ModelKind::Link, &[(NAME, "name")]),
        model(FILE, "file", ModelKind::Owned, &[(NAME, "name"), (SIZE, "size")]),
    ];
    if !small {
        let fields = [(NAME, "name"), (COUNT, "count")];
        models.push(model(BOX, "box", ModelKind::Shared, &fields));
        models.push(model(DISK, "disk", ModelKind::Owned, &[(NAME, "name")]));
    }
    Arc::new(Schema::new(models).expect("the simulated schema is well-formed"))
}

/// The `n`th key.
pub fn key(n: u64) -> RecordKey {
    RecordKey::new(&n.to_be_bytes()[6..]).expect("two bytes make a key")
}
