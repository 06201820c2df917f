//! The library's directory: who may read it, what is in it, how much room there is.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Report, words};
use crate::answer::Severity;
use crate::text::bytes;

const KEY: &str = "device.key";
const LIBRARY: &str = "library.db";
/// Less room than this, and the next large transaction may not fit.
const NO_ROOM: u64 = 32 << 20;
/// Less room than this is worth a word.
const LITTLE_ROOM: u64 = 512 << 20;
/// Bits of a file's mode that let others than its owner in.
const OTHERS: u32 = 0o077;

/// Whether there is nothing of a library in a directory.
pub(super) fn is_empty(dir: &Path) -> bool {
    ![LIBRARY, KEY, "sync.db"].iter().any(|file| dir.join(file).exists())
}

/// Looks at a directory that holds a library, or what is left of one.
pub(super) fn check(dir: &Path, report: &mut Report) {
    folder(dir, report);
    key(&dir.join(KEY), report);
    files(dir, report);
    disk(dir, report);
}

/// What the system says of a file. What is wrong with that is told.
fn look(check: &str, path: &Path, report: &mut Report) -> Option<Metadata> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            unreadable(check, path, &error, report);
            None
        }
    }
}

fn unreadable(check: &str, path: &Path, error: &io::Error, report: &mut Report) {
    let said = words(
        format!("{} cannot be looked at: {error}", path.display()),
        "The library may not be usable from here.",
        format!("let this user read {}", path.display()),
    );
    report.find(check, Severity::Error, said);
}

/// Whose a file is and who else may use it; `None` if only this user may.
fn open_to(meta: &Metadata) -> Option<&'static str> {
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Some("belongs to another user");
    }
    (meta.mode() & OTHERS != 0).then_some("lets other users in")
}

fn folder(dir: &Path, report: &mut Report) {
    let Some(meta) = look("folder", dir, report) else { return };
    match open_to(&meta) {
        Some(whose) => {
            let said = words(
                format!("{} {whose} (mode {:03o})", dir.display(), meta.mode() & 0o777),
                "Other users of this machine may read the library, though they cannot join it.",
                format!("chmod 700 {}", dir.display()),
            );
            report.find("folder", Severity::Warning, said);
        }
        None => report.pass("folder", format!("{} is this user's alone", dir.display())),
    }
}

fn key(path: &Path, report: &mut Report) {
    let Some(meta) = look("key", path, report) else {
        if !report.has("key") {
            let said = words(
                format!("{} is missing", path.display()),
                "The library cannot be opened: without its key this device is no member.",
                "put device.key back from a backup, or join the library anew in another directory",
            );
            report.find("key", Severity::Error, said);
        }
        return;
    };
    match open_to(&meta) {
        Some(whose) => {
            let said = words(
                format!("{} {whose} (mode {:03o})", path.display(), meta.mode() & 0o777),
                "Whoever reads this key can write to the library as this device.",
                format!("chmod 600 {}", path.display()),
            );
            report.find("key", Severity::Error, said);
        }
        None => report.pass("key", "the device's key is there, and this user's alone"),
    }
}

/// `library.db` itself; what is in the files is asked of whoever has them open.
fn files(dir: &Path, report: &mut Report) {
    let path = dir.join(LIBRARY);
    let what = match look("files", &path, report) {
        Some(meta) if meta.is_file() => return,
        None if report.has("files") => return,
        None => "is missing",
        Some(_) => "is no file",
    };
    let said = words(
        format!("{} {what}", path.display()),
        "The library on this device is gone; the other devices have their own copies.",
        "keep the directory aside and join the library anew: driftless invite on another device",
    );
    report.find("files", Severity::Error, said);
}

fn disk(dir: &Path, report: &mut Report) {
    let room = match rustix::fs::statvfs(dir) {
        Ok(disk) => disk,
        Err(error) => return unreadable("disk", dir, &error.into(), report),
    };
    if room.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let said = words(
            format!("the disk of {} is read-only", dir.display()),
            "Nothing can be written here, and nothing of the other devices can be taken in.",
            "mount it for writing (the system's log may say why it is not)",
        );
        return report.find("disk", Severity::Error, said);
    }
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let severity = match free {
        0..NO_ROOM => Severity::Error,
        NO_ROOM..LITTLE_ROOM => Severity::Warning,
        _ => return report.pass("disk", format!("{} are free", bytes(free))),
    };
    let said = words(
        format!("only {} are free on the disk of {}", bytes(free), dir.display()),
        "When it is full, writes are refused; what was committed before stays safe.",
        "free some space on that disk",
    );
    report.find("disk", severity, said);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn worst(dir: &Path, check: &str) -> Option<Severity> {
        let mut report = Report::default();
        super::check(dir, &mut report);
        let mut of = report.findings.iter().filter(|finding| finding.check == check);
        of.next().map(|finding| finding.severity)
    }

    #[test]
    fn who_may_read_what() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(is_empty(dir));
        fs::write(dir.join(LIBRARY), "").unwrap();
        assert!(!is_empty(dir));
        assert_eq!(worst(dir, "key"), Some(Severity::Error), "missing");
        let key = dir.join(KEY);
        fs::write(&key, "").unwrap();
        mode(&key, 0o640);
        assert_eq!(worst(dir, "key"), Some(Severity::Error), "open to a group");
        mode(&key, 0o600);
        assert_eq!(worst(dir, "key"), None);
        mode(dir, 0o755);
        assert_eq!(worst(dir, "folder"), Some(Severity::Warning));
        mode(dir, 0o700);
        assert_eq!(worst(dir, "folder"), None);
        assert_eq!(worst(dir, "files"), None);
        fs::remove_file(dir.join(LIBRARY)).unwrap();
        assert_eq!(worst(dir, "files"), Some(Severity::Error));
    }
}
