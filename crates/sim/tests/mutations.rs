//! A checker that cannot fail proves nothing: each deliberate bug must be found, by the checker that
//! is there for it, within a few seeds.

use driftless_sim::bug::Bug;
use driftless_sim::plan::{Plan, Setup};
use driftless_sim::violation::Rule;
use driftless_sim::world::run;

/// Within how many seeds each bug is found.
const SEEDS: u64 = 100;

/// The promise that the bug breaks in the first run that shows it.
fn found(bug: Bug) -> Option<(u64, Rule)> {
    (0..SEEDS).find_map(|seed| {
        let mut plan = Plan { bug: Some(bug), ..Plan::random(seed, &Setup::default()) };
        if bug == Bug::BoastedHistory {
            plan = plan.with_good_clocks();
        }
        Some((seed, run(plan, false).violation?.rule))
    })
}

fn must_be_found(bug: Bug, by: &[Rule]) {
    let Some((seed, rule)) = found(bug) else {
        panic!("{bug:?} was not found within {SEEDS} seeds");
    };
    println!("{bug:?} is found at seed {seed} by {rule:?}");
    assert!(by.contains(&rule), "{bug:?} was found by {rule:?}, not by {by:?}");
}

#[test]
fn to_acknowledge_before_the_commit_is_found() {
    must_be_found(Bug::AcknowledgeBeforeCommit, &[Rule::Durable]);
}

#[test]
fn to_compare_stamps_the_wrong_way_is_found() {
    must_be_found(Bug::ReversedStamps, &[Rule::Shown]);
}

#[test]
fn to_skip_a_covered_range_is_found() {
    must_be_found(Bug::SkippedRange, &[Rule::Equal, Rule::Fold]);
}

#[test]
fn a_page_without_its_last_row_is_found() {
    must_be_found(Bug::LostRow, &[Rule::Lane]);
}

#[test]
fn pages_without_tombstones_are_found() {
    must_be_found(Bug::LostTombstone, &[Rule::Lane]);
}

#[test]
fn a_commit_that_is_not_durable_is_found() {
    must_be_found(Bug::LostCommit, &[Rule::Grows, Rule::Own]);
}

#[test]
fn a_clock_that_is_not_kept_is_found() {
    must_be_found(Bug::ForgottenClock, &[Rule::Clock]);
}

#[test]
fn siblings_that_are_dropped_are_found() {
    // A writer may be the first to notice: what it has seen is not there any more.
    must_be_found(Bug::LastComerWins, &[Rule::Equal, Rule::Fold, Rule::Write]);
}

#[test]
fn a_head_that_moves_without_its_rows_is_found() {
    must_be_found(Bug::HeadWithoutRows, &[Rule::Lane]);
}

#[test]
fn a_delete_that_is_ignored_is_found() {
    must_be_found(Bug::IgnoredDelete, &[Rule::Equal, Rule::Fold]);
}

#[test]
fn a_log_with_holes_is_found() {
    must_be_found(Bug::HoleInLog, &[Rule::Converges]);
}

#[test]
fn a_digest_that_is_not_kept_is_found() {
    must_be_found(Bug::StaleDigest, &[Rule::Equal, Rule::Digest]);
}

#[test]
fn a_log_that_is_pruned_early_is_found() {
    must_be_found(Bug::PrunedEarly, &[Rule::Pruned]);
}

#[test]
fn tombstones_that_go_early_are_found() {
    must_be_found(Bug::EarlyTombstones, &[Rule::Pruned]);
}

#[test]
fn a_seq_that_is_used_again_is_found() {
    must_be_found(Bug::ReusedSeq, &[Rule::Grows, Rule::Own]);
}

#[test]
fn change_sets_without_needs_are_found() {
    must_be_found(Bug::NoNeeds, &[Rule::Closed, Rule::Peace]);
}

#[test]
fn dead_dots_that_a_reconcile_keeps_are_found() {
    must_be_found(Bug::DeadDotsKept, &[Rule::Equal, Rule::Fold]);
}

#[test]
fn unseen_dots_that_a_reconcile_drops_are_found() {
    must_be_found(Bug::UnseenDotsDropped, &[Rule::Equal, Rule::Fold]);
}

#[test]
fn a_floor_that_is_not_raised_is_found() {
    must_be_found(Bug::FloorNotRaised, &[Rule::Converges]);
}

#[test]
fn a_history_that_is_said_to_be_whole_is_found() {
    must_be_found(Bug::BoastedHistory, &[Rule::History]);
}

#[test]
fn no_bug_is_forgotten_here() {
    assert_eq!(Bug::ALL.len(), 20, "each bug has a test above");
}
