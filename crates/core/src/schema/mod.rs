//! The schema drives everything: tables, apply statements, digests and docs follow from it.
//!
//! A [`ModelDescriptor`] is a plain value. `#[derive(Syncable)]` makes one from a struct; one can as
//! well be made at run time. Models and fields are known on the wire and on disk by stable ids, so
//! that a version that does not know one can keep and forward it.

mod field;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use field::{FieldError, FieldValue, Syncable};

use crate::codec::Writer;
use crate::limits::MAX_FIELDS;
use crate::version::Hash;

/// The stable id of a model: the first four bytes of BLAKE3 of its name, unless given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u32);

/// The stable id of a field within its model: the first four bytes of BLAKE3 of its name, unless
/// given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u32);

fn stable_id(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl ModelId {
    /// The id that follows from a model's name.
    pub fn of(name: &str) -> Self {
        Self(stable_id(name))
    }
}

impl FieldId {
    /// The id that follows from a field's name.
    pub fn of(name: &str) -> Self {
        Self(stable_id(name))
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{:08x}", self.0)
    }
}

impl fmt::Debug for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{:08x}", self.0)
    }
}

/// Who writes a model's records, and how they merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModelKind {
    /// Only the owning device writes; replicated as state.
    Owned,
    /// Any device writes; replicated as a log, merged field by field; deletes win.
    Shared,
    /// A member of an add-wins set: a shared record with a derived key and fields that never change.
    Link,
}

impl ModelKind {
    /// Whether records travel in the shared lane.
    pub fn is_shared(self) -> bool {
        self != ModelKind::Owned
    }
}

/// What kind of value a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    /// 0 or 1.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A floating-point number of 64 bits.
    Real,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Blob,
    /// A UUID, as 16 bytes; often a reference to a record.
    Uuid,
    /// JSON text.
    Json,
    /// Unix time in milliseconds.
    Time,
}

/// How concurrent values of a shared record's field merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MergeRule {
    /// The highest stamp shows; the others are its open conflict.
    Lww,
    /// A subtotal per device; their sum shows. Whole numbers only.
    Counter,
    /// The greatest shows. Whole numbers only.
    Max,
    /// The least shows. Whole numbers only.
    Min,
}

/// One field of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDescriptor {
    /// Its stable id.
    pub id: FieldId,
    /// Its name, which is also its column.
    pub name: String,
    /// What it holds.
    pub ty: FieldType,
    /// How concurrent values merge.
    pub rule: MergeRule,
    /// Whether it may be null.
    pub nullable: bool,
}

/// An index for the user's queries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexDescriptor {
    /// The columns, by field name, in order.
    pub columns: Vec<String>,
    /// Whether rows with a null in the first column are left out.
    pub partial: bool,
}

/// A record type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelDescriptor {
    /// Its stable id.
    pub id: ModelId,
    /// Its name, which is also its table.
    pub name: String,
    /// Who writes it and how it merges.
    pub kind: ModelKind,
    /// Its fields, in the order in which they were declared.
    pub fields: Vec<FieldDescriptor>,
    /// Indexes for queries.
    pub indexes: Vec<IndexDescriptor>,
}

/// Why a set of descriptors is not a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A name that is no plain lower-case identifier, or is reserved.
    #[error(
        "{name:?} cannot name a model or field: lower-case letters, digits and inner underscores only, at most 48, and not \"id\""
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two models or two fields of a model with one id or name.
    #[error(
        "{first:?} and {second:?} share a name or a stable id; give one of them an id of its own"
    )]
    Twice {
        /// One of the two.
        first: String,
        /// The other.
        second: String,
    },
    /// A model without fields or with more than [`MAX_FIELDS`].
    #[error("model {model:?} has {found} fields; 1 to {MAX_FIELDS} are possible")]
    FieldCount {
        /// The model.
        model: String,
        /// How many it has.
        found: usize,
    },
    /// A merge rule that does not fit the field's type or the model's kind.
    #[error("field {model}.{field}: the rule {rule:?} needs a shared model and a whole number")]
    Rule {
        /// The model.
        model: String,
        /// The field.
        field: String,
        /// The rule.
        rule: MergeRule,
    },
    /// An index over a field that does not exist.
    #[error("model {model:?} has an index on {column:?}, which is not one of its fields")]
    Index {
        /// The model.
        model: String,
        /// The unknown column.
        column: String,
    },
}

impl ModelDescriptor {
    /// The field with this id.
    pub fn field(&self, id: FieldId) -> Option<&FieldDescriptor> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// The field with this name.
    pub fn field_named(&self, name: &str) -> Option<&FieldDescriptor> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn check(&self) -> Result<(), SchemaError> {
        check_name(&self.name)?;
        if self.fields.is_empty() || self.fields.len() > MAX_FIELDS {
            let found = self.fields.len();
            return Err(SchemaError::FieldCount { model: self.name.clone(), found });
        }
        let mut ids = BTreeMap::new();
        let mut names = BTreeSet::new();
        for field in &self.fields {
            check_name(&field.name)?;
            let twin = ids.insert(field.id, &field.name);
            if let Some(first) = twin.or((!names.insert(&field.name)).then_some(&field.name)) {
                return Err(SchemaError::Twice {
                    first: first.clone(),
                    second: field.name.clone(),
                });
            }
            let countable = self.kind == ModelKind::Shared && field.ty == FieldType::Int;
            if field.rule != MergeRule::Lww && !countable {
                let (model, field_name) = (self.name.clone(), field.name.clone());
                return Err(SchemaError::Rule { model, field: field_name, rule: field.rule });
            }
        }
        let columns = self.indexes.iter().flat_map(|index| &index.columns);
        for column in columns {
            if !names.contains(column) {
                let (model, column) = (self.name.clone(), column.clone());
                return Err(SchemaError::Index { model, column });
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), SchemaError> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && !name.ends_with('_')
        && name.len() <= 48
        && name != "id";
    if plain { Ok(()) } else { Err(SchemaError::Name { name: name.to_owned() }) }
}

/// All models that a build knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Schema {
    models: BTreeMap<ModelId, ModelDescriptor>,
}

impl Schema {
    /// A schema of these models; refused if one is malformed or two share a name or an id.
    pub fn new(models: impl IntoIterator<Item = ModelDescriptor>) -> Result<Self, SchemaError> {
        let mut schema = Self::default();
        let mut names = BTreeSet::new();
        for model in models {
            model.check()?;
            let second = model.name.clone();
            if !names.insert(model.name.clone()) {
                return Err(SchemaError::Twice { first: second.clone(), second });
            }
            if let Some(first) = schema.models.insert(model.id, model) {
                return Err(SchemaError::Twice { first: first.name, second });
            }
        }
        Ok(schema)
    }

    /// The model with this id.
    pub fn model(&self, id: ModelId) -> Option<&ModelDescriptor> {
        self.models.get(&id)
    }

    /// The model with this name.
    pub fn model_named(&self, name: &str) -> Option<&ModelDescriptor> {
        self.iter().find(|model| model.name == name)
    }

    /// All models, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &ModelDescriptor> {
        self.models.values()
    }

    /// The name of a model, or its id in hex for one that this build does not know.
    pub fn name_of(&self, id: ModelId) -> String {
        self.model(id).map_or_else(|| format!("{:08x}", id.0), |model| model.name.clone())
    }

    /// A hash over everything that decides how records look, for `Hello`.
    pub fn hash(&self) -> Hash {
        let mut w = Writer::new();
        for model in self.iter() {
            w.u32_le(model.id.0);
            w.u8(model.kind as u8);
            for field in &model.fields {
                w.u32_le(field.id.0);
                w.u8(field.ty as u8);
                w.u8(field.rule as u8);
            }
        }
        *blake3::hash(w.as_bytes()).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> FieldDescriptor {
        FieldDescriptor {
            id: FieldId::of(name),
            name: name.into(),
            ty: FieldType::Int,
            rule: MergeRule::Lww,
            nullable: true,
        }
    }

    fn model(name: &str, fields: Vec<FieldDescriptor>) -> ModelDescriptor {
        let kind = ModelKind::Owned;
        ModelDescriptor { id: ModelId::of(name), name: name.into(), kind, fields, indexes: vec![] }
    }

    #[test]
    fn malformed_models_are_refused() {
        let refused = |model| Schema::new([model]).unwrap_err();
        assert!(matches!(refused(model("Bad", vec![field("a")])), SchemaError::Name { .. }));
        assert!(matches!(refused(model("m", vec![field("id")])), SchemaError::Name { .. }));
        assert!(matches!(refused(model("m", vec![])), SchemaError::FieldCount { .. }));
        let twice = model("m", vec![field("a"), field("a")]);
        assert!(matches!(refused(twice), SchemaError::Twice { .. }));
        let counter = FieldDescriptor { rule: MergeRule::Counter, ..field("a") };
        assert!(matches!(refused(model("m", vec![counter])), SchemaError::Rule { .. }));
        let mut indexed = model("m", vec![field("a")]);
        indexed.indexes.push(IndexDescriptor { columns: vec!["b".into()], partial: false });
        assert!(matches!(refused(indexed), SchemaError::Index { .. }));
    }

    #[test]
    fn the_hash_follows_the_fields() {
        let one = Schema::new([model("m", vec![field("a")])]).unwrap();
        let two = Schema::new([model("m", vec![field("a"), field("b")])]).unwrap();
        assert_ne!(one.hash(), two.hash());
        assert_eq!(one.hash(), one.clone().hash());
    }
}
