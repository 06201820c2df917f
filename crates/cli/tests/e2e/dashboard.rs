//! The dashboard's views of much: they show the first, and say how many more there are.

use crate::common::{Device, World, until, words};
use crate::web::Web;

/// Conflicts that a view shows, and tags.
const CONFLICTS: usize = 100;
const TAGS: usize = 1_000;

fn name(n: usize) -> String {
    format!("tag {n}")
}

fn create(device: &Device, tags: std::ops::Range<usize>) {
    device.batch(&tags.map(|n| words(&["tag", "create", &name(n)])).collect::<Vec<_>>());
}

fn paint(device: &Device, tags: usize, color: &str) {
    let color = format!("color={color}");
    let set = |n| words(&["tag", "set", &name(n), &color]);
    device.batch(&(0..tags).map(set).collect::<Vec<_>>());
}

/// How often something is in a view, and whether the view says that there is more.
fn shown(web: &Web, view: &str, what: &str) -> (usize, Option<String>) {
    let reply = web.get(view);
    assert_eq!(reply.status, 200, "{view}");
    let page = reply.text();
    let more = page.lines().find_map(|line| {
        let (_, rest) = line.split_once("and ")?;
        Some(rest.split_once(" more")?.0.to_owned())
    });
    (page.matches(what).count(), more)
}

#[test]
fn views_of_much_show_the_first_and_count_the_rest() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let many = CONFLICTS + 5;
    create(&one, 0..many);
    one.sync();
    let web = Web::of(&one);
    assert_eq!(shown(&web, "/tags", "tag-card"), (many, None));
    one.ok(&["peers", "pause"]);
    paint(&one, many, "red");
    paint(&two, many, "blue");
    one.ok(&["peers", "resume"]);
    until("all are in conflict", || (one.ok(&["status"])["conflicts"] == many).then_some(()));
    assert_eq!(shown(&web, "/conflicts", "card conflict"), (CONFLICTS, Some("5".to_owned())));
    assert_eq!(one.ok(&["conflicts"]).as_array().unwrap().len(), many, "commands list all");

    create(&one, many..TAGS + 5);
    assert_eq!(shown(&web, "/tags", "tag-card"), (TAGS, Some("5".to_owned())));
    // As something to choose from, too.
    assert_eq!(shown(&web, "/files", "<option value=\"tag ").1, Some("5".to_owned()));
    assert_eq!(one.tags().len(), TAGS + 5);
}
