//! Why a local write is refused.

use crate::clock::ClockExhausted;
use crate::codec::CodecError;
use crate::id::RecordKey;
use crate::schema::{FieldId, ModelId, ModelKind};
use crate::value::ValueError;

/// Why a write is refused. The transaction holds nothing of the refused write itself, but what the
/// transaction wrote before stays until it is rolled back.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The schema does not have this model.
    #[error("model {0:?} is not in the schema")]
    UnknownModel(ModelId),
    /// The model does not have this field.
    #[error("model {model:?} has no field {field:?}")]
    UnknownField {
        /// The model's name.
        model: String,
        /// The field.
        field: FieldId,
    },
    /// The model is of another kind than the operation is for.
    #[error("model {model:?} is {kind:?}, which this operation is not for")]
    Kind {
        /// The model's name.
        model: String,
        /// Its kind.
        kind: ModelKind,
    },
    /// There is no such record.
    #[error("there is no {model} {key}")]
    NotFound {
        /// The model's name.
        model: String,
        /// The key.
        key: RecordKey,
    },
    /// There is such a record already.
    #[error("{model} {key} exists already")]
    Exists {
        /// The model's name.
        model: String,
        /// The key.
        key: RecordKey,
    },
    /// A value that cannot be kept.
    #[error("{model}.{field}: {source}")]
    Value {
        /// The model's name.
        model: String,
        /// The field's name.
        field: String,
        /// Why.
        source: ValueError,
    },
    /// An addition to a field that is no counter.
    #[error("{model}.{field} is no counter; nothing can be added to it")]
    NotACounter {
        /// The model's name.
        model: String,
        /// The field's name.
        field: String,
    },
    /// An addition that takes a counter out of 64 bits.
    #[error("{model}.{field} is {total}; {delta} more does not fit 64 bits")]
    Overflow {
        /// The model's name.
        model: String,
        /// The field's name.
        field: String,
        /// What shows.
        total: i64,
        /// What was to be added.
        delta: i64,
    },
    /// The transaction writes more than one change set can hold, or a row more than a page.
    #[error("too much is written at once: {0}")]
    TooLarge(#[source] CodecError),
    /// The record was damaged on this device, and is not back yet.
    #[error("the record {key} was damaged on this device and is not back from the others yet")]
    Missing {
        /// The key.
        key: RecordKey,
    },
    /// The clock is at its end.
    #[error(transparent)]
    Clock(#[from] ClockExhausted),
    /// The store failed.
    #[error(transparent)]
    Store(E),
}
