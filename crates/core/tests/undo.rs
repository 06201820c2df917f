//! Taking changes back, and looking at what was: pure functions of a record and its past.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use driftless_core::change::{Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, Epoch, Origin};
use driftless_core::merge;
use driftless_core::record::Record;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind,
};
use driftless_core::undo::{Done, Ended, Obstacle, RecordPast, Step, TakeBack, at, difference};
use driftless_core::value::Value;

fn dot(device: u8, seq: u64) -> Dot {
    Dot::new(Origin::shared(DeviceId([device; 32]), Epoch(1)), seq)
}

fn model(kind: ModelKind) -> ModelDescriptor {
    let field = |name: &str, rule, ty| {
        let id = FieldId::of(name);
        FieldDescriptor { id, name: name.into(), ty, rule, nullable: true }
    };
    let fields = vec![
        field("name", MergeRule::Lww, FieldType::Text),
        field("plays", MergeRule::Counter, FieldType::Int),
        field("best", MergeRule::Max, FieldType::Int),
    ];
    ModelDescriptor { id: ModelId::of("song"), name: "song".into(), kind, fields, indexes: vec![] }
}

/// A record, and all that happened to it.
#[derive(Default)]
struct World {
    record: Record,
    past: RecordPast,
}

impl World {
    fn apply(&mut self, dot: Dot, time: u64, op: Op) -> Done {
        let hlc = Hlc::from_ms(time);
        let lost = merge::apply(&mut self.record, &op, dot, hlc, |_| true);
        let ended = lost.into_iter().map(|lost| Ended { lost, deleted: true });
        self.past.ended.extend(ended);
        let done = Done { dot, hlc, op };
        self.past.changes.push(done.clone());
        done
    }

    fn create(&mut self, dot: Dot, time: u64, name: &str) -> Done {
        let fields = vec![self.write("name", Value::Text(name.into()), vec![])];
        self.apply(dot, time, Op::Create { over: vec![], fields })
    }

    fn write(&self, field: &str, value: Value, over: Vec<Dot>) -> Write {
        Write { field: FieldId::of(field), over, value }
    }

    fn set(&mut self, dot: Dot, time: u64, field: &str, value: Value, over: Vec<Dot>) -> Done {
        let fields = vec![self.write(field, value, over)];
        let lives = self.record.lives.keys().copied().collect();
        self.apply(dot, time, Op::Set { lives, fields })
    }

    fn rename(&mut self, dot: Dot, time: u64, name: &str, over: Vec<Dot>) -> Done {
        self.set(dot, time, "name", Value::Text(name.into()), over)
    }

    fn delete(&mut self, dot: Dot, time: u64) -> Done {
        let lives = self.record.lives.keys().copied().collect();
        self.apply(dot, time, Op::Delete { lives })
    }

    /// What has to be written to take changes back, and what stands in the way.
    fn undo(&self, done: &[&Done], force: bool) -> (Option<Step>, Vec<Obstacle>) {
        let model = model(ModelKind::Shared);
        let undone: BTreeSet<Dot> = done.iter().map(|done| done.dot).collect();
        let back = TakeBack { past: &self.past, model: &model, undone: &undone, force };
        let mut after = self.record.clone();
        let obstacles =
            done.iter().rev().flat_map(|done| back.take_back(&mut after, done)).collect();
        (difference(&self.record, &after, &model), obstacles)
    }

    fn name_at(&self, time: u64) -> Option<Value> {
        let then = at(&self.record, &self.past, Hlc::from_ms(time));
        assert!(then.unknown.is_empty());
        then.record.is_alive().then(|| then.record.shown(FieldId::of("name"), MergeRule::Lww))
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn set(field: &str, value: Value) -> (Option<Step>, Vec<Obstacle>) {
    (Some(Step::Set(vec![(FieldId::of(field), value)])), vec![])
}

#[test]
fn a_write_is_taken_back_to_what_it_overwrote() {
    let mut world = World::default();
    let created = world.create(dot(1, 1), 10, "a");
    let renamed = world.rename(dot(2, 1), 20, "b", vec![dot(1, 1)]);
    assert_eq!(world.undo(&[&renamed], false), set("name", text("a")));
    let later = world.rename(dot(1, 2), 30, "c", vec![dot(2, 1)]);
    let field = FieldId::of("name");
    let obstacle = Obstacle::Overwritten { field, by: vec![dot(1, 2)] };
    assert_eq!(world.undo(&[&renamed], false), (None, vec![obstacle.clone()]));
    let forced = Some(Step::Set(vec![(field, text("a"))]));
    assert_eq!(world.undo(&[&renamed], true), (forced, vec![obstacle]));
    // Together with what was built on it, it goes, to the very beginning.
    assert_eq!(world.undo(&[&renamed, &later], false), set("name", text("a")));
    assert_eq!(world.undo(&[&created, &renamed, &later], false), (Some(Step::Delete), vec![]));
    let changed = Obstacle::Changed { by: vec![dot(1, 2)] };
    assert_eq!(world.undo(&[&created], false), (None, vec![changed.clone()]));
    assert_eq!(world.undo(&[&created], true), (Some(Step::Delete), vec![changed]));
}

#[test]
fn a_write_in_conflict_and_one_that_resolved_it() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    let mine = world.rename(dot(1, 2), 20, "mine", vec![dot(1, 1)]);
    world.rename(dot(2, 1), 21, "theirs", vec![dot(1, 1)]);
    let obstacle = Obstacle::Conflict { field: FieldId::of("name"), with: vec![dot(2, 1)] };
    assert_eq!(world.undo(&[&mine], false), (None, vec![obstacle]));
    let resolved = world.rename(dot(1, 3), 30, "mine", vec![dot(1, 2), dot(2, 1)]);
    assert_eq!(world.undo(&[&resolved], false), set("name", text("theirs")));
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    let renamed = world.rename(dot(2, 1), 20, "b", vec![dot(1, 1)]);
    world.past.changes.remove(0);
    let unknown = Obstacle::Unknown { field: FieldId::of("name") };
    for force in [false, true] {
        assert_eq!(world.undo(&[&renamed], force), (None, vec![unknown.clone()]));
    }
    let then = at(&world.record, &world.past, Hlc::from_ms(15));
    assert_eq!(then.unknown, [FieldId::of("name")].into());
    // A value that is kept by itself is as good.
    let mut whole = World::default();
    whole.create(dot(1, 1), 10, "a");
    let lost = merge::overwritten(&whole.record, &renamed.op, Hlc::from_ms(15));
    assert_eq!(lost.len(), 1);
    assert!(merge::overwritten(&whole.record, &renamed.op, Hlc::from_ms(10)).is_empty());
    let ended = lost.into_iter().map(|lost| Ended { lost, deleted: false });
    world.past.ended.extend(ended);
    assert_eq!(world.undo(&[&renamed], false), set("name", text("a")));
    assert_eq!(world.name_at(15), Some(text("a")));
}

#[test]
fn a_delete_is_taken_back_with_what_it_took() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    world.rename(dot(2, 1), 20, "b", vec![dot(1, 1)]);
    let deleted = world.delete(dot(1, 2), 30);
    let back = Step::Create(vec![(FieldId::of("name"), text("b"))]);
    assert_eq!(world.undo(&[&deleted], false), (Some(back.clone()), vec![]));
    // Somebody else deleted it as well, without having seen that.
    let lives = vec![dot(1, 1)];
    let too = world.apply(dot(3, 1), 31, Op::Delete { lives });
    let obstacle = Obstacle::DeletedToo { by: vec![dot(3, 1)] };
    assert_eq!(world.undo(&[&deleted], false), (None, vec![obstacle.clone()]));
    assert_eq!(world.undo(&[&deleted], true), (Some(back.clone()), vec![obstacle]));
    assert_eq!(world.undo(&[&deleted, &too], false), (Some(back), vec![]));
    // An edit that came too late is taken for the last thing that was said.
    let lives = vec![dot(1, 1)];
    let fields = vec![world.write("name", text("late"), vec![dot(2, 1)])];
    let late = world.apply(dot(4, 1), 25, Op::Set { lives, fields });
    let late_back = Step::Create(vec![(FieldId::of("name"), text("late"))]);
    assert_eq!(world.undo(&[&deleted, &too], false), (Some(late_back), vec![]));
    let obstacle = Obstacle::Deleted { by: vec![dot(1, 2), dot(3, 1)] };
    assert_eq!(world.undo(&[&late], true), (None, vec![obstacle]));
    // It is there again: nothing has to be done, and what was said since stays.
    world.create(dot(1, 3), 40, "again");
    assert_eq!(world.undo(&[&deleted], false), (None, vec![]));
}

#[test]
fn what_was_added_to_a_counter_is_taken_out_whatever_was_added_since() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    let five = world.set(dot(1, 2), 20, "plays", Value::Int(5), vec![]);
    world.set(dot(2, 1), 21, "plays", Value::Int(100), vec![]);
    assert_eq!(world.undo(&[&five], false), set("plays", Value::Int(100)));
    let seven = world.set(dot(1, 3), 30, "plays", Value::Int(7), vec![dot(1, 2)]);
    assert_eq!(world.undo(&[&five], false), set("plays", Value::Int(102)));
    assert_eq!(world.undo(&[&seven], false), set("plays", Value::Int(105)));
    assert_eq!(world.undo(&[&five, &seven], false), set("plays", Value::Int(100)));
}

#[test]
fn a_maximum_falls_back_to_what_it_was() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    world.set(dot(1, 2), 20, "best", Value::Int(5), vec![]);
    let nine = world.set(dot(1, 3), 30, "best", Value::Int(9), vec![dot(1, 2)]);
    world.set(dot(2, 1), 31, "best", Value::Int(7), vec![dot(1, 2)]);
    assert_eq!(world.undo(&[&nine], false), set("best", Value::Int(7)));
}

/// Two devices write beside each other over the same value: without one of them, the other one's
/// stands, and not what both have ended.
#[test]
fn what_another_write_ended_as_well_does_not_come_back() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    world.set(dot(1, 2), 20, "best", Value::Int(-11), vec![]);
    let one = world.set(dot(2, 1), 30, "best", Value::Int(-30), vec![dot(1, 2)]);
    let other = world.set(dot(3, 1), 30, "best", Value::Int(-64), vec![dot(1, 2)]);
    assert_eq!(world.undo(&[&one], false), set("best", Value::Int(-64)));
    assert_eq!(world.undo(&[&one, &other], false), set("best", Value::Int(-11)));
}

/// A device deletes a record, another one makes it anew beside that, and a third one that knows both
/// clears a field that the first life had: without that the field is as the delete left it.
#[test]
fn what_a_delete_took_does_not_come_back_with_a_write() {
    let mut world = World::default();
    world.create(dot(3, 1), 10, "a");
    world.set(dot(3, 2), 11, "best", Value::Int(-6), vec![]);
    let both = vec![dot(3, 1), dot(4, 1)];
    world.apply(dot(2, 1), 12, Op::Delete { lives: vec![dot(3, 1)] });
    world.create(dot(4, 1), 13, "b");
    let fields = vec![world.write("best", Value::Null, vec![dot(3, 2)])];
    let cleared = world.apply(dot(3, 3), 14, Op::Set { lives: both, fields });
    assert_eq!(world.undo(&[&cleared], false), (None, vec![]));
}

#[test]
fn a_link_that_was_added_twice_is_there_until_both_are_taken_back() {
    let model = model(ModelKind::Link);
    let mut world = World::default();
    let first = world.apply(dot(1, 1), 10, Op::Create { over: vec![], fields: vec![] });
    let second = world.apply(dot(2, 1), 20, Op::Create { over: vec![dot(1, 1)], fields: vec![] });
    let undo = |done: &[&Done]| {
        let undone: BTreeSet<Dot> = done.iter().map(|done| done.dot).collect();
        let back = TakeBack { past: &world.past, model: &model, undone: &undone, force: false };
        let mut after = world.record.clone();
        for done in done.iter().rev() {
            assert_eq!(back.take_back(&mut after, done), []);
        }
        difference(&world.record, &after, &model)
    };
    assert_eq!(undo(&[&first]), None);
    assert_eq!(undo(&[&second]), None);
    assert_eq!(undo(&[&first, &second]), Some(Step::Delete));
}

#[test]
fn a_record_is_at_any_time_what_it_was_then() {
    let mut world = World::default();
    world.create(dot(1, 1), 10, "a");
    world.rename(dot(2, 1), 20, "b", vec![dot(1, 1)]);
    world.delete(dot(1, 2), 30);
    world.create(dot(2, 2), 40, "c");
    for (time, name) in
        [(9, None), (10, Some("a")), (19, Some("a")), (20, Some("b")), (30, None), (40, Some("c"))]
    {
        assert_eq!(world.name_at(time), name.map(text), "{time}");
    }
    // The same, once the first change sets have left the history: of a time that it covers.
    world.past.changes.remove(0);
    assert_eq!((world.name_at(25), world.name_at(30)), (Some(text("b")), None));
}
