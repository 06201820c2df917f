//! The struct as a whole.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Path, Result, Token, parenthesized,
};

use crate::attr;
use crate::field::{FieldAttrs, Id, Key, KeyType, ModelField};

/// Everything that the struct says of its model.
pub(crate) struct Model {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) id: Option<u32>,
    /// The variant of `schema::ModelKind`.
    pub(crate) kind: &'static str,
    pub(crate) key: Key,
    pub(crate) fields: Vec<ModelField>,
    pub(crate) indexes: Vec<Index>,
    /// Where `schema`, `value` and `id` are found.
    pub(crate) root: Path,
}

/// An index for queries, by the names of columns.
pub(crate) struct Index {
    pub(crate) columns: Vec<String>,
    pub(crate) partial: bool,
}

#[derive(Default)]
struct ModelAttrs {
    kind: Option<&'static str>,
    name: Option<LitStr>,
    id: Option<u32>,
    root: Option<Path>,
    indexes: Vec<(Vec<Ident>, bool)>,
}

impl Model {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let members = members(input)?;
        let attrs = ModelAttrs::read(input)?;
        let kind = attrs.kind.ok_or_else(|| {
            let message = "say who writes this model: `#[sync(shared)]` for any device, \
                           `#[sync(owned)]` for the owning device, `#[sync(link)]` for a member \
                           of an add-wins set";
            Error::new(input.ident.span(), message)
        })?;
        let (name, at) = match &attrs.name {
            Some(name) => (name.value(), name.span()),
            None => (snake_case(&input.ident.unraw().to_string()), input.ident.span()),
        };
        attr::check_name(&name, at)?;
        let (key, fields) = split(&input.ident, members)?;
        check_fields(&input.ident, kind, &fields)?;
        let indexes = attrs
            .indexes
            .iter()
            .map(|(columns, partial)| index(columns, *partial, &key, &fields))
            .collect::<Result<_>>()?;
        let root = attrs.root.unwrap_or_else(|| syn::parse_quote!(::driftless::core));
        Ok(Self {
            ident: input.ident.clone(),
            name,
            id: attrs.id,
            kind,
            key,
            fields,
            indexes,
            root,
        })
    }
}

impl ModelAttrs {
    fn read(input: &DeriveInput) -> Result<Self> {
        let mut attrs = Self::default();
        attr::for_each(&input.attrs, |name, meta| attrs.entry(name, meta))?;
        Ok(attrs)
    }

    fn entry(&mut self, name: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match name {
            "owned" => self.kind(meta, "Owned"),
            "shared" => self.kind(meta, "Shared"),
            "link" => self.kind(meta, "Link"),
            "name" => attr::once(meta, &mut self.name, attr::text(meta)?),
            "model_id" => attr::once(meta, &mut self.id, attr::stable_id(meta)?),
            "crate" => {
                let path = attr::text(meta)?.parse_with(Path::parse_mod_style)?;
                attr::once(meta, &mut self.root, path)
            }
            "index" => self.index(meta, false),
            "partial_index" => self.index(meta, true),
            _ => Err(meta.error(
                "a model knows `owned`, `shared` or `link`, `name = \"…\"`, `model_id = …`, \
                 `index(…)`, `partial_index(…)` and `crate = \"…\"`",
            )),
        }
    }

    fn kind(&mut self, meta: &ParseNestedMeta<'_>, kind: &'static str) -> Result<()> {
        if self.kind.is_some() {
            return Err(meta.error("a model is one of `owned`, `shared` and `link`; keep one"));
        }
        self.kind = Some(kind);
        Ok(())
    }

    fn index(&mut self, meta: &ParseNestedMeta<'_>, partial: bool) -> Result<()> {
        if !meta.input.peek(syn::token::Paren) {
            return Err(meta.error("an index names its fields: `index(a, b)`"));
        }
        let inner;
        parenthesized!(inner in meta.input);
        let columns =
            Punctuated::<Ident, Token![,]>::parse_terminated_with(&inner, Ident::parse_any)?;
        if columns.is_empty() {
            return Err(meta.error("an index needs at least one field"));
        }
        self.indexes.push((columns.into_iter().collect(), partial));
        Ok(())
    }
}

/// The struct's named fields, or why it cannot be a model.
fn members(input: &DeriveInput) -> Result<&Punctuated<Field, Token![,]>> {
    let refusal = |at: Span| Err(Error::new(at, "only a struct with named fields can be a model"));
    if !input.generics.params.is_empty() {
        let message = "a model is one record type, so its struct has no generic parameters";
        return Err(Error::new(input.generics.span(), message));
    }
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            Fields::Unnamed(_) | Fields::Unit => refusal(input.ident.span()),
        },
        Data::Enum(data) => refusal(data.enum_token.span()),
        Data::Union(data) => refusal(data.union_token.span()),
    }
}

/// The key and the model's fields, in the order in which they were declared.
fn split(model: &Ident, members: &Punctuated<Field, Token![,]>) -> Result<(Key, Vec<ModelField>)> {
    let mut read = Vec::with_capacity(members.len());
    for member in members {
        let Some(ident) = member.ident.clone() else {
            return Err(Error::new_spanned(member, "only named fields can be a model's"));
        };
        read.push((ident, &member.ty, FieldAttrs::read(member)?));
    }
    let at = key_position(model, &read)?;
    let (ident, ty, attrs) = read.remove(at);
    if let Some(span) = attrs.of_field() {
        let message = "the key is no field of the model: only `id` can stand here";
        return Err(Error::new(span, message));
    }
    let key = Key { ident, ty: KeyType::of(ty)? };
    let fields = read
        .into_iter()
        .map(|(ident, ty, attrs)| attrs.into_field(ident, ty.clone()))
        .collect::<Result<_>>()?;
    Ok((key, fields))
}

fn key_position(model: &Ident, read: &[(Ident, &syn::Type, FieldAttrs)]) -> Result<usize> {
    let mut marked = read.iter().enumerate().filter_map(|(at, (_, _, a))| Some((at, a.key()?)));
    if let Some((at, _)) = marked.next() {
        return match marked.next() {
            Some((_, twice)) => Err(Error::new(twice, "a record has one key; two are marked")),
            None => Ok(at),
        };
    }
    read.iter().position(|(ident, _, _)| ident == "id").ok_or_else(|| {
        let message = "a model needs a key: a field `id`, or one marked `#[sync(id)]`, that is a \
                       `Uuid` or a `RecordKey`";
        Error::new(model.span(), message)
    })
}

fn check_fields(model: &Ident, kind: &str, fields: &[ModelField]) -> Result<()> {
    if fields.is_empty() {
        return Err(Error::new(model.span(), "a model needs a field besides its key"));
    }
    for (at, field) in fields.iter().enumerate() {
        if !field.rule.is_lww() && kind != "Shared" {
            let message = "only fields of a `shared` model merge by a rule other than \"lww\"";
            return Err(Error::new(field.rule.span, message));
        }
        let twin =
            fields[..at].iter().find(|other| other.name == field.name || same_id(other, field));
        if let Some(twin) = twin {
            let message = format!(
                "this field and `{}` share a name or a stable id; give one of them an id of its own",
                twin.ident
            );
            return Err(Error::new(field.ident.span(), message));
        }
    }
    Ok(())
}

fn same_id(a: &ModelField, b: &ModelField) -> bool {
    match (&a.id, &b.id) {
        (Id::Name(a), Id::Name(b)) => a == b,
        (Id::Number(a), Id::Number(b)) => a == b,
        (Id::Name(_), Id::Number(_)) | (Id::Number(_), Id::Name(_)) => false,
    }
}

fn index(columns: &[Ident], partial: bool, key: &Key, fields: &[ModelField]) -> Result<Index> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        if column.unraw() == key.ident.unraw() {
            return Err(Error::new(
                column.span(),
                "the key needs no index: the table has one on it",
            ));
        }
        let field = fields.iter().find(|field| field.ident.unraw() == column.unraw());
        let Some(field) = field else {
            let message = format!("there is no field `{column}` in this struct");
            return Err(Error::new(column.span(), message));
        };
        if names.contains(&field.name) {
            return Err(Error::new(column.span(), format!("`{column}` is in this index twice")));
        }
        names.push(field.name.clone());
    }
    Ok(Index { columns: names, partial })
}

/// `UserMetadata` → `user_metadata`, `HTTPServer` → `http_server`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let word = before.is_some_and(|b| !b.is_uppercase() && *b != '_')
            || before.is_some_and(|b| b.is_uppercase()) && after.is_some_and(|a| a.is_lowercase());
        if letter.is_uppercase() && word {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
