//! What the attributes of structs and fields have in common.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, LitInt, LitStr, Result};

/// Hands every entry of the `#[sync(…)]` attributes among `attrs` to `read`, by its name.
pub(crate) fn for_each(
    attrs: &[Attribute],
    mut read: impl FnMut(&str, &ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("sync")) {
        attr.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            read(&name, &meta)
        })?;
    }
    Ok(())
}

/// Puts a value into `slot`, which must be free.
pub(crate) fn once<T>(meta: &ParseNestedMeta<'_>, slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.is_some() {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        return Err(meta.error(format!("`{name}` is given twice")));
    }
    *slot = Some(value);
    Ok(())
}

/// `entry = "text"`.
pub(crate) fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

/// `entry = 7`: a stable id.
pub(crate) fn stable_id(meta: &ParseNestedMeta<'_>) -> Result<u32> {
    let number: LitInt = meta.value()?.parse()?;
    number
        .base10_parse()
        .map_err(|_| Error::new(number.span(), "a stable id is a whole number below 2^32"))
}

/// Refuses what `schema::Schema` would refuse as a name, where the name stands.
pub(crate) fn check_name(name: &str, at: Span) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && !name.ends_with('_')
        && name.len() <= 48
        && name != "id";
    if plain {
        return Ok(());
    }
    Err(Error::new(
        at,
        format!(
            "{name:?} cannot name a model or field: lower-case letters, digits and inner \
             underscores only, at most 48, and not \"id\""
        ),
    ))
}
