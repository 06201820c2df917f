//! Versions with different models, in one library: nothing is lost on the way through an older one,
//! and what it could not show it shows once it is newer. A description of models from a file stands
//! for each version.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driftless::core::schema::{FieldId, ModelId};
use driftless::core::value::Value;
use driftless::{
    Error, Library, Models, Reason, RecordKey, Resolution, SyncOptions, Uuid, WriteTx, derived_id,
    join,
};

const OLD: &str = r#"{"models": [
    {"name": "note", "kind": "shared", "fields": [{"name": "text", "type": "text"}]},
    {"name": "file", "kind": "owned", "fields": [{"name": "name", "type": "text"}]}]}"#;

/// Fields more, of each kind of merge, and models more, of each kind.
const NEW: &str = r#"{"models": [
    {"name": "note", "kind": "shared", "fields": [
        {"name": "text", "type": "text"},
        {"name": "mood", "type": "text", "nullable": true},
        {"name": "plays", "type": "int", "rule": "counter", "nullable": true}]},
    {"name": "file", "kind": "owned", "fields": [
        {"name": "name", "type": "text"},
        {"name": "size", "type": "int", "nullable": true}]},
    {"name": "label", "kind": "shared", "fields": [{"name": "name", "type": "text"}]},
    {"name": "labelled", "kind": "link", "fields": [{"name": "label", "type": "uuid"}]},
    {"name": "probe", "kind": "owned", "fields": [{"name": "value", "type": "real"}]}]}"#;

const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

fn key(name: &str) -> RecordKey {
    derived_id("test", &[name.as_bytes()]).into()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn fields(fields: &[(&str, Value)]) -> Vec<(FieldId, Value)> {
    fields.iter().map(|(name, value)| (FieldId::of(name), value.clone())).collect()
}

/// The digest of everything. Those of single models go by names that only some versions know.
fn sum(library: &Library) -> String {
    library.digests().unwrap().last().unwrap().1.clone()
}

/// One version's models, from its file.
fn models(place: &Path, version: &str) -> Models {
    let file = place.join("models.json");
    std::fs::write(&file, version).unwrap();
    Models::new().with_file(&file).unwrap()
}

/// Three devices that meet only their neighbours.
struct Chain {
    place: tempfile::TempDir,
    libraries: Vec<Library>,
}

impl Chain {
    fn new(versions: [&str; 3]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let dirs: Vec<PathBuf> = (0..3).map(|n| place.path().join(n.to_string())).collect();
        let first = models(place.path(), versions[0]);
        let mut libraries = vec![Library::create(&dirs[0], &first, "Home", "0").unwrap()];
        for n in 1..3 {
            let inviter = &libraries[n - 1];
            inviter.sync(loopback()).unwrap();
            let ticket = inviter.invite(60_000).unwrap();
            let own = models(place.path(), versions[n]);
            let name = n.to_string();
            let joined = join(&dirs[n], &own, &ticket, &name, &loopback(), |_, _| true).unwrap();
            inviter.stop_sync();
            libraries.push(joined);
        }
        let chain = Self { place, libraries };
        chain.pass();
        chain
    }

    fn write(
        &self,
        at: usize,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<(), Error> + Send + 'static,
    ) {
        self.libraries[at].write(write).unwrap();
    }

    /// Two neighbours meet until they hold the same, and part.
    fn meet(&self, a: usize, b: usize) {
        let (a, b) = (&self.libraries[a], &self.libraries[b]);
        a.sync(loopback()).unwrap();
        b.sync(loopback()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while sum(a) != sum(b) {
            assert!(Instant::now() < deadline, "two devices do not become equal");
            std::thread::sleep(Duration::from_millis(5));
        }
        a.stop_sync();
        b.stop_sync();
    }

    /// Everything goes along the chain, there and back; then all are equal.
    fn pass(&self) {
        for (a, b) in [(0, 1), (1, 2), (0, 1)] {
            self.meet(a, b);
        }
        let all: Vec<String> = self.libraries.iter().map(sum).collect();
        assert!(all.iter().all(|sum| *sum == all[0]), "{all:?}");
    }

    /// A device starts with another version. Its digests are what they were.
    fn restart(&mut self, at: usize, version: &str) {
        let library = self.libraries.remove(at);
        let (dir, before) = (library.dir().to_owned(), sum(&library));
        library.close();
        let library = Library::open(&dir, &models(self.place.path(), version)).unwrap();
        assert_eq!(sum(&library), before);
        assert_eq!(library.verify_rows().unwrap(), [""; 0]);
        self.libraries.insert(at, library);
    }

    /// What a newer version shows of everything, sorted.
    fn shown(&self, at: usize) -> Vec<String> {
        let sql = "SELECT format('note %s %s %s', text, mood, plays) FROM note
            UNION ALL SELECT format('file %s %s', name, size) FROM file
            UNION ALL SELECT format('label %s', name) FROM label
            UNION ALL SELECT format('labelled %s', hex(label)) FROM labelled
            UNION ALL SELECT format('probe %g', value) FROM probe ORDER BY 1";
        let rows = self.libraries[at].query(|db| {
            let mut select = db.prepare(sql)?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.collect::<Result<Vec<String>, _>>()
        });
        rows.unwrap().unwrap()
    }

    fn conflicts(&self, at: usize) -> Vec<(Uuid, Value, Vec<Value>)> {
        let found = self.libraries[at].conflicts(None, 100).unwrap();
        let values = |conflict: driftless::Conflict| {
            let losers = conflict.losers.into_iter().map(|loser| loser.value).collect();
            (conflict.id, conflict.winner.value, losers)
        };
        found.into_iter().map(values).collect()
    }

    fn waiting(&self, at: usize) -> Vec<(String, Reason)> {
        let waiting = self.libraries[at].quarantine(100).unwrap();
        assert_eq!(waiting.len() as u64, self.libraries[at].quarantined().unwrap());
        assert!(waiting.iter().all(|waits| waits.device_name.is_some()), "{waiting:?}");
        let mut found: Vec<_> =
            waiting.into_iter().map(|waits| (waits.key.to_string(), waits.reason)).collect();
        found.sort_by_key(|(key, reason)| (key.clone(), format!("{reason:?}")));
        found
    }
}

fn note(
    name: &'static str,
    with: &[(&str, Value)],
) -> impl FnOnce(&mut WriteTx<'_>) -> Result<(), Error> + Send + 'static {
    let with = fields(with);
    move |tx| tx.create(ModelId::of("note"), &key(name), with)
}

fn set(
    model: &'static str,
    name: &'static str,
    with: &[(&str, Value)],
) -> impl FnOnce(&mut WriteTx<'_>) -> Result<(), Error> + Send + 'static {
    let with = fields(with);
    move |tx| tx.set(ModelId::of(model), &key(name), with)
}

fn delete(
    model: &'static str,
    name: &'static str,
) -> impl FnOnce(&mut WriteTx<'_>) -> Result<(), Error> + Send + 'static {
    move |tx| {
        assert!(tx.remove(ModelId::of(model), &key(name))?);
        Ok(())
    }
}

fn plays(delta: i64) -> impl FnOnce(&mut WriteTx<'_>) -> Result<(), Error> + Send + 'static {
    move |tx| tx.add_to(ModelId::of("note"), &key("a"), FieldId::of("plays"), delta).map(|_| ())
}

/// Everything that only the newer version can write.
fn write_new(tx: &mut WriteTx<'_>) -> Result<(), Error> {
    let label = || Value::Blob(key("kept").as_bytes().to_vec());
    for name in ["kept", "doomed", "edited"] {
        tx.create(ModelId::of("label"), &key(name), fields(&[("name", text(name))]))?;
    }
    for name in ["link", "unlinked"] {
        tx.add_link(ModelId::of("labelled"), &key(name), fields(&[("label", label())]))?;
    }
    let row = fields(&[("name", text("sea.jpg")), ("size", Value::Int(7))]);
    tx.put_row(ModelId::of("file"), &key("file"), row)?;
    tx.put_row(ModelId::of("probe"), &key("probe"), fields(&[("value", Value::Real(0.5))]))?;
    tx.put_row(ModelId::of("probe"), &key("gone"), fields(&[("value", Value::Real(1.5))]))
}

const SHOWN: [&str; 7] = [
    "file sea.jpg 7",
    "label edited anew",
    "label kept",
    "labelled",
    "labelled",
    "note by the old happy 5",
    "probe 0.5",
];

fn assert_shows_all(chain: &Chain, at: usize, mood: &str) {
    let shown = chain.shown(at);
    let expected: Vec<String> = SHOWN.iter().map(|row| row.replace("happy", mood)).collect();
    let fits =
        shown.iter().zip(&expected).all(|(row, expected)| row.starts_with(expected.as_str()));
    assert!(shown.len() == expected.len() && fits, "{shown:?} is not {expected:?}");
}

/// Of two values of the same millisecond, the devices' ids decide which one shows.
fn a_millisecond_later() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let before = now();
    while now() <= before {
        std::thread::yield_now();
    }
}

#[test]
fn two_new_devices_lose_nothing_through_an_old_one() {
    let mut chain = Chain::new([NEW, OLD, NEW]);
    chain.write(0, note("a", &[("text", text("by the new")), ("mood", text("calm"))]));
    chain.write(0, note("b", &[("text", text("b")), ("mood", text("doomed"))]));
    chain.write(0, write_new);
    chain.pass();
    assert_eq!(chain.shown(0), chain.shown(2));

    // Apart: conflicts, deletes, counters and links, all in what the one between does not know.
    chain.write(0, set("note", "a", &[("mood", text("glad"))]));
    a_millisecond_later();
    chain.write(2, set("note", "a", &[("mood", text("happy"))]));
    chain.write(0, plays(2));
    chain.write(2, plays(3));
    chain.write(0, delete("label", "doomed"));
    chain.write(2, set("label", "doomed", &[("name", text("too late"))]));
    chain.write(2, set("label", "edited", &[("name", text("edited anew"))]));
    chain.write(0, delete("labelled", "unlinked"));
    chain.write(2, |tx| {
        let label = Value::Blob(key("kept").as_bytes().to_vec());
        tx.add_link(ModelId::of("labelled"), &key("unlinked"), fields(&[("label", label)]))
    });
    chain.write(0, |tx| tx.remove_row(ModelId::of("probe"), &key("gone")));
    // And the old one edits and deletes records with fields that it does not know.
    chain.write(1, set("note", "a", &[("text", text("by the old"))]));
    chain.write(1, delete("note", "b"));
    chain.pass();

    assert_shows_all(&chain, 0, "happy");
    assert_eq!(chain.shown(0), chain.shown(2));
    let conflicts = chain.conflicts(0);
    assert_eq!(conflicts.len(), 1);
    assert_eq!((&conflicts[0].1, &conflicts[0].2), (&text("happy"), &vec![text("glad")]));
    assert_eq!(chain.conflicts(2), conflicts);
    assert_eq!(chain.conflicts(1), [], "whether these are in conflict is not known there");
    let waiting = chain.waiting(1);
    let of = |reason| waiting.iter().filter(|(_, why)| *why == reason).count();
    assert_eq!((of(Reason::UnknownField), of(Reason::UnknownModel)), (2, 5), "{waiting:?}");
    let retried = chain.libraries[1].retry_quarantine().unwrap();
    assert_eq!((retried.before, retried.after), (7, 7));

    chain.restart(1, NEW);
    assert_eq!(chain.waiting(1), []);
    assert_eq!(chain.shown(1), chain.shown(0));
    assert_eq!(chain.conflicts(1), conflicts);
    // Back to the old version, which keeps it all again, and to the new one.
    chain.restart(1, OLD);
    assert_eq!(chain.waiting(1), waiting);
    chain.restart(1, NEW);
    assert_eq!(chain.conflicts(1), conflicts);
    chain.libraries[1].resolve(conflicts[0].0, Resolution::TakeLoser).unwrap();
    chain.pass();
    for at in 0..3 {
        assert_eq!(chain.conflicts(at), []);
        assert_shows_all(&chain, at, "glad");
    }
}

#[test]
fn old_devices_keep_what_a_new_one_writes_until_they_can_show_it() {
    let mut chain = Chain::new([OLD, NEW, OLD]);
    chain.write(0, note("a", &[("text", text("by the old"))]));
    chain.pass();
    chain.write(1, set("note", "a", &[("mood", text("happy"))]));
    chain.write(1, plays(5));
    chain.write(1, write_new);
    chain.write(1, |tx| tx.remove_row(ModelId::of("probe"), &key("gone")));
    chain.write(1, delete("label", "doomed"));
    chain.write(1, set("label", "edited", &[("name", text("edited anew"))]));
    // The ends edit the field that all know, apart: a conflict like any other.
    chain.write(0, set("note", "a", &[("text", text("left"))]));
    chain.write(2, set("note", "a", &[("text", text("right"))]));
    chain.pass();
    let conflicts = chain.conflicts(0);
    assert_eq!(conflicts.len(), 1);
    assert_eq!((chain.conflicts(1), chain.conflicts(2)), (conflicts.clone(), conflicts));
    chain.write(2, set("note", "a", &[("text", text("by the old"))]));
    chain.pass();
    assert_shows_all(&chain, 1, "happy");
    for at in [0, 2] {
        assert_eq!(chain.waiting(at).len(), 7, "{:?}", chain.waiting(at));
        assert_eq!(chain.conflicts(at), []);
        chain.restart(at, NEW);
        assert_eq!(chain.waiting(at), []);
        assert_shows_all(&chain, at, "happy");
    }
    chain.pass();
}

#[test]
fn a_description_that_is_not_exact_is_refused_in_words() {
    let refused = |json: &str| match Models::new().with_json(json) {
        Err(error) => error.to_string(),
        Ok(models) => panic!("{models:?}"),
    };
    let field = r#"{"name": "a", "type": "int"}"#;
    let model = |rest: &str| format!(r#"{{"models": [{{"name": "m", {rest}}}]}}"#);
    for (json, said) in [
        ("", "EOF"),
        (r#"{"models": [], "version": 2}"#, "version"),
        (&model(&format!(r#""kind": "sharde", "fields": [{field}]"#)), "sharde"),
        (&model(&format!(r#""kind": "shared", "fields": [{field}], "indices": []"#)), "indices"),
        (&model(r#""kind": "shared", "fields": [{"name": "a", "type": "integer"}]"#), "integer"),
        (&model(r#""kind": "shared", "fields": [{"name": "a"}]"#), "type"),
        (&model(r#""kind": "shared", "fields": []"#), "0 fields"),
        (&model(&format!(r#""kind": "shared", "fields": [{field}, {field}]"#)), "share a name"),
        (
            &model(r#""kind": "owned", "fields": [{"name": "a", "type": "int", "rule": "max"}]"#),
            "Max",
        ),
        (
            &format!(
                r#"{{"models": [{{"name": "device", "kind": "shared", "fields": [{field}]}}]}}"#
            ),
            "device",
        ),
        (&" ".repeat((1 << 20) + 1), "1048576"),
    ] {
        let words = refused(json);
        assert!(words.contains(said), "{words:?} does not speak of {said:?}");
    }
    let missing = Models::new().with_file(Path::new("/nowhere/models.json")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/models.json"), "{missing}");
}
