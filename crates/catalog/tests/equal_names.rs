//! Tags with equal names, and trees that were moved on several devices at once.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod common;

use std::time::{Duration, Instant};

use common::Home;
use driftless::Uuid;
use driftless_catalog::{Catalog, CatalogError, FindQuery, NewTag, Tag, TagInfo};

/// All orders of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Three devices of one library, each with a file and nobody online.
fn three() -> [Home; 3] {
    let first = Home::new();
    let (second, third) = (first.joined(), first.joined());
    let homes = [first, second, third];
    homes[1].online();
    homes[2].online();
    for home in &homes {
        home.settle();
    }
    for (n, home) in homes.iter().enumerate() {
        home.library.stop_sync();
        home.write("file", format!("of device {n}"));
        home.scan();
    }
    homes
}

/// Two devices meet while the third is away.
fn pair(one: &Home, other: &Home) {
    for home in [one, other] {
        home.online();
    }
    let met = || {
        let peers = one.library.status().unwrap().peers;
        let peer = peers.iter().find(|peer| peer.member.device == other.library.device_id());
        peer.is_some_and(|peer| peer.online && peer.behind == 0 && peer.ahead == 0)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !(met() && one.library.digests().unwrap() == other.library.digests().unwrap()) {
        assert!(Instant::now() < deadline, "the two do not meet");
        std::thread::sleep(Duration::from_millis(2));
    }
    for home in [one, other] {
        home.library.stop_sync();
    }
}

/// They meet in an order that gets everything everywhere.
fn meet_in(homes: &[Home; 3], [a, b, c]: [usize; 3]) {
    for (one, other) in [(a, b), (b, c), (c, a), (a, b)] {
        pair(&homes[one], &homes[other]);
    }
    let digests = |home: &Home| home.library.digests().unwrap();
    assert!(homes.iter().all(|home| digests(home) == digests(&homes[0])));
}

fn shown(catalog: &Catalog<'_>) -> Vec<TagInfo> {
    let mut tags = catalog.tags().unwrap();
    tags.retain(|info| info.alias_of.is_none());
    tags
}

fn found(catalog: &Catalog<'_>, name: &str) -> usize {
    let tags = Some(catalog.select_tags(name).unwrap());
    catalog.find(&FindQuery { tags, ..FindQuery::default() }).unwrap().items.len()
}

#[test]
fn the_same_tag_made_on_three_devices_is_one_in_every_order_of_meeting() {
    for order in ORDERS {
        let homes = three();
        for home in &homes {
            let catalog = home.catalog();
            let tag = catalog.create_tag(NewTag::named("Holiday")).unwrap();
            catalog.tag_paths(tag, &[home.at("file")]).unwrap();
        }
        meet_in(&homes, order);
        let first = shown(&homes[0].catalog());
        for home in &homes {
            let catalog = home.catalog();
            let tags = shown(&catalog);
            assert_eq!(
                (tags.len(), tags[0].tag.name.as_str(), tags[0].subjects),
                (1, "Holiday", 3)
            );
            assert_eq!(tags, first, "the same one everywhere");
            assert_eq!(catalog.tags().unwrap().len(), 3, "and its aliases");
            assert_eq!(found(&catalog, "Holiday"), 3);
            let on = home.at("file").tags;
            assert_eq!((on.len(), on[0].id), (1, tags[0].tag.id), "the canonical one shows");
        }
    }
}

/// Ids of the same millisecond are in no order; the tree that is left depends on theirs.
fn make_with_id(home: &Home, id: Uuid, name: &'static str) {
    let name = name.to_owned();
    let tag = Tag { id, name, color: None, description: None, parent: None, kind: None };
    home.library.write(move |tx| Ok::<_, CatalogError>(tx.insert(&tag)?)).unwrap();
}

#[test]
fn moves_that_make_a_ring_leave_one_tree_in_every_order_of_meeting() {
    let mut trees: Vec<Vec<(String, Option<String>)>> = Vec::new();
    for order in ORDERS {
        let homes = three();
        let ids = [3, 1, 2].map(|n| Uuid::from_bytes([n; 16]));
        for (id, name) in ids.into_iter().zip(["X", "Y", "Z"]) {
            make_with_id(&homes[0], id, name);
        }
        meet_in(&homes, [0, 1, 2]);
        for (home, (tag, parent)) in homes.iter().zip([(0, "Y"), (1, "Z"), (2, "X")]) {
            home.catalog().set_tag(ids[tag], "parent", parent).unwrap();
        }
        meet_in(&homes, order);
        for home in &homes {
            let tags = shown(&home.catalog());
            let name =
                |id: Uuid| tags.iter().find(|info| info.tag.id == id).unwrap().tag.name.clone();
            let tree: Vec<_> = tags
                .iter()
                .map(|info| (info.tag.name.clone(), info.tag.parent.map(name)))
                .collect();
            assert_eq!(tree.len(), 3, "nobody is hidden");
            trees.push(tree);
        }
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
    assert_eq!(trees[0].iter().filter(|(_, parent)| parent.is_none()).count(), 1);
}

#[test]
fn what_is_done_by_name_is_done_to_all_that_are_one() {
    let homes = three();
    for home in &homes {
        let catalog = home.catalog();
        let tag = catalog.create_tag(NewTag::named("Holiday")).unwrap();
        catalog.tag_paths(tag, &[home.at("file")]).unwrap();
    }
    meet_in(&homes, [0, 1, 2]);
    let catalog = homes[1].catalog();
    let group = catalog.select_tag_group("Holiday").unwrap();
    catalog.set_tags_fields(&group, &[("name", "Vacation"), ("color", "blue")]).unwrap();
    assert_eq!(shown(&catalog).len(), 1);
    assert_eq!(found(&catalog, "Vacation"), 3);
    assert!(matches!(catalog.select_tags("Holiday"), Err(CatalogError::NotFound { .. })));
    // An alias goes its own way again when it is named by its id.
    let alias = group[2];
    assert_eq!(catalog.select_tag_group(&alias.to_string()).unwrap(), [alias]);
    catalog.set_tag(alias, "name", "Trip").unwrap();
    assert_eq!((found(&catalog, "Vacation"), found(&catalog, "Trip")), (2, 1));
    let files = catalog.find(&FindQuery { text: Some("file".into()), ..FindQuery::default() });
    let untag = catalog.select_tags("Vacation").unwrap();
    assert_eq!(catalog.untag_paths(&untag, &files.unwrap().items).unwrap(), 2);
    catalog.delete_tags(&catalog.select_tag_group("Vacation").unwrap()).unwrap();
    assert_eq!(shown(&catalog).len(), 1);
}

#[test]
fn renames_that_meet_make_one_tag() {
    let homes = three();
    for (n, home) in homes.iter().enumerate() {
        let catalog = home.catalog();
        let tag = catalog.create_tag(NewTag::named(format!("tag {n}"))).unwrap();
        catalog.tag_paths(tag, &[home.at("file")]).unwrap();
    }
    meet_in(&homes, [0, 1, 2]);
    for (n, home) in homes.iter().enumerate() {
        let tag = home.catalog().select_tag(&format!("tag {n}")).unwrap();
        home.catalog().set_tag(tag, "name", "one").unwrap();
    }
    meet_in(&homes, [2, 0, 1]);
    for home in &homes {
        assert_eq!((shown(&home.catalog()).len(), found(&home.catalog(), "one")), (1, 3));
    }
}

#[test]
fn merged_tags_take_in_what_is_tagged_elsewhere_at_the_same_time() {
    let homes = three();
    let catalog = homes[0].catalog();
    let make =
        |name: &str, parent| catalog.create_tag(NewTag { parent, ..NewTag::named(name) }).unwrap();
    let from = make("pics", None);
    let under = make("old", Some(from));
    let into = make("photos", None);
    meet_in(&homes, [0, 1, 2]);
    catalog.tag_paths(from, &[homes[0].at("file")]).unwrap();
    catalog.merge_tags(&[from], into).unwrap();
    let other = homes[1].catalog();
    other.tag_paths(other.select_tag("pics").unwrap(), &[homes[1].at("file")]).unwrap();
    meet_in(&homes, [1, 2, 0]);
    for home in &homes {
        let tags = shown(&home.catalog());
        let names: Vec<&str> = tags.iter().map(|info| info.tag.name.as_str()).collect();
        assert_eq!(names, ["old", "photos"]);
        assert_eq!(
            tags[0].tag.parent,
            Some(tags[1].tag.id),
            "what was under it is under the other"
        );
        assert_eq!((tags[0].tag.id, tags[1].subjects), (under, 2));
        assert_eq!(found(&home.catalog(), "photos"), 2);
    }
}

#[test]
fn a_tag_is_merged_into_one_below_it() {
    let home = Home::new();
    let catalog = home.catalog();
    let make =
        |name: &str, parent| catalog.create_tag(NewTag { parent, ..NewTag::named(name) }).unwrap();
    let top = make("top", None);
    let from = make("from", Some(top));
    let between = make("between", Some(from));
    let into = make("into", Some(between));
    catalog.merge_tags(&[from], into).unwrap();
    let tags = shown(&catalog);
    let place = |name: &str| tags.iter().find(|info| info.tag.name == name).unwrap().tag.parent;
    assert_eq!((tags.len(), place("into"), place("between")), (3, Some(top), Some(from)));
    let again = catalog.merge_tags(&[from], into);
    assert!(matches!(again, Err(CatalogError::Invalid { what: "tag", .. })), "one already");
    let red = catalog.select_tag("red").unwrap();
    assert!(matches!(catalog.merge_tags(&[from], red), Err(CatalogError::NotFound { .. })));
}

#[test]
fn a_name_in_two_places_is_ambiguous_and_found_in_both() {
    let home = Home::new();
    home.write("a", "a");
    home.write("b", "b");
    home.scan();
    let catalog = home.catalog();
    for (above, file) in [("work", "a"), ("home", "b")] {
        let parent = Some(catalog.create_tag(NewTag::named(above)).unwrap());
        let tag = catalog.create_tag(NewTag { parent, ..NewTag::named("urgent") }).unwrap();
        catalog.tag_paths(tag, &[home.at(file)]).unwrap();
    }
    assert_eq!(found(&catalog, "urgent"), 2);
    let Err(CatalogError::Ambiguous { candidates, .. }) = catalog.select_tag("urgent") else {
        panic!("it is in two places")
    };
    let mut names: Vec<&str> = candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["home/urgent", "work/urgent"]);
}
