//! Relative links of the documents lead somewhere.

use super::Finding;
use super::tree::Tree;

/// Looks at the Markdown files of the root and of `docs/`.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let document = file.path.ends_with(".md")
            && (!file.path.contains('/') || file.path.starts_with("docs/"));
        let Some(text) = file.text.as_deref().filter(|_| document) else {
            continue;
        };
        for (line, target) in links(text) {
            let leads = resolve(&file.path, &target).is_some_and(|path| exists(tree, &path));
            if !leads {
                let what = format!("the link to {target} leads nowhere");
                findings.push(Finding::error(&file.path, line, what, "mend the path"));
            }
        }
    }
    findings
}

/// A file, or a folder that holds one.
fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || tree.has(path)
        || tree.files.iter().any(|file| file.path.starts_with(&folder))
}

/// `target`, seen from the document at `from`, as a path from the root; `None` if it leads out.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The relative targets of `text` with their lines, without anchors; code is skipped.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(targets(line).into_iter().map(|target| (index + 1, target)));
        }
    }
    found
}

fn targets(line: &str) -> Vec<String> {
    // Every second piece stands between backticks.
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let mut found: Vec<&str> = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect();
    if let Some((_, target)) = prose.split_once("]: ").filter(|_| prose.starts_with('[')) {
        found.push(target);
    }
    found
        .into_iter()
        .filter_map(|target| target.split_whitespace().next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_named_with_their_line() {
        let tree = Tree::of(&[
            ("README.md", "[a](docs/a.md#x) [b](docs/b.md)\n[web](https://x.org/y.md) [d](docs/)"),
            ("docs/a.md", "# A\n[up](../README.md) [here](#a)\n[out](../../x.md)\n[r]: adr/1.md"),
            ("docs/adr/1.md", "`[code](no.md)`\n```\n[code](no.md)\n```\n[a](../a.md \"title\")"),
            ("crates/x/notes.md", "[not ours](no.md)"),
        ]);
        let found: Vec<_> =
            check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        assert_eq!(found, [("README.md".to_owned(), 1), ("docs/a.md".to_owned(), 3)]);
    }
}
