//! What texts from people can be.

use crate::error::CatalogError;

/// Bytes of a name, colour or kind.
pub(crate) const MAX_TEXT: usize = 1_024;
/// Bytes of a description or note.
pub(crate) const MAX_LONG_TEXT: usize = 64 << 10;

/// A name has something in it that can be seen, and is not too long. `of` is what has it: "a tag".
pub(crate) fn check_name(of: &str, name: &str) -> Result<(), CatalogError> {
    if name.trim().is_empty() {
        return Err(invalid("name", format!("{of} needs a name")));
    }
    check_length("name", name, MAX_TEXT)
}

/// Refuses a text of more bytes than `max`.
pub(crate) fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), CatalogError> {
    if text.len() <= max {
        return Ok(());
    }
    Err(invalid(what, format!("{} bytes are more than the {max} that it can have", text.len())))
}

/// The refusal of a value.
pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> CatalogError {
    CatalogError::Invalid { what, why: why.into() }
}

/// Empty texts are none.
pub(crate) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
