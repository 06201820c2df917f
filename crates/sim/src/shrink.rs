//! Shortening a schedule that ends in a violation.

use crate::plan::{Action, Plan};
use crate::violation::{Rule, Violation};
use crate::world::run;

/// The plan with as few actions as still break the same promise, and the violation that it ends in.
/// Runs the plan at most `runs` times. `None` if the plan itself breaks nothing.
pub fn shrink(plan: &Plan, runs: usize) -> Option<(Plan, Violation)> {
    let mut left = runs;
    let mut violation = run(plan.clone(), false).violation?;
    let rule = violation.rule;
    let mut plan = plan.clone();
    let mut size = plan.actions.len().div_ceil(2);
    while size > 0 && left > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < plan.actions.len() && left > 0 {
            left -= 1;
            match without(&plan, at, size, rule) {
                Some((less, broken)) => (plan, violation, shorter) = (less, broken, true),
                None => at += size,
            }
        }
        size = if size == 1 && shorter { 1 } else { size / 2 };
    }
    Some((plan, violation))
}

/// The plan without `size` actions from `at` on, if it still breaks the promise.
fn without(plan: &Plan, at: usize, size: usize, rule: Rule) -> Option<(Plan, Violation)> {
    let rest = |(i, _): &(usize, &Action)| *i < at || *i >= at + size;
    let actions = plan.actions.iter().enumerate().filter(rest).map(|(_, action)| *action);
    let plan = Plan { actions: actions.collect(), ..plan.clone() };
    let violation = run(plan.clone(), false).violation.filter(|found| found.rule == rule)?;
    Some((plan, violation))
}
