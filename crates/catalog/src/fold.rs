//! Names whatever their case, by Unicode's rules for single characters.
//!
//! The index on names is in the order of their bytes, where `A` and `a` lie far apart. A prefix is
//! therefore looked up in the several ranges in which its first characters can be written
//! ([`ranges`]); no second column with folded names has to be kept, sent and indexed.

use memchr::memchr2_iter;

use crate::names::Range;

/// Characters whose lower case is another character that does not have them as its only upper case.
/// A test compares this table with what the standard library knows.
const ALSO: [(char, &[char]); 14] = [
    ('i', &['İ']),
    ('k', &['\u{212a}']),
    ('å', &['\u{212b}']),
    ('ß', &['ẞ']),
    ('ω', &['\u{2126}']),
    ('θ', &['ϴ']),
    ('σ', &['ς']),
    ('ǆ', &['ǅ']),
    ('ǉ', &['ǈ']),
    ('ǌ', &['ǋ']),
    ('ǳ', &['ǲ']),
    ('ᾳ', &['ᾼ']),
    ('ῃ', &['ῌ']),
    ('ῳ', &['ῼ']),
];

/// The most ranges that a prefix is looked up in.
const MAX_RANGES: usize = 32;

/// The text without its case.
pub(crate) fn fold(text: &str) -> String {
    text.chars().flat_map(fold_char).collect()
}

fn fold_char(c: char) -> impl Iterator<Item = char> {
    // The sigma at the end of a word has a form of its own.
    if c == 'ς' { 'σ' } else { c }.to_lowercase()
}

/// A text to look for in names.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    folded: String,
    prefix: bool,
}

impl Needle {
    /// At the beginning of names, or anywhere in them.
    pub(crate) fn new(text: &str, prefix: bool) -> Self {
        Self { folded: fold(text), prefix }
    }

    pub(crate) fn fits(&self, name: &str) -> bool {
        self.fits_bytes(name.as_bytes())
    }

    /// The same of a name's bytes; what is no text fits nothing.
    pub(crate) fn fits_bytes(&self, name: &[u8]) -> bool {
        if name.is_ascii() {
            return self.folded.is_ascii() && self.fits_ascii(name);
        }
        let Ok(name) = std::str::from_utf8(name) else { return false };
        let name = fold(name);
        if self.prefix { name.starts_with(&self.folded) } else { name.contains(&self.folded) }
    }

    fn fits_ascii(&self, name: &[u8]) -> bool {
        let needle = self.folded.as_bytes();
        let Some((&first, rest)) = needle.split_first() else { return true };
        let at = |from: usize| {
            let part = name.get(from..from + rest.len());
            part.is_some_and(|part| part.eq_ignore_ascii_case(rest))
        };
        if self.prefix {
            return name.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&first)) && at(1);
        }
        memchr2_iter(first, first.to_ascii_uppercase(), name).any(|found| at(found + 1))
    }

    /// Between which names, in the order of bytes, all that fit lie: from the first inclusive to the
    /// second exclusive. More may lie there. `None` if they may lie anywhere.
    pub(crate) fn ranges(&self) -> Option<Vec<Range>> {
        let starts = if self.prefix { ranges(&self.folded) } else { Vec::new() };
        if starts.is_empty() {
            return None;
        }
        let range = |start: String| {
            // No name goes on with the last code point, which Unicode sets aside.
            let high = format!("{start}{}", char::MAX);
            Range { low: start, high: Some(high) }
        };
        Some(starts.into_iter().map(range).collect())
    }
}

/// The ways in which names that fold to this beginning can begin, as far into it as that gives few
/// ways; none overlaps with another.
fn ranges(folded: &str) -> Vec<String> {
    let mut ways = vec![String::new()];
    for c in folded.chars() {
        let forms = forms(c);
        if forms.is_empty() || ways.len() * forms.len() > MAX_RANGES {
            break;
        }
        ways = ways
            .iter()
            .flat_map(|way| forms.iter().map(move |form| format!("{way}{form}")))
            .collect();
        // Beyond it, one character may have become several, and the next is no beginning of its own.
        if forms.iter().any(|form| fold_char(*form).count() > 1) {
            break;
        }
    }
    ways.retain(|way| !way.is_empty());
    ways.sort_unstable();
    ways
}

/// The characters whose folded form begins with this one.
fn forms(c: char) -> Vec<char> {
    let mut forms: Vec<char> = c.to_uppercase().chain([c]).collect();
    let also = ALSO.iter().find(|(lower, _)| *lower == c);
    forms.extend(also.into_iter().flat_map(|(_, upper)| upper.iter()));
    forms.extend(with_iota(c));
    forms.retain(|form| fold_char(*form).next() == Some(c));
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The capital of a Greek vowel with breathing and iota, which stands eight places behind it.
fn with_iota(c: char) -> Option<char> {
    let small =
        matches!(c, '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}');
    if small { char::from_u32(u32::from(c) + 8) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_beginnings_whatever_the_case() {
        let fits = |text: &str, prefix, name: &str| Needle::new(text, prefix).fits(name);
        assert!(fits("ADME", false, "Readme.txt") && fits("readME", true, "README"));
        assert!(!fits("adme", true, "Readme.txt") && !fits("x", false, "Readme"));
        assert!(fits("GRÜN", false, "Hellgrün") && fits("grün", true, "GRÜN.png"));
        assert!(fits("", false, "anything") && fits("", true, ""));
        assert!(fits("ΟΔΟΣ", false, "οδος") && fits("οδος", true, "ΟΔΟΣ"));
        assert!(!fits("longer than it", true, "longer") && !fits("\u{fffd}", false, "a"));
    }

    #[test]
    fn every_name_that_fits_lies_in_a_range() {
        let names = ["İstanbul", "istanbul", "Istanbul", "ISTANBUL", "\u{212a}elvin", "KELVIN"];
        for name in names {
            let folded = fold(name);
            for (end, _) in folded.char_indices().skip(1) {
                let needle = Needle::new(&folded[..end], true);
                assert!(needle.fits(name));
                let ranges = needle.ranges().unwrap();
                assert!(ranges.len() <= MAX_RANGES);
                let within = |range: &&Range| {
                    name >= range.low.as_str()
                        && range.high.as_deref().is_some_and(|high| name < high)
                };
                assert!(ranges.iter().filter(within).count() == 1, "{name} {end}");
            }
        }
        assert_eq!(Needle::new("a", false).ranges(), None);
        assert_eq!(Needle::new("", true).ranges(), None);
    }

    #[test]
    fn all_forms_of_all_characters_are_known() {
        for c in '\0'..=char::MAX {
            let first = fold_char(c).next().unwrap();
            let known = forms(first).contains(&c);
            assert!(known, "{c:?} (U+{:04x}) folds to {first:?}", u32::from(c));
        }
    }
}
