//! Values come back exactly as they were written, wherever they have been; what cannot be kept is
//! refused in words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use driftless::core::engine::WriteError;
use driftless::core::limits::MAX_VALUE_BYTES;
use driftless::core::schema::{FieldId, ModelId};
use driftless::core::value::{Value, ValueError};
use driftless::rusqlite::types::Value as Sql;
use driftless::{Error, Library, Models, RecordKey, Resolution, SyncOptions, derived_id, join};

/// The same fields in a shared and in an owned model.
const FIELDS: &str = r#"[
    {"name": "whole", "type": "int", "nullable": true},
    {"name": "number", "type": "real", "nullable": true},
    {"name": "words", "type": "text", "nullable": true},
    {"name": "bytes", "type": "blob", "nullable": true},
    {"name": "tree", "type": "json", "nullable": true},
    {"name": "count", "type": "int", "rule": "counter", "nullable": true}]"#;

fn models() -> Models {
    let owned = FIELDS.replace(r#", "rule": "counter""#, "");
    let json = format!(
        r#"{{"models": [{{"name": "shared", "kind": "shared", "fields": {FIELDS}}},
                        {{"name": "owned", "kind": "owned", "fields": {owned}}}]}}"#
    );
    Models::new().with_json(&json).unwrap()
}

/// Values that break what is careless, with the field that takes them.
fn edges() -> Vec<(&'static str, Value)> {
    let text = |text: &str| ("words", Value::Text(text.to_owned()));
    let mut edges: Vec<(&str, Value)> =
        [i64::MIN, i64::MIN + 1, -1, 0, 1, (1 << 53) + 1, i64::MAX - 1, i64::MAX]
            .map(|n| ("whole", Value::Int(n)))
            .to_vec();
    for x in [
        0.0,
        1.0,
        -1e300,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE / 2.0,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1 + 0.2,
        9_007_199_254_740_993.0,
    ] {
        edges.push(("number", Value::Real(x)));
    }
    edges.extend([
        text(""),
        text("\0"),
        text("before\0after"),
        // One letter in two Unicode forms, which stay two texts.
        text("é"),
        text("e\u{301}"),
        text("\u{feff}\u{202e}right to left\u{10ffff}\u{fffd}"),
        text("👩‍👩‍👧‍👦"),
        text("1"),
        text(" 1.0 "),
    ]);
    edges.push(("words", Value::Text("é".repeat(MAX_VALUE_BYTES / 2))));
    edges.push(("bytes", Value::Blob(vec![])));
    edges.push(("bytes", Value::Blob((0..=255).collect())));
    edges.push(("bytes", Value::Blob(vec![0xff; MAX_VALUE_BYTES])));
    for json in [r#"{"a":[1,null,"\u0000",-0.0,1e999]}"#, "null", "\"\"", " [ 1 , 2 ] "] {
        edges.push(("tree", Value::Text(json.to_owned())));
    }
    edges
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

fn key(n: usize) -> RecordKey {
    derived_id("value", &[&n.to_le_bytes()]).into()
}

fn equal(a: &Library, b: &Library) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while a.digests().unwrap() != b.digests().unwrap() {
        assert!(Instant::now() < deadline, "two devices do not become equal");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a column holds, exactly; a number by its bits.
fn column(library: &Library, model: &str, key: &RecordKey, field: &str) -> Value {
    let sql = format!("SELECT {field} FROM {model} WHERE id = ?1");
    let read = library.query(|db| db.query_row(&sql, [key.as_bytes()], |row| row.get(0)));
    match read.unwrap().unwrap() {
        Sql::Null => Value::Null,
        Sql::Integer(n) => Value::Int(n),
        Sql::Real(x) => Value::Real(x),
        Sql::Text(text) => Value::Text(text),
        Sql::Blob(bytes) => Value::Blob(bytes),
    }
}

#[test]
fn values_are_exact_on_both_devices_in_both_lanes_and_beside_a_sibling() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    one.sync(loopback()).unwrap();
    let ticket = one.invite(60_000).unwrap();
    let dir = place.path().join("two");
    let two = join(&dir, &models(), &ticket, "two", &loopback(), |_, _| true).unwrap();
    two.sync(loopback()).unwrap();
    let edges = edges();
    for (n, (field, value)) in edges.iter().cloned().enumerate() {
        one.write(move |tx| {
            let with = vec![(FieldId::of(field), value)];
            tx.create(ModelId::of("shared"), &key(n), with.clone())?;
            tx.put_row(ModelId::of("owned"), &key(n), with)
        })
        .unwrap();
    }
    equal(&one, &two);
    for (n, (field, value)) in edges.iter().enumerate() {
        for library in [&one, &two] {
            for model in ["shared", "owned"] {
                assert_eq!(column(library, model, &key(n), field), *value, "{model} {n}");
            }
        }
    }

    // Two versions of each, of which the edge may be the one that does not show.
    one.stop_sync();
    two.stop_sync();
    let other = |field: &str| match field {
        "whole" => Value::Int(7),
        "number" => Value::Real(7.5),
        "bytes" => Value::Blob(vec![7]),
        _ => Value::Text("7".to_owned()),
    };
    for (n, (field, value)) in edges.iter().cloned().enumerate() {
        // Written anew on one device, as what is there already is not written.
        let (early, late) = (other(field), value);
        one.write(move |tx| {
            tx.set(ModelId::of("shared"), &key(n), vec![(FieldId::of(field), Value::Null)])
        })
        .unwrap();
        let anew = late.clone();
        one.write(move |tx| {
            tx.set(ModelId::of("shared"), &key(n), vec![(FieldId::of(field), anew)])
        })
        .unwrap();
        two.write(move |tx| {
            tx.set(ModelId::of("shared"), &key(n), vec![(FieldId::of(field), early)])
        })
        .unwrap();
    }
    one.sync(loopback()).unwrap();
    two.sync(loopback()).unwrap();
    equal(&one, &two);
    for library in [&one, &two] {
        let conflicts = library.conflicts(None, 1_000).unwrap();
        assert_eq!(conflicts.len(), edges.len());
        for (n, (field, value)) in edges.iter().enumerate() {
            let conflict = conflicts.iter().find(|conflict| conflict.key == key(n)).unwrap();
            let both = [&conflict.winner.value, &conflict.losers[0].value];
            assert!(both.contains(&value) && both.contains(&&other(field)), "{n} {both:?}");
        }
        assert_eq!(library.verify_rows().unwrap(), [""; 0]);
    }
    for (n, (_, value)) in edges.iter().enumerate() {
        let conflicts = two.conflicts(None, 1_000).unwrap();
        let conflict = conflicts.into_iter().find(|conflict| conflict.key == key(n)).unwrap();
        let mut all = std::iter::once(&conflict.winner).chain(&conflict.losers);
        let dot = all.find(|sibling| sibling.value == *value).unwrap().dot;
        two.resolve(conflict.id, Resolution::Take(dot)).unwrap();
    }
    equal(&one, &two);
    for (n, (field, value)) in edges.iter().enumerate() {
        assert_eq!(column(&one, "shared", &key(n), field), *value, "{n}");
    }
    assert_eq!(one.conflict_count().unwrap(), 0);
}

#[test]
fn minus_zero_is_kept_as_zero() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    let minus = || vec![(FieldId::of("number"), Value::Real(-0.0))];
    one.write(move |tx| {
        tx.create(ModelId::of("shared"), &key(0), minus())?;
        tx.put_row(ModelId::of("owned"), &key(0), minus())
    })
    .unwrap();
    for model in ["shared", "owned"] {
        let Value::Real(x) = column(&one, model, &key(0), "number") else { panic!("no number") };
        assert_eq!(x.to_bits(), 0.0f64.to_bits());
    }
}

#[test]
fn what_cannot_be_kept_is_refused_in_words_and_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    one.write(|tx| {
        let with =
            vec![(FieldId::of("whole"), Value::Int(1)), (FieldId::of("count"), Value::Int(1))];
        tx.create(ModelId::of("shared"), &key(0), with)
    })
    .unwrap();
    let before = one.digests().unwrap();
    let bound = MAX_VALUE_BYTES.to_string();
    let nan = ("number", Value::Real(f64::NAN));
    let text = ("words", Value::Text("x".repeat(MAX_VALUE_BYTES + 1)));
    let blob = ("bytes", Value::Blob(vec![0; MAX_VALUE_BYTES + 1]));
    for ((field, value), said) in [(nan, "NaN"), (text, &bound), (blob, &bound)] {
        let with = || vec![(FieldId::of(field), value.clone())];
        let (made, set, put) = (with(), with(), with());
        let refused = [
            one.write(move |tx| tx.create(ModelId::of("shared"), &key(1), made)),
            one.write(move |tx| tx.set(ModelId::of("shared"), &key(0), set)),
            one.write(move |tx| tx.put_row(ModelId::of("owned"), &key(1), put)),
        ];
        for refusal in refused {
            let error = refusal.unwrap_err();
            let Error::Write(WriteError::Value { source, .. }) = &error else { panic!("{error}") };
            assert!(matches!(source, ValueError::NotANumber | ValueError::TooLarge { .. }));
            let words = error.to_string();
            assert!(words.contains(said) && words.contains(field), "{words}");
        }
    }
    let add = |field: &'static str, delta| {
        let field = FieldId::of(field);
        one.write(move |tx| tx.add_to(ModelId::of("shared"), &key(0), field, delta)).unwrap_err()
    };
    let over = add("count", i64::MAX);
    assert!(matches!(over, Error::Write(WriteError::Overflow { total: 1, .. })), "{over}");
    assert!(matches!(add("whole", 1), Error::Write(WriteError::NotACounter { .. })));
    assert!(matches!(add("nothing", 1), Error::Write(WriteError::UnknownField { .. })));
    assert_eq!(one.digests().unwrap(), before);
}

#[test]
fn what_was_made_first_has_the_lower_id() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    // Several within a millisecond, as they come.
    let ids: Vec<_> =
        (0..500).map(|_| one.write(|tx| Ok::<_, Error>(tx.new_id())).unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}
