//! The cases that people meet, each in every order of delivery and under random clocks.

use proptest::prelude::*;

use driftless_core::id::Dot;
use driftless_core::merge::Lost;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, MergeRule};
use driftless_core::value::Value;

use crate::world::{COUNT, Deed, FIELDS, History, NAME, State, World, model};

fn name(value: i64) -> Deed {
    Deed::Set(vec![(NAME, value)])
}

fn create(value: i64) -> Deed {
    Deed::Create([value; FIELDS.len()])
}

/// A world in which everyone has seen one creation, at `hlc`.
fn created(hlc: u64) -> World {
    let mut world = World::new();
    world.act(0, hlc, create(1));
    world.settle();
    world
}

/// The states at the end of every causal order, which must be equal.
fn outcomes(history: &History) -> Vec<State> {
    let mut all: Vec<State> = Vec::new();
    history.for_each_outcome(|state| all.push(state.clone()));
    for state in &all {
        assert_eq!(state.bytes(), all[0].bytes());
        state.assert_comes_back();
    }
    all
}

/// The state in which every causal order ends.
fn outcome(history: &History) -> State {
    outcomes(history).swap_remove(0)
}

fn dots(record: &Record, field: FieldId) -> Vec<Dot> {
    record.versions(field).iter().map(|version| version.dot).collect()
}

fn conflicts(state: &State) -> Vec<FieldId> {
    {
        let model = model();
        let rule = |id| model.field(id).map_or(MergeRule::Lww, |field| field.rule);
        state.records[0].conflicts(rule).collect()
    }
}

proptest! {
    #[test]
    fn three_concurrent_writers_leave_the_same_siblings(times: [u64; 4]) {
        let mut world = created(times[0]);
        let writes: Vec<usize> = (0..3).map(|at| world.act(at, times[at + 1], name(at as i64))).collect();
        let all = outcomes(&world.history);
        let end = &all[0];
        prop_assert_eq!(all.len(), 6);
        let expected: Vec<Dot> = writes.iter().map(|at| world.dot(*at)).collect();
        prop_assert_eq!(dots(&end.records[0], NAME), expected);
        let winner = (0..3).max_by_key(|at| (times[at + 1], *at)).unwrap();
        prop_assert_eq!(end.shown(NAME), Value::Int(winner as i64));
        prop_assert_eq!(conflicts(end), [NAME]);
    }

    #[test]
    fn resolving_overwrites_all_siblings(times: [u64; 5]) {
        let mut world = created(times[0]);
        for at in 0..3 {
            world.act(at, times[at + 1], name(at as i64));
        }
        world.settle();
        world.act(1, times[4], name(9));
        let end = outcome(&world.history);
        prop_assert_eq!(end.shown(NAME), Value::Int(9));
        prop_assert_eq!(conflicts(&end), []);
    }

    /// Two writers who saw no more than the creation, and one who saw only the first of them: his
    /// write takes the place of what he saw, and is a sibling of what he did not.
    #[test]
    fn a_write_overwrites_what_its_writer_saw_and_no_more(times: [u64; 4]) {
        let mut world = created(times[0]);
        world.act(0, times[1], name(10));
        let unseen = world.act(1, times[2], name(11));
        world.pull(2, 0);
        let later = world.act(2, times[3], name(12));
        let end = outcome(&world.history);
        let expected = [world.dot(unseen), world.dot(later)];
        prop_assert_eq!(dots(&end.records[0], NAME), expected);
    }

    #[test]
    fn a_delete_wins_over_a_concurrent_edit_which_is_reported(times: [u64; 3]) {
        let mut world = created(times[0]);
        let edit = world.act(1, times[1], name(5));
        world.act(2, times[2], Deed::Delete);
        let all = outcomes(&world.history);
        let end = &all[0];
        prop_assert_eq!(all.len(), 2);
        prop_assert_eq!(&end.records[0], &Record::default());
        for state in &all {
            let of_edit = |lost: &&(usize, Lost)| {
                lost.1.version.dot == world.dot(edit)
            };
            let reported: Vec<_> = state.lost.iter().filter(of_edit).collect();
            prop_assert_eq!(reported.len(), 1);
            prop_assert_eq!(reported[0].1.field, NAME);
            prop_assert_eq!(&reported[0].1.version.value, &Value::Int(5));
        }
    }

    #[test]
    fn a_new_life_survives_a_concurrent_delete(times: [u64; 3]) {
        let mut world = created(times[0]);
        let again = world.act(1, times[1], create(6));
        world.act(2, times[2], Deed::Delete);
        let end = outcome(&world.history);
        prop_assert_eq!(end.records[0].lives.keys().collect::<Vec<_>>(), [&world.dot(again)]);
        prop_assert_eq!(end.shown(NAME), Value::Int(6));
    }

    #[test]
    fn an_edit_of_a_life_that_was_replaced_is_reported(times: [u64; 3]) {
        let mut world = created(times[0]);
        let edit = world.act(1, times[1], name(5));
        world.act(2, times[2], create(6));
        for state in outcomes(&world.history) {
            prop_assert_eq!(state.shown(NAME), Value::Int(6));
            prop_assert!(state.has_lost(0, NAME, world.dot(edit)));
        }
    }

    /// A restore is a new life; the late edit of the old one stays lost, however late it comes.
    #[test]
    fn a_restore_does_not_bring_back_what_the_delete_took(times: [u64; 4]) {
        let mut world = created(times[0]);
        let edit = world.act(1, times[1], name(5));
        world.act(2, times[2], Deed::Delete);
        world.act(2, times[3], create(7));
        let all = outcomes(&world.history);
        let end = &all[0];
        prop_assert_eq!(all.len(), 3);
        prop_assert_eq!(end.shown(NAME), Value::Int(7));
        prop_assert!(conflicts(end).is_empty());
        for state in &all {
            prop_assert!(state.has_lost(0, NAME, world.dot(edit)));
        }
    }

    /// Two deletes, each followed by a restore: both lives are there, as siblings.
    #[test]
    fn concurrent_restores_are_siblings(times: [u64; 4]) {
        let mut world = created(times[0]);
        world.act(0, times[1], Deed::Delete);
        world.settle();
        world.act(1, times[2], create(3));
        world.act(2, times[3], create(4));
        let end = outcome(&world.history);
        prop_assert_eq!(end.records[0].lives.len(), 2);
        prop_assert_eq!(conflicts(&end), [NAME]);
    }

    /// A write that saw two lives stays while one of them does.
    #[test]
    fn a_version_lives_as_long_as_any_life_that_its_writer_saw(times: [u64; 5]) {
        let mut world = World::new();
        world.act(0, times[0], create(1));
        world.act(1, times[1], create(2));
        world.pull(2, 0);
        world.act(2, times[2], Deed::Delete);
        world.pull(0, 1);
        world.act(0, times[3], name(8));
        let end = outcome(&world.history);
        prop_assert_eq!(end.records[0].lives.len(), 1);
        prop_assert_eq!(end.shown(NAME), Value::Int(8));
        prop_assert!(conflicts(&end).is_empty());
        world.settle();
        world.act(1, times[4], Deed::Delete);
        let end = outcome(&world.history);
        prop_assert_eq!(&end.records[0], &Record::default());
    }

    #[test]
    fn an_add_wins_over_a_concurrent_remove(times: [u64; 4]) {
        let mut world = created(times[0]);
        world.act(1, times[1], create(1));
        world.act(2, times[2], Deed::Delete);
        let end = outcome(&world.history);
        prop_assert!(end.records[0].is_alive());
        world.settle();
        world.act(2, times[3], Deed::Delete);
        let end = outcome(&world.history);
        prop_assert!(!end.records[0].is_alive());
    }

    #[test]
    fn equal_values_are_no_conflict(times: [u64; 4], value: i64) {
        let mut world = created(times[0]);
        for at in 0..3 {
            world.act(at, times[at + 1], name(value));
        }
        let end = outcome(&world.history);
        prop_assert_eq!(end.records[0].versions(NAME).len(), 3);
        prop_assert_eq!(end.shown(NAME), Value::Int(value));
        prop_assert!(conflicts(&end).is_empty());
    }

    /// Subtotals are versions side by side, and no conflict.
    #[test]
    fn a_counter_has_no_conflict(times: [u64; 4]) {
        let mut world = created(times[0]);
        for at in 0..3 {
            world.act(at, times[at + 1], Deed::Set(vec![(COUNT, 10)]));
        }
        let end = outcome(&world.history);
        prop_assert_eq!(end.records[0].versions(COUNT).len(), 3);
        prop_assert_eq!(end.shown(COUNT), Value::Int(31));
        prop_assert!(conflicts(&end).is_empty());
    }
}
