//! One field of the struct: the key, or a field of the model.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned as _;
use syn::{Error, Field, Ident, LitStr, Result, Type};

use crate::attr;

/// The field that holds the record's key.
pub(crate) struct Key {
    pub(crate) ident: Ident,
    pub(crate) ty: KeyType,
}

/// What a key can be in a struct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyType {
    Uuid,
    RecordKey,
}

/// A field of the model.
pub(crate) struct ModelField {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) name: String,
    pub(crate) id: Id,
    pub(crate) rule: Rule,
    pub(crate) kept_as: Option<(FieldType, Span)>,
}

/// Where a field's stable id comes from.
pub(crate) enum Id {
    /// It follows from this name.
    Name(String),
    /// It was given.
    Number(u32),
}

/// A merge rule, with the place where it was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// The variant of `schema::MergeRule`.
    pub(crate) variant: &'static str,
    pub(crate) span: Span,
}

/// A type of column, as in `schema::FieldType`.
#[derive(Clone, Copy)]
pub(crate) struct FieldType {
    /// The variant of `schema::FieldType`.
    pub(crate) variant: &'static str,
    /// The variants of Rust types that are kept in the same way.
    pub(crate) alike: &'static [&'static str],
}

const LWW: &str = "Lww";
const RULES: [(&str, &str); 4] =
    [("lww", LWW), ("counter", "Counter"), ("max", "Max"), ("min", "Min")];

/// The only type of column that merges by a rule other than [`LWW`].
const INT: &str = "Int";
const NUMBERS: &[&str] = &["Bool", INT, "Time"];
const TEXTS: &[&str] = &["Text", "Json"];
const BYTES: &[&str] = &["Blob", "Uuid"];
const TYPES: [(&str, FieldType); 8] = [
    ("bool", FieldType { variant: "Bool", alike: NUMBERS }),
    ("int", FieldType { variant: INT, alike: NUMBERS }),
    ("real", FieldType { variant: "Real", alike: &["Real"] }),
    ("text", FieldType { variant: "Text", alike: TEXTS }),
    ("blob", FieldType { variant: "Blob", alike: BYTES }),
    ("uuid", FieldType { variant: "Uuid", alike: BYTES }),
    ("json", FieldType { variant: "Json", alike: TEXTS }),
    ("time", FieldType { variant: "Time", alike: NUMBERS }),
];

impl Rule {
    /// Whether it is the default, which fits every field.
    pub(crate) fn is_lww(self) -> bool {
        self.variant == LWW
    }
}

/// What stands in a field's `#[sync(…)]`.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    key: Option<Span>,
    name: Option<LitStr>,
    number: Option<u32>,
    was: Option<LitStr>,
    rule: Option<Rule>,
    kept_as: Option<(FieldType, Span)>,
    /// The last entry that says something of a model's field, and so not of the key.
    of_field: Option<Span>,
}

impl FieldAttrs {
    pub(crate) fn read(field: &Field) -> Result<Self> {
        let mut attrs = Self::default();
        attr::for_each(&field.attrs, |name, meta| attrs.entry(name, meta))?;
        Ok(attrs)
    }

    fn entry(&mut self, name: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if name == "id" {
            return attr::once(meta, &mut self.key, meta.path.span());
        }
        self.of_field = Some(meta.path.span());
        match name {
            "name" => attr::once(meta, &mut self.name, attr::text(meta)?),
            "was" => {
                self.one_id(meta)?;
                attr::once(meta, &mut self.was, attr::text(meta)?)
            }
            "field_id" => {
                self.one_id(meta)?;
                attr::once(meta, &mut self.number, attr::stable_id(meta)?)
            }
            "rule" => {
                let text = attr::text(meta)?;
                let variant = pick("merge rule", &text, &RULES)?;
                attr::once(meta, &mut self.rule, Rule { variant, span: text.span() })
            }
            "ty" => {
                let text = attr::text(meta)?;
                let ty = pick("type of a field", &text, &TYPES)?;
                attr::once(meta, &mut self.kept_as, (ty, text.span()))
            }
            "skip" => Err(meta.error(
                "a field cannot be left out: a record must come back as it was written; keep \
                 what is not synced in a struct of its own",
            )),
            _ => Err(meta.error(
                "a field knows `id`, `name = \"…\"`, `field_id = …`, `was = \"…\"`, `rule = \
                 \"…\"` and `ty = \"…\"`",
            )),
        }
    }

    fn one_id(&self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let both = self.was.is_some() && !meta.path.is_ident("was")
            || self.number.is_some() && !meta.path.is_ident("field_id");
        if both {
            return Err(meta.error("`was` and `field_id` both say the stable id; keep one"));
        }
        Ok(())
    }

    /// Whether the field is marked as the key.
    pub(crate) fn key(&self) -> Option<Span> {
        self.key
    }

    /// Where something is said that the key cannot have.
    pub(crate) fn of_field(&self) -> Option<Span> {
        self.of_field
    }

    pub(crate) fn into_field(self, ident: Ident, ty: Type) -> Result<ModelField> {
        let (name, at) = match &self.name {
            Some(name) => (name.value(), name.span()),
            None => (ident.unraw().to_string(), ident.span()),
        };
        attr::check_name(&name, at)?;
        let id = match (self.number, &self.was) {
            (Some(number), _) => Id::Number(number),
            (None, Some(was)) => {
                attr::check_name(&was.value(), was.span())?;
                Id::Name(was.value())
            }
            (None, None) => Id::Name(name.clone()),
        };
        let rule = self.rule.unwrap_or(Rule { variant: LWW, span: ident.span() });
        if let Some((kept_as, span)) = self.kept_as
            && !rule.is_lww()
            && kept_as.variant != INT
        {
            let message = "only fields of type \"int\" merge by a rule other than \"lww\"";
            return Err(Error::new(span, message));
        }
        Ok(ModelField { ident, ty, name, id, rule, kept_as: self.kept_as })
    }
}

fn pick<T: Copy>(what: &str, text: &LitStr, choices: &[(&str, T)]) -> Result<T> {
    let word = text.value();
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == word) {
        return Ok(*choice);
    }
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
    let message = format!("{word:?} is no {what}; there are {}", names.join(", "));
    Err(Error::new(text.span(), message))
}

impl KeyType {
    /// By the last word of the type's path: a macro sees no more of a type than its text.
    pub(crate) fn of(ty: &Type) -> Result<Self> {
        let Type::Path(path) = ty else {
            return Err(Self::refusal(ty));
        };
        match path.path.segments.last() {
            Some(last) if last.ident == "Uuid" => Ok(KeyType::Uuid),
            Some(last) if last.ident == "RecordKey" => Ok(KeyType::RecordKey),
            _ => Err(Self::refusal(ty)),
        }
    }

    fn refusal(ty: &Type) -> Error {
        Error::new_spanned(ty, "the key of a record is a `Uuid` or a `RecordKey`")
    }
}
