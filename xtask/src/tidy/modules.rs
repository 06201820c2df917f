//! Forgotten files: source that no `mod` declaration reaches is compiled by nobody.

use std::collections::BTreeSet;

use super::Finding;
use super::rust_text::{RustText, is_word};
use super::tree::Tree;

/// Every `.rs` under a `src/` has to be reached from a root of its crate.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let sources: Vec<&str> = tree
        .files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| path.ends_with(".rs") && path.contains("/src/"))
        .collect();
    let mut reached = BTreeSet::new();
    let mut queue: Vec<String> =
        sources.iter().filter(|path| is_root(path)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = queue.pop() {
        if let Some(text) = tree.get(&path).and_then(|file| file.text.as_deref()) {
            queue
                .extend(children(&path, text).into_iter().filter(|child| !reached.contains(child)));
        }
        reached.insert(path);
    }
    sources
        .into_iter()
        .filter(|path| !reached.contains(*path))
        .map(|path| {
            Finding::error(path, 1, "no `mod` reaches this file", "declare it or delete it")
        })
        .collect()
}

fn is_root(path: &str) -> bool {
    let Some((_, inner)) = path.rsplit_once("/src/") else {
        return false;
    };
    let parts: Vec<&str> = inner.split('/').collect();
    matches!(parts.as_slice(), ["lib.rs" | "main.rs"] | ["bin", _] | ["bin", _, "main.rs"])
}

/// Where the modules that `text` declares could stand.
fn children(path: &str, text: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    let own =
        if is_root(path) || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    for module in declarations(text) {
        if let Some(file) = module.file {
            found.push(format!("{folder}/{file}"));
            continue;
        }
        let base = format!("{own}/{}", module.names.join("/"));
        found.push(format!("{base}.rs"));
        found.push(format!("{base}/mod.rs"));
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    /// The enclosing inline modules, then the module itself.
    names: Vec<String>,
    /// What a `#[path]` says.
    file: Option<String>,
}

fn declarations(text: &str) -> Vec<Declaration> {
    let view = RustText::of(text);
    let code = view.code.as_str();
    let mut found = Vec::new();
    let mut inline: Vec<(usize, String)> = Vec::new();
    let (mut depth, mut statement, mut at) = (0_usize, 0, 0);
    while at < code.len() {
        match code.as_bytes()[at] {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                inline.retain(|(opened, _)| *opened < depth);
            }
            _ => {}
        }
        if matches!(code.as_bytes()[at], b'{' | b'}' | b';') {
            statement = at + 1;
        } else if let Some((name, end)) = module_at(code, at) {
            match code.as_bytes().get(end) {
                Some(b'{') => inline.push((depth, name)),
                Some(b';') => {
                    let outer = inline.iter().map(|(_, name)| name.clone());
                    let names = outer.chain([name]).collect();
                    found.push(Declaration {
                        names,
                        file: path_attribute(text, code, statement, at),
                    });
                }
                _ => {}
            }
            at = end;
            continue;
        }
        at += 1;
    }
    found
}

/// The name after a `mod` at `at`, and the index of what follows the name.
fn module_at(code: &str, at: usize) -> Option<(String, usize)> {
    let rest = code.get(at..)?.strip_prefix("mod")?;
    if at > 0 && is_word(code.as_bytes()[at - 1]) {
        return None;
    }
    let name = rest.trim_start();
    if name.len() == rest.len() {
        return None;
    }
    let name = name.strip_prefix("r#").unwrap_or(name);
    let length = name.bytes().take_while(|byte| is_word(*byte)).count();
    let after = name[length..].trim_start();
    (length > 0).then(|| (name[..length].to_owned(), code.len() - after.len()))
}

/// The file that a `#[path = "…"]` before the declaration names. Literals are blanks in `code`, at the
/// same places as in `text`.
fn path_attribute(text: &str, code: &str, from: usize, to: usize) -> Option<String> {
    let attribute = from + code[from..to].find("#[path")?;
    text[attribute..to].split('"').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reached_files_are_quiet_and_forgotten_ones_named() {
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "pub mod one;\n#[cfg(test)]\nmod two;\nmod inner { mod deep; }",
            ),
            ("crates/a/src/one.rs", "mod leaf;"),
            ("crates/a/src/one/leaf.rs", ""),
            ("crates/a/src/two/mod.rs", "// mod ghost;\nmod beside;"),
            ("crates/a/src/two/beside.rs", ""),
            ("crates/a/src/two/ghost.rs", ""),
            ("crates/a/src/inner/deep.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/e2e.rs", ""),
            ("crates/a/build.rs", ""),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/a/src/two/ghost.rs");
    }

    #[test]
    fn inline_modules_nest_and_end() {
        let names = |text| -> Vec<String> {
            declarations(text).into_iter().map(|found| found.names.join("/")).collect()
        };
        assert_eq!(
            names("mod a { fn f() { if x {} } mod b { mod c; } mod d; } mod e;"),
            ["a/b/c", "a/d", "e"]
        );
        assert_eq!(names("let modulo = a.mod_x; macro!(mod $name;)"), Vec::<String>::new());
    }

    #[test]
    fn a_path_attribute_is_followed() {
        let text = "mod a;\n#[path = \"other/b.rs\"]\nmod b;";
        assert_eq!(
            children("crates/x/src/lib.rs", text).last().unwrap(),
            "crates/x/src/other/b.rs"
        );
    }
}
