//! Life and death: what a delete, an edit, a new life and a membership do to each other when none of
//! them knew of the others. Each with a record that one device made, and with one whose id is derived
//! so that two devices made it.

use driftless_core::value::Value;

use crate::world::{Replica, World, in_every_order, reference, text};

/// Whose id is `a`'s: one device's, or derived by two of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Id {
    Random,
    Derived,
}

/// Everybody knows the document `a`, and a document `parent`.
fn known(world: &mut World, id: Id) {
    world.write(0, |pen| pen.create("a", &[("text", text("base"))]));
    world.write(0, |pen| pen.create("parent", &[("text", text("a parent"))]));
    if id == Id::Derived {
        world.write(1, |pen| pen.create("a", &[("text", text("base"))]));
    }
    world.settle();
}

fn with_both(scene: impl Fn(&mut World), check: impl Fn(&mut Replica)) {
    for id in [Id::Random, Id::Derived] {
        let whole = |world: &mut World| {
            known(world, id);
            scene(world);
        };
        in_every_order(whole, &check);
    }
}

#[test]
fn delete_beside_edit() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.write(1, |pen| pen.set("a", &[("text", text("edited"))]));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a"), None, "the delete wins");
        assert!(replica.lost("a", "text").contains(&text("edited")), "and the edit is kept");
        assert_eq!(replica.store.conflict_count(), 0);
    });
}

#[test]
fn delete_beside_set_add() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.write(1, |pen| pen.link("a"));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a"), None);
        assert!(replica.is_linked("a"), "the link is a record of its own, and points at nothing");
    });
}

#[test]
fn delete_beside_move() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.write(1, |pen| pen.set("a", &[("parent", reference("parent"))]));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a"), None);
        assert_eq!(replica.lost("a", "parent"), [reference("parent")]);
    });
    let under_it = |world: &mut World| {
        world.write(0, |pen| pen.delete("parent"));
        world.write(1, |pen| pen.set("a", &[("parent", reference("parent"))]));
    };
    with_both(under_it, |replica| {
        assert_eq!(replica.text("a").unwrap(), "base", "who moves below what is deleted stays");
        assert_eq!(replica.text("parent"), None);
    });
}

#[test]
fn delete_beside_delete() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.write(1, |pen| pen.delete("a"));
        world.write(2, |pen| pen.delete("a"));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a"), None);
        assert!(replica.lost("a", "text").contains(&text("base")), "what it took is kept");
    });
}

#[test]
fn delete_and_create_again_beside_edit() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.write(0, |pen| pen.create("a", &[("text", text("again"))]));
        world.write(1, |pen| pen.set("a", &[("text", text("edited"))]));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a").unwrap(), "again", "the edit was of the life that is over");
        assert!(replica.lost("a", "text").contains(&text("edited")));
        assert_eq!(replica.store.conflict_count(), 0);
    });
}

#[test]
fn restore_beside_edit() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.meet(0, 1);
        world.write(1, |pen| pen.create("a", &[("text", text("restored"))]));
        world.write(2, |pen| pen.set("a", &[("text", text("edited"))]));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a").unwrap(), "restored");
        assert!(replica.lost("a", "text").contains(&text("edited")));
    });
}

#[test]
fn restore_beside_restore() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.settle();
        world.write(1, |pen| pen.create("a", &[("text", text("one"))]));
        world.write(2, |pen| pen.create("a", &[("text", text("other"))]));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a").unwrap(), "other", "the latest shows");
        assert_eq!(replica.store.conflict_count(), 1, "and the other is its sibling");
    });
}

#[test]
fn restore_beside_another_delete() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.delete("a"));
        world.meet(0, 1);
        world.write(1, |pen| pen.create("a", &[("text", text("restored"))]));
        world.write(2, |pen| pen.delete("a"));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a").unwrap(), "restored", "that delete saw only the old life");
    });
}

#[test]
fn a_delete_that_was_seen_stays_though_stale_edits_arrive() {
    let scene = |world: &mut World| {
        world.write(2, |pen| pen.set("a", &[("text", text("stale"))]));
        world.write(2, |pen| pen.set("a", &[("count", Value::Int(4))]));
        world.write(0, |pen| pen.delete("a"));
        world.meet(0, 1);
        world.write(1, |pen| pen.set("parent", &[("text", text("later"))]));
    };
    with_both(scene, |replica| {
        assert_eq!(replica.text("a"), None);
        assert!(replica.lost("a", "text").contains(&text("stale")));
        assert_eq!(replica.lost("a", "count"), [Value::Int(4)]);
        assert_eq!(replica.text("parent").unwrap(), "later");
    });
}

#[test]
fn adding_wins_over_removing_what_was_seen_before() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.link("a"));
        world.settle();
        world.write(0, |pen| pen.unlink("a"));
        world.write(1, |pen| pen.link("a"));
        world.write(2, |pen| pen.unlink("a"));
    };
    with_both(scene, |replica| assert!(replica.is_linked("a")));
    let removed = |world: &mut World| {
        world.write(0, |pen| pen.link("a"));
        world.write(1, |pen| pen.link("a"));
        world.settle();
        world.write(2, |pen| pen.unlink("a"));
    };
    with_both(removed, |replica| assert!(!replica.is_linked("a"), "it saw both adds"));
}
