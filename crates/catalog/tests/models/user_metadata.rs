//! `user_metadata`: what people note about a content or an entry, and the free fields beside it.

use driftless_catalog::{MetadataField, Subject, UserMetadata};

use crate::three::Three;

const ABOUT: Subject = Subject::Content([3; 32]);

fn nothing() -> UserMetadata {
    UserMetadata {
        id: UserMetadata::id_of(ABOUT),
        content: Some(vec![3; 32]),
        entry: None,
        note: None,
        favourite: None,
        hidden: None,
        rating: None,
    }
}

#[test]
fn metadata_is_everybody_s() {
    let three = Three::new();
    let id = nothing().id;
    let mut said = UserMetadata { note: Some("dear".into()), ..nothing() };
    let first = said.clone();
    three.live(move |tx| tx.insert(&first));
    three.all_have(&said);

    (said.favourite, said.hidden) = (Some(true), Some(false));
    let change = |row: &mut UserMetadata| (row.favourite, row.hidden) = (Some(true), Some(false));
    three.relayed(move |tx| tx.update(id, change));
    three.all_have(&said);
    (said.rating, said.note) = (Some(5), None);
    let change = |row: &mut UserMetadata| (row.rating, row.note) = (Some(5), None);
    three.by_the_third(move |tx| tx.update(id, change));
    three.all_have(&said);

    assert!(three.live(move |tx| tx.delete::<UserMetadata>(id)));
    three.none_has::<UserMetadata>(id);
    three.end();
}

#[test]
fn a_free_field_is_everybody_s() {
    let three = Three::new();
    let mut field = MetadataField {
        id: MetadataField::id_of(ABOUT, "camera"),
        content: Some(vec![3; 32]),
        entry: None,
        key: "camera".into(),
        value: Some("\"M6\"".into()),
    };
    let (id, first) = (field.id, field.clone());
    three.live(move |tx| tx.insert(&first));
    three.all_have(&field);
    field.value = None;
    three.relayed(move |tx| tx.update(id, |row: &mut MetadataField| row.value = None));
    three.all_have(&field);
    field.value = Some("[1,2]".into());
    three.by_the_third(move |tx| {
        tx.update(id, |row: &mut MetadataField| row.value = Some("[1,2]".into()))
    });
    three.all_have(&field);
    assert!(three.live(move |tx| tx.delete::<MetadataField>(id)));
    three.none_has::<MetadataField>(id);
    three.end();
}

#[test]
fn what_two_devices_note_before_they_meet_is_all_there() {
    let three = Three::new();
    three.third.stop_sync();
    let row = UserMetadata { note: Some("dear".into()), ..nothing() };
    three.first.write(move |tx| tx.insert(&row)).unwrap();
    let row = UserMetadata { rating: Some(4), ..nothing() };
    three.third.write(move |tx| tx.insert(&row)).unwrap();
    three.relayed(|_| Ok(()));
    three.settle();
    three.all_have(&UserMetadata { note: Some("dear".into()), rating: Some(4), ..nothing() });
    three.end();
}
