//! The rules of the house, checked: one line a finding, `path:line: what; what to do`.

mod deps;
mod examples;
mod links;
mod modules;
mod rust_text;
mod tree;
mod words;

use std::fmt;
use std::path::Path;

use tree::{File, Tree};

/// How many lines a source file may have before tidy asks whether it is still one room.
const LONG_FILE_LINES: usize = 500;
/// Bytes of the largest file that belongs into the repository.
const LARGE_FILE_BYTES: u64 = 1 << 20;

/// One thing that breaks a rule, or nearly does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    cure: &'static str,
    /// Warnings are shown and do not fail the run.
    warning: bool,
}

impl Finding {
    fn error(path: &str, line: usize, what: impl Into<String>, cure: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), cure, warning: false }
    }

    fn warning(path: &str, line: usize, what: impl Into<String>, cure: &'static str) -> Self {
        Self { warning: true, ..Self::error(path, line, what, cure) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}; {}", self.path, self.line, self.what, self.cure)
    }
}

/// Checks the checkout at `root` and prints what it finds; true if nothing but warnings.
pub(crate) fn run(root: &Path) -> Result<bool, String> {
    let tree = Tree::read(root)?;
    let mut findings = check(&tree);
    findings.sort_by(|a, b| (a.warning, &a.path, a.line).cmp(&(b.warning, &b.path, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    let warnings = findings.iter().filter(|finding| finding.warning).count();
    let errors = findings.len() - warnings;
    println!("tidy: {} files, {errors} errors, {warnings} warnings", tree.files.len());
    Ok(errors == 0)
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = deps::check(tree);
    findings.extend(modules::check(tree));
    findings.extend(links::check(tree));
    findings.extend(examples::check(tree));
    for file in &tree.files {
        findings.extend(check_file(file));
    }
    findings
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.tracked {
        findings.push(Finding::error(&file.path, 1, "not in git", "add it or ignore it"));
    }
    if file.bytes > LARGE_FILE_BYTES {
        let what = format!("{} bytes in one file", file.bytes);
        findings.push(Finding::error(&file.path, 1, what, "keep it out of the repository"));
    }
    let Some(text) = &file.text else {
        return findings;
    };
    findings.extend(words::check_any(&file.path, text));
    if file.path.ends_with(".rs") {
        findings.extend(words::check_rust(&file.path, text));
        let lines = text.lines().count();
        if lines > LONG_FILE_LINES {
            let what = format!("{lines} lines");
            findings.push(Finding::warning(&file.path, 1, what, "is it still one room?"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_strays_and_large_files() {
        let mut file = File::of("notes.bin", "");
        assert_eq!(check_file(&file), []);
        file.tracked = false;
        file.bytes = LARGE_FILE_BYTES + 1;
        file.text = None;
        let found = check_file(&file);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].to_string(), "notes.bin:1: not in git; add it or ignore it");
    }

    #[test]
    fn long_files_are_only_warned_of() {
        let found = check_file(&File::of("crates/x/src/a.rs", &"\n".repeat(501)));
        assert_eq!(found.len(), 1);
        assert!(found[0].warning);
        assert!(found[0].to_string().contains(":1: warning: 501 lines; "));
    }
}
