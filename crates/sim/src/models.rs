//! The models of the simulated library: those of a catalogue of files, as the engine sees them, with
//! every merge rule among their fields.

use std::sync::Arc;

use driftless_core::id::RecordKey;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};

/// Shared, and each record is written by the device that it is of.
pub const DEVICE: ModelId = ModelId(1);
/// Owned. Replicas with the small schema do not know it.
pub const VOLUME: ModelId = ModelId(2);
/// Owned, on a volume.
pub const LOCATION: ModelId = ModelId(3);
/// Owned, in a location, in a tree.
pub const ENTRY: ModelId = ModelId(4);
/// Shared, in a tree.
pub const TAG: ModelId = ModelId(5);
/// Shared. Replicas with the small schema do not know it.
pub const COLLECTION: ModelId = ModelId(6);
/// Shared, with a field of every rule.
pub const METADATA: ModelId = ModelId(7);
/// A link: a tag on something.
pub const TAGGING: ModelId = ModelId(8);
/// A link: something in a collection. Replicas with the small schema do not know it.
pub const MEMBER: ModelId = ModelId(9);

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
/// The last writer wins: the number of the key that it is on.
pub const ON: FieldId = FieldId(7);

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
    let (name, size, count) = ((NAME, "name"), (SIZE, "size"), (COUNT, "count"));
    let (parent, on) = ((PARENT, "parent"), (ON, "place"));
    let every = [name, size, count, (TOP, "top"), (LOW, "low")];
    let mut models = vec![
        model(DEVICE, "device", ModelKind::Shared, &[name, count]),
        model(LOCATION, "location", ModelKind::Owned, &[name, on]),
        model(ENTRY, "entry", ModelKind::Owned, &[name, size, parent, on]),
        model(TAG, "tag", ModelKind::Shared, &[name, size, parent]),
        model(METADATA, "metadata", ModelKind::Shared, &every),
        model(TAGGING, "tagging", ModelKind::Link, &[name]),
    ];
    if !small {
        models.push(model(VOLUME, "volume", ModelKind::Owned, &[name, size]));
        models.push(model(COLLECTION, "collection", ModelKind::Shared, &[name, count]));
        models.push(model(MEMBER, "member", ModelKind::Link, &[name]));
    }
    Arc::new(Schema::new(models).expect("the simulated schema is well-formed"))
}

/// The `n`th key.
pub fn key(n: u64) -> RecordKey {
    RecordKey::new(&n.to_be_bytes()[6..]).expect("two bytes make a key")
}
