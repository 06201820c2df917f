//! Values of fields in JSON: blobs are base64, whole numbers beyond 2^53 are texts, UUIDs are
//! hyphenated, times are RFC 3339.

use data_encoding::BASE64;
use driftless::Uuid;
use driftless::core::schema::FieldType;
use driftless::core::value::Value;
use serde_json::Value as Json;

use crate::text;

/// Whole numbers above this are not exact in every reader of JSON.
const MAX_EXACT: u64 = 1 << 53;

/// A value of a field of this type; of a field that is not known here, by what it is.
pub(super) fn json_value(ty: Option<FieldType>, value: &Value) -> Json {
    match (ty, value) {
        (_, Value::Null) => Json::Null,
        (Some(FieldType::Bool), Value::Int(n @ 0..=1)) => Json::Bool(*n == 1),
        (Some(FieldType::Time), Value::Int(ms)) => text::signed_time(*ms).into(),
        (_, Value::Int(n)) if n.unsigned_abs() > MAX_EXACT => n.to_string().into(),
        (_, Value::Int(n)) => (*n).into(),
        // JSON has no infinities.
        (_, Value::Real(x)) if x.is_infinite() => x.to_string().into(),
        (_, Value::Real(x)) => (*x).into(),
        (_, Value::Text(text)) => text.as_str().into(),
        (Some(FieldType::Uuid), Value::Blob(bytes)) => {
            let id = Uuid::from_slice(bytes).map(|id| id.to_string());
            id.unwrap_or_else(|_| BASE64.encode(bytes)).into()
        }
        (_, Value::Blob(bytes)) => BASE64.encode(bytes).into(),
    }
}
