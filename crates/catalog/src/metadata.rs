//! What people note about files and folders: note, favourite, hidden, rating and free fields.
//!
//! It is said of the content where there is one, so that it follows the file to every copy and
//! device; else of the entry. What is said of an entry itself goes first where both are.
//!
//! To empty a field is to write that it is empty, not to delete a record: a value that another
//! device writes at the same time is then a conflict that can be seen, and not lost.

use std::collections::BTreeMap;

use driftless::core::schema::FieldId;
use driftless::core::value::Value;
use driftless::rusqlite::Connection;
use driftless::{RecordKey, Syncable as _, Uuid, WriteTx};

use crate::bounds::{MAX_LONG_TEXT, MAX_TEXT, check_length, invalid};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::forest::Aliases;
use crate::item::{Item, TagName, shown, tags_on};
use crate::links::is_there;
use crate::models::{MetadataField, Subject, UserMetadata};

/// Bytes of the value of a free field.
pub const MAX_FREE_VALUE: usize = 16 << 10;
/// Free fields of one subject.
pub const MAX_FREE_FIELDS: u32 = 256;
/// Bytes of the names and values of all free fields of one subject.
pub const MAX_FREE_BYTES: usize = 256 << 10;
/// Bytes of such a value as JSON: quoting makes a text longer.
const MAX_JSON: usize = 2 * MAX_FREE_VALUE;

/// The fields that all subjects have.
const FIXED: [&str; 4] = ["note", "favourite", "hidden", "rating"];
/// Names that free fields cannot have, as something else goes by them.
const RESERVED: [&str; 11] =
    ["id", "path", "name", "content", "entry", "data", "tag", "tags", "key", "value", "collection"];

/// What is noted about something in the fields that everything has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// Free text.
    pub note: Option<String>,
    /// Whether it is one of the favourites.
    pub favourite: bool,
    /// Whether it is left out when people look for things.
    pub hidden: bool,
    /// From 0 to 5.
    pub rating: Option<i64>,
}

/// All that is noted about something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Noted {
    /// In the fields that everything has.
    pub metadata: Metadata,
    /// In free fields: canonical JSON by name.
    pub data: BTreeMap<String, String>,
    /// The tags on it.
    pub tags: Vec<TagName>,
}

impl Catalog<'_> {
    /// All that is noted about something, as it is now.
    pub fn noted(&self, item: &Item) -> Result<Noted, CatalogError> {
        self.read(|db| {
            let subjects = subjects(item);
            let mut data = BTreeMap::new();
            for subject in subjects.iter().rev() {
                data.extend(free_fields(db, *subject)?);
            }
            Ok(Noted {
                metadata: metadata_of(db, item.id, item.content.as_ref())?,
                data,
                tags: tags_on(db, &mut Aliases::default(), item.id, item.content.as_ref())?,
            })
        })
    }

    /// Notes something, from text, in one transaction: `note`, `favourite` and `hidden` (true or
    /// false), `rating` (0 to 5), or a free field of any other name. What of the latter's values is
    /// JSON is kept as that, any other as text; so is a number that JSON would write in another way
    /// (`1.10`). An empty text empties a field.
    pub fn note(&self, item: &Item, fields: &[(&str, &str)]) -> Result<(), CatalogError> {
        let fields = fields.iter().map(|(name, value)| parse(name, value));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let (subject, own) = (item.subject(), Subject::Entry(item.id));
        self.library.write(move |tx| {
            for field in &fields {
                write(tx, subject, field)?;
            }
            if own != subject {
                // What the entry itself says would hide what was just said of its content.
                for field in fields {
                    write(tx, own, &field.emptied())?;
                }
            }
            check_free(tx.db(), subject)
        })
    }
}

/// What may be said of an item, the first first.
fn subjects(item: &Item) -> Vec<Subject> {
    let content = item.content.map(Subject::Content);
    [Subject::Entry(item.id)].into_iter().chain(content).collect()
}

/// A field and what it is to hold.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Field {
    /// One that everything has.
    Fixed(&'static str, Value),
    /// A free one: its name, and its value as JSON.
    Free(String, Option<String>),
}

impl Field {
    pub(crate) fn emptied(self) -> Self {
        match self {
            Self::Fixed(name, _) => Self::Fixed(name, Value::Null),
            Self::Free(key, _) => Self::Free(key, None),
        }
    }

    /// Whether it is the same field, whatever it holds.
    pub(crate) fn is_named_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(name, _), Self::Fixed(other, _)) => name == other,
            (Self::Free(key, _), Self::Free(other, _)) => key == other,
            _ => false,
        }
    }

    /// Bytes of what it holds, and of a free one's name.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Fixed(_, Value::Text(text)) => text.len(),
            Self::Fixed(..) => 0,
            Self::Free(key, value) => key.len() + value.as_ref().map_or(0, String::len),
        }
    }
}

/// A field from what a person wrote.
fn parse(name: &str, value: &str) -> Result<Field, CatalogError> {
    let Some(fixed) = FIXED.into_iter().find(|fixed| *fixed == name) else {
        return parse_free(name, value);
    };
    let parsed = match fixed {
        _ if value.is_empty() => Value::Null,
        "note" => {
            check_length("note", value, MAX_LONG_TEXT)?;
            Value::Text(value.to_owned())
        }
        "rating" => match value.parse::<i64>() {
            Ok(stars @ 0..=5) => Value::Int(stars),
            _ => return Err(invalid("rating", format!("{value:?} is no number from 0 to 5"))),
        },
        _ => match value {
            "true" | "yes" | "on" | "1" => Value::Int(1),
            "false" | "no" | "off" | "0" => Value::Int(0),
            _ => return Err(invalid(fixed, format!("{value:?} is neither true nor false"))),
        },
    };
    Ok(Field::Fixed(fixed, parsed))
}

fn parse_free(name: &str, value: &str) -> Result<Field, CatalogError> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(invalid("field", "a free field needs a name that can be seen"));
    }
    check_length("field", name, MAX_TEXT)?;
    if name == "favorite" {
        return Err(invalid("field", "the field is called favourite"));
    }
    if RESERVED.contains(&name) {
        let why = format!(
            "a free field cannot be called {name:?}; besides free fields there are note, \
             favourite, hidden and rating"
        );
        return Err(invalid("field", why));
    }
    check_length("value", value, MAX_FREE_VALUE)?;
    if value.is_empty() {
        return Ok(Field::Free(name.to_owned(), None));
    }
    let json = canonical(value);
    check_length("value", &json, MAX_JSON)?;
    Ok(Field::Free(name.to_owned(), Some(json)))
}

/// A value as canonical JSON: objects by their keys, no spaces.
fn canonical(text: &str) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return serde_json::Value::from(text).to_string();
    };
    let json = value.to_string();
    // A number that would not come back as it was written is a version, or a long id.
    match value.is_number() && json != text {
        true => serde_json::Value::from(text).to_string(),
        false => json,
    }
}

/// Writes one field of a subject, and nothing if it says so already.
pub(crate) fn write(
    tx: &mut WriteTx<'_>,
    subject: Subject,
    field: &Field,
) -> Result<(), CatalogError> {
    match field {
        Field::Fixed(name, value) => {
            let model = UserMetadata::descriptor();
            let place = (model.id, model.name.as_str(), UserMetadata::id_of(subject));
            put(tx, place, subject, vec![(FieldId::of(name), value.clone())], Vec::new())
        }
        Field::Free(key, value) => {
            let model = MetadataField::descriptor();
            let place = (model.id, model.name.as_str(), MetadataField::id_of(subject, key));
            let value = value.clone().map_or(Value::Null, Value::Text);
            let named = vec![(FieldId::of("key"), Value::Text(key.clone()))];
            put(tx, place, subject, vec![(FieldId::of("value"), value)], named)
        }
    }
}

/// Sets fields of a record; makes it, with `always` besides, if it is not there and there is
/// something to say.
fn put(
    tx: &mut WriteTx<'_>,
    (model, table, id): (driftless::core::schema::ModelId, &str, Uuid),
    subject: Subject,
    mut fields: Vec<(FieldId, Value)>,
    always: Vec<(FieldId, Value)>,
) -> Result<(), CatalogError> {
    let key = RecordKey::from(id);
    if is_there(tx.db(), table, id)? {
        return Ok(tx.set(model, &key, fields)?);
    }
    if fields.iter().all(|(_, value)| value.is_null()) {
        return Ok(());
    }
    fields.extend(always);
    fields.push(match subject {
        Subject::Content(hash) => (FieldId::of("content"), Value::Blob(hash.to_vec())),
        Subject::Entry(id) => (FieldId::of("entry"), Value::Blob(id.as_bytes().to_vec())),
    });
    Ok(tx.create(model, &key, fields)?)
}

/// What is noted about an entry or location itself, and where that is silent, about its content.
pub(crate) fn metadata_of(
    db: &Connection,
    id: Uuid,
    content: Option<&[u8; 32]>,
) -> Result<Metadata, CatalogError> {
    let own = record_of(db, Subject::Entry(id))?.unwrap_or_default();
    let of_content = match content {
        Some(hash) => record_of(db, Subject::Content(*hash))?.unwrap_or_default(),
        None => Record::default(),
    };
    Ok(Metadata {
        note: own.note.or(of_content.note),
        favourite: own.favourite.or(of_content.favourite).unwrap_or(false),
        hidden: own.hidden.or(of_content.hidden).unwrap_or(false),
        rating: own.rating.or(of_content.rating),
    })
}

/// The record about a subject, without what names it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Record {
    note: Option<String>,
    favourite: Option<bool>,
    hidden: Option<bool>,
    rating: Option<i64>,
}

impl Record {
    /// The fields that say something.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let flag = |flag: bool| Value::Int(flag.into());
        let all = [
            ("note", self.note.clone().map(Value::Text)),
            ("favourite", self.favourite.map(flag)),
            ("hidden", self.hidden.map(flag)),
            ("rating", self.rating.map(Value::Int)),
        ];
        all.into_iter().filter_map(|(name, value)| Some(Field::Fixed(name, value?))).collect()
    }
}

/// What is said in the fixed fields of a subject.
pub(crate) fn record_of(db: &Connection, subject: Subject) -> Result<Option<Record>, CatalogError> {
    let mut select = db.prepare_cached(
        "SELECT note, favourite, hidden, rating FROM user_metadata WHERE id = ?1",
    )?;
    let mut rows = select.query([UserMetadata::id_of(subject).as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(shown(|| {
        let (note, favourite) = (row.get(0)?, row.get(1)?);
        Ok(Record { note, favourite, hidden: row.get(2)?, rating: row.get(3)? })
    })?)
}

/// The free fields of a subject that hold something: no more and no longer ones than are written
/// here, as rows come from other devices.
pub(crate) fn free_fields(
    db: &Connection,
    subject: Subject,
) -> Result<BTreeMap<String, String>, CatalogError> {
    let by = subject.column();
    let sql = format!(
        "SELECT id, key, value FROM metadata_field WHERE {by} = ?1 AND octet_length(value) <= ?2 \
         ORDER BY key LIMIT ?3"
    );
    let mut select = db.prepare_cached(&sql)?;
    let mut rows = select.query((
        subject.bytes(),
        i64::try_from(MAX_JSON).unwrap_or(i64::MAX),
        MAX_FREE_FIELDS,
    ))?;
    let mut fields = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let read = shown(|| {
            let (key, value): (String, String) = (row.get(1)?, row.get(2)?);
            Ok((crate::item::uuid(row, 0)?, key, value))
        })?;
        // Any member can write a shared row; only that with the derived id is the field.
        if let Some((id, key, value)) = read
            && id == MetadataField::id_of(subject, &key)
        {
            fields.insert(key, value);
        }
    }
    Ok(fields)
}

/// Refuses more free fields than one subject can have.
fn check_free(db: &Connection, subject: Subject) -> Result<(), CatalogError> {
    let sql = format!(
        "SELECT count(*), coalesce(sum(octet_length(key) + octet_length(value)), 0) \
         FROM metadata_field WHERE {} = ?1 AND value IS NOT NULL",
        subject.column()
    );
    let mut select = db.prepare_cached(&sql)?;
    let sums = select.query_row([subject.bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (count, bytes): (i64, i64) = sums;
    if count > i64::from(MAX_FREE_FIELDS) {
        let why = format!("{count} are more than the {MAX_FREE_FIELDS} that one thing can have");
        return Err(invalid("free fields", why));
    }
    if usize::try_from(bytes).is_ok_and(|bytes| bytes > MAX_FREE_BYTES) {
        let why = format!("{bytes} bytes are more than the {MAX_FREE_BYTES} that all can have");
        return Err(invalid("free fields", why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_values_are_json_where_they_come_back_as_they_were() {
        for (text, json) in [
            ("7", "7"),
            ("-2.5", "-2.5"),
            ("true", "true"),
            ("null", "null"),
            (r#"{"b": [1, 2], "a": null}"#, r#"{"a":null,"b":[1,2]}"#),
            (r#""quoted""#, r#""quoted""#),
            ("plain words", r#""plain words""#),
            ("1.10", r#""1.10""#),
            ("0049123", r#""0049123""#),
            ("12345678901234567890123", r#""12345678901234567890123""#),
            ("{broken", r#""{broken""#),
        ] {
            assert_eq!(canonical(text), json);
        }
        // Deeper than JSON is read, it is text.
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert_eq!(canonical(&deep), format!("{deep:?}"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (name, value) in [
            ("rating", "6"),
            ("rating", "-1"),
            ("rating", "many"),
            ("favourite", "perhaps"),
            ("hidden", "2"),
            ("favorite", "true"),
            ("tags", "red"),
            ("id", "x"),
            ("", "x"),
            (" ", "x"),
            ("a\nb", "x"),
        ] {
            let refused = parse(name, value);
            assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{name}={value}");
        }
        let long = "x".repeat(MAX_LONG_TEXT + 1);
        assert!(parse("note", &long).is_err() && parse("camera", &long).is_err());
        assert!(parse(&"x".repeat(MAX_TEXT + 1), "1").is_err());
        assert!(parse("note", &long[1..]).is_ok());
    }
}
