//! How much was changed, by model.

use std::collections::BTreeMap;

use crate::schema::{ModelId, Schema};

/// Counts by model. Models of which the schema knows nothing are counted together: others may name as
/// many as they like in what they send, and take no more room here by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelCounts {
    known: BTreeMap<ModelId, u64>,
    unknown: u64,
}

impl ModelCounts {
    /// None yet, of the models of a schema.
    pub fn of(schema: &Schema) -> Self {
        Self { known: schema.iter().map(|model| (model.id, 0)).collect(), unknown: 0 }
    }

    /// Counts so many more of a model.
    pub fn add(&mut self, model: ModelId, count: u64) {
        let sum = self.known.get_mut(&model).unwrap_or(&mut self.unknown);
        *sum = sum.saturating_add(count);
    }

    /// The counts of the models that the schema knows, also of those of which there is nothing.
    pub fn known(&self) -> impl Iterator<Item = (ModelId, u64)> {
        self.known.iter().map(|(model, count)| (*model, *count))
    }

    /// The count of all other models.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The sum over all models.
    pub fn total(&self) -> u64 {
        self.known.values().copied().fold(self.unknown, u64::saturating_add)
    }
}

/// How much was changed, by model. It counts and decides nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Changes that this device wrote.
    pub committed: ModelCounts,
    /// Changes that others wrote; of rows that a device owns, the pages that they came in.
    pub applied: ModelCounts,
    /// Of those that others wrote: changes of which nothing showed when they were applied, as something
    /// later or concurrent stands above them.
    pub superseded: ModelCounts,
}

impl Tally {
    pub(super) fn of(schema: &Schema) -> Self {
        let none = ModelCounts::of(schema);
        Self { committed: none.clone(), applied: none.clone(), superseded: none }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{FieldDescriptor, FieldId, FieldType};
    use crate::schema::{MergeRule, ModelDescriptor, ModelKind};

    #[test]
    fn models_that_others_invent_take_no_room() {
        let field = FieldDescriptor {
            id: FieldId::of("text"),
            name: "text".into(),
            ty: FieldType::Text,
            rule: MergeRule::Lww,
            nullable: true,
        };
        let known = ModelId::of("note");
        let note = ModelDescriptor {
            id: known,
            name: "note".into(),
            kind: ModelKind::Shared,
            fields: vec![field],
            indexes: vec![],
        };
        let mut counts = ModelCounts::of(&Schema::new([note]).unwrap());
        for id in (0..100_000).map(ModelId).filter(|id| *id != known) {
            counts.add(id, 1);
        }
        counts.add(known, 3);
        assert_eq!(counts.known().collect::<Vec<_>>(), [(known, 3)], "told apart all the same");
        assert_eq!((counts.unknown(), counts.total()), (100_000, 100_003));
        counts.add(known, u64::MAX);
        assert_eq!(counts.total(), u64::MAX);
    }
}
