//! What is not indexed.
//!
//! Rules are written in the syntax of `.gitignore`. They come from three places, of which the
//! first that says anything of a path decides:
//!
//! 1. the location's own list ([`Rules::patterns`]), relative to the root: the user's last word;
//! 2. the rule files in the tree ([`Rules::files`]), the deepest folder's first, each relative to
//!    its folder; of one folder's files the last named, of one file's patterns the last;
//! 3. [`Rules::skip_hidden`]: names that start with a dot.
//!
//! What lies in an ignored folder is ignored whatever other rules say of it, as the folder is not
//! even entered. Rule files rule also where there is no git, and where they are themselves
//! ignored.

mod patterns;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::problem::{Problem, Problems};
pub use patterns::{MAX_PATTERN, MAX_PATTERNS, MAX_RULE_FILE};
pub(crate) use patterns::{Patterns, Verdict};

/// Where rules come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The location's own list, relative to its root.
    pub patterns: Vec<String>,
    /// Ignore names that start with a dot, unless a rule keeps them.
    pub skip_hidden: bool,
    /// The names of rule files in the tree; the later ones overrule the earlier ones.
    pub files: Vec<OsString>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            skip_hidden: false,
            files: [".gitignore", ".driftlessignore"].map(OsString::from).into(),
        }
    }
}

/// [`Rules`], compiled.
#[derive(Debug)]
pub(crate) struct Settings {
    own: Option<Patterns>,
    skip_hidden: bool,
    files: Vec<OsString>,
}

impl Settings {
    pub(crate) fn new(rules: &Rules, problems: &mut Problems) -> Self {
        Self {
            own: Patterns::of_list(&rules.patterns, problems),
            skip_hidden: rules.skip_hidden,
            files: rules.files.clone(),
        }
    }

    pub(crate) fn files(&self) -> &[OsString] {
        &self.files
    }

    /// Whether this is the name of a rule file.
    pub(crate) fn is_rule_file(&self, name: &OsStr) -> bool {
        self.files.iter().any(|file| file == name)
    }

    /// Nothing is ignored but for the rule files in the tree.
    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_none() && !self.skip_hidden
    }

    pub(crate) fn is_anchored(&self) -> bool {
        self.own.as_ref().is_some_and(Patterns::is_anchored)
    }

    /// Whether a path is ignored whose folder is not. `levels` gives the lists in the folders
    /// above it, the deepest first, each with its depth: 0 for the root.
    pub(crate) fn ignores<'a>(
        &self,
        path: &Path,
        is_dir: bool,
        mut levels: impl Iterator<Item = (usize, &'a Patterns)>,
    ) -> bool {
        let own = self.own.as_ref().and_then(|own| own.verdict(path, is_dir));
        let verdict = own
            .or_else(|| levels.find_map(|(depth, list)| list.verdict(below(path, depth), is_dir)));
        match verdict {
            Some(verdict) => verdict == Verdict::Ignore,
            None => self.skip_hidden && path.file_name().is_some_and(is_hidden),
        }
    }
}

/// The path without its first `depth` names.
fn below(path: &Path, depth: usize) -> &Path {
    let mut components = path.components();
    for _ in 0..depth {
        components.next();
    }
    components.as_path()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

/// Whether paths are ignored: a predicate for whoever walks a tree.
///
/// It reads the rule files of the folders above each path, and keeps those of the last path: a
/// walk that goes folder by folder reads each file once. Files that change meanwhile are not read
/// again; make a new one for each walk.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use driftless_catalog::scan::{Kind, Options, Step, Walk};
/// use driftless_catalog::watch::{Ignore, Rules};
/// # let root = tempfile::tempdir()?;
/// # std::fs::create_dir_all(root.path().join("target/debug"))?;
/// # std::fs::write(root.path().join(".gitignore"), "/target\n")?;
/// # std::fs::write(root.path().join("kept"), "")?;
/// let mut ignore = Ignore::open(root.path(), &Rules { skip_hidden: true, ..Rules::default() });
/// let mut walk = Walk::open(root.path(), Options::default())?;
/// let mut kept = Vec::new();
/// while let Some(step) = walk.next() {
///     let Step::Found(found) = step else { continue };
///     let path = walk.dir_path().join(&found.name);
///     if ignore.ignores(&path, found.meta.kind == Kind::Dir) {
///         walk.do_not_enter(found.index);
///     } else {
///         kept.push(path);
///     }
/// }
/// assert_eq!(kept, [std::path::Path::new("kept")]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ignore {
    root: PathBuf,
    settings: Arc<Settings>,
    /// The folders from the root to that of the last path.
    levels: Vec<Level>,
    problems: Problems,
}

#[derive(Debug)]
struct Level {
    /// Empty for the root.
    name: OsString,
    list: Option<Patterns>,
    ignored: bool,
}

impl Ignore {
    /// The rules of the tree at `root`.
    #[must_use]
    pub fn open(root: &Path, rules: &Rules) -> Self {
        let mut problems = Problems::default();
        let settings = Arc::new(Settings::new(rules, &mut problems));
        Self { root: root.to_owned(), settings, levels: Vec::new(), problems }
    }

    /// Whether this path, relative to the root, is ignored, or any folder that it is in. What is
    /// not below the root is.
    pub fn ignores(&mut self, path: &Path, is_dir: bool) -> bool {
        let Some(parent) = path.parent() else { return false };
        let Some(names) = names(parent) else { return true };
        if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
            return true;
        }
        self.go_to(&names);
        self.levels.last().is_some_and(|level| level.ignored) || self.decide(path, is_dir)
    }

    /// Goes to a folder, of whose entries [`ignores_here`](Self::ignores_here) is asked. Tells whether
    /// the folder is ignored itself.
    pub(crate) fn enter(&mut self, folder: &Path) -> bool {
        let Some(names) = names(folder) else { return true };
        self.go_to(&names);
        self.levels.last().is_some_and(|level| level.ignored)
    }

    /// Whether any rule can concern what is in the folder that was entered.
    pub(crate) fn has_rules(&self) -> bool {
        !self.settings.is_empty() || self.levels.iter().any(|level| level.list.is_some())
    }

    /// Whether something in the folder that was entered is ignored.
    pub(crate) fn ignores_here(&self, path: &Path, is_dir: bool) -> bool {
        self.decide(path, is_dir)
    }

    /// What went wrong since the last call, and how many more problems were not kept.
    pub fn take_problems(&mut self) -> (Vec<Problem>, u64) {
        self.problems.take()
    }

    /// By the levels present, which end with the path's folder.
    fn decide(&self, path: &Path, is_dir: bool) -> bool {
        let levels = self.levels.iter().enumerate().rev();
        let lists = levels.filter_map(|(depth, level)| Some((depth, level.list.as_ref()?)));
        self.settings.ignores(path, is_dir, lists)
    }

    /// Makes the levels those of this folder.
    fn go_to(&mut self, names: &[&OsStr]) {
        if self.levels.is_empty() {
            let list = self.read(Path::new(""));
            self.levels.push(Level { name: OsString::new(), list, ignored: false });
        }
        let shared =
            self.levels[1..].iter().zip(names).take_while(|(level, name)| level.name == **name);
        let shared = shared.count();
        self.levels.truncate(shared + 1);
        let mut path: PathBuf = names[..shared].iter().collect();
        for name in &names[shared..] {
            path.push(name);
            let above = self.levels.last().is_some_and(|level| level.ignored);
            let ignored = above || self.decide(&path, true);
            let list = if ignored { None } else { self.read(&path) };
            self.levels.push(Level { name: (*name).to_owned(), list, ignored });
        }
    }

    fn read(&mut self, folder: &Path) -> Option<Patterns> {
        if self.settings.files.is_empty() {
            return None;
        }
        match open(&self.root.join(folder)) {
            Ok(fd) => Patterns::of_folder(fd, folder, &self.settings.files, &mut self.problems),
            // Whoever walks meets the same and says so.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            Err(errno) => {
                let source = errno.into();
                self.problems.push(Problem::Rules { path: folder.to_owned(), source });
                None
            }
        }
    }
}

fn open(folder: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, folder, flags, Mode::empty())
}

/// The names of a relative path; `None` if it leads anywhere but down.
fn names(path: &Path) -> Option<Vec<&OsStr>> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}
