//! The tour of `README.md`, pasted as a stranger would: its lines are run by a shell, with nothing
//! changed but where the program and its folders are, and the answers that a person would give.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What surrounds the tour: the two devices, and a wait for each daemon to be ready, as a person
/// would wait for its line before going on.
const PROLOGUE: &str = r#"
set -eum
device() { local dir=$1; shift; "$DRIFTLESS" --dir "$PLACE/$dir" "$@"; }
laptop() { device laptop "$@"; }
desktop() { device desktop "$@"; }
ready() {
  for _ in $(seq 600); do
    if grep -q "is up" "$1"; then return 0; fi
    sleep 0.05
  done
  echo "the daemon of $1 is not up"; return 1
}
leave() { laptop down || true; desktop down || true; }
trap leave EXIT
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The lines of the shell blocks under "A tour with two devices".
fn tour() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("## A tour with two devices").unwrap();
    let (tour, _) = rest.split_once("\n## ").unwrap();
    let blocks = tour.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("```").unwrap().0);
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A line of the tour as the script runs it.
fn prepared(line: &str, ups: &mut usize) -> String {
    let command = line.split(" #").next().unwrap().trim_end();
    if command.starts_with("cargo build") || command.starts_with("alias ") {
        return String::new();
    }
    if let Some(up) = command.strip_suffix(" &") {
        *ups += 1;
        return format!("{up} >$PLACE/up{ups} 2>&1 &\nready $PLACE/up{ups}");
    }
    if command == "laptop invite" {
        return "TICKET=$(laptop invite | grep -o 'driftless1[a-z0-9]*' | head -1)".to_owned();
    }
    // The person who compares the codes says yes.
    command.replace("join TICKET", "join --yes $TICKET")
}

/// Runs a script in a place of its own; it must end well and have said this at its end. What it said on
/// standard error.
fn paste(script: &str, end: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(root())
        .env("DRIFTLESS", env!("CARGO_BIN_EXE_driftless"))
        .env("PLACE", place.path())
        .env("XDG_STATE_HOME", place.path().join("state"))
        .env("XDG_RUNTIME_DIR", place.path().join("run"))
        .env_remove("DRIFTLESS_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(end), "{script}\n--\n{out}\n--\n{err}");
    err.into_owned()
}

#[test]
fn the_tour_can_be_pasted() {
    let mut ups = 0;
    let lines: Vec<String> = tour().iter().map(|line| prepared(line, &mut ups)).collect();
    assert!(ups >= 3 && lines.len() > 15, "the tour was found: {lines:#?}");
    let check = "[ \"$(laptop digest)\" = \"$(desktop digest)\" ] && echo the same";
    let script = format!("{PROLOGUE}\n{}\n{check}\n", lines.join("\n"));
    paste(&script, "the same");
}

/// The lines of the shell blocks of a page.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap().trim_end());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_page_about_http_do_what_they_say() {
    const PROLOGUE: &str = r#"
set -eum
driftless() { "$DRIFTLESS" --dir "$PLACE/laptop" "$@"; }
driftless init --device-name laptop
driftless location add docs
driftless up --offline --listen 127.0.0.1:0 >"$PLACE/up" 2>&1 &
trap 'driftless down' EXIT
for _ in $(seq 1200); do if grep -q "is up" "$PLACE/up"; then break; fi; sleep 0.05; done
"#;
    let lines = commands("docs/http.md");
    assert!(lines.len() > 12, "{lines:#?}");
    let script = format!("{PROLOGUE}\n{}\necho the end\n", lines.join("\n"));
    paste(&script, "the end");
}

#[test]
fn the_commands_of_the_page_about_history_do_what_they_say() {
    const PROLOGUE: &str = r#"
set -eu
driftless() { "$DRIFTLESS" --dir "$PLACE/laptop" "$@"; }
driftless init --device-name laptop
driftless location add docs
for tag in important holiday vacation; do driftless tag create $tag; done
driftless tag rm important
driftless meta set docs/protocol.md note="read again"
last() { driftless log --limit 1 | grep -o 'laptop#[0-9]*'; }
LAST=$(last)
"#;
    let lines = commands("docs/history.md");
    assert!(lines.len() > 15, "{lines:#?}");
    let prepared = |line: &String| match line.as_str() {
        // Nobody follows without a daemon; with one a test of its own does.
        "driftless log --follow" => "! driftless log --follow".to_owned(),
        line => line.replace("laptop#42", "\"$LAST\""),
    };
    let script: Vec<String> = lines.iter().map(prepared).collect();
    let script = format!("{PROLOGUE}\n{}\necho the end\n", script.join("\n"));
    let err = paste(&script, "the end");
    assert!(err.contains("driftless undo --to c1"), "{err}");
}

#[test]
fn the_commands_of_the_page_about_why_do_what_they_say() {
    const PROLOGUE: &str = r#"
set -eu
driftless() { "$DRIFTLESS" --dir "$PLACE/$DEVICE" "$@"; }
DEVICE=laptop
driftless init --device-name laptop
driftless location add docs
driftless tag create important
driftless up --offline --listen 127.0.0.1:0 >"$PLACE/up" 2>&1 &
trap 'DEVICE=laptop; driftless down || true' EXIT
for _ in $(seq 600); do grep -q "is up" "$PLACE/up" && break; sleep 0.05; done
TICKET=$(driftless invite | grep -o 'driftless1[a-z0-9]*' | head -1)
DEVICE=phone
driftless join --yes --offline --device-name phone "$TICKET"
DEVICE=laptop
"#;
    let lines = commands("docs/why.md");
    assert!(lines.len() > 8, "{lines:#?}");
    let prepared = |line: &String| match line.as_str() {
        // Whoever follows is interrupted, here after a moment.
        "driftless log --follow" => {
            let follow = "timeout 2 \"$DRIFTLESS\" --dir \"$PLACE/laptop\" log --follow";
            format!("{{ {follow} || [ $? = 124 ]; }}")
        }
        // It draws on a terminal; on one a test of its own looks at it.
        "driftless top" => "! driftless top".to_owned(),
        line => line.to_owned(),
    };
    let script: Vec<String> = lines.iter().map(prepared).collect();
    let script = format!("{PROLOGUE}\n{}\necho the end\n", script.join("\n"));
    paste(&script, "the end");
}
