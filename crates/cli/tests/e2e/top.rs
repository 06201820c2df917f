//! `top` on a terminal, with a real daemon.

use rustix::process::{Signal, kill_process};

use crate::common::{Device, World, until};
use crate::terminal::Terminal;

/// What ends the other picture and brings the one that was there before.
const LEAVE: &str = "\x1b[?1049l";
const CURSOR: &str = "\x1b[?25h";

fn top(device: &Device, (columns, rows): (u16, u16), vars: &[(&str, &str)]) -> Terminal {
    let mut command = device.command(&["top"]);
    command.env_remove("NO_COLOR").envs(vars.iter().copied());
    Terminal::start(command, columns, rows)
}

#[test]
fn top_shows_what_happens_does_as_it_is_told_and_leaves_the_terminal_as_it_was() {
    let world = World::new();
    let laptop = world.founder("laptop");
    let phone = world.joiner("phone", &laptop);
    laptop.sync();
    let mut terminal = top(&laptop, (80, 24), &[]);
    let screen = terminal.shows("online");
    for seen in ["home · laptop", "ready", "phone", "Up to date", "LAST MINUTE", "q quit"] {
        assert!(screen.contains(seen), "{seen} in\n{screen}");
    }
    assert!(!terminal.is_sane(), "keys are read as they are pressed");
    assert!(terminal.is_coloured());
    laptop.ok(&["tag", "create", "holiday"]);
    terminal.shows("tag 1");
    terminal.shows("█");
    terminal.press("p");
    terminal.shows("paused");
    let peers = laptop.ok(&["status"]);
    assert_eq!(peers["peers"][0]["paused"], true);
    terminal.press("p");
    terminal.shows("online");
    terminal.press("?");
    terminal.shows("this help");
    terminal.press("x");
    until("the help is gone", || (!terminal.screen().contains("this help")).then_some(()));
    terminal.press("s");
    terminal.shows("Every device that can be reached has everything.");
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    until("the picture is gone", || {
        (terminal.wrote(LEAVE) && terminal.wrote(CURSOR)).then_some(())
    });
    assert!(terminal.is_sane());
    drop(phone);
}

#[test]
fn top_survives_the_daemon_a_small_window_and_a_signal_and_needs_a_terminal() {
    let world = World::new();
    let mut laptop = world.device("laptop");
    laptop.ok(&["init", "--name", "home", "--device-name", "laptop"]);
    assert_eq!(laptop.refused(&["top"], 4)["next"], "driftless status");
    let mut none = top(&laptop, (80, 24), &[]);
    assert_eq!(none.ended(), 3, "{}", none.screen());
    none.shows("driftless up");
    assert!(none.is_sane());
    laptop.up();
    let mut terminal = top(&laptop, (40, 12), &[("NO_COLOR", "1")]);
    terminal.shows("ready");
    laptop.down();
    terminal.shows("no daemon");
    laptop.up();
    terminal.shows("ready");
    assert!(!terminal.is_coloured());
    kill_process(terminal.pid(), Signal::TERM).unwrap();
    assert_eq!(terminal.ended(), 0);
    until("the picture is gone", || {
        (terminal.wrote(LEAVE) && terminal.wrote(CURSOR)).then_some(())
    });
    assert!(terminal.is_sane());
}
