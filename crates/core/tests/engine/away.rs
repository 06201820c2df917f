//! A replica that is away for hours: nobody is kept busy by it meanwhile, and it is caught up soon
//! after its return.

use crate::table::Table;

const HOUR_MS: u64 = 3_600_000;
const STEP_MS: u64 = 600_000;

/// Three replicas, all joined to all; each has written both lanes.
fn three() -> Table {
    let mut table = Table::new(3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        table.connect(a, b);
    }
    for n in 0..3 {
        table.write(n, |pen| {
            pen.create(&format!("n{n}"), "x");
            pen.put("file", &format!("of {n}"));
        });
    }
    table.live(3_000);
    table
}

/// Some of what people do in eight hours, at the two that are there and at the one that is not.
fn eight_hours(table: &mut Table) {
    for step in 0..8 * HOUR_MS / STEP_MS {
        for n in 0..3 {
            table.write(n, |pen| {
                pen.create(&format!("{n} at {step}"), "x");
                pen.set("n0", &format!("by {n} at {step}"));
                pen.put(&format!("file {step}"), "x");
            });
        }
        table.run();
        table.wait(STEP_MS);
        table.run();
    }
}

fn assert_caught_up(table: &mut Table) {
    table.assert_equal(0, 1);
    table.assert_equal(1, 2);
    let steps = usize::try_from(8 * HOUR_MS / STEP_MS).unwrap();
    assert_eq!(table.nodes[2].files(0).len(), 1 + steps);
    assert_eq!(table.nodes[0].files(2).len(), 1 + steps);
}

#[test]
fn a_replica_that_was_not_connected_for_hours_is_caught_up_within_a_second() {
    let mut table = three();
    table.disconnect(0, 2);
    table.disconnect(1, 2);
    eight_hours(&mut table);
    for n in [0, 1] {
        table.connect(n, 2);
    }
    table.live(1_000);
    assert_caught_up(&mut table);
}

#[test]
fn a_replica_that_died_and_starts_again_hours_later_is_caught_up_within_a_second() {
    let mut table = three();
    table.disconnect(0, 2);
    table.disconnect(1, 2);
    eight_hours(&mut table);
    table.restart(2);
    for n in [0, 1] {
        table.connect(n, 2);
    }
    table.live(1_000);
    assert_caught_up(&mut table);
}

#[test]
fn a_connection_that_swallows_everything_for_an_hour_heals_with_the_refresh() {
    let mut table = three();
    let mut swallowed = 0;
    for second in 0..HOUR_MS / 1_000 {
        if second % 600 == 0 {
            for n in 0..3 {
                table.write(n, |pen| {
                    pen.create(&format!("{n} at {second}"), "x");
                    pen.put(&format!("file {second}"), "x");
                });
            }
        }
        while let Some(flight) = table.queue.pop_front() {
            if flight.from == 2 || flight.to == 2 {
                swallowed += 1;
            } else {
                table.say(flight.from, flight.to, &flight.message);
            }
        }
        table.wait(1_000);
    }
    // Every few seconds a lost push is tried again, and that is all.
    assert!(swallowed < HOUR_MS / 1_000 * 6, "{swallowed} messages to no avail");
    table.live(61_000);
    table.assert_equal(0, 1);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[2].files(0).len(), 7);
}
