//! Models that are described by a file, for programs that learn at run time what they sync.
//!
//! The format is in `format.md`, which is a part of the docs of [`Models::with_file`].
//!
//! Anything else is refused: a key that is misspelt must not mean nothing.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, IndexDescriptor, MergeRule, ModelDescriptor, ModelId,
    ModelKind,
};
use serde::Deserialize;

use super::Models;
use crate::error::Error;

/// Bytes of a file of models.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    models: Vec<Model>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    name: String,
    id: Option<u32>,
    kind: Kind,
    fields: Vec<Field>,
    #[serde(default)]
    indexes: Vec<Index>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    id: Option<u32>,
    #[serde(rename = "type")]
    ty: Type,
    #[serde(default)]
    rule: Rule,
    #[serde(default)]
    nullable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    columns: Vec<String>,
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Owned,
    Shared,
    Link,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Bool,
    Int,
    Real,
    Text,
    Blob,
    Uuid,
    Json,
    Time,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Rule {
    #[default]
    Lww,
    Counter,
    Max,
    Min,
}

impl From<Model> for ModelDescriptor {
    fn from(model: Model) -> Self {
        let index =
            |index: Index| IndexDescriptor { columns: index.columns, partial: index.partial };
        Self {
            id: model.id.map_or_else(|| ModelId::of(&model.name), ModelId),
            name: model.name,
            kind: match model.kind {
                Kind::Owned => ModelKind::Owned,
                Kind::Shared => ModelKind::Shared,
                Kind::Link => ModelKind::Link,
            },
            fields: model.fields.into_iter().map(FieldDescriptor::from).collect(),
            indexes: model.indexes.into_iter().map(index).collect(),
        }
    }
}

impl From<Field> for FieldDescriptor {
    fn from(field: Field) -> Self {
        Self {
            id: field.id.map_or_else(|| FieldId::of(&field.name), FieldId),
            name: field.name,
            ty: match field.ty {
                Type::Bool => FieldType::Bool,
                Type::Int => FieldType::Int,
                Type::Real => FieldType::Real,
                Type::Text => FieldType::Text,
                Type::Blob => FieldType::Blob,
                Type::Uuid => FieldType::Uuid,
                Type::Json => FieldType::Json,
                Type::Time => FieldType::Time,
            },
            rule: match field.rule {
                Rule::Lww => MergeRule::Lww,
                Rule::Counter => MergeRule::Counter,
                Rule::Max => MergeRule::Max,
                Rule::Min => MergeRule::Min,
            },
            nullable: field.nullable,
        }
    }
}

impl Models {
    /// And those that a text in JSON describes; the format is that of [`Models::with_file`].
    ///
    /// ```
    /// # use driftless::Models;
    /// let models = Models::new().with_json(
    ///     r#"{"models": [{"name": "note", "kind": "shared",
    ///                     "fields": [{"name": "text", "type": "text"}]}]}"#,
    /// )?;
    /// assert!(models.check()?.model_named("note").is_some());
    /// assert!(Models::new().with_json(r#"{"models": [{"nmae": "note"}]}"#).is_err());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn with_json(mut self, text: &str) -> Result<Self, Error> {
        let bad = |why: String| Error::Models { path: None, why };
        if text.len() as u64 > MAX_BYTES {
            return Err(bad(format!("it has {} bytes; {MAX_BYTES} are possible", text.len())));
        }
        let document: Document =
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        self.descriptors.extend(document.models.into_iter().map(ModelDescriptor::from));
        self.check()?;
        Ok(self)
    }

    /// And those that a file describes. Everything that is missing or misspelt is refused.
    ///
    ///
    /// ```
    /// use driftless::Models;
    ///
    /// # let place = tempfile::tempdir().unwrap();
    /// # let path = place.path().join("models.json");
    /// # let text = r#"{"models": [{"name": "note", "kind": "shared",
    /// #                 "fields": [{"name": "text", "type": "text"}]}]}"#;
    /// # std::fs::write(&path, text).unwrap();
    /// let models = Models::new().with_file(&path)?;
    /// assert!(models.check()?.model_named("note").is_some());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    #[doc = include_str!("format.md")]
    pub fn with_file(self, path: &Path) -> Result<Self, Error> {
        let reading = || Error::io(path, "reading the models");
        let mut text = String::new();
        let file = File::open(path).map_err(reading())?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(reading())?;
        self.with_json(&text).map_err(|error| match error {
            Error::Models { why, .. } => Error::Models { path: Some(path.to_owned()), why },
            other => other,
        })
    }
}
