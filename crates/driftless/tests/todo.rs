//! The example `todo` as two processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(format!("todo{}", std::env::consts::EXE_SUFFIX))
}

fn todo(dir: &Path, args: &[&str]) -> String {
    let output = Command::new(example()).arg(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A process that watches a list, ended on drop.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn new(dir: &Path) -> Self {
        let mut command = Command::new(example());
        let mut child = command.arg(dir).arg("watch").stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        Self { child, lines }
    }

    fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("waited in vain for {what}"));
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_list_is_the_same_in_two_processes() {
    let place = tempfile::tempdir().unwrap();
    let (laptop, phone) = (place.path().join("laptop"), place.path().join("phone"));
    todo(&laptop, &["new"]);
    todo(&laptop, &["add", "Water the plants"]);
    {
        let one = Watch::new(&laptop);
        let ticket = one.line("a ticket", |line| line.starts_with("ticket "));
        todo(&phone, &["join", ticket.trim_start_matches("ticket ")]);
        let two = Watch::new(&phone);
        two.line("the first item", |line| line == "[ ] Water the plants");
    }
    todo(&phone, &["done", "Water the plants"]);
    let one = Watch::new(&laptop);
    let _two = Watch::new(&phone);
    one.line("what the phone did", |line| line == "[x] Water the plants");
    drop(one);
    assert_eq!(todo(&laptop, &["list"]), "-- 0 to do\n[x] Water the plants\n");
}
