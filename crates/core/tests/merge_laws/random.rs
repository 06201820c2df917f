//! The laws over random causal histories, under clocks that know nothing of them.

use proptest::collection::vec;
use proptest::prelude::*;

use driftless_core::schema::MergeRule;
use driftless_core::value::Value;

use crate::fold::{fold, overwritten, written};
use crate::world::{
    COUNT, Deed, FIELDS, LINK, LOW, RECORDS, REPLICAS, State, TOP, World, bit, rule,
};

#[derive(Clone, Debug)]
enum Action {
    Write { at: usize, hlc: u64, deeds: Vec<(usize, Deed)> },
    Deliver { to: usize, pick: usize },
    Pull { to: usize, from: usize },
    Reconcile { to: usize, from: usize },
    NewEpoch { at: usize },
}

/// Few values, so that equal ones meet.
fn value() -> impl Strategy<Value = i64> {
    -2..3i64
}

/// Times near each other, equal ones, and those of a clock that is centuries off.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1_000..1_006u64, 1 => Just(0), 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn deed() -> impl Strategy<Value = Deed> {
    let set = vec((0..FIELDS.len(), value()), 1..4).prop_map(|writes| {
        let mut fields: Vec<_> = writes.iter().map(|(at, value)| (FIELDS[*at].0, *value)).collect();
        fields.sort_by_key(|(field, _)| *field);
        fields.dedup_by_key(|(field, _)| *field);
        Deed::Set(fields)
    });
    prop_oneof![
        2 => [value(), value(), value(), value()].prop_map(Deed::Create),
        5 => set,
        2 => Just(Deed::Delete),
    ]
}

/// A link is added and removed, never changed.
fn link_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![3 => Just(Deed::Create([0; FIELDS.len()])), 2 => Just(Deed::Delete)]
}

fn deeds() -> impl Strategy<Value = Vec<(usize, Deed)>> {
    prop_oneof![
        4 => deed().prop_map(|deed| vec![(0, deed)]),
        2 => link_deed().prop_map(|deed| vec![(LINK, deed)]),
        1 => (deed(), link_deed()).prop_map(|(deed, link)| vec![(0, deed), (LINK, link)]),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let at = || 0..REPLICAS;
    prop_oneof![
        6 => (at(), time(), deeds()).prop_map(|(at, hlc, deeds)| Action::Write { at, hlc, deeds }),
        6 => (at(), any::<usize>()).prop_map(|(to, pick)| Action::Deliver { to, pick }),
        2 => (at(), at()).prop_map(|(to, from)| Action::Pull { to, from }),
        2 => (at(), at()).prop_map(|(to, from)| Action::Reconcile { to, from }),
        1 => at().prop_map(|at| Action::NewEpoch { at }),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    vec(action(), 1..60)
}

fn picks() -> impl Strategy<Value = Vec<usize>> {
    vec(any::<usize>(), 16)
}

fn perform(world: &mut World, action: &Action) {
    match action {
        Action::Write { at, hlc, deeds } => {
            world.write(*at, *hlc, deeds);
        }
        Action::Deliver { to, pick } => world.deliver_one(*to, *pick),
        Action::Pull { to, from } => world.pull(*to, *from),
        Action::Reconcile { to, from } => world.reconcile(*to, *from),
        Action::NewEpoch { at } => world.new_epoch(*at),
    }
}

fn play(actions: &[Action]) -> World {
    let mut world = World::new();
    for action in actions {
        perform(&mut world, action);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Replicas that have the same change sets are the same, byte for byte, in whatever order these
    /// came.
    #[test]
    fn any_causal_order_gives_the_same_bytes(actions in actions(), one in picks(), two in picks()) {
        let mut world = play(&actions);
        let history = &world.history;
        let first = history.replay(&history.order(&one)).bytes();
        prop_assert_eq!(&history.replay(&history.order(&two)).bytes(), &first);
        world.settle();
        for replica in &world.replicas {
            replica.state.assert_comes_back();
            prop_assert_eq!(&replica.state.bytes(), &first);
        }
    }

    /// After every step every replica is the fold of what has reached it.
    #[test]
    fn a_state_is_a_function_of_the_set_of_changes(actions in actions()) {
        let mut world = World::new();
        for action in &actions {
            perform(&mut world, action);
            for replica in &world.replicas {
                let expected = fold(&world.history, replica.state.seen);
                prop_assert_eq!(&replica.state.records, &expected, "after {:?}", action);
            }
        }
    }

    /// A change that comes twice does nothing the second time.
    #[test]
    fn applying_twice_changes_nothing(actions in actions(), picks in picks()) {
        let history = play(&actions).history;
        let mut state = State::default();
        for at in history.order(&picks) {
            let set = &history.sets[at];
            for (record, op) in &set.changes {
                state.apply(*record, op, set);
                let before = state.records.clone();
                state.apply(*record, op, set);
                prop_assert_eq!(&before, &state.records);
            }
            let before = state.records.clone();
            state.deliver(&history, at);
            prop_assert_eq!(&before, &state.records);
        }
    }

    /// After a reconcile a record may be ahead of the vector. The change sets that it already holds
    /// come once more, among others, and lead to the same state as ever.
    #[test]
    fn a_record_ahead_of_its_vector_catches_up(
        actions in actions(),
        order in picks(),
        ahead in picks(),
        (have, held) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let history = play(&actions).history;
        let order = history.order(&order);
        let have = have.index(order.len() + 1);
        let mut state = history.replay(&order[..have]);
        let mut holds = state.seen;
        for at in history.order(&ahead).into_iter().take(held.index(order.len() + 1)) {
            holds |= history.sets[at].past | bit(at);
        }
        state.records = fold(&history, holds);
        for at in &order[have..] {
            state.deliver(&history, *at);
        }
        prop_assert_eq!(&state.records, &fold(&history, state.seen));
    }

    /// Whoever writes sees what it wrote, and nobody who sees that write shows an earlier one that
    /// its writer saw: whatever the clocks say.
    #[test]
    fn a_causally_later_write_never_loses(actions in actions()) {
        let mut world = play(&actions);
        world.settle();
        let history = &world.history;
        for record in 0..RECORDS {
            let all = written(history, u64::MAX, record);
            for later in all.iter().filter(|w| rule(w.write.field) == MergeRule::Lww) {
                let state = &world.state(0).records[record];
                for shown in state.versions(later.write.field) {
                    let earlier = history.sets.iter().position(|set| set.dot == shown.dot).unwrap();
                    prop_assert!(later.set.past & bit(earlier) == 0, "{:?} shows", shown);
                }
            }
        }
    }

    #[test]
    fn a_writer_sees_what_it_wrote(actions in actions()) {
        let mut world = World::new();
        for action in &actions {
            let before = world.history.sets.len();
            perform(&mut world, action);
            let Action::Write { at, .. } = action else { continue };
            if world.history.sets.len() == before {
                continue;
            }
            for record in 0..RECORDS {
                for w in written(&world.history, bit(before), record) {
                    let field = w.write.field;
                    if rule(field) == MergeRule::Lww {
                        let state = &world.state(*at).records[record];
                        prop_assert_eq!(state.versions(field).len(), 1);
                        prop_assert_eq!(state.shown(field, rule(field)), w.write.value.clone());
                    }
                }
            }
        }
    }

    /// Every value that was ever written shows, is a sibling, was overwritten by someone who saw it,
    /// or was reported as lost: at every replica, in whatever order things came. Whoever reconciles
    /// gets what is left, so that somebody else may be the one who knows of a loss.
    #[test]
    fn nothing_is_lost_in_silence(actions in actions()) {
        let mut world = play(&actions);
        world.settle();
        let reconciled = actions.iter().any(|action| matches!(action, Action::Reconcile { .. }));
        for record in 0..RECORDS {
            let all = written(&world.history, u64::MAX, record);
            let overwritten = overwritten(&all);
            for w in &all {
                let (field, dot) = (w.write.field, w.set.dot);
                for replica in &world.replicas {
                    let state = &replica.state;
                    let there = state.records[record].versions(field).iter().any(|v| v.dot == dot);
                    let mut others = world.replicas.iter().filter(|_| reconciled);
                    let known = there
                        || overwritten.contains(&(field, dot))
                        || state.has_lost(record, field, dot)
                        || others.any(|other| other.state.has_lost(record, field, dot));
                    prop_assert!(known, "{:?} of {:?}", field, dot);
                }
            }
        }
    }

    /// A record without lives is no record at all.
    #[test]
    fn the_dead_leave_nothing(actions in actions()) {
        for replica in &play(&actions).replicas {
            for record in &replica.state.records {
                prop_assert!(record.is_alive() || record.fields.is_empty());
            }
        }
    }

    /// On a record that lives through it all, every amount counts once, and the extremes stand.
    #[test]
    fn counters_add_up_and_extremes_stand(
        start in [value(), value(), value(), value()],
        writes in vec((0..REPLICAS, time(), any::<i32>(), any::<bool>()), 0..24),
        moves in vec((0..REPLICAS, any::<usize>()), 0..24),
        epochs in vec(any::<bool>(), 24),
    ) {
        let mut world = World::new();
        world.act(0, 1_000, Deed::Create(start));
        world.settle();
        let [_, mut sum, mut top, mut low] = start;
        let mut moves = moves.into_iter();
        for ((at, hlc, n, also), renew) in writes.into_iter().zip(epochs) {
            let n = i64::from(n);
            let mut fields = vec![(COUNT, n)];
            sum += n;
            if also {
                fields.extend([(TOP, n), (LOW, n)]);
                (top, low) = (top.max(n), low.min(n));
            }
            if renew {
                world.new_epoch(at);
            }
            world.act(at, hlc, Deed::Set(fields));
            if let Some((to, pick)) = moves.next() {
                world.deliver_one(to, pick);
            }
        }
        world.settle();
        let state = world.state(0);
        prop_assert_eq!(state.shown(COUNT), Value::Int(sum));
        prop_assert_eq!(state.shown(TOP), Value::Int(top));
        prop_assert_eq!(state.shown(LOW), Value::Int(low));
    }
}
