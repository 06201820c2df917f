//! What an embedder sees has an example: every public item of the crate `driftless` says in its
//! documentation how it is used, in code that `cargo test --doc` runs.
//!
//! That goes for what it takes over from the crates below it, too; their own documentation is for
//! those who change them.
//!
//! The compiler's lint `unreachable_pub` sees to it that what says `pub` there is public indeed.

use super::Finding;
use super::rust_text::{RustText, is_word};
use super::tree::Tree;

/// Where those items stand.
const HOUSE: &str = "crates/driftless/src/";
/// What an item can be. Fields and variants are explained by the item that they belong to.
const KINDS: [&str; 8] = ["fn", "async", "const", "struct", "enum", "trait", "type", "static"];
const CURE: &str = "show its use in a ``` block of its documentation";

/// Looks at every file of that crate.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let text = file.text.as_deref().filter(|_| is_source(&file.path));
        findings.extend(text.into_iter().flat_map(|text| check_file(&file.path, text)));
    }
    findings
}

fn is_source(path: &str) -> bool {
    path.starts_with(HOUSE) && path.ends_with(".rs")
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let code = RustText::of(text).code;
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let Some(name) = item(line) else { continue };
        if !is_shown(&lines[..index]) {
            let what = format!("`{name}` is public and has no example");
            findings.push(Finding::error(path, index + 1, what, CURE));
        }
    }
    findings
}

/// The name of the public item that a line begins, if it begins one.
fn item(line: &str) -> Option<&str> {
    let mut rest = line.trim_start().strip_prefix("pub ")?;
    if let Some(taken_over) = rest.strip_prefix("use driftless_").filter(|path| path.contains("::"))
    {
        return taken_over.split("::").last();
    }
    let mut known = false;
    while let Some((word, more)) = rest.split_once(' ') {
        if !KINDS.contains(&word) {
            break;
        }
        (rest, known) = (more, true);
    }
    let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
    (known && length > 0).then(|| &rest[..length])
}

/// Whether the documentation that ends above a line has a block of code that is run. Attributes may
/// stand in between.
fn is_shown(above: &[&str]) -> bool {
    let mut lines = above.iter().rev().map(|line| line.trim()).peekable();
    while lines
        .next_if(|line| !line.starts_with("///") && !line.ends_with(['{', '}', ';']))
        .is_some()
    {}
    let mut docs: Vec<&str> = lines.map_while(|line| line.strip_prefix("///")).collect();
    docs.reverse();
    let fences = docs.iter().filter_map(|line| line.trim().strip_prefix("```"));
    // Every second fence closes a block.
    fences.step_by(2).any(|kind| matches!(kind, "" | "rust" | "should_panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let path = format!("{HOUSE}a.rs");
        let findings = check_file(&path, text).into_iter();
        findings.map(|finding| (finding.line, finding.what)).collect()
    }

    fn names(text: &str) -> Vec<String> {
        let name = |what: String| what.split('`').nth(1).unwrap().to_owned();
        found(text).into_iter().map(|(_, what)| name(what)).collect()
    }

    #[test]
    fn every_public_item_needs_a_block_that_is_run() {
        let text = "/// A.\npub fn a() {}\n\n/// B.\n///\n/// ```\n/// b();\n/// ```\n#[must_use]\n\
                    pub fn b() {}\n";
        assert_eq!(found(text), [(2, "`a` is public and has no example".to_owned())]);
        let kinds = "pub async fn a() {}\npub const B: u8 = 1;\npub struct C<T>(T);\npub enum D {}\n\
                     pub trait E {}\npub type F = u8;\n    pub const fn g(&self) {}\npub static H: u8 = 1;";
        assert_eq!(names(kinds), ["a", "B", "C", "D", "E", "F", "g", "H"]);
        assert_eq!(names("/// A.\n///\n/// ```text\n/// no code\n/// ```\npub fn a() {}"), ["a"]);
    }

    #[test]
    fn what_is_no_item_of_its_own_needs_none() {
        let text = "pub use a::b;\npub use driftless_core as core;\npub mod c;\npub(crate) fn d() {}\nstruct E {\n    pub f: u8,\n}\n\
                    // pub fn g() {}\nlet text = \"pub fn h() {}\";\n/// pub fn i() {}\n";
        assert_eq!(names(text), [""; 0]);
    }

    #[test]
    fn what_is_taken_over_needs_one_too() {
        let text =
            "pub use driftless_core::id::{A, B};\n/// ```\n/// ```\npub use driftless_net::C;";
        assert_eq!(names(text), ["{A, B};"]);
    }

    #[test]
    fn an_example_of_another_item_does_not_count() {
        let text =
            "/// ```\n/// ```\npub fn a() {}\npub fn b() {}\nimpl C {\n    pub fn d() {}\n}\n";
        assert_eq!(names(text), ["b", "d"]);
    }

    #[test]
    fn only_the_embedder_s_crate_is_looked_at() {
        let tree = Tree::of(&[
            ("crates/driftless/src/a.rs", "pub fn a() {}"),
            ("crates/core/src/a.rs", "pub fn a() {}"),
            ("crates/driftless/tests/a.rs", "pub fn a() {}"),
        ]);
        assert_eq!(check(&tree).len(), 1);
    }
}
