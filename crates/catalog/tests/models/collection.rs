//! `collection`, and the members that are in it.

use driftless::Uuid;
use driftless_catalog::{Collection, CollectionMember, Subject};

use crate::three::Three;

#[test]
fn a_collection_is_everybody_s() {
    let three = Three::new();
    let mut collection = three.live(|tx| {
        let collection = Collection { id: tx.new_id(), name: "best of".into(), description: None };
        tx.insert(&collection)?;
        Ok(collection)
    });
    three.all_have(&collection);
    let id = collection.id;

    collection.description = Some("the best".into());
    three.relayed(move |tx| {
        tx.update(id, |row: &mut Collection| row.description = Some("the best".into()))
    });
    three.all_have(&collection);
    collection.name = "best".into();
    three.by_the_third(move |tx| tx.update(id, |row: &mut Collection| row.name = "best".into()));
    three.all_have(&collection);

    assert!(three.live(move |tx| tx.delete::<Collection>(id)));
    three.none_has::<Collection>(id);
    three.end();
}

#[test]
fn members_come_and_go() {
    let three = Three::new();
    let id = three.live(|tx| {
        let id = tx.new_id();
        tx.insert(&Collection { id, name: "box".into(), description: None })?;
        Ok(id)
    });
    let member = |subject| CollectionMember::new(id, subject);
    let content = member(Subject::Content([1; 32]));
    let entry = member(Subject::Entry(Uuid::from_bytes([2; 16])));
    let own = content.clone();
    three.live(move |tx| tx.link(&own));
    let own = entry.clone();
    three.by_the_third(move |tx| tx.link(&own));
    three.all_have(&content);
    three.all_have(&entry);

    let gone = content.id;
    assert!(three.relayed(move |tx| tx.delete::<CollectionMember>(gone)));
    three.none_has::<CollectionMember>(gone);
    three.all_have(&entry);
    let own = content.clone();
    three.live(move |tx| tx.link(&own));
    three.all_have(&content);
    let gone = entry.id;
    assert!(three.live(move |tx| tx.delete::<CollectionMember>(gone)));
    three.none_has::<CollectionMember>(gone);
    three.all_have(&content);
    three.end();
}
