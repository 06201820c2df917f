//! How one text differs from another, word by word.

use std::time::Duration;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// The longest texts that are compared, in bytes together.
const MAX_COMPARED: usize = 64 << 10;
/// How long comparing may take; what is left then is told as wholly other.
const PATIENCE: Duration = Duration::from_millis(50);

/// A part of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) text: String,
    /// `del` if only the first has it, `ins` if only the second has it, else nothing.
    pub(super) tag: &'static str,
}

/// The difference of two values, if both are texts and something is to be seen in it.
pub(super) fn difference(first: &Value, second: &Value) -> Option<Vec<Part>> {
    let (Value::String(first), Value::String(second)) = (first, second) else { return None };
    let long =
        first.split_whitespace().nth(2).is_some() || second.split_whitespace().nth(2).is_some();
    if !long || first.len().saturating_add(second.len()) > MAX_COMPARED {
        return None;
    }
    let compared = TextDiff::configure().timeout(PATIENCE).diff_words(first, second);
    let mut parts: Vec<Part> = Vec::new();
    for change in compared.iter_all_changes() {
        let tag = match change.tag() {
            ChangeTag::Delete => "del",
            ChangeTag::Insert => "ins",
            ChangeTag::Equal => "",
        };
        match parts.last_mut() {
            Some(last) if last.tag == tag => last.text.push_str(change.value()),
            _ => parts.push(Part { text: change.value().to_owned(), tag }),
        }
    }
    parts.iter().any(|part| part.tag.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(first: &str, second: &str) -> Vec<(String, &'static str)> {
        let parts = difference(&first.into(), &second.into()).unwrap_or_default();
        parts.into_iter().map(|part| (part.text, part.tag)).collect()
    }

    #[test]
    fn words_that_differ_are_told() {
        let told = parts("the red house stands", "the blue house stands");
        let text = |text: &str| text.to_owned();
        assert_eq!(
            told,
            [
                (text("the "), ""),
                (text("red"), "del"),
                (text("blue"), "ins"),
                (text(" house stands"), "")
            ]
        );
    }

    #[test]
    fn what_has_nothing_in_common_has_no_difference() {
        assert!(parts("one two three", "four").is_empty());
        assert!(parts("red", "blue").is_empty());
        assert!(difference(&Value::from(1), &Value::from(2)).is_none());
    }
}
