//! What a person would ask of the whole, each as one run.

use driftless_core::engine::Config;
use driftless_sim::network::Quality;
use driftless_sim::plan::{Action, Kind, Plan, Setup};
use driftless_sim::rng::Rng;
use driftless_sim::scale::measure;
use driftless_sim::world::run;

/// Writes at random times over an hour, among five devices, and nothing else goes wrong.
fn an_hour_of_writes(seed: u64, loss: u64) -> Plan {
    let setup = Setup {
        devices: Some(5),
        faults: "none".parse().expect("a list of faults"),
        ..Setup::default()
    };
    let mut plan = Plan::random(seed, &setup);
    plan.quality = Quality { loss, ..Quality::calm() };
    for member in &mut plan.members {
        member.config = Config::default();
    }
    let rng = &mut Rng::new(seed);
    let mut times: Vec<u64> = (0..400).map(|_| rng.below(3_600_000)).collect();
    times.sort_unstable();
    let write = |at| Action { at, kind: Kind::Write, seed: rng.draw() };
    plan.actions = times.into_iter().map(write).collect();
    plan
}

/// Every fifth message is lost for an hour: all that was written is everywhere in the end, which
/// every run checks, and the loss was real.
#[test]
fn a_fifth_of_all_messages_dropped_for_an_hour_delays_and_loses_nothing() {
    let report = run(an_hour_of_writes(7, 20), false);
    assert_eq!(report.violation, None);
    let count = |what: &str| report.counts.get(what).copied().unwrap_or(0);
    assert!(count("change sets") >= 200, "{} change sets", count("change sets"));
    let lost = count("frames lost") * 100 / count("frames");
    assert!((15..=25).contains(&lost), "{lost} % were lost");
}

/// With ten devices as with forty: a change is everywhere within as many hops as the links allow,
/// after a partition too, and what it costs each device hardly grows.
#[test]
fn a_change_reaches_many_devices_in_few_hops() {
    let scale = |devices| measure(devices, 2).expect("no promise is broken");
    let (few, many) = (scale(10), scale(40));
    assert_eq!(few.steady.hops_max, 1);
    assert!(many.links_max <= 12, "{} links", many.links_max);
    assert!(many.steady.hops_max <= 6 && many.healed.hops_max <= 6, "{many:?}");
    assert!(many.healed.ms_max <= 1_000, "{many:?}");
    assert!(many.steady.messages <= 3.0 * few.steady.messages, "{few:?} {many:?}");
}
