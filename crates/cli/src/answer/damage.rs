//! What is damaged on this device.

use driftless::{Damage, DamagedRecord, Examined};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A record that was damaged.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DamagedRow {
    pub(crate) model: String,
    pub(crate) id: String,
    /// Whose it is; `null` if it is shared.
    pub(crate) owner: Option<String>,
}

/// What is damaged, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DamageReport {
    /// How many records are not back from the others yet.
    pub(crate) missing: u64,
    /// A hundred of them at most.
    pub(crate) records: Vec<DamagedRow>,
    /// What became of those that no other device has.
    pub(crate) given_up: Vec<String>,
    /// Why nothing is given to others, as more than records is damaged.
    pub(crate) unsound: Option<String>,
}

/// What reading everything found.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DeepReport {
    /// What was damaged, and is brought back from the others.
    pub(crate) damaged: Vec<DamagedRow>,
    /// What SQLite found wrong in the file.
    pub(crate) faults: Vec<String>,
    /// How many records are not back yet.
    pub(crate) missing: u64,
    /// What became of those that no other device has.
    pub(crate) given_up: Vec<String>,
}

impl From<&DamagedRecord> for DamagedRow {
    fn from(record: &DamagedRecord) -> Self {
        Self {
            model: record.model.clone(),
            id: record.key.clone(),
            owner: record.owner.map(|owner| owner.to_string()),
        }
    }
}

impl From<&Damage> for DamageReport {
    fn from(damage: &Damage) -> Self {
        Self {
            missing: damage.count,
            records: damage.missing.iter().map(DamagedRow::from).collect(),
            given_up: damage.given_up.clone(),
            unsound: damage.unsound.clone(),
        }
    }
}

impl DeepReport {
    pub(crate) fn of(found: &Examined, left: &Damage) -> Self {
        Self {
            damaged: found.damaged.iter().map(DamagedRow::from).collect(),
            faults: found.faults.clone(),
            missing: left.count,
            given_up: left.given_up.clone(),
        }
    }
}
