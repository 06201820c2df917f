//! The daemon over HTTP: who is let in, that the commands are the same there, that every answer is one
//! that is described, and that nothing that is sent breaks it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{World, until};
use crate::web::{Description, Web};

#[test]
fn nobody_is_let_in_without_the_token() {
    let world = World::new();
    let mut one = world.founder("one");
    let web = Web::of(&one);
    let host = ("Host", web.address.as_str());
    assert_eq!(one.ok(&["status"])["http"], web.address);
    for path in ["/", "/api/v1/status", "/api/v1/events", "/api/openapi.json", "/nothing"] {
        let refused = web.send(&format!("GET {path}"), &[host], b"");
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.json()["error"]["code"], "no_token");
    }
    assert_eq!(web.send("GET /?token=wrong", &[host], b"").status, 401);
    assert_eq!(web.send("GET /healthz", &[host], b"").json(), json!({"alive": true}));
    assert_eq!(web.send("GET /healthz", &[("Host", "evil.example")], b"").status, 403);
    assert_eq!(web.send("GET /healthz", &[], b"").status, 403);
    let bearer = format!("Bearer {}", web.token);
    let origin = [host, ("Authorization", &bearer), ("Origin", "http://evil.example")];
    assert_eq!(web.send("GET /api/v1/status", &origin, b"").status, 403);

    // A browser exchanges the token for a cookie, which scripts do not see and other sites do not send.
    let entered = web.send(&format!("GET /?token={}", web.token), &[host], b"");
    assert_eq!((entered.status, entered.header("location")), (303, Some("/")));
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&web.token), "the token stays where it is");
    let cookie = ("Cookie", cookie.split(';').next().unwrap());
    assert_eq!(web.send("GET /api/v1/status", &[host, cookie], b"").status, 200);
    assert_eq!(web.send("POST /api/v1/prune", &[host, cookie], b"").status, 403);
    let ours = format!("http://{}", web.address);
    assert_eq!(web.send("POST /api/v1/prune", &[host, cookie, ("Origin", &ours)], b"").status, 200);

    let state = std::fs::read_dir(world.path().join("state/driftless")).unwrap();
    let kept: Vec<_> = state.map(|it| it.unwrap().path().join("http.token")).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!one.dir.join("http.token").exists(), "a backup of the folder holds no token");

    // The address stays the same, and so does the token.
    one.down();
    assert_eq!(one.refused_once(&["dashboard"], 3), "no_daemon");
    assert_eq!(one.up()["http"], web.address);
    assert_eq!(Web::of(&one).token, web.token);
    one.down();
    assert_eq!(one.refused_once(&["up", "--http", "0.0.0.0:0"], 2), "usage");
}

#[test]
fn commands_answer_as_they_print() {
    let world = World::new();
    let one = world.founder("one");
    let web = Web::of(&one);
    let folder = world.folder("docs", &[("a.md", "a"), ("deep/b.md", "b")]);
    let id = web.post("/api/v1/tag/create", &json!({"name": "red apple", "color": "red"})).json();
    assert!(id["id"].is_string(), "{id}");
    let added = web.post("/api/v1/location/add", &json!({"path": folder.to_str().unwrap()}));
    assert_eq!((added.status, added.header("driftless-exit")), (200, Some("0")));
    assert_eq!(added.json()["files"], 2);
    let file = folder.join("a.md");
    let body = json!({"tag": "red apple", "files": [file.to_str().unwrap()]});
    assert_eq!(web.post("/api/v1/tag/add", &body).json()["changed"], 1);
    for (path, words) in [
        ("/api/v1/tag/ls", &["tag", "ls"][..]),
        ("/api/v1/find?tag=red+apple", &["find", "--tag", "red apple"]),
        ("/api/v1/find?text=b&prefix=true", &["find", "b", "--prefix"]),
        ("/api/v1/find?kind=dir&limit=1", &["find", "--kind", "dir", "--limit", "1"]),
        ("/api/v1/devices", &["devices"]),
        ("/api/v1/digest", &["digest"]),
        ("/api/v1/config/get", &["config", "get"]),
        ("/api/v1/conflicts", &["conflicts"]),
    ] {
        assert_eq!(web.get(path).json(), one.ok(words), "{path}");
    }
    let dump = web.get("/api/v1/dump?stamps=true");
    assert_eq!(dump.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(dump.text(), one.dump());
    let log = one.run(&["log", "--json", "--limit", "2", "--kind", "change_set"]).stdout;
    assert_eq!(web.get("/api/v1/log?limit=2&kind=change_set").text(), log);

    // They fail as they do on the command line, with a status that fits.
    for (path, words, status) in [
        ("/api/v1/find?tag=nothing", &["find", "--tag", "nothing"][..], 404),
        ("/api/v1/conflicts/show?conflict=nothing", &["conflicts", "show", "nothing"], 404),
        ("/api/v1/tag/ls?as_of=someday", &["tag", "ls", "--as-of", "someday"], 400),
    ] {
        let (failed, exit) = (web.get(path), one.run(words).code);
        assert_eq!(failed.status, status, "{path}");
        assert_eq!(failed.json()["error"], one.refused(words, exit), "{path}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let world = World::new();
    let one = world.founder("one");
    let web = Web::of(&one);
    assert_eq!(web.get("/api/v1/nothing").status, 404);
    let wrong = web.post("/api/v1/status", &json!({}));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
    let wrong = web.get("/api/v1/prune");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(web.post("/healthz", &json!({})).status, 405);
    assert_eq!(web.post_bytes("/api/v1/prune", "text/plain", b"{}").status, 415);
    assert_eq!(web.post_bytes("/api/v1/prune", "application/json", b"{").status, 400);
    let large = vec![b' '; (8 << 20) + 1];
    assert_eq!(web.post_bytes("/api/v1/prune", "application/json", &large).status, 413);
    let sealed = web.get("/api/v1/status");
    assert!(sealed.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(sealed.header("cache-control"), Some("no-store"));
}

/// A word of the pool, by a number.
fn word(number: u64) -> Value {
    let words = [
        json!("x"),
        json!(""),
        json!("0198"),
        json!("--yes"),
        json!("-"),
        json!("a=b"),
        json!("=\u{0}"),
        json!("/nowhere/at/all"),
        json!("one:/x"),
        json!("../.."),
        json!("ü\u{202e}%"),
        json!("127.0.0.1:9"),
        json!("30d"),
        json!("x".repeat(5_000)),
        json!(format!("/{}", "y".repeat(300))),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(true),
        json!(false),
        json!(null),
        json!([]),
        json!(["x", "/nowhere"]),
        json!(["name=y", "parent=x"]),
        json!({"raw": "/w=="}),
        json!("retention"),
        json!("one"),
        json!("x/1/shared#1"),
        json!("{}"),
        json!(["note=1", "rating=9"]),
    ];
    words[usize::try_from(number % words.len() as u64).unwrap()].clone()
}

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Some of the parameters of a question, with words that may fit them.
fn some_query(operation: &Value, chance: &mut Chance) -> String {
    let params = operation["parameters"].as_array().into_iter().flatten();
    let pair = |param: &Value| {
        let said = match word(chance.next()) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let name = param["name"].as_str().unwrap();
        (!chance.next().is_multiple_of(3)).then(|| format!("{name}={}", escaped(&said)))
    };
    params.filter_map(pair).collect::<Vec<String>>().join("&")
}

/// Some of the parameters of a change, with words that may fit them.
fn some_body(path: &str, operation: &Value, chance: &mut Chance) -> Value {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let params = schema["properties"].as_object().unwrap().keys();
    let pair = |name: &String| {
        let said = (name.clone(), word(chance.next()));
        (!chance.next().is_multiple_of(4)).then_some(said)
    };
    let mut body: serde_json::Map<String, Value> = params.filter_map(pair).collect();
    if path == "/api/v1/sync" {
        // The devices are not waited for that long.
        body.insert("wait".to_owned(), json!(0.1));
    }
    Value::Object(body)
}

#[test]
fn nothing_that_is_asked_for_breaks_it_or_is_answered_as_nobody_said() {
    let world = World::new();
    let one = world.founder("one");
    one.ok(&["tag", "create", "x"]);
    let web = Web::of(&one);
    let description = Description::of(&web);
    let mut chance = Chance(20_261_123);
    for round in 0..12 {
        for (method, path, operation) in description.operations() {
            // They never end, end everything, or write where they are told to.
            if ["/api/v1/events", "/api/v1/down", "/api/v1/backup"].contains(&path.as_str()) {
                continue;
            }
            let reply = match method.as_str() {
                "GET" => web.get(&format!("{path}?{}", some_query(operation, &mut chance))),
                _ => web.post(&path, &some_body(&path, operation, &mut chance)),
            };
            let shown = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(reply.status < 500, "round {round}, {method} {path}: {shown}");
            description.check(&method, &path, &reply);
        }
    }
    assert_eq!(web.get("/healthz").status, 200);
}

#[test]
fn every_answer_is_described() {
    let world = World::new();
    let (one, two) = {
        let one = world.founder("one");
        let two = world.joiner("two", &one);
        (one, two)
    };
    one.sync();
    let web = Web::of(&one);
    let description = Description::of(&web);
    let mut visited = BTreeSet::new();
    let mut call = |path: &str, body: Option<Value>| {
        let (method, reply) = match &body {
            Some(body) => ("POST", web.post(path, body)),
            None => ("GET", web.get(path)),
        };
        let bare = path.split('?').next().unwrap();
        let shown = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, 200, "{method} {path} {body:?}: {shown}");
        description.check(method, bare, &reply);
        visited.insert(bare.to_owned());
        reply
    };
    let folder = world.folder("docs", &[("a.md", "a"), ("deep/b.md", "b"), ("deep/c.md", "c")]);
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let posts = [
        ("location/add", json!({"path": at("")})),
        ("location/rescan", json!({})),
        ("location/rescan", json!({"location": "docs"})),
        ("tag/create", json!({"name": "apple", "color": "red"})),
        ("tag/create", json!({"name": "pear"})),
        ("tag/create", json!({"name": "kiwi"})),
        ("tag/set", json!({"tag": "pear", "fields": ["description=green", "color=green"]})),
        ("tag/add", json!({"tag": "apple", "files": [at("a.md"), at("deep/b.md")]})),
        ("tag/remove", json!({"tag": "apple", "files": [at("a.md")]})),
        ("tag/merge", json!({"from": "pear", "into": "apple"})),
        ("collection/create", json!({"name": "shelf", "description": "books"})),
        ("collection/set", json!({"collection": "shelf", "fields": ["name=case"]})),
        ("collection/add", json!({"collection": "case", "files": [at("deep")]})),
        ("meta/set", json!({"file": at("a.md"), "fields": ["note=hello", "rating=4", "lens=50"]})),
        ("sync", json!({"wait": 60})),
        ("verify", json!({"deep": true})),
        ("invite", json!({"expires": "1m"})),
        ("devices/rename", json!({"device": "two", "name": "second"})),
        ("peers/add", json!({"addr": "127.0.0.1:9"})),
        ("quarantine/retry", json!({})),
        ("config/set", json!({"key": "retention", "value": "40d"})),
    ];
    for (path, body) in posts {
        call(&format!("/api/v1/{path}"), Some(body));
    }
    // Both write the same field without knowing of each other.
    until("the other has it", || two.tags().contains(&"kiwi".to_owned()).then_some(()));
    call("/api/v1/peers/pause", Some(json!({})));
    call("/api/v1/tag/set", Some(json!({"tag": "kiwi", "fields": ["color=blue"]})));
    two.ok(&["tag", "set", "kiwi", "color=green"]);
    call("/api/v1/peers/resume", Some(json!({})));
    until("there is a conflict", || {
        let open = web.get("/api/v1/conflicts").json();
        open.get(0).is_some().then_some(())
    });
    call("/api/v1/conflicts", None);
    call("/api/v1/conflicts/show?conflict=kiwi", None);
    for path in [
        "status",
        "digest",
        "dump?stamps=true",
        "doctor",
        "trend?since=5m",
        "trend?since=1h",
        "why?record=kiwi",
        &format!("why?record={}", at("a.md")),
        "devices",
        "peers",
        "location/ls",
        "ls",
        &format!("ls?path={}", at("deep")),
        "find?text=b",
        "tag/ls",
        "collection/ls",
        "collection/ls?collection=case",
        &format!("meta/get?file={}", at("a.md")),
        "quarantine",
        "history?record=kiwi",
        &format!("history?record={}", at("a.md")),
        "log",
        "config/get",
    ] {
        call(&format!("/api/v1/{path}"), None);
    }
    call("/api/v1/conflicts/resolve", Some(json!({"conflict": "kiwi", "take_loser": true})));
    let made = call("/api/v1/tag/create", Some(json!({"name": "gone"}))).json();
    call("/api/v1/tag/rm", Some(json!({"tag": made["id"], "yes": true})));
    call("/api/v1/tag/ls?deleted=true", None);
    call("/api/v1/restore-record", Some(json!({"record": made["id"]})));
    let log = web.get("/api/v1/log?limit=1&kind=change_set").text();
    let last: Value = serde_json::from_str(&log).unwrap();
    call("/api/v1/undo", Some(json!({"dots": [last["dot"]], "dry_run": true})));
    call("/api/v1/collection/remove", Some(json!({"collection": "case", "files": [at("deep")]})));
    call("/api/v1/collection/rm", Some(json!({"collection": "case"})));
    call("/api/v1/location/rm", Some(json!({"location": "docs"})));
    call("/api/v1/prune", Some(json!({})));
    let backup = world.path().join("backup.db");
    call("/api/v1/backup", Some(json!({"file": backup.to_str().unwrap()})));
    call("/api/v1/devices/evict", Some(json!({"device": "second"})));
    for path in ["/healthz", "/metrics", "/api/openapi.json"] {
        call(path, None);
    }
    let described: BTreeSet<String> =
        description.operations().into_iter().map(|(_, path, _)| path).collect();
    let elsewhere = ["/api/v1/events", "/api/v1/down"].map(str::to_owned);
    let missed: Vec<&String> =
        described.difference(&visited).filter(|path| !elsewhere.contains(path)).collect();
    assert!(missed.is_empty(), "not tried: {missed:?}");
    let reply = web.post("/api/v1/down", &json!({}));
    description.check("POST", "/api/v1/down", &reply);
    until("the daemon is down", || one.run(&["dashboard"]).code.eq(&3).then_some(()));
}

#[test]
fn events_tell_what_happens_while_it_does() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.sync();
    let web = Web::of(&one);
    let mut events = web.events();
    let status = events.next_named("status");
    let description = Description::of(&web);
    let schema = json!({"$ref": "#/components/schemas/StatusReport"});
    description.fits(&schema, &status).unwrap();
    one.ok(&["tag", "create", "here"]);
    let change = events.next_named("change");
    assert_eq!((&change["here"], &change["elsewhere"]), (&true.into(), &false.into()), "{change}");
    assert!(change["models"].as_array().unwrap().contains(&"tag".into()), "{change}");
    two.ok(&["tag", "create", "there"]);
    while events.next_named("change")["elsewhere"] != true {}
    one.ok(&["peers", "pause"]);
    while events.next_named("status")["peers"][0]["online"] != false {}
}

#[test]
fn who_does_not_read_is_in_nobody_s_way() {
    let world = World::new();
    let mut one = world.founder("one");
    let web = Web::of(&one);
    let own = web.headers();
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let silent: Vec<_> = (0..24).map(|_| web.open("GET /api/v1/events", &own, b"")).collect();
    until("the streams are all taken", || {
        let mut stream = web.open("GET /api/v1/events", &own, b"");
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (&head[9..] == b"429").then_some(())
    });
    for number in 0..20 {
        one.ok(&["tag", "create", &format!("tag {number}")]);
    }
    assert_eq!(web.get("/api/v1/tag/ls").json().as_array().unwrap().len(), one.tags().len());
    drop(silent);
    // One that has gone is noticed, and its place is free again.
    until("a stream can be opened", || {
        let mut stream = web.open("GET /api/v1/events", &own, b"");
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (&head[9..] == b"200").then_some(())
    });
    let begun = Instant::now();
    one.down();
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody is waited for who does not read");
}
