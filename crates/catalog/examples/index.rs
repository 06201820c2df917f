//! Measures indexing and finding: `cargo run --release --example index -- PATH [--no-hash] [--said]
//! [--rows=N]`, with N invented entries besides; with `--said` in a library in which something is
//! tagged, so that each row is looked at for what goes with it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use driftless::{Library, Uuid};
use driftless_catalog::{
    Added, Catalog, Entry, EntryKind, FindQuery, NewTag, ScanOptions, Subject, Tagging, models,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut path = PathBuf::from("/usr/share");
    let mut options = ScanOptions::default();
    let (mut rows, mut said): (u64, bool) = (0, false);
    for word in std::env::args_os().skip(1) {
        match word.to_str() {
            Some("--no-hash") => options.hash = false,
            Some("--said") => said = true,
            Some(word) if word.starts_with("--rows=") => rows = word["--rows=".len()..].parse()?,
            _ => path = word.into(),
        }
    }
    let place = tempfile::tempdir()?;
    let dir = place.path().join("library");
    let library = Library::create(&dir, &models(), "Measure", "here")?;
    let catalog = Catalog::new(&library);
    if said {
        let tag = catalog.create_tag(NewTag::named("said"))?;
        let somewhere = Subject::Content([7; 32]);
        library.write(move |tx| tx.link(&Tagging::new(tag, somewhere)))?;
    }
    for what in ["index", "again"] {
        let before = cpu();
        let added = catalog.add_location(&path, &options, &mut |_| {})?;
        told(what, &added, cpu() - before);
        if rows > 0 {
            // The next scan would find them gone.
            let before = cpu();
            invent(&library, added.id, rows)?;
            println!("{rows} more rows: CPU {:.2} s", cpu() - before);
            break;
        }
    }
    find(&catalog)
}

/// Rows as a scan would write them, in folders of a thousand.
fn invent(library: &Library, location: Uuid, rows: u64) -> Outcome {
    for folder in 0..rows / 1_000 {
        library.write(move |tx| {
            let entry = |id, parent, name: String, kind| Entry {
                id,
                location,
                parent,
                name,
                name_raw: None,
                extension: Some("txt".into()),
                kind,
                size: 1_000,
                modified_at: Some(1_700_000_000_000),
                created_at: Some(1_700_000_000_000),
                inode: Some(1),
                content: (kind == 0).then(|| blake3::hash(id.as_bytes()).as_bytes().to_vec()),
                link_target: None,
            };
            let id = tx.new_id();
            tx.put(&entry(id, location, format!("folder {folder}"), 1))?;
            for n in 1..1_000 {
                let name = format!("{:03} of {folder} {:x}.txt", n, (folder * 7_919 + n) % 65_521);
                let file = tx.new_id();
                tx.put(&entry(file, id, name, 0))?;
            }
            Ok::<_, driftless::Error>(())
        })?;
    }
    Ok(())
}

fn told(what: &str, added: &Added, cpu: f64) {
    let seconds = added.elapsed.as_secs_f64();
    let entries = added.counts.entries();
    // Figures for people need no more digits than that.
    #[expect(clippy::cast_precision_loss)]
    let rate = entries as f64 / seconds;
    println!(
        "{what}: {entries} entries in {seconds:.2} s ({rate:.0}/s; CPU {cpu:.2} s), {} files hashed ({} MB), {} \
         problems, {:?}",
        added.hashed,
        added.hashed_bytes >> 20,
        added.problem_count,
        added.changes
    );
}

/// Seconds of processor time that this process has used; zero where the system does not tell.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn find(catalog: &Catalog<'_>) -> Outcome {
    let tag = catalog.create_tag(NewTag::named("some"))?;
    let some = catalog.find(&FindQuery { limit: Some(500), ..FindQuery::default() })?;
    catalog.tag_paths(tag, &some.items)?;
    let text = |text: &str| FindQuery { text: Some(text.into()), ..FindQuery::default() };
    let queries = [
        ("prefix", FindQuery { prefix: true, ..text("lib") }),
        ("prefix, nothing", FindQuery { prefix: true, ..text("qqqq") }),
        ("part", text("read")),
        ("part, nothing", text("qqqqq")),
        ("tag", FindQuery { tags: Some(vec![tag]), ..FindQuery::default() }),
        ("links", FindQuery { kind: Some(EntryKind::Link), ..FindQuery::default() }),
        (
            "device",
            FindQuery { device: Some(catalog.library().device_id()), ..FindQuery::default() },
        ),
    ];
    for (name, query) in queries {
        let query = FindQuery { limit: Some(100), ..query };
        let mut times: Vec<Duration> = Vec::new();
        let (mut count, before) = (0, cpu());
        for _ in 0..7 {
            let started = Instant::now();
            count = catalog.find(&query)?.items.len();
            times.push(started.elapsed());
        }
        times.sort();
        let each = (cpu() - before) / 7.0 * 1_000.0;
        println!("find {name}: {count} in {:.2?} (CPU {each:.0} ms)", times[times.len() / 2]);
    }
    Ok(())
}
