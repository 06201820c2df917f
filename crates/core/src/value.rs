//! Values of fields, exact and in one canonical form each.

use crate::codec::{CodecError, Reader, Writer};
use crate::limits::MAX_VALUE_BYTES;

/// What a field holds.
///
/// Two values are equal exactly when their canonical bytes are: a [`Value::Real`] is never NaN, and
/// −0.0 is kept as 0.0.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A whole number of 64 bits. Booleans are 0 and 1, times are Unix milliseconds.
    Int(i64),
    /// A finite or infinite number of 64 bits.
    Real(f64),
    /// UTF-8 text, NULs included, in whatever Unicode form it was given.
    Text(String),
    /// Bytes; UUIDs are 16 of them.
    Blob(Vec<u8>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Blob(a), Value::Blob(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// A value that cannot be kept. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// NaN equals nothing, not even itself, so replicas could never agree on it.
    #[error("NaN cannot be stored: it equals nothing, not even itself")]
    NotANumber,
    /// Above the limit of one value.
    #[error("a value of {found} bytes is above the limit of {MAX_VALUE_BYTES}")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
}

impl Value {
    /// The canonical form: −0.0 becomes 0.0; NaN and what is above [`MAX_VALUE_BYTES`] are refused.
    pub fn canonical(self) -> Result<Self, ValueError> {
        match self {
            Value::Real(x) if x.is_nan() => Err(ValueError::NotANumber),
            Value::Real(x) => Ok(Value::Real(if x == 0.0 { 0.0 } else { x })),
            Value::Text(text) if text.len() > MAX_VALUE_BYTES => {
                Err(ValueError::TooLarge { found: text.len() })
            }
            Value::Blob(bytes) if bytes.len() > MAX_VALUE_BYTES => {
                Err(ValueError::TooLarge { found: bytes.len() })
            }
            other => Ok(other),
        }
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Writes the value: a tag, then its bytes. The value must be canonical.
    pub fn encode(&self, w: &mut Writer) {
        self.as_ref().encode(w);
    }

    /// Reads a value; one that is not canonical is refused.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(ValueRef::decode(r)?.to_owned())
    }

    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Int(n) => ValueRef::Int(*n),
            Value::Real(x) => ValueRef::Real(*x),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

/// A value that borrows its text or bytes, so that rows pass from a page into a table uncopied.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// See [`Value::Null`].
    Null,
    /// See [`Value::Int`].
    Int(i64),
    /// See [`Value::Real`].
    Real(f64),
    /// See [`Value::Text`].
    Text(&'a str),
    /// See [`Value::Blob`].
    Blob(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// The value, owned.
    pub fn to_owned(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Int(n) => Value::Int(n),
            ValueRef::Real(x) => Value::Real(x),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }

    /// Writes the value: a tag, then its bytes. The value must be canonical.
    pub fn encode(&self, w: &mut Writer) {
        match self {
            ValueRef::Null => w.u8(0),
            ValueRef::Int(n) => {
                w.u8(1);
                w.signed(*n);
            }
            ValueRef::Real(x) => {
                w.u8(2);
                w.u64_le(x.to_bits());
            }
            ValueRef::Text(text) => {
                w.u8(3);
                w.text(text);
            }
            ValueRef::Blob(bytes) => {
                w.u8(4);
                w.bytes(bytes);
            }
        }
    }

    /// Reads a value; one that is not canonical is refused.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, CodecError> {
        match r.u8("a value's tag")? {
            0 => Ok(ValueRef::Null),
            1 => Ok(ValueRef::Int(r.signed("a whole number")?)),
            2 => {
                let x = f64::from_bits(r.u64_le("a real number")?);
                let canonical = !x.is_nan() && x.to_bits() != (-0.0f64).to_bits();
                canonical.then_some(ValueRef::Real(x)).ok_or(CodecError::NotCanonical("a number"))
            }
            3 => Ok(ValueRef::Text(r.text(MAX_VALUE_BYTES, "a text")?)),
            4 => Ok(ValueRef::Blob(r.bytes(MAX_VALUE_BYTES, "a blob")?)),
            tag => Err(CodecError::Invalid { what: "a value's tag", found: tag.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("NaN", |x| !x.is_nan()).prop_map(Value::Real),
            ".*".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn values_round_trip(value in any_value()) {
            let value = value.canonical().unwrap();
            let mut w = Writer::new();
            value.encode(&mut w);
            let mut r = Reader::new(w.as_bytes());
            prop_assert_eq!(Value::decode(&mut r).unwrap(), value);
            prop_assert!(r.is_empty());
        }
    }

    #[test]
    fn the_edges() {
        assert_eq!(Value::Real(f64::NAN).canonical(), Err(ValueError::NotANumber));
        assert_eq!(Value::Real(-0.0).canonical(), Ok(Value::Real(0.0)));
        assert_eq!(
            Value::Real(f64::MIN_POSITIVE / 2.0).canonical().unwrap(),
            Value::Real(f64::MIN_POSITIVE / 2.0)
        );
        let big = Value::Blob(vec![0; MAX_VALUE_BYTES + 1]);
        assert!(matches!(big.canonical(), Err(ValueError::TooLarge { .. })));
        let mut w = Writer::new();
        w.u8(2);
        w.u64_le((-0.0f64).to_bits());
        assert!(Value::decode(&mut Reader::new(w.as_bytes())).is_err());
    }
}
