//! `tag`, and `tagging` by which it is on something.

use driftless_catalog::{Subject, Tag, Tagging};

use crate::three::{Three, catalog};

#[test]
fn a_tag_is_everybody_s() {
    let three = Three::new();
    let mut tag = three.live(|tx| {
        let tag = Tag {
            id: tx.new_id(),
            name: "summer".into(),
            color: None,
            description: None,
            parent: None,
            kind: None,
        };
        tx.insert(&tag)?;
        Ok(tag)
    });
    three.all_have(&tag);
    let id = tag.id;

    tag.color = Some("yellow".into());
    three.relayed(move |tx| tx.update(id, |tag: &mut Tag| tag.color = Some("yellow".into())));
    three.all_have(&tag);
    tag.name = "holiday".into();
    tag.color = None;
    three.by_the_third(move |tx| {
        tx.update(id, |tag: &mut Tag| (tag.name, tag.color) = ("holiday".into(), None))
    });
    three.all_have(&tag);

    assert!(three.live(move |tx| tx.delete::<Tag>(id)));
    three.none_has::<Tag>(id);
    assert!(!three.by_the_third(move |tx| tx.delete::<Tag>(id)), "it is gone already");
    // Made again it lives anew, and no old delete takes it away.
    let again = tag.clone();
    three.relayed(move |tx| tx.insert(&again));
    three.all_have(&tag);
    assert!(three.by_the_third(move |tx| tx.delete::<Tag>(id)));
    three.none_has::<Tag>(id);
    three.end();
}

#[test]
fn a_tag_is_put_on_a_content_and_taken_off() {
    let three = Three::new();
    let on = Subject::Content([7; 32]);
    let tagging = three.live(move |tx| {
        let mut tag = Tag::system("red").expect("a colour label");
        tag.kind = None;
        tx.insert(&tag)?;
        let tagging = Tagging::new(tag.id, on);
        tx.link(&tagging)?;
        Ok(tagging)
    });
    three.all_have(&tagging);
    let (id, again) = (tagging.id, tagging.clone());
    assert!(three.by_the_third(move |tx| tx.delete::<Tagging>(id)));
    three.none_has::<Tagging>(id);
    three.relayed(move |tx| tx.link(&again));
    three.all_have(&tagging);
    assert!(three.live(move |tx| tx.delete::<Tagging>(id)));
    three.none_has::<Tagging>(id);
    for library in three.all() {
        assert_eq!(catalog(library).tags().unwrap().len(), 1, "the tag itself stays");
    }
    three.end();
}
