//! Measures indexing and finding: `cargo run --release --example index -- PATH [--no-hash]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use driftless::Library;
use driftless_catalog::{Added, Catalog, EntryKind, FindQuery, NewTag, ScanOptions, models};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut path = PathBuf::from("/usr/share");
    let mut options = ScanOptions::default();
    for word in std::env::args_os().skip(1) {
        match word.to_str() {
            Some("--no-hash") => options.hash = false,
            _ => path = word.into(),
        }
    }
    let place = tempfile::tempdir()?;
    let dir = place.path().join("library");
    let library = Library::create(&dir, &models(), "Measure", "here")?;
    let catalog = Catalog::new(&library);
    for what in ["index", "again"] {
        let before = cpu();
        let added = catalog.add_location(&path, &options, &mut |_| {})?;
        told(what, &added, cpu() - before);
    }
    let bytes = std::fs::metadata(dir.join("library.db"))?.len();
    let rows: i64 =
        library.query(|db| db.query_row("SELECT count(*) FROM entry", [], |r| r.get(0)))??;
    println!("library.db: {rows} entries, {bytes} bytes before the checkpoint");
    find(&catalog)?;
    if let Some(keep) = std::env::var_os("KEEP") {
        drop(library);
        std::fs::rename(&dir, keep)?;
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
        let mut count = 0;
        for _ in 0..7 {
            let started = Instant::now();
            count = catalog.find(&query)?.items.len();
            times.push(started.elapsed());
        }
        times.sort();
        println!("find {name}: {count} in {:.2?}", times[times.len() / 2]);
    }
    Ok(())
}
