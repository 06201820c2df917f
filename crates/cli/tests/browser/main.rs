//! The dashboard in a browser: Chromium, driven by `chromedriver`, against real daemons on loopback.
//!
//! Both have to be installed (Debian: `chromium` and `chromium-driver`), so this is not among the tests
//! that run by default: `cargo test -p driftless-cli --test browser`. `.ci/run` does.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[allow(dead_code, reason = "the end-to-end tests use what is left")]
#[path = "../e2e/common.rs"]
mod common;
mod driver;
#[allow(dead_code, reason = "the end-to-end tests use what is left")]
#[path = "../e2e/web.rs"]
mod web;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use common::{Device, World, until};
use driver::Browser;
use web::Web;

/// What a device's page is opened by.
fn address(device: &Device) -> String {
    device.ok(&["dashboard"])["url"].as_str().unwrap().to_owned()
}

/// Where a view of a device is, once its page is open.
fn view(device: &Device, path: &str) -> String {
    format!("http://{}{path}", Web::of(device).address)
}

#[test]
fn devices_show_and_a_tag_of_another_comes_without_a_reload() {
    let world = World::new();
    let one = world.founder("desk");
    let two = world.joiner("laptop", &one);
    let three = world.joiner("phone", &one);
    for device in [&one, &two, &three] {
        device.sync();
    }
    let browser = Browser::start();
    browser.open(&address(&one));
    assert!(!browser.here().contains("token"), "the token does not stay in the address");
    until("the page shows three devices as linked", || {
        let names = browser.texts(".map .name");
        let linked = browser.count(".map .link.live");
        (names.len() == 3 && linked == 2).then_some(())
    });
    let names = browser.texts(".map .name");
    assert!(["desk", "laptop", "phone"].iter().all(|name| names.contains(&(*name).to_owned())));
    assert!(browser.text("#verdict").starts_with("Up to date with all 2 other devices"));

    browser.open(&view(&one, "/tags"));
    browser.run(
        "window.same = true; window.wanted = null; window.seen = 0;
         new MutationObserver(() => {
           if (wanted && !seen && document.body.textContent.includes(wanted)) seen = Date.now();
         }).observe(document.body, {subtree: true, childList: true, characterData: true});",
    );
    listening(&browser);
    // A machine that does something else at the moment may be late once, but not five times.
    let slowest: Vec<u64> = (0..5)
        .map(|n| {
            let name = format!("summer {n}");
            browser.run(&format!("wanted = {name:?}; seen = 0;"));
            let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            two.ok(&["tag", "create", &name]);
            let seen = until("the tag shows", || {
                browser.run("return seen").as_u64().filter(|seen| *seen > 0)
            });
            seen.saturating_sub(u64::try_from(began.as_millis()).unwrap())
        })
        .collect();
    assert!(slowest.iter().any(|ms| *ms < 1_000), "none came within a second: {slowest:?} ms");
    assert_eq!(browser.run("return window.same"), json!(true), "nothing was loaded anew");
}

/// Waits until the page hears of changes.
fn listening(browser: &Browser) {
    until("the page listens", || browser.is_true("return events.readyState === 1"));
}

/// Tabs that are open at once: more than the connections that a browser makes to a host.
const TABS: usize = 9;

#[test]
fn many_tabs_leave_room_for_the_one_that_is_seen() {
    let world = World::new();
    let one = world.founder("desk");
    let browser = Browser::start();
    browser.open(&address(&one));
    let first = browser.tab();
    browser.open(&view(&one, "/tags"));
    listening(&browser);
    browser.run("window.same = true");
    for _ in 1..TABS {
        browser.open_tab();
        browser.open(&view(&one, "/tags"));
        listening(&browser);
    }
    one.ok(&["tag", "create", "summer"]);
    until("the tag shows", || browser.text("#main").contains("summer").then_some(()));
    // What is not seen does not listen, and is made current when it is seen.
    browser.to_tab(&first);
    until("it shows in the first as well", || {
        browser.text("#main").contains("summer").then_some(())
    });
    listening(&browser);
    assert_eq!(browser.run("return window.same"), json!(true), "nothing was loaded anew");
}

#[test]
fn a_page_that_is_hidden_neither_listens_nor_asks() {
    let world = World::new();
    let one = world.founder("desk");
    let browser = Browser::start();
    browser.open(&address(&one));
    browser.open(&view(&one, "/tags"));
    listening(&browser);
    // As a browser says it; how many requests the page makes is counted.
    browser.run(
        "window.away = false; window.asked = 0;
         Object.defineProperty(document, 'hidden', {get: () => away});
         window.turn = (to) => { away = to; document.dispatchEvent(new Event('visibilitychange')); };
         const fetched = window.fetch;
         window.fetch = (...what) => { asked++; return fetched(...what); };
         turn(true);",
    );
    assert_eq!(browser.run("return events.readyState"), json!(2), "it does not listen");
    let asked = browser.run("return asked");
    one.ok(&["tag", "create", "summer"]);
    // Something that is asked for at this moment would be on its way.
    browser.run("look(); look(true);");
    until("the page would have asked", || browser.is_true("return timer === 0"));
    assert_eq!(browser.run("return asked"), asked, "it asks for nothing");
    assert!(!browser.text("#main").contains("summer"));
    browser.run("turn(false)");
    until("the tag shows", || browser.text("#main").contains("summer").then_some(()));
    listening(&browser);
    one.ok(&["tag", "create", "winter"]);
    until("the next one comes by itself", || {
        browser.text("#main").contains("winter").then_some(())
    });
}

#[test]
fn what_is_dear_to_make_is_asked_for_seldom_but_at_once_for_who_did_something() {
    const DEAR_MS: u64 = 10_000;
    let world = World::new();
    let one = world.founder("desk");
    let browser = Browser::start();
    browser.open(&address(&one));
    for path in ["/storage", "/health"] {
        browser.open(&view(&one, path));
        assert_eq!(browser.count("[data-dear]"), 1, "{path}");
    }
    let opened = browser.run("return Date.now()").as_u64().unwrap();
    browser.open(&view(&one, "/storage"));
    browser.run(
        "window.times = [];
         const fetched = window.fetch;
         window.fetch = (to, how) => { if (!how.method) times.push(Date.now()); return fetched(to, how); };",
    );
    listening(&browser);
    let asked = |times: usize| {
        until("it is asked for", || {
            let asked: Vec<u64> = serde_json::from_value(browser.run("return times")).unwrap();
            (asked.len() >= times).then_some(asked)
        })
    };
    for n in 0..5 {
        one.ok(&["tag", "create", &format!("tag {n}")]);
    }
    let first = asked(1)[0];
    assert!(first >= opened + DEAR_MS, "after {} ms", first - opened);
    browser.click("form[action='/do/prune'] button");
    let own = asked(2)[1];
    assert!(own < first + DEAR_MS, "{} ms after the last one", own - first);
}

#[test]
fn a_conflict_is_resolved_by_a_click() {
    let world = World::new();
    let one = world.founder("desk");
    let two = world.joiner("laptop", &one);
    one.ok(&["tag", "create", "trip"]);
    one.sync();
    two.ok(&["peers", "pause"]);
    one.ok(&["tag", "set", "trip", "description=a week by the sea with all of us"]);
    two.ok(&["tag", "set", "trip", "description=a week by the lake with all of us"]);
    let browser = Browser::start();
    browser.open(&address(&one));
    browser.open(&view(&one, "/conflicts"));
    assert!(browser.text("#main").contains("Nothing is in conflict"));
    two.ok(&["peers", "resume"]);
    until("the conflict shows", || (browser.count(".conflict") == 1).then_some(()));
    let shows = browser.text(".side.shows .value");
    assert_eq!(browser.texts(".side:not(.shows) ins, .side:not(.shows) del").len(), 2);
    let other = if shows.contains("sea") { "lake" } else { "sea" };
    browser.click(".side:not(.shows) button");
    until("the other value shows on the other device", || {
        let tags = two.ok(&["tag", "ls"]);
        let said = tags.as_array()?.iter().find(|tag| tag["name"] == "trip")?;
        let settled = two.ok(&["conflicts"]).as_array()?.is_empty();
        (settled && said["description"].as_str()?.contains(other)).then_some(())
    });
    until("it is gone from the page", || (browser.count(".conflict") == 0).then_some(()));
}

#[test]
fn the_progress_of_a_backfill_moves() {
    let world = World::new();
    let mut one = world.founder("desk");
    let folder = world.folder("many", &[]);
    many(&folder);
    one.ok(&["location", "add", folder.to_str().unwrap(), "--no-hash"]);
    let mut two = world.device("laptop");
    two.join(&one, "laptop");
    one.ok(&["peers", "pause"]);
    two.up();
    let browser = Browser::start();
    browser.open(&address(&two));
    listening(&browser);
    browser.run(
        "window.values = [];
         setInterval(() => {
           const bar = document.querySelector('#progress progress');
           const last = values[values.length - 1];
           if (bar && bar.value !== last) values.push(bar.value);
         }, 5);",
    );
    one.ok(&["peers", "resume"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The sender stands still most of the time, so that a fast machine shows it as well.
        let slow = scope.spawn(|| {
            let began = Instant::now();
            while !over.load(Ordering::Relaxed) && began.elapsed() < common::PATIENCE {
                kill_process(one.pid(), Signal::STOP).unwrap();
                std::thread::sleep(Duration::from_millis(150));
                kill_process(one.pid(), Signal::CONT).unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        let moved = until("the bar moves", || {
            let values = browser.run("return values");
            (values.as_array().unwrap().len() >= 3).then_some(values)
        });
        over.store(true, Ordering::Relaxed);
        slow.join().unwrap();
        let values: Vec<f64> =
            moved.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert!(values.is_sorted(), "it goes forward: {values:?}");
    });
    until("all of it is there", || {
        let here = browser.run("return document.querySelector('#progress') === null");
        (here == json!(true) && two.count("entry") == one.count("entry")).then_some(())
    });
    one.down();
}

/// Many small files.
fn many(folder: &Path) {
    for dir in 0..100 {
        let dir = folder.join(dir.to_string());
        std::fs::create_dir(&dir).unwrap();
        for file in 0..200 {
            std::fs::write(dir.join(format!("{file}.txt")), "").unwrap();
        }
    }
}

#[test]
fn nobody_without_the_token_sees_anything() {
    let world = World::new();
    let one = world.founder("desk");
    let web = Web::of(&one);
    let browser = Browser::start();
    for path in ["/", "/files", "/conflicts", "/activity", "/?token=wrong"] {
        browser.open(&view(&one, path));
        assert!(browser.text("body").contains("needs the daemon's token"), "{path}");
        assert!(browser.text("body").contains("driftless dashboard"), "{path}");
    }
    let host = ("Host", web.address.as_str());
    let html = ("Accept", "text/html");
    assert_eq!(web.send("GET /", &[host, html], b"").status, 401);
    assert_eq!(web.send("GET /", &[("Host", "evil.example"), html], b"").status, 403);
    let bearer = format!("Bearer {}", web.token);
    let foreign = [host, ("Authorization", &bearer), ("Origin", "http://evil.example")];
    assert_eq!(web.send("POST /do/tag/create", &foreign, b"name=x").status, 403);
    // A page elsewhere whose script or form means this daemon gets nowhere, though the browser has the
    // cookie.
    browser.open(&address(&one));
    browser.open("data:text/html,<form method=post action='ADDRESS'><input name=name value=stolen><button>x</button></form>"
        .replace("ADDRESS", &view(&one, "/do/tag/create")).as_str());
    browser.click("button");
    until("the browser is told", || {
        browser.text("body").contains("a page of another site").then_some(())
    });
    assert_eq!(one.ok(&["tag", "ls"]).as_array().unwrap().len(), 0);
}

#[test]
fn files_are_searched_and_tagged_and_noted_about() {
    let world = World::new();
    let one = world.founder("desk");
    let two = world.joiner("laptop", &one);
    let folder = world.folder("docs", &[("a <b>.txt", "a"), ("deep/lake & sea.txt", "b")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    one.ok(&["tag", "create", "blue"]);
    two.sync();
    let browser = Browser::start();
    browser.open(&address(&two));
    browser.open(&view(&two, "/files"));
    browser.click(".grid .open");
    until("the folder is open", || browser.here().contains("path=").then_some(()));
    assert_eq!(browser.texts("table.files .open"), ["deep", "a <b>.txt"]);
    browser.open(&view(&two, "/files"));
    listening(&browser);
    browser.write("[data-search]", "lake");
    until("what is typed is searched for", || {
        (browser.texts("table.files .open") == ["lake & sea.txt"]).then_some(())
    });
    browser.write(".add-tag [name=tag]", "blue\n");
    let tagged = |device: &Device, on: usize| {
        until("the tag is on the file", || {
            let found = device.ok(&["find", "--tag", "blue"]);
            (found.as_array().unwrap().len() == on).then_some(())
        });
    };
    tagged(&one, 1);
    until("the tag shows", || (browser.texts("td.tags .tag").len() == 1).then_some(()));
    browser.click("td.tags .tag button");
    tagged(&one, 0);
    browser.click("table.files .open");
    until("the record is open", || browser.here().contains("/record").then_some(()));
    browser.write("textarea", "seen from the boat");
    browser.click("[name='field.favourite'][type=checkbox]");
    browser.click("form[action*='meta/set'] button");
    let file = folder.join("deep/lake & sea.txt");
    let noted = until("the note is on the other device", || {
        let noted = one.ok(&["meta", "get", file.to_str().unwrap()]);
        (noted["note"] == "seen from the boat").then_some(noted)
    });
    assert_eq!(noted["favourite"], Value::Bool(true));
}

#[test]
fn every_view_fits_a_phone_and_complains_of_nothing() {
    let world = World::new();
    let one = world.founder("desk");
    let two = world.joiner("laptop", &one);
    let folder =
        world.folder("docs", &[("a-name-without-any-room-to-break-it-at-all-and-long.txt", "a")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    two.sync();
    let id = one.ok(&["find"])[0]["id"].as_str().unwrap().to_owned();
    let device = two.ok(&["status"])["device_id"].as_str().unwrap().to_owned();
    let browser = Browser::start();
    browser.open(&address(&one));
    for width in [375, 1_280] {
        browser.size(width, 800);
        let record = format!("/record?id={id}");
        let device = format!("/device?id={device}");
        let views = [
            "/",
            "/files",
            "/files?kind=file",
            "/tags",
            "/conflicts",
            "/quarantine",
            "/activity",
            "/storage",
            "/health",
            &record,
            &device,
        ];
        for path in views {
            browser.open(&view(&one, path));
            let room = browser.run("return document.documentElement.scrollWidth - innerWidth");
            assert!(room.as_i64().unwrap() <= 0, "{path} is too wide for {width}: {room}");
            let named = browser.run(
                "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')]
                   .filter((it) => !(it.labels && it.labels.length) && !it.ariaLabel && !it.textContent.trim())
                   .map((it) => it.outerHTML)",
            );
            assert_eq!(named, json!([]), "{path}: everything has a name for who does not see it");
            assert_eq!(browser.count("h1"), 1, "{path}");
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
