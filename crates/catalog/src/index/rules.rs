//! What of a location is not indexed: the same for scans and for the watcher.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::models::LocationRules;
use crate::paths::below;
use crate::watch::Rules;

/// The name of a location's own rule files.
const OWN: &str = ".driftlessignore";
/// That of git's.
const GIT: &str = ".gitignore";

/// The rules of a location, as whoever walks or watches wants them.
pub(crate) fn rules(of: LocationRules) -> Rules {
    let files = if of.gitignore { vec![GIT, OWN] } else { vec![OWN] };
    Rules {
        patterns: Vec::new(),
        skip_hidden: of.skip_hidden,
        files: files.into_iter().map(OsString::from).collect(),
    }
}

/// Where the library is in a location, if it is in it. It changes with everything that is written to
/// it, so nothing in it is indexed or watched.
pub(crate) fn library_in(location: &Path, library: &Path) -> Option<PathBuf> {
    let library = library.canonicalize().ok()?;
    let rest = below(library.as_os_str().as_bytes(), location.as_os_str().as_bytes())?;
    (!rest.is_empty()).then(|| PathBuf::from(OsString::from(std::ffi::OsStr::from_bytes(rest))))
}

/// A pattern that fits this folder below the root and nothing else; `None` if its name is no text.
pub(crate) fn pattern(folder: &Path) -> Option<String> {
    let mut pattern = String::from("/");
    for char in folder.to_str()?.chars() {
        if matches!(char, '\\' | '*' | '?' | '[' | ']' | '{' | '}' | '!' | '#' | ' ') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('/');
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Ignore;

    #[test]
    fn a_pattern_for_one_folder() {
        let odd = Path::new("a [b]/c*{d} \\#");
        let patterns = vec![pattern(odd).unwrap()];
        let mut ignore = Ignore::open(Path::new("/x"), &Rules { patterns, ..Rules::default() });
        assert!(ignore.ignores(odd, true));
        for other in ["a [b]", "a b/cx{d} \\#", "x/a [b]/c*{d} \\#", "c*{d} \\#"] {
            assert!(!ignore.ignores(Path::new(other), true), "{other}");
        }
    }

    #[test]
    fn a_library_in_a_location() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("files/deep/library")).unwrap();
        let library = root.join("files/deep/library");
        assert_eq!(library_in(&root.join("files"), &library), Some("deep/library".into()));
        assert_eq!(library_in(&library, &library), None);
        assert_eq!(library_in(&root.join("other"), &library), None);
    }
}
