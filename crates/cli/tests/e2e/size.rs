//! How much room libraries take, and that what is not needed any more is given back.

use std::path::Path;

use crate::common::{Device, World, assert_equal, until};

/// So many that their change sets take more than everything else.
const TAGS: usize = 2_000;
/// What an empty library may differ by from one that was never used: some half-filled pages.
const ROOM: u64 = 128 << 10;

/// Bytes of a file and its write-ahead log.
fn size(dir: &Path, file: &str) -> u64 {
    let of = |name: String| match std::fs::metadata(dir.join(name)) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => panic!("{error}"),
    };
    of(file.to_owned()) + of(format!("{file}-wal"))
}

fn sizes(device: &Device) -> [u64; 2] {
    ["library.db", "sync.db"].map(|file| size(&device.dir, file))
}

/// Bytes of both files, without what is kept of the past: what was deleted can be restored.
fn needed(device: &Device) -> u64 {
    sizes(device).iter().sum::<u64>() - told(device, "history")
}

/// A number of `sizes` in `status`.
fn told(device: &Device, part: &str) -> u64 {
    device.ok(&["status"])["sizes"]["parts"][part].as_u64().unwrap()
}

/// Prunes until nothing is kept for anybody: acknowledgements come a moment after what they are of.
fn prune(devices: &[&Device; 2]) {
    for device in devices {
        until("nothing is kept any more", || {
            device.ok(&["prune", "--now"]);
            (told(device, "change_sets") == 0).then_some(())
        });
    }
}

#[test]
fn what_was_made_and_deleted_takes_no_room_once_everybody_knows() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.sync();
    prune(&[&one, &two]);
    let empty = [needed(&one), needed(&two)];
    let name = |n: usize| format!("tag {n}");
    let made: Vec<_> = (0..TAGS).map(|n| vec!["tag".into(), "create".into(), name(n)]).collect();
    one.batch(&made);
    two.sync();
    let gone: Vec<_> = (0..TAGS).map(|n| vec!["tag".into(), "rm".into(), name(n)]).collect();
    two.batch(&gone);
    one.sync();
    two.sync();
    for device in [&one, &two] {
        let [library, log] = sizes(device);
        assert!(library + log > 1 << 20, "{}: {library} + {log}", device.name);
    }
    prune(&[&one, &two]);
    assert_equal(&[&one, &two]);
    for (device, before) in [&one, &two].into_iter().zip(empty) {
        let (after, parts) = (needed(device), &device.ok(&["status"])["sizes"]);
        assert!(after < before + ROOM, "{}: {before}, then {after}: {parts}", device.name);
        assert_eq!(told(device, "tombstones"), 2 * 8_192, "an empty table and its index");
    }
    let history = [told(&one, "history"), told(&two, "history")];
    one.down();
    two.down();
    for ((device, before), history) in [&one, &two].into_iter().zip(empty).zip(history) {
        let after = sizes(device).iter().sum::<u64>() - history;
        assert!(after < before + ROOM, "{}: {before}, then {after}", device.name);
    }
}

#[test]
fn status_tells_what_sync_adds_and_all_parts_make_the_files() {
    let world = World::new();
    let one = world.device("one");
    one.ok(&["init"]);
    let made: Vec<_> =
        (0..300).map(|n| vec!["tag".into(), "create".into(), n.to_string()]).collect();
    one.batch(&made);
    let status = one.ok(&["status"]);
    let (sizes, parts) = (&status["sizes"], &status["sizes"]["parts"]);
    let part = |name: &str| parts[name].as_u64().unwrap_or_else(|| panic!("{name} in {parts}"));
    let adds = ["stamps", "sync_indexes", "tombstones", "log", "history", "state"];
    let sync: u64 = adds.iter().map(|name| part(name)).sum();
    assert_eq!(part("sync"), sync);
    let all = sync + part("rows") + part("indexes") + part("free");
    let files = sizes["library.db"].as_u64().unwrap() + sizes["sync.db"].as_u64().unwrap();
    // Both files are whole: the command before this one closed them.
    assert_eq!(all, files, "{sizes}");
    // A life and a checksum: they are as they were made.
    assert!((300 * 20..300 * 30).contains(&part("stamps")), "{parts}");
    assert!((300..310).contains(&part("change_sets")) && part("log") > 300 * 100, "{parts}");
    assert_eq!(part("tombstone_rows"), 0);
    let text = one.run(&["status"]).stdout;
    let line = text.lines().find(|line| line.starts_with("Of them data ")).unwrap();
    assert!(line.contains(", sync ") && line.contains("log "), "{line}");
}
