//! Names as text: file systems hold bytes, people and SQL want Unicode.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The longest extension, in characters; what is longer is no extension but a name with a dot.
pub const MAX_EXTENSION: usize = 32;

/// The name as text and, only if the name is not UTF-8, its exact bytes.
///
/// What is not UTF-8 shows as U+FFFD. Two different names can therefore have equal texts; the
/// bytes tell them apart.
#[must_use]
pub fn name_text(name: &OsStr) -> (String, Option<Vec<u8>>) {
    match name.to_str() {
        Some(text) => (text.to_owned(), None),
        None => (name.to_string_lossy().into_owned(), Some(name.as_bytes().to_vec())),
    }
}

/// The lower-cased text after the last dot, if there is any and it is short enough.
///
/// A name that only starts with a dot (`.bashrc`) is a hidden file without an extension.
#[must_use]
pub fn extension(name: &str) -> Option<String> {
    let (stem, after) = name.rsplit_once('.')?;
    if stem.is_empty() || after.is_empty() {
        return None;
    }
    // Bounded before lower-casing, which can lengthen; and after it for the same reason.
    if after.chars().nth(MAX_EXTENSION).is_some() {
        return None;
    }
    let lower = after.to_lowercase();
    (lower.chars().count() <= MAX_EXTENSION).then_some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions() {
        let cases = [
            ("a.TXT", Some("txt")),
            ("archive.tar.gz", Some("gz")),
            ("ÄRGER.ÄÖ", Some("äö")),
            (".bashrc", None),
            (".config.Json", Some("json")),
            ("..x", Some("x")),
            ("plain", None),
            ("ends.", None),
            ("", None),
            (".", None),
            ("..", None),
        ];
        for (name, want) in cases {
            assert_eq!(extension(name).as_deref(), want, "{name:?}");
        }
    }

    #[test]
    fn an_extension_has_at_most_32_characters() {
        assert_eq!(extension(&format!("a.{}", "É".repeat(32))), Some("é".repeat(32)));
        assert_eq!(extension(&format!("a.{}", "x".repeat(33))), None);
        assert_eq!(extension(&format!("a.{}", "x".repeat(1 << 20))), None);
        // The Turkish dotted capital becomes two characters.
        assert_eq!(extension(&format!("a.{}", "İ".repeat(20))), None);
    }

    #[test]
    fn names_keep_their_bytes_only_if_they_are_no_text() {
        assert_eq!(name_text(OsStr::new("grün")), ("grün".to_owned(), None));
        let raw = b"gr\xfcn.txt";
        assert_eq!(
            name_text(OsStr::from_bytes(raw)),
            ("gr\u{fffd}n.txt".to_owned(), Some(raw.to_vec()))
        );
        assert_eq!(name_text(OsStr::new("a\u{fffd}")).1, None);
    }
}
