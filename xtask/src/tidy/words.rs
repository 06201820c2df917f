//! Words that a text must not hold: in any file, in Rust source, in the deterministic core.

use super::Finding;
use super::rust_text::{RustText, is_word};

/// A word, what is wrong with it, what to do.
type Rule = (&'static str, &'static str, &'static str);

/// Files that may hold `unsafe`, each with a safe face and its reasons in comments.
const UNSAFE_FILES: &[&str] = &["crates/store/tests/faults/vfs.rs"];

/// Broken off here, so that this file keeps its own rule.
const WORKPLACE: &str = concat!("/wo", "rk/");

const IN_CODE: &[Rule] = &[
    ("todo!", "a hole in the program", "write it, or leave out what needs it"),
    ("unimplemented!", "a hole in the program", "write it, or leave out what needs it"),
    ("#[ignore", "a test that nobody runs", "make it run, or remove it"),
    ("allow(warnings)", "every warning switched off", "name the one lint, with the reason"),
];

const IN_COMMENTS: &[Rule] = &[
    ("TODO", "a promise", "keep it, or file it as an issue"),
    ("FIXME", "a known fault", "mend it, or file it as an issue"),
    ("XXX", "a known fault", "mend it, or file it as an issue"),
    ("for now", "something provisional", "say what is and why, or finish it"),
    ("For now", "something provisional", "say what is and why, or finish it"),
];

/// What would let a run of the core depend on anything but its inputs.
const NOT_IN_CORE: &[Rule] = &[
    ("HashMap", "iteration order that differs from run to run", "use BTreeMap"),
    ("HashSet", "iteration order that differs from run to run", "use BTreeSet"),
    ("RandomState", "iteration order that differs from run to run", "use a BTree collection"),
    ("Instant", "a clock in the core", "take the time as an argument"),
    ("SystemTime", "a clock in the core", "take the time as an argument"),
    ("std::thread", "a thread in the core", "give the work back as an effect"),
    ("thread::spawn", "a thread in the core", "give the work back as an effect"),
    ("rand", "randomness in the core", "take the random bytes as an argument"),
    ("getrandom", "randomness in the core", "take the random bytes as an argument"),
    ("new_v4", "randomness in the core", "take the random bytes as an argument"),
    ("now_v7", "a clock in the core", "take the time and the random bytes as arguments"),
    ("std::fs", "I/O in the core", "give the work back as an effect"),
    ("std::env", "the environment in the core", "take the setting as an argument"),
];

/// Rules for every text of the checkout.
pub(crate) fn check_any(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        if starts_path(line, WORKPLACE) {
            let what = "a path of somebody's workplace";
            findings.push(Finding::error(path, number, what, "speak of the project alone"));
        }
    }
    findings
}

/// Rules for Rust source.
pub(crate) fn check_rust(path: &str, text: &str) -> Vec<Finding> {
    let text = RustText::of(text);
    let mut findings = Vec::new();
    apply(path, &text.code, IN_CODE, &mut findings);
    apply(path, &text.comments, IN_COMMENTS, &mut findings);
    if path.starts_with("crates/core/src/") {
        apply(path, &text.code, NOT_IN_CORE, &mut findings);
    }
    findings.extend(check_unsafe(path, &text.code));
    findings.extend(check_swallowed(path, &text));
    findings
}

fn apply(path: &str, text: &str, rules: &[Rule], findings: &mut Vec<Finding>) {
    for (number, line) in numbered(text) {
        for (word, what, cure) in rules {
            if has_word(line, word) {
                findings.push(Finding::error(path, number, format!("`{word}`: {what}"), cure));
            }
        }
    }
}

fn check_unsafe(path: &str, code: &str) -> Vec<Finding> {
    if UNSAFE_FILES.contains(&path) {
        return Vec::new();
    }
    let cure = "write it safely, or name the file in xtask/src/tidy/words.rs";
    numbered(code)
        .filter(|(_, line)| {
            has_word(line, "unsafe") || has_word(line, "unsafe_code") && line.contains("allow(")
        })
        .map(|(number, _)| Finding::error(path, number, "`unsafe` outside the named files", cure))
        .collect()
}

/// `let _ =` throws a value away, often an error: somebody has to say why that is right.
fn check_swallowed(path: &str, text: &RustText) -> Vec<Finding> {
    let comments: Vec<&str> = text.comments.lines().collect();
    let commented =
        |number: usize| comments.get(number).is_some_and(|line| !line.trim().is_empty());
    numbered(&text.code)
        .filter(|(_, line)| {
            line.split_once("let _ ").is_some_and(|(_, rest)| rest.trim_start().starts_with('='))
        })
        // `number` counts from one, so it is also the index of the next line: this one is before it.
        .filter(|(number, _)| !(commented(number - 1) || *number > 1 && commented(number - 2)))
        .map(|(number, _)| {
            let cure = "handle it, or say in a comment why it may be lost";
            Finding::error(path, number, "a value thrown away with `let _ =`", cure)
        })
        .collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// True if `word` stands in `line` as a whole: no letter, digit or underscore continues it.
fn has_word(line: &str, word: &str) -> bool {
    let (bytes, wanted) = (line.as_bytes(), word.as_bytes());
    let edge = |byte: Option<&u8>| byte.is_none_or(|byte| !is_word(*byte));
    let open = |byte: Option<&u8>| wanted.first().is_some_and(|b| !is_word(*b)) || edge(byte);
    let close = |byte: Option<&u8>| wanted.last().is_some_and(|b| !is_word(*b)) || edge(byte);
    line.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        open(before) && close(bytes.get(at + wanted.len()))
    })
}

/// True if an absolute path that begins with `start` stands in `line`.
fn starts_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = at.checked_sub(1).map(|before| line.as_bytes()[before]);
        before
            .is_none_or(|byte| !is_word(byte) && !matches!(byte, b'.' | b'-' | b'/' | b'~' | b'}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn holes_are_found_in_code_and_promises_in_comments() {
        let text = "fn f() {\n    todo!()\n}\n// FIXME later\n/* good\n   for now */\n\"todo!\"";
        assert_eq!(lines(&check_rust("a.rs", text)), [2, 4, 6]);
        assert_eq!(lines(&check_rust("a.rs", "#[ignore = \"slow\"]\n#[test]")), [1]);
        assert_eq!(lines(&check_rust("a.rs", "#![allow(warnings)]")), [1]);
        assert_eq!(check_rust("a.rs", "let not_todo = 1; // for nowhere, XXXL"), []);
    }

    #[test]
    fn the_core_is_deterministic() {
        let text = "use std::collections::HashMap;\n// HashMap\nlet a = operand;\nrand::random()";
        assert_eq!(lines(&check_rust("crates/core/src/a.rs", text)), [1, 4]);
        assert_eq!(check_rust("crates/store/src/a.rs", text), []);
        assert_eq!(
            lines(&check_rust("crates/core/src/a.rs", "use std::{thread};\nthread::spawn(f)")),
            [2]
        );
    }

    #[test]
    fn unsafe_needs_a_named_file() {
        let text = "// unsafe\n#![allow(unsafe_code)]\nunsafe { f() }\n#![deny(unsafe_code)]";
        assert_eq!(lines(&check_rust("a.rs", text)), [2, 3]);
    }

    #[test]
    fn a_value_thrown_away_needs_a_reason() {
        assert_eq!(lines(&check_rust("a.rs", "let _ = f();")), [1]);
        assert_eq!(lines(&check_rust("a.rs", "// why\n\nlet _ = f();")), [3]);
        assert_eq!(check_rust("a.rs", "// why\nlet _ = f();"), []);
        assert_eq!(check_rust("a.rs", "let _ = f(); // why"), []);
        assert_eq!(check_rust("a.rs", "let _guard = f();\nlet (_, b) = g();"), []);
    }

    #[test]
    fn workplaces_are_not_named() {
        let path = format!("{WORKPLACE}here");
        assert_eq!(lines(&check_any("a.md", &format!("x\n`{path}`"))), [2]);
        assert_eq!(lines(&check_any("a.md", &path)), [1]);
        assert_eq!(check_any("a.md", &format!("home{path} ../x{path}")), []);
    }
}
