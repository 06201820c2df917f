//! A small tree with something of everything, for a demo without a folder of one's own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Folders, and files in each.
const FOLDERS: usize = 12;
const FILES: usize = 25;

/// Makes the tree in `root`.
pub(super) fn make(root: &Path) -> io::Result<()> {
    for folder in 0..FOLDERS {
        let path = root.join(format!("album {}/{folder:02}", folder % 3));
        fs::create_dir_all(&path)?;
        for file in 0..FILES {
            // Some files are copies of others, and some are empty.
            let text = match file % 8 {
                0 => String::new(),
                1 => "the same everywhere".to_owned(),
                _ => format!("file {file} of folder {folder}\n").repeat(file * 40),
            };
            fs::write(path.join(format!("Picture {file:03}.txt")), text)?;
        }
    }
    fs::write(root.join("späte Grüße – 午後.txt"), "a name in many letters")?;
    symlink("album 0", root.join("link to an album"))?;
    symlink("nowhere", root.join("broken link"))?;
    // Not every file system takes a name that is not UTF-8.
    match fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff.txt")), "raw") {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
