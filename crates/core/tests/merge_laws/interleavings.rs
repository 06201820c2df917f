//! An explicit model check: every interleaving of what up to three replicas do in up to so many steps
//! each, where a step makes a life, sets the field, ends the lives, or takes in everything that
//! another replica has.
//!
//! States are kept by a 128-bit hash and visited once. Three reductions keep the number of states
//! down, and none of them hides anything:
//!
//! - *Symmetry*: replicas differ by name alone, so they begin in the order of their names.
//! - *Independence*: a change to one record reads and writes no other, and is applied by the dots that
//!   name that record's lives and versions. So a run over a record and a set is, seen from either, a
//!   run over it alone with no more steps, and the two are checked one after the other. (A short run
//!   over both at once checks that.)
//! - *History*: a change set that everybody has is in everybody's state, and nobody is told of it any
//!   more; two pasts with the same states and the same change sets under way have one future.
//!
//! In every state, the replica that acted is the fold of what has reached it ([`crate::fold`], which
//! knows no order), and if everything reached everyone now, all would be the same.

use std::collections::HashSet;
use std::rc::Rc;

use driftless_core::change::{Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::codec::Writer;
use driftless_core::id::{DeviceId, Dot, Epoch, Origin};
use xxhash_rust::xxh3::xxh3_128;

use crate::fold::fold;
use crate::world::{Deed, FIELDS, History, LINK, NAME, REPLICAS, Set, Sets, State, bit, change};

/// Steps of each replica in the run of every day; `DRIFTLESS_LAW_STEPS` asks for another number.
const STEPS: u8 = 3;

/// What a replica can do in one step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create(usize),
    Set,
    Delete(usize),
    Pull(usize),
}

/// The records that are written: the one with a field, or the link, or both.
type Alphabet = &'static [Step];

const RECORD: Alphabet = &[Step::Create(0), Step::Set, Step::Delete(0)];
const SET: Alphabet = &[Step::Create(LINK), Step::Delete(LINK)];
const BOTH: Alphabet =
    &[Step::Create(0), Step::Set, Step::Delete(0), Step::Create(LINK), Step::Delete(LINK)];

#[derive(Debug, Default)]
struct Count {
    states: u64,
    steps: u64,
    /// States in which nobody has a step left.
    ends: u64,
    conflicts: u64,
}

/// A state of all replicas, and how it came about. A step copies what it changes.
#[derive(Clone, Default)]
struct Node {
    replicas: [Rc<State>; REPLICAS],
    /// Hashes of the replicas' records.
    hashes: [u128; REPLICAS],
    taken: [u8; REPLICAS],
    history: Rc<History>,
}

struct Search {
    alphabet: Alphabet,
    /// How many replicas do anything.
    replicas: usize,
    steps: u8,
    seen: HashSet<u128>,
    count: Count,
}

fn origin(replica: usize) -> Origin {
    let device = u8::try_from(replica).expect("few replicas");
    Origin::shared(DeviceId([device; 32]), Epoch(7))
}

impl Node {
    /// Takes a step, if it can be taken and is not for nothing.
    fn step(&mut self, replica: usize, step: Step) -> bool {
        let done = match step {
            Step::Pull(from) => self.pull(replica, self.replicas[from].seen),
            Step::Create(record) => self.write(replica, record, &Deed::Create([0; FIELDS.len()])),
            Step::Set => self.write(replica, 0, &Deed::Set(vec![(NAME, 0)])),
            Step::Delete(record) => self.write(replica, record, &Deed::Delete),
        };
        self.taken[replica] += u8::from(done);
        if done {
            let mut w = Writer::new();
            for record in &self.replicas[replica].records {
                record.encode(&mut w);
            }
            self.hashes[replica] = xxh3_128(w.as_bytes());
        }
        done
    }

    fn pull(&mut self, replica: usize, sets: Sets) -> bool {
        let missing = sets & !self.replicas[replica].seen;
        if missing == 0 {
            return false;
        }
        let state = Rc::make_mut(&mut self.replicas[replica]);
        for at in (0..self.history.sets.len()).filter(|at| missing & bit(*at) != 0) {
            state.deliver(&self.history, at);
        }
        state.lost.clear();
        true
    }

    fn write(&mut self, replica: usize, record: usize, deed: &Deed) -> bool {
        let state = &self.replicas[replica];
        let origin = origin(replica);
        let Some(mut op) = change(&state.records[record], origin.device, deed) else {
            return false;
        };
        if let Op::Create { fields, .. } = &mut op {
            // One field says it all.
            fields.retain(|write| write.field == NAME);
        }
        let seq = state.vector.get(&origin).map_or(1, |seq| seq + 1);
        let (dot, past) = (Dot::new(origin, seq), state.seen);
        let at = self.history.sets.len();
        // Clocks only pick what shows, which is no part of the check: all times are one.
        let set = Set { dot, hlc: Hlc(1), past, changes: vec![(record, op)] };
        Rc::make_mut(&mut self.history).sets.push(set);
        let state = Rc::make_mut(&mut self.replicas[replica]);
        state.deliver(&self.history, at);
        state.lost.clear();
        true
    }

    /// What decides the future: the replicas' states, and the change sets that somebody lacks.
    fn key(&self) -> u128 {
        let mut w = Writer::new();
        w.raw(&self.taken);
        for (state, hash) in self.replicas.iter().zip(self.hashes) {
            self.vector(&mut w, state.seen);
            w.raw(&hash.to_le_bytes());
        }
        let everybody = self.replicas.iter().fold(Sets::MAX, |all, state| all & state.seen);
        let mut under_way: Vec<&Set> = self
            .history
            .sets
            .iter()
            .enumerate()
            .filter_map(|(at, set)| (everybody & bit(at) == 0).then_some(set))
            .collect();
        under_way.sort_by_key(|set| set.dot);
        for set in under_way {
            write_dots(&mut w, &[set.dot]);
            self.vector(&mut w, set.past);
            for (record, op) in &set.changes {
                w.count(*record);
                write_op(&mut w, op);
            }
        }
        xxh3_128(w.as_bytes())
    }

    fn vector(&self, w: &mut Writer, sets: Sets) {
        for replica in 0..REPLICAS {
            let own = |(at, set): &(usize, &Set)| {
                sets & bit(*at) != 0 && set.dot.origin == origin(replica)
            };
            w.count(self.history.sets.iter().enumerate().filter(own).count());
        }
    }

    /// What a step of `acted` could have broken. What others would be in the end has changed only if
    /// there is something new to hear of.
    fn check(&self, acted: usize, step: Step) {
        let state = &self.replicas[acted];
        assert_eq!(state.records, fold(&self.history, state.seen), "{:#?}", self.history);
        let everything = bit(self.history.sets.len()) - 1;
        let all = fold(&self.history, everything);
        let old_news = matches!(step, Step::Pull(_));
        for replica in (0..REPLICAS).filter(|replica| *replica == acted || !old_news) {
            let mut settled = self.clone();
            settled.pull(replica, everything);
            assert_eq!(settled.replicas[replica].records, all, "{:#?}", self.history);
        }
    }
}

fn write_dots(w: &mut Writer, dots: &[Dot]) {
    w.count(dots.len());
    for dot in dots {
        w.u8(dot.origin.device.0[0]);
        w.var(dot.seq);
    }
}

fn write_op(w: &mut Writer, op: &Op) {
    let (tag, lives, fields): (u8, &[Dot], &[Write]) = match op {
        Op::Create { over, fields } => (1, over, fields),
        Op::Set { lives, fields } => (2, lives, fields),
        Op::Delete { lives } => (3, lives, &[]),
    };
    w.u8(tag);
    write_dots(w, lives);
    w.count(fields.len());
    for write in fields {
        write_dots(w, &write.over);
    }
}

impl Search {
    fn run(alphabet: Alphabet, replicas: usize, steps: u8) -> Count {
        let (seen, count) = (HashSet::new(), Count::default());
        let mut search = Self { alphabet, replicas, steps, seen, count };
        search.visit(&Node::default());
        println!("{alphabet:?}, {replicas} replicas, {steps} steps each: {:?}", search.count);
        search.count
    }

    fn visit(&mut self, node: &Node) {
        self.count.states += 1;
        let its_end = |taken: &u8| *taken == self.steps;
        self.count.ends += u64::from(node.taken[..self.replicas].iter().all(its_end));
        let conflict = |state: &Rc<State>| state.records[0].versions(NAME).len() > 1;
        self.count.conflicts += u64::from(node.replicas.iter().any(conflict));
        for replica in 0..self.replicas {
            let its_turn = replica == 0 || node.taken[replica - 1] > 0;
            if !its_turn || node.taken[replica] == self.steps {
                continue;
            }
            let pulls = (0..self.replicas).filter(|from| *from != replica).map(Step::Pull);
            for step in self.alphabet.iter().copied().chain(pulls) {
                let mut next = node.clone();
                if !next.step(replica, step) {
                    continue;
                }
                self.count.steps += 1;
                if self.seen.insert(next.key()) {
                    next.check(replica, step);
                    self.visit(&next);
                }
            }
        }
    }
}

/// How many steps each replica takes, and whether that is the run of every day.
fn steps() -> (u8, bool) {
    let asked = std::env::var("DRIFTLESS_LAW_STEPS").ok();
    let steps = asked.map_or(STEPS, |steps| steps.parse().expect("a number of steps"));
    (steps, steps == STEPS)
}

#[test]
fn every_interleaving_over_a_record_keeps_the_laws() {
    let (steps, every_day) = steps();
    let runs = [Search::run(RECORD, 3, steps), Search::run(RECORD, 2, steps + 1)];
    assert!(runs.iter().all(|run| run.conflicts > 0 && run.ends > 0), "{runs:?}");
    if every_day {
        assert_eq!(runs.map(|run| run.states), [368_620, 26_943], "a part was not visited");
    }
}

#[test]
fn every_interleaving_over_a_set_keeps_the_laws() {
    let (steps, every_day) = steps();
    let runs = [Search::run(SET, 3, steps), Search::run(SET, 2, steps + 1)];
    assert!(runs.iter().all(|run| run.ends > 0), "{runs:?}");
    if every_day {
        assert_eq!(runs.map(|run| run.states), [90_169, 5_356], "a part was not visited");
    }
}

#[test]
fn every_interleaving_over_a_record_and_a_set_keeps_the_laws() {
    let run = Search::run(BOTH, 3, 2);
    assert!(run.conflicts > 0 && run.ends > 0, "{run:?}");
    assert_eq!(run.states, 10_379, "a part was not visited");
}
