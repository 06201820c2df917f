//! The draw of the dependencies, one way only; see `docs/architecture.md`.

use super::Finding;
use super::tree::Tree;

/// What a package may depend on. Development dependencies are free: tests may look from anywhere.
struct Room {
    package: &'static str,
    may_use: &'static [&'static str],
    must_not_use: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        package: "driftless-core",
        may_use: &[],
        must_not_use: &["tokio", "iroh", "rusqlite", "rand", "getrandom"],
    },
    Room { package: "driftless-derive", may_use: &[], must_not_use: &[] },
    Room {
        package: "driftless-store",
        may_use: &["driftless-core"],
        must_not_use: &["tokio", "iroh"],
    },
    Room {
        package: "driftless-net",
        may_use: &["driftless-core"],
        must_not_use: &["rusqlite", "libsqlite3-sys"],
    },
    Room {
        package: "driftless",
        may_use: &["driftless-net", "driftless-store", "driftless-core", "driftless-derive"],
        must_not_use: &[],
    },
    Room { package: "driftless-catalog", may_use: &["driftless"], must_not_use: &[] },
    Room {
        package: "driftless-cli",
        may_use: &["driftless-catalog", "driftless"],
        must_not_use: &[],
    },
    Room {
        package: "driftless-sim",
        may_use: &["driftless-store", "driftless-core"],
        must_not_use: &["tokio", "iroh"],
    },
    Room { package: "xtask", may_use: &[], must_not_use: &[] },
];

/// Looks at the manifest of every package.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let text = file.text.as_deref().filter(|_| file.path.ends_with("/Cargo.toml"));
        if let Some(text) = text {
            findings.extend(check_manifest(&file.path, text));
        }
    }
    findings
}

fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let manifest = Manifest::parse(text);
    let mut findings = Vec::new();
    if !manifest.workspace_lints {
        let what = "the lints of the workspace are not taken over";
        findings.push(Finding::error(path, 1, what, "add `[lints] workspace = true`"));
    }
    let Some(room) = ROOMS.iter().find(|room| room.package == manifest.package) else {
        let what = format!("package {:?} has no room in the draw", manifest.package);
        findings.push(Finding::error(path, 1, what, "give it one in xtask/src/tidy/deps.rs"));
        return findings;
    };
    for (line, used) in &manifest.dependencies {
        let ours = ROOMS.iter().any(|room| room.package == used);
        let foreign = room.must_not_use.iter().any(|banned| {
            used == banned || used.strip_prefix(banned).is_some_and(|rest| rest.starts_with('-'))
        });
        if foreign || ours && !room.may_use.contains(&used.as_str()) {
            let what = format!("{} must not depend on {used}", room.package);
            let cure = "turn the dependency round, or move the code to the room that may";
            findings.push(Finding::error(path, *line, what, cure));
        }
    }
    findings
}

/// What tidy wants to know of a `Cargo.toml`, as far as this workspace writes them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Manifest {
    package: String,
    workspace_lints: bool,
    /// Line and package name, of `[dependencies]`, `[build-dependencies]` and those of a target.
    dependencies: Vec<(usize, String)>,
}

impl Manifest {
    fn parse(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = String::new();
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.split('#').next().unwrap_or_default().trim());
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
                if let Some(name) = own_section(&section) {
                    manifest.dependencies.push((number, name.to_owned()));
                }
            } else if let Some((key, value)) = line.split_once('=') {
                manifest.entry(&section, number, key.trim(), value.trim());
            }
        }
        manifest
    }

    fn entry(&mut self, section: &str, number: usize, key: &str, value: &str) {
        match (section, key, value) {
            ("package", "name", name) => self.package = name.trim_matches('"').to_owned(),
            ("lints", "workspace", "true") => self.workspace_lints = true,
            (_, "package", name) if own_section(section).is_some() => {
                self.dependencies.push((number, name.trim_matches('"').to_owned()));
            }
            _ if holds_dependencies(section) => {
                let name = key.split('.').next().unwrap_or(key);
                let renamed =
                    value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
                self.dependencies.push((number, renamed.unwrap_or(name).to_owned()));
            }
            _ => {}
        }
    }
}

/// `[dependencies]`, and the same for builds or for a target.
fn holds_dependencies(section: &str) -> bool {
    let kind = section.rsplit('.').next().unwrap_or(section);
    matches!(kind, "dependencies" | "build-dependencies")
}

/// The name in `[dependencies.name]`.
fn own_section(section: &str) -> Option<&str> {
    let (outer, name) = section.rsplit_once('.')?;
    holds_dependencies(outer).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, rest: &str) -> String {
        format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n{rest}")
    }

    fn found(package: &str, rest: &str) -> Vec<(usize, String)> {
        check_manifest("crates/x/Cargo.toml", &manifest(package, rest))
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn the_draw_is_one_way() {
        let clean = "[dependencies]\ndriftless-core.workspace = true\ntokio = \"1\"\n";
        assert_eq!(found("driftless-net", clean), []);
        let wrong = "[dependencies]\ndriftless-store.workspace = true\n";
        assert_eq!(
            found("driftless-net", wrong),
            [(6, "driftless-net must not depend on driftless-store".to_owned())]
        );
        assert_eq!(found("driftless-core", "[dev-dependencies]\ndriftless-derive = \"1\""), []);
    }

    #[test]
    fn every_spelling_of_a_dependency_counts() {
        for rest in [
            "[dependencies]\ntokio.workspace = true",
            "[dependencies]\nt = { version = \"1\", package = \"tokio\" } # why",
            "[dependencies.tokio]\nversion = \"1\"",
            "[dependencies.t]\npackage = \"tokio\"",
            "[build-dependencies]\ntokio-util = \"1\"",
            "[target.'cfg(unix)'.dependencies]\ntokio = \"1\"",
        ] {
            assert_eq!(found("driftless-store", rest).len(), 1, "{rest}");
        }
        assert_eq!(found("driftless-store", "[dependencies]\ntokiox = \"1\""), []);
    }

    #[test]
    fn a_package_without_a_room_or_without_lints_is_told() {
        assert_eq!(found("driftless-new", "").len(), 1);
        let text = "[package]\nname = \"xtask\"\n";
        assert_eq!(check_manifest("xtask/Cargo.toml", text).len(), 1);
    }
}
