//! Indexing a folder, against walking it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use driftless_catalog::{Added, Catalog, ScanOptions};

use super::figure::Figure;
use super::gauge::{Cost, cost};
use super::place::Bench;
use crate::failure::Failure;

/// The tree that is made if no folder is given: folders, and files in each.
const FOLDERS: usize = 400;
const FILES: usize = 49;

/// Indexes a folder without hashing, and once more when nothing has changed.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let root = match bench.path.clone() {
        Some(path) => path,
        None => make(bench)?,
    };
    // What is measured is a machine that has seen the folder.
    let counted = walk(&root).map_err(|error| reading(&root, &error))?;
    let pairs = bench.sample(|bench| {
        let library = bench.library()?;
        let catalog = Catalog::new(&library);
        let (first, ours) = cost(|| scan(catalog, &root))?;
        let (_, again) = cost(|| scan(catalog, &root))?;
        let (found, limit) = cost(|| walk(&root).map_err(|error| reading(&root, &error)))?;
        agree(&root, (first.counts.entries(), found))?;
        Ok([ours, again, limit])
    })?;
    bench.tell(&format!("{counted} entries"))?;
    let figure = |(name, words), of: fn(&[Cost; 3]) -> (f64, f64)| {
        let pairs: Vec<_> = pairs.iter().map(of).collect();
        Figure::of((name, "s"), (words, "reading the same by a plain walk"), &pairs)
    };
    Ok(vec![
        figure(("index", "a folder indexed without hashing"), |[a, _, l]| (a.wall, l.wall)),
        figure(("index_cpu", "its processor time"), |[a, _, l]| (a.cpu, l.cpu)),
        figure(("index_again", "when nothing has changed"), |[_, b, l]| (b.wall, l.wall)),
    ])
}

fn scan(catalog: Catalog<'_>, root: &Path) -> Result<Added, Failure> {
    let options = ScanOptions { hash: false, ..ScanOptions::default() };
    Ok(catalog.add_location(root, &options, &mut |_| {})?)
}

fn reading(root: &Path, error: &io::Error) -> Failure {
    Failure::io(&format!("walking {}", root.display()), error)
}

/// Refuses a comparison of two different things. Folders that come and go meanwhile differ a little.
fn agree(root: &Path, (indexed, walked): (u64, u64)) -> Result<(), Failure> {
    if indexed.abs_diff(walked) <= walked / 50 {
        return Ok(());
    }
    let message = format!("{} has {walked} entries, and {indexed} were indexed", root.display());
    Err(Failure::usage(message)
        .next("driftless bench index --path DIR, with a folder on one drive that is left alone"))
}

/// Makes a tree.
fn make(bench: &mut Bench) -> Result<PathBuf, Failure> {
    let root = bench.fresh();
    let made = || {
        for folder in 0..FOLDERS {
            let dir = root.join(format!("{:02}/folder {folder}", folder % 20));
            fs::create_dir_all(&dir)?;
            for file in 0..FILES {
                File::create(dir.join(format!("Picture {file:04}.jpeg")))?;
            }
        }
        Ok(())
    };
    made().map_err(|error: io::Error| Failure::io("making files to index", &error))?;
    Ok(root)
}

/// What `find -printf '%p %s %T@ %C@ %B@ %i %D %y %m %n %l'` does: everything below a folder, with what the
/// system tells of it, as text that nobody reads. How many entries.
fn walk(root: &Path) -> io::Result<u64> {
    let device = root.symlink_metadata()?.dev();
    let (mut folders, mut count) = (vec![root.to_owned()], 0);
    let mut out = io::BufWriter::with_capacity(64 << 10, File::create("/dev/null")?);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let meta = path.symlink_metadata()?;
            let kind = meta.file_type();
            if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
                continue;
            }
            count += 1;
            print(&mut out, &path, &meta)?;
            if kind.is_symlink() {
                out.write_all(fs::read_link(&path)?.as_os_str().as_bytes())?;
            } else if kind.is_dir() && meta.dev() == device {
                folders.push(path);
            }
        }
    }
    out.flush()?;
    Ok(count)
}

fn print(out: &mut impl io::Write, path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    out.write_all(path.as_os_str().as_bytes())?;
    let (size, mtime, ctime) = (meta.size(), meta.mtime(), meta.ctime());
    let (born, ino, dev) = (meta.created().ok(), meta.ino(), meta.dev());
    let (mode, links) = (meta.mode(), meta.nlink());
    writeln!(out, " {size} {mtime} {ctime} {born:?} {ino} {dev} {mode:o} {links}")
}
