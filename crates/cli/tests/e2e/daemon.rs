//! The daemon and those who talk to it.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::{World, first_line, until};

fn socket(world: &World) -> PathBuf {
    let folder = world.path().join("run/driftless");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut sockets = files.filter(|path| path.extension().is_some_and(|end| end == "sock"));
    let socket = sockets.next().unwrap();
    assert!(sockets.next().is_none(), "one daemon has one socket");
    socket
}

#[test]
fn only_its_user_can_talk_to_a_daemon() {
    let world = World::new();
    let mut one = world.founder("one");
    let socket = socket(&world);
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&socket.parent().unwrap().to_owned()), 0o700);
    one.down();
    assert!(!socket.exists());
}

#[test]
fn a_daemon_bears_clients_that_talk_nonsense_or_nothing() {
    let world = World::new();
    let mut one = world.founder("one");
    let socket = socket(&world);
    let silent = UnixStream::connect(&socket).unwrap();
    for nonsense in [&b"hello\n"[..], b"{}\n", b"{\"Run\":\"Format\"}\n", b"\xff\xfe\n", b"\n"] {
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(nonsense).unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).unwrap();
        assert!(said.starts_with(b"{\"driftless\":"), "it is greeted, and then hung up on");
    }
    let mut endless = UnixStream::connect(&socket).unwrap();
    let refused = std::iter::repeat_with(|| endless.write_all(&[b'x'; 65_536])).take(300);
    assert!(refused.filter(Result::is_err).count() > 0, "a line has a bound");
    one.ok(&["tag", "create", "unmoved"]);
    let begun = Instant::now();
    one.down();
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody is waited for who says nothing");
    drop(silent);
}

#[test]
fn what_a_killed_daemon_left_behind_is_in_nobody_s_way() {
    let world = World::new();
    let mut one = world.founder("one");
    one.kill();
    assert!(socket(&world).exists());
    one.ok(&["tag", "create", "without"]);
    one.up();
    one.ok(&["tag", "create", "with"]);
    assert_eq!(one.tags(), ["with", "without"]);
}

#[test]
fn a_daemon_can_be_stopped_while_somebody_waits() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    two.sync();
    two.down();
    let mut waiting = one.command(&["sync", "--wait", "600"]).spawn().unwrap();
    let mut batch = one.command(&["batch"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = batch.stdin.take().unwrap();
    input.write_all(b"[\"tag\", \"create\", \"answered\"]\n").unwrap();
    let line = first_line(&mut batch);
    assert!(line.contains("\"id\""), "an operation is answered before the next one comes: {line}");
    one.down();
    let code = until("the wait has ended", || waiting.try_wait().unwrap());
    assert_eq!(code.code(), Some(5));
    drop(input);
    until("the batch has ended", || batch.try_wait().unwrap());
    assert_eq!(one.tags(), ["answered"]);
}

#[test]
fn a_daemon_ends_cleanly_by_a_signal() {
    let world = World::new();
    let mut one = world.founder("one");
    one.ok(&["tag", "create", "kept"]);
    one.signal(rustix::process::Signal::TERM);
    assert!(!one.dir.join("library.db-wal").exists(), "a clean end leaves one file");
    assert_eq!(one.tags(), ["kept"]);
}
