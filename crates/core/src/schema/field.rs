//! Between a struct and its values.

use std::borrow::Cow;

use uuid::Uuid;

use super::{FieldType, ModelDescriptor};
use crate::id::RecordKey;
use crate::value::Value;

/// A stored value that does not fit the Rust type of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field:?} holds {found}, which is no {expected}")]
pub struct FieldError {
    /// The field, or "id" for the key.
    pub field: String,
    /// What the struct asks for.
    pub expected: &'static str,
    /// What is there, shortened.
    pub found: String,
}

/// A struct that is a model. Made by `#[derive(Syncable)]`.
pub trait Syncable: Sized {
    /// The model's description.
    fn descriptor() -> ModelDescriptor;
    /// The same, made once in the life of the program where `#[derive(Syncable)]` wrote this: each
    /// write of a record looks at it.
    fn described() -> Cow<'static, ModelDescriptor> {
        Cow::Owned(Self::descriptor())
    }
    /// The record's key.
    fn key(&self) -> RecordKey;
    /// The fields' values, in the order of the descriptor's fields.
    fn values(&self) -> Vec<Value>;
    /// The struct from a key and values in the order of the descriptor's fields.
    fn from_values(key: &RecordKey, values: Vec<Value>) -> Result<Self, FieldError>;
}

/// A Rust type that a field can have.
pub trait FieldValue: Sized {
    /// The type that the column gets, if the model does not say otherwise.
    const TYPE: FieldType;
    /// Whether null is one of its values.
    const NULLABLE: bool = false;
    /// The value.
    fn to_value(&self) -> Value;
    /// From a value, or `None` if it does not fit.
    fn from_value(value: Value) -> Option<Self>;

    /// From the value of `field`, with a readable refusal.
    fn read(field: &str, value: Value) -> Result<Self, FieldError> {
        let found: String = format!("{value:?}").chars().take(60).collect();
        let expected = std::any::type_name::<Self>();
        Self::from_value(value).ok_or_else(|| FieldError { field: field.into(), expected, found })
    }
}

macro_rules! whole_number {
    ($($ty:ty),*) => {$(
        impl FieldValue for $ty {
            const TYPE: FieldType = FieldType::Int;
            fn to_value(&self) -> Value {
                Value::Int(i64::from(*self))
            }
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Int(n) => n.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

whole_number!(i64, i32, u32, i16, u16, i8, u8);

impl FieldValue for bool {
    const TYPE: FieldType = FieldType::Bool;
    fn to_value(&self) -> Value {
        Value::Int((*self).into())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(n @ 0..=1) => Some(n == 1),
            _ => None,
        }
    }
}

impl FieldValue for f64 {
    const TYPE: FieldType = FieldType::Real;
    fn to_value(&self) -> Value {
        Value::Real(*self)
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Real(x) => Some(x),
            _ => None,
        }
    }
}

impl FieldValue for String {
    const TYPE: FieldType = FieldType::Text;
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FieldValue for Vec<u8> {
    const TYPE: FieldType = FieldType::Blob;
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl FieldValue for Uuid {
    const TYPE: FieldType = FieldType::Uuid;
    fn to_value(&self) -> Value {
        Value::Blob(self.as_bytes().to_vec())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Uuid::from_slice(&bytes).ok(),
            _ => None,
        }
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    const TYPE: FieldType = T::TYPE;
    const NULLABLE: bool = true;
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_or_are_refused() {
        assert_eq!(u8::from_value(Value::Int(300)), None);
        assert_eq!(bool::from_value(Value::Int(2)), None);
        assert_eq!(Option::<u8>::from_value(Value::Null), Some(None));
        let id = Uuid::from_bytes([3; 16]);
        assert_eq!(Uuid::from_value(id.to_value()), Some(id));
        let refusal = String::read("name", Value::Int(1)).unwrap_err();
        assert_eq!(refusal.field, "name");
    }
}
