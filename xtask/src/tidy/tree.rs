//! What is in the checkout: git's view of the files, and their texts.

use std::path::Path;
use std::process::Command;

/// One file of the checkout.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// `None` if it is not UTF-8, or too large to be source.
    pub(crate) text: Option<String>,
    pub(crate) tracked: bool,
}

/// The files of the checkout that git does not ignore.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        for (list, tracked) in [("--cached", true), ("--others", false)] {
            for path in git_files(root, list)? {
                files.extend(read_file(root, path, tracked)?);
            }
        }
        Ok(Self { files })
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.get(path).is_some()
    }
}

/// Paths by `git ls-files`. The checkout may belong to another user, as on a build machine; we only
/// read, so that is no danger.
fn git_files(root: &Path, list: &str) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--exclude-standard", list])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git cannot be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git cannot list the files of {}: {}", root.display(), said.trim()));
    }
    let names = String::from_utf8(output.stdout)
        .map_err(|_| "a file name in the checkout is not UTF-8; rename it".to_owned())?;
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}

/// `None` for what is listed and not there as a file: deleted and not yet committed, or a link.
fn read_file(root: &Path, path: String, tracked: bool) -> Result<Option<File>, String> {
    let full = root.join(&path);
    let cannot = |error| format!("{}: {error}", full.display());
    let bytes = match std::fs::symlink_metadata(&full) {
        Ok(meta) if meta.is_file() => meta.len(),
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    let text = if bytes > super::LARGE_FILE_BYTES {
        None
    } else {
        String::from_utf8(std::fs::read(&full).map_err(cannot)?).ok()
    };
    Ok(Some(File { path, bytes, text, tracked }))
}

#[cfg(test)]
impl File {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        let bytes = u64::try_from(text.len()).unwrap();
        Self { path: path.to_owned(), bytes, text: Some(text.to_owned()), tracked: true }
    }
}

#[cfg(test)]
impl Tree {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::of(path, text)).collect() }
    }
}
