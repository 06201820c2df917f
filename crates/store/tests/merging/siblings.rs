//! What three devices write without knowing of each other.

use driftless_core::schema::FieldId;
use driftless_core::value::Value;

use crate::world::{READER, World, doc, in_every_order, text};

#[test]
fn three_concurrent_values_are_the_same_siblings_in_all_six_orders() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.create("a", &[("text", text("base"))]));
        world.settle();
        for writer in 0..3 {
            let value = text(&format!("by {writer}"));
            world.write(writer, |pen| pen.set("a", &[("text", value)]));
        }
    };
    in_every_order(scene, |replica| {
        let record = replica.record(doc(), "a");
        assert_eq!(record.versions(FieldId::of("text")).len(), 3);
        assert_eq!(replica.text("a").unwrap(), "by 2", "the latest of the concurrent shows");
        assert_eq!(replica.store.conflict_count(), 1);
    });
}

#[test]
fn resolving_on_one_device_resolves_on_all_and_a_write_beside_it_is_a_new_sibling() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.create("a", &[("text", text("base"))]));
        world.settle();
        world.write(0, |pen| pen.set("a", &[("text", text("left"))]));
        world.write(1, |pen| pen.set("a", &[("text", text("right"))]));
        world.meet(0, 1);
        // The value that shows, written over both.
        world.write(0, |pen| pen.set("a", &[("text", text("right"))]));
        world.write(2, |pen| pen.set("a", &[("text", text("late"))]));
    };
    in_every_order(scene, |replica| {
        let record = replica.record(doc(), "a");
        let values: Vec<&Value> =
            record.versions(FieldId::of("text")).iter().map(|version| &version.value).collect();
        assert_eq!(values, [&text("right"), &text("late")]);
        assert_eq!(replica.store.conflict_count(), 1);
    });
}

#[test]
fn equal_values_are_no_conflict_and_become_none() {
    let scene = |world: &mut World| {
        world.write(0, |pen| pen.create("a", &[("text", text("base"))]));
        world.settle();
        for writer in 0..3 {
            world.write(writer, |pen| pen.set("a", &[("text", text("same"))]));
        }
    };
    in_every_order(scene, |replica| {
        assert_eq!(replica.text("a").unwrap(), "same");
        assert_eq!(replica.store.conflict_count(), 0);
    });
}

#[test]
fn counters_add_up_and_extremes_stay() {
    let scene = |world: &mut World| {
        let zero = [("count", Value::Int(0)), ("most", Value::Int(5)), ("least", Value::Int(5))];
        world.write(0, |pen| pen.create("a", &zero));
        world.settle();
        for (writer, value) in [(0, 9), (1, 2), (2, -3)] {
            let both = [("most", Value::Int(value)), ("least", Value::Int(value))];
            assert_eq!(world.write(writer, |pen| pen.add("a", value)), value);
            assert_eq!(world.write(writer, |pen| pen.add("a", 100)), value + 100);
            world.write(writer, |pen| pen.set("a", &both));
        }
    };
    in_every_order(scene, |replica| {
        assert_eq!(replica.number("a", "count"), 308);
        assert_eq!((replica.number("a", "most"), replica.number("a", "least")), (9, -3));
        assert_eq!(replica.store.conflict_count(), 0);
    });
}

#[test]
fn a_counter_goes_on_from_what_others_added() {
    let mut world = World::new();
    world.write(0, |pen| pen.create("a", &[("count", Value::Int(1))]));
    world.settle();
    world.write(1, |pen| pen.add("a", 10));
    world.write(2, |pen| pen.add("a", 100));
    world.meet(1, 2);
    assert_eq!(world.write(1, |pen| pen.add("a", -1)), 110);
    assert_eq!(world.write(1, |pen| pen.add("a", -1)), 109);
    assert_eq!(world.write(0, |pen| pen.add("a", 1_000)), 1_001);
    world.arrive([0, 1, 2]);
    assert_eq!(world.replicas[READER].number("a", "count"), 1_109);
}
