//! What people note about files.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, meet, names};
use driftless_catalog::{
    CatalogError, FindQuery, MAX_FREE_FIELDS, Metadata, Noted, ScanOptions, UserMetadata,
};

fn note(home: &Home, name: &str, fields: &[(&str, &str)]) {
    home.catalog().note(&home.at(name), fields).unwrap();
}

fn noted(home: &Home, name: &str) -> Noted {
    home.catalog().noted(&home.at(name)).unwrap()
}

fn data(noted: &Noted) -> Vec<(&str, &str)> {
    noted.data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn notes_are_on_every_copy() {
    let home = Home::new();
    home.write("one", "the same");
    home.write("two", "the same");
    home.write("else", "something else");
    home.scan();
    let fields = [("note", "keep this"), ("favourite", "true"), ("rating", "4"), ("camera", "M6")];
    note(&home, "one", &fields);
    let said = noted(&home, "two");
    let expected = Metadata {
        note: Some("keep this".into()),
        favourite: true,
        hidden: false,
        rating: Some(4),
    };
    assert_eq!((&said.metadata, data(&said)), (&expected, vec![("camera", "\"M6\"")]));
    assert_eq!(home.at("two").metadata, expected);
    assert_eq!(noted(&home, "else"), Noted::default());
    assert_eq!(home.count("SELECT count(*) FROM user_metadata"), 1);

    let emptied = [("note", ""), ("favourite", "no"), ("rating", "0"), ("camera", "")];
    note(&home, "two", &emptied);
    let said = noted(&home, "one");
    assert_eq!((said.metadata.note, said.metadata.favourite), (None, false));
    assert_eq!((said.metadata.rating, said.data.len()), (Some(0), 0));
    // Set again after it was emptied.
    note(&home, "one", &[("camera", "[1]"), ("rating", "")]);
    assert_eq!(
        (data(&noted(&home, "two")), noted(&home, "two").metadata.rating),
        (vec![("camera", "[1]")], None)
    );
}

#[test]
fn emptying_what_was_never_said_writes_nothing() {
    let home = Home::new();
    home.write("file", "x");
    home.scan();
    note(&home, "file", &[("note", ""), ("camera", ""), ("rating", "")]);
    assert_eq!(home.count("SELECT count(*) FROM user_metadata"), 0);
    assert_eq!(home.count("SELECT count(*) FROM metadata_field"), 0);
}

#[test]
fn what_has_no_content_is_noted_itself() {
    let home = Home::new();
    home.write("folder/file", "x");
    home.write("other", "x");
    home.write("empty1", "");
    home.write("empty2", "");
    home.scan_with(&ScanOptions { hash: false, ..ScanOptions::default() });
    for name in ["folder", "folder/file", "empty1"] {
        note(&home, name, &[("note", name), ("k", "v")]);
    }
    for name in ["folder", "folder/file", "empty1"] {
        assert_eq!(noted(&home, name).metadata.note.as_deref(), Some(name));
        assert_eq!(noted(&home, name).data.len(), 1, "{name}");
    }
    for name in ["other", "empty2"] {
        assert_eq!(noted(&home, name), Noted::default(), "{name}");
    }
    let location = home.catalog().resolve(home.root.as_os_str()).unwrap();
    home.catalog().note(&location, &[("favourite", "true")]).unwrap();
    let found = home.catalog().find(&FindQuery { favourite: true, ..FindQuery::default() });
    assert_eq!(names(&found.unwrap()), ["files"]);
}

#[test]
fn a_refused_change_leaves_nothing() {
    let home = Home::new();
    home.write("file", "x");
    home.scan();
    let refused = home.catalog().note(&home.at("file"), &[("note", "half"), ("rating", "9")]);
    assert!(matches!(refused, Err(CatalogError::Invalid { what: "rating", .. })), "{refused:?}");
    assert_eq!(noted(&home, "file"), Noted::default());
    let many: Vec<String> = (0..=MAX_FREE_FIELDS).map(|n| format!("k{n}")).collect();
    let fields: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "v")).collect();
    let refused = home.catalog().note(&home.at("file"), &fields);
    assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{refused:?}");
    assert_eq!(noted(&home, "file"), Noted::default());
    note(&home, "file", &fields[1..]);
    assert_eq!(noted(&home, "file").data.len(), fields.len() - 1);
}

#[test]
fn favourites_are_found_and_what_is_hidden_is_not() {
    let home = Home::new();
    for name in ["a", "b", "c", "copy of a"] {
        home.write(name, name.trim_start_matches("copy of "));
    }
    home.scan();
    note(&home, "a", &[("favourite", "true")]);
    note(&home, "b", &[("favourite", "true"), ("hidden", "true")]);
    note(&home, "c", &[("hidden", "true")]);
    let found = |query: FindQuery| {
        let listing = home.catalog().find(&query).unwrap();
        names(&listing).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = FindQuery { kind: Some(driftless_catalog::EntryKind::File), ..FindQuery::default() };
    assert_eq!(found(all.clone()), ["a", "copy of a"]);
    assert_eq!(found(FindQuery { hidden: true, ..all.clone() }), ["a", "b", "c", "copy of a"]);
    let favourites = FindQuery { favourite: true, ..all };
    assert_eq!(found(favourites.clone()), ["a", "copy of a"]);
    assert_eq!(found(FindQuery { hidden: true, ..favourites.clone() }), ["a", "b", "copy of a"]);
    let text = FindQuery { text: Some("copy".into()), ..favourites };
    assert_eq!(found(text), ["copy of a"]);
    // A listing shows what is there.
    let listed = home.catalog().ls(Some(home.root.as_os_str()), None).unwrap();
    assert_eq!(listed.items.iter().filter(|item| item.metadata.hidden).count(), 2);
}

#[test]
fn what_two_devices_say_before_they_meet_is_all_there() {
    let one = Home::new();
    let two = one.joined();
    for home in [&one, &two] {
        home.library.stop_sync();
        home.write("file", "the same content");
        home.scan();
    }
    note(&one, "file", &[("note", "from one"), ("camera", "M6"), ("shared", "7")]);
    note(
        &two,
        "file",
        &[("favourite", "true"), ("rating", "5"), ("lens", "50mm"), ("shared", "7")],
    );
    meet(&one, &two);
    let conflicts = |home: &Home| home.library.status().unwrap().conflicts;
    for home in [&one, &two] {
        let said = noted(home, "file");
        let expected = Metadata {
            note: Some("from one".into()),
            favourite: true,
            hidden: false,
            rating: Some(5),
        };
        assert_eq!(said.metadata, expected);
        assert_eq!(data(&said), [("camera", "\"M6\""), ("lens", "\"50mm\""), ("shared", "7")]);
        assert_eq!(home.count("SELECT count(*) FROM user_metadata"), 1, "they made the same one");
        assert_eq!(conflicts(home), 0);
    }

    // The same field is a conflict, and the next to set it settles that, with the shown value too.
    for home in [&one, &two] {
        home.library.stop_sync();
    }
    note(&one, "file", &[("note", "left"), ("camera", "Q2")]);
    note(&two, "file", &[("note", "right"), ("camera", "")]);
    meet(&one, &two);
    assert_eq!((conflicts(&one), conflicts(&two)), (2, 2));
    let shown = noted(&one, "file");
    assert_eq!(shown, noted(&two, "file"));
    note(&two, "file", &[("note", shown.metadata.note.as_deref().unwrap()), ("camera", "X")]);
    meet(&one, &two);
    assert_eq!((conflicts(&one), conflicts(&two)), (0, 0));
    assert_eq!(noted(&one, "file").metadata.note, shown.metadata.note);
}

#[test]
fn a_record_is_deleted_everywhere() {
    let one = Home::new();
    one.write("file", "content");
    one.scan();
    note(&one, "file", &[("note", "gone soon")]);
    let two = one.joined();
    let id = UserMetadata::id_of(one.at("file").subject());
    assert!(two.library.get::<UserMetadata>(id).unwrap().is_some());
    two.library.write(move |tx| tx.delete::<UserMetadata>(id)).unwrap();
    meet(&one, &two);
    assert_eq!(noted(&one, "file"), Noted::default());
    note(&one, "file", &[("rating", "1")]);
    meet(&one, &two);
    let back = two.library.get::<UserMetadata>(id).unwrap().unwrap();
    assert_eq!((back.note, back.rating), (None, Some(1)), "what was deleted stays so");
}
