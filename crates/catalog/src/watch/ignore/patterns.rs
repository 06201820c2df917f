//! One list of patterns, compiled.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::problem::{Problem, Problems};

/// A rule file longer than this, in bytes, is not used.
pub const MAX_RULE_FILE: usize = 256 << 10;
/// A list with more patterns than this is not used.
pub const MAX_PATTERNS: usize = 4096;
/// A pattern longer than this, in bytes, is none.
pub const MAX_PATTERN: usize = 4096;

/// What a list says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ignore,
    Keep,
}

/// The patterns that hold from one folder downwards.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    set: Gitignore,
    /// Some pattern depends on more of the path than its last name.
    anchored: bool,
    /// Of the text: equal lists rule equally.
    digest: blake3::Hash,
}

impl Patterns {
    /// What the last pattern that matches says. The path is relative to the folder of the list.
    pub(crate) fn verdict(&self, path: &Path, is_dir: bool) -> Option<Verdict> {
        match self.set.matched(path, is_dir) {
            Match::None => None,
            Match::Ignore(_) => Some(Verdict::Ignore),
            Match::Whitelist(_) => Some(Verdict::Keep),
        }
    }

    pub(crate) fn is_anchored(&self) -> bool {
        self.anchored
    }

    pub(crate) fn count(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The location's own list.
    pub(crate) fn of_list(lines: &[String], problems: &mut Problems) -> Option<Self> {
        let mut compiler = Compiler::default();
        if lines.iter().map(String::len).sum::<usize>() > MAX_RULE_FILE {
            problems.push(Problem::TooManyRules { path: None });
            return None;
        }
        for (at, line) in lines.iter().enumerate() {
            compiler.line(None, at + 1, line.as_bytes(), problems);
        }
        compiler.finish(None, problems)
    }

    /// The rule files of a folder; the later ones of the names overrule the earlier ones. `at` is
    /// the folder's path relative to the root.
    pub(crate) fn of_folder(
        folder: impl AsFd,
        at: &Path,
        names: &[OsString],
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut compiler = Compiler::default();
        for name in names {
            let path = || at.join(name);
            match read(&folder, name) {
                Ok(None) => {}
                Ok(Some(text)) if text.len() > MAX_RULE_FILE => {
                    problems.push(Problem::TooManyRules { path: Some(path()) });
                }
                Ok(Some(text)) => compiler.text(&path(), &text, problems),
                Err(source) => problems.push(Problem::Rules { path: path(), source }),
            }
        }
        compiler.finish(Some(at), problems)
    }
}

/// The text of a rule file, cut one byte beyond the limit; `None` if there is no file. Links are
/// not followed, as git does not follow them here either, and nothing that blocks is opened.
fn read(folder: impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mode = rustix::fs::fstat(&fd)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Ok(None);
    }
    let limit = u64::try_from(MAX_RULE_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    std::fs::File::from(fd).take(limit).read_to_end(&mut text)?;
    Ok(Some(text))
}

struct Compiler {
    builder: GitignoreBuilder,
    hasher: blake3::Hasher,
    anchored: bool,
    count: usize,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            // Paths are given relative to the list's folder, so that a folder that moves keeps it.
            builder: GitignoreBuilder::new(""),
            hasher: blake3::Hasher::new(),
            anchored: false,
            count: 0,
        }
    }
}

impl Compiler {
    fn text(&mut self, path: &Path, text: &[u8], problems: &mut Problems) {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            self.line(Some(path), at + 1, line, problems);
        }
    }

    fn line(&mut self, path: Option<&Path>, line: usize, text: &[u8], problems: &mut Problems) {
        if self.count > MAX_PATTERNS {
            return;
        }
        if let Err(reason) = self.add(text) {
            problems.push(Problem::Pattern { path: path.map(Path::to_owned), line, reason });
        }
    }

    fn add(&mut self, text: &[u8]) -> Result<(), String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("it is longer than {MAX_PATTERN} bytes"));
        }
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        if text.trim_end().is_empty() || text.starts_with('#') {
            return Ok(());
        }
        self.builder.add_line(None, text).map_err(|error| error.to_string())?;
        self.hasher.update(text.as_bytes());
        self.hasher.update(b"\n");
        self.count += 1;
        self.anchored |= text.trim_end().trim_end_matches('/').contains('/');
        Ok(())
    }

    fn finish(self, folder: Option<&Path>, problems: &mut Problems) -> Option<Patterns> {
        let path = || folder.map(PathBuf::from);
        if self.count == 0 {
            return None;
        }
        if self.count > MAX_PATTERNS {
            problems.push(Problem::TooManyRules { path: path() });
            return None;
        }
        match self.builder.build() {
            Ok(set) => {
                let digest = self.hasher.finalize();
                Some(Patterns { set, anchored: self.anchored, digest })
            }
            // Each pattern was good; all of them together are too large to compile.
            Err(_) => {
                problems.push(Problem::TooManyRules { path: path() });
                None
            }
        }
    }
}
