//! What is asked of people: on a terminal, where nothing happens without a yes.

use crate::common::World;
use crate::terminal::Terminal;

#[test]
fn who_joins_compares_the_code_on_both_devices() {
    let world = World::new();
    let mut laptop = world.founder("laptop");
    let phone = world.device("phone");
    let ticket = laptop.ticket();
    let join = ["join", &ticket, "--offline", "--device-name", "phone"];
    let mut terminal = Terminal::start(phone.command(&join), 100, 24);
    terminal.shows("show the same? [y/N]");
    terminal.press("\n");
    assert_eq!(terminal.ended(), 4, "{}", terminal.screen());
    assert!(terminal.is_sane() && !phone.dir.join("library.db").exists());
    // The ticket is used up by whoever showed it and was not taken in, or it is not: a new one is good.
    let mut inviter = Terminal::start(laptop.command(&["invite"]), 2_000, 24);
    let screen = inviter.shows("waiting for a device that joins");
    let ticket = screen.split_whitespace().max_by_key(|word| word.len()).unwrap().to_owned();
    let join = ["join", &ticket, "--offline", "--device-name", "phone"];
    let mut joiner = Terminal::start(phone.command(&join), 100, 24);
    let screen = joiner.shows("show the same? [y/N]");
    let (_, code) = screen.split_once("The code is").unwrap();
    let code = code.trim().lines().next().unwrap().trim();
    inviter.shows(code);
    joiner.press("y\n");
    assert_eq!(joiner.ended(), 0, "{}", joiner.screen());
    assert_eq!(inviter.ended(), 0, "{}", inviter.screen());
    assert!(inviter.is_sane() && joiner.is_sane());
    assert_eq!(laptop.ok(&["devices"]).as_array().unwrap().len(), 2);
    laptop.down();
}

#[test]
fn a_backup_is_restored_after_a_yes_and_not_without() {
    let world = World::new();
    let laptop = world.device("laptop");
    laptop.ok(&["init", "--name", "home", "--device-name", "laptop"]);
    laptop.ok(&["tag", "create", "holiday"]);
    let file = world.path().join("laptop.backup");
    laptop.ok(&["backup", file.to_str().unwrap()]);
    let back = world.device("back");
    let restore = || back.command(&["restore", file.to_str().unwrap()]);
    for no in ["\n", "n\n", "maybe\n"] {
        let mut terminal = Terminal::start(restore(), 100, 24);
        terminal.shows("Go on? [y/N]");
        terminal.press(no);
        assert_eq!(terminal.ended(), 4, "{}", terminal.screen());
        assert!(!back.dir.join("library.db").exists());
    }
    let mut terminal = Terminal::start(restore(), 100, 24);
    terminal.shows("Go on? [y/N]");
    terminal.press("yes\n");
    assert_eq!(terminal.ended(), 0, "{}", terminal.screen());
    assert_eq!(back.tags(), ["holiday"]);
}

#[test]
fn what_is_large_is_asked_about_with_and_without_a_daemon() {
    let world = World::new();
    let mut laptop = world.device("laptop");
    laptop.ok(&["init", "--name", "home", "--device-name", "laptop"]);
    laptop.up();
    for (from, up) in [("trip", true), ("tour", false)] {
        if !up {
            laptop.down();
        }
        laptop.ok(&["tag", "create", from]);
        laptop.ok(&["tag", "create", &format!("{from}s")]);
        let into = format!("{from}s");
        let merge = ["tag", "merge", from, into.as_str()];
        let mut terminal = Terminal::start(laptop.command(&merge), 100, 24);
        terminal.shows("Go on? [y/N]");
        terminal.press("n\n");
        assert_eq!(terminal.ended(), 4, "{}", terminal.screen());
        assert!(laptop.tags().contains(&from.to_owned()));
        let mut terminal = Terminal::start(laptop.command(&merge), 100, 24);
        terminal.shows("Go on? [y/N]");
        terminal.press("Y\n");
        assert_eq!(terminal.ended(), 0, "{}", terminal.screen());
        terminal.shows("undo --to");
        let tags = laptop.ok(&["tag", "ls"]);
        let named = |tag: &serde_json::Value| tag["name"] == from && tag["alias_of"].is_null();
        assert!(!tags.as_array().unwrap().iter().any(named), "{tags}");
    }
}
