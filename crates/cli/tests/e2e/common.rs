//! Devices for tests: each a directory, with the real program as its daemon and its commands.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that should be quick.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// A place for devices, gone afterwards.
pub(crate) struct World {
    place: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A device that has no library yet.
    pub(crate) fn device(&self, name: &str) -> Device {
        self.device_at(name, self.place.path().join(name))
    }

    /// A device whose library is to be in this directory.
    pub(crate) fn device_at(&self, name: &str, dir: PathBuf) -> Device {
        Device { name: name.to_owned(), home: self.place.path().to_owned(), dir, daemon: None }
    }

    /// A device with a new library, and its daemon.
    pub(crate) fn founder(&self, name: &str) -> Device {
        let mut device = self.device(name);
        device.ok(&["init", "--name", "home", "--device-name", name]);
        device.up();
        device
    }

    /// A device that has joined, and its daemon.
    pub(crate) fn joiner(&self, name: &str, inviter: &Device) -> Device {
        let mut device = self.device(name);
        device.join(inviter, name);
        device.up();
        device
    }

    /// A folder with some files: `name` says what each holds.
    pub(crate) fn folder(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.place.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder.canonicalize().unwrap()
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The standard output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The standard output as JSON Lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        self.stdout.lines().map(line).collect()
    }
}

/// A device.
pub(crate) struct Device {
    pub(crate) name: String,
    home: PathBuf,
    pub(crate) dir: PathBuf,
    daemon: Option<Child>,
}

impl Device {
    /// The program, told where this device is.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
        command
            .env_remove("RUST_LOG")
            .env("DRIFTLESS_DIR", &self.dir)
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .args(args);
        command
    }

    /// Runs a command as it stands.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Outcome {
        finish(self.command(args).spawn().unwrap(), "")
    }

    /// Runs a command with a text on its standard input.
    pub(crate) fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &str) -> Outcome {
        finish(self.command(args).stdin(Stdio::piped()).spawn().unwrap(), input)
    }

    /// Runs a command with `--json`; it has to go well.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let outcome = self.run(&[&["--json"], args].concat());
        assert_eq!(outcome.code, 0, "{args:?} on {}: {outcome:?}", self.name);
        if outcome.stdout.is_empty() { Value::Null } else { outcome.json() }
    }

    /// Runs a command with `--json` that has to fail with this exit code; its error.
    pub(crate) fn refused(&self, args: &[&str], code: i32) -> Value {
        let outcome = self.run(&[&["--json"], args].concat());
        assert_eq!(outcome.code, code, "{args:?} on {}: {outcome:?}", self.name);
        let error = outcome.json()["error"].take();
        for key in ["code", "message", "effect", "next"] {
            let words = error[key].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{args:?} says nothing of its {key}: {error}");
        }
        let text = self.run(args);
        assert_eq!((text.code, text.stdout.as_str()), (code, ""), "{args:?} without --json");
        assert!(text.stderr.contains("next: "), "{text:?}");
        error
    }

    /// The error's code of a command that has to fail with this exit code, run once.
    pub(crate) fn refused_once(&self, args: &[&str], code: i32) -> String {
        let outcome = self.run(&[&["--json"], args].concat());
        assert_eq!(outcome.code, code, "{args:?} on {}: {outcome:?}", self.name);
        outcome.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Runs a batch that has to go well; what each line gave.
    pub(crate) fn batch<S: AsRef<str>>(&self, operations: &[Vec<S>]) -> Vec<Value> {
        let line = |words: &Vec<S>| {
            let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
            serde_json::to_string(&words).unwrap() + "\n"
        };
        let outcome = self.feed(&["batch"], &operations.iter().map(line).collect::<String>());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let lines = outcome.lines();
        assert_eq!(lines.len(), operations.len());
        lines
    }

    /// Runs a batch of one line, however it ends.
    pub(crate) fn batch_line(&self, words: &[String]) -> Value {
        self.feed(&["batch"], &serde_json::to_string(words).unwrap()).json()
    }

    /// Starts the daemon, and waits until it is ready.
    pub(crate) fn up(&mut self) -> Value {
        self.up_with(&[])
    }

    /// Starts the daemon with variables of its own.
    pub(crate) fn up_with(&mut self, vars: &[(&str, &str)]) -> Value {
        self.start(&[], vars)
    }

    /// Starts the daemon with options of its own.
    pub(crate) fn up_args(&mut self, args: &[&str]) -> Value {
        self.start(args, &[])
    }

    /// Starts the daemon, with its log in a file.
    pub(crate) fn up_telling(&mut self, log: &Path, args: &[&str], vars: &[(&str, &str)]) -> Value {
        let mut command = self.daemon_command(args, vars);
        command.stderr(std::fs::File::create(log).unwrap());
        self.launch(command)
    }

    fn start(&mut self, args: &[&str], vars: &[(&str, &str)]) -> Value {
        let command = self.daemon_command(args, vars);
        self.launch(command)
    }

    fn daemon_command(&self, args: &[&str], vars: &[(&str, &str)]) -> Command {
        let fixed = ["up", "--offline", "--listen", "127.0.0.1:0", "--tied", "--json"];
        let mut command = self.command(&[&fixed[..], args].concat());
        command.env("RUST_LOG", "error").envs(vars.iter().copied());
        command.stdin(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    fn launch(&mut self, mut command: Command) -> Value {
        assert!(self.daemon.is_none(), "{} is up", self.name);
        let mut child = command.spawn().unwrap();
        let line = first_line(&mut child);
        self.daemon = Some(child);
        let ready: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(ready["ready"], true);
        ready
    }

    /// Kills the daemon, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends the daemon a signal, by which it has to end well.
    pub(crate) fn signal(&mut self, signal: rustix::process::Signal) {
        let mut child = self.daemon.take().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let code = until("the daemon has ended", || child.try_wait().unwrap());
        assert!(code.success(), "{code:?}");
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.daemon.as_ref().unwrap())
    }

    /// Waits until the daemon has ended by itself, which it has to do well.
    pub(crate) fn ended(&mut self) {
        let mut child = self.daemon.take().unwrap();
        let code = until("the daemon has ended", || child.try_wait().unwrap());
        assert!(code.success(), "{code:?}");
    }

    /// Stops the daemon cleanly.
    pub(crate) fn down(&mut self) {
        assert_eq!(self.ok(&["down"])["stopped"], true);
        self.ended();
    }

    /// Removes the peer log, while no daemon runs.
    pub(crate) fn lose_log(&self) {
        for file in ["sync.db", "sync.db-wal", "sync.db-shm"] {
            let path = self.dir.join(file);
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// A new ticket.
    pub(crate) fn ticket(&self) -> String {
        self.ok(&["invite"])["ticket"].as_str().unwrap().to_owned()
    }

    /// Joins the library of another device.
    pub(crate) fn join(&self, inviter: &Device, device_name: &str) {
        self.ok(&["join", &inviter.ticket(), "--yes", "--offline", "--device-name", device_name]);
    }

    /// Waits until every device has everything.
    pub(crate) fn sync(&self) {
        let report = self.ok(&["sync", "--wait", "60"]);
        assert_eq!(report["done"], true, "{report}");
    }

    pub(crate) fn digest(&self) -> Value {
        self.ok(&["digest"])
    }

    pub(crate) fn dump(&self) -> String {
        let outcome = self.run(&["dump", "--stamps"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.stdout
    }

    /// The names of all tags, sorted.
    pub(crate) fn tags(&self) -> Vec<String> {
        let tags = self.ok(&["tag", "ls"]);
        let name = |tag: &Value| tag["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = tags.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    /// Rows of a model.
    pub(crate) fn count(&self, model: &str) -> u64 {
        self.ok(&["status"])["counts"][model].as_u64().unwrap()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            // A test that fails may have ended it already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The first line that a process prints, which has to come in time.
pub(crate) fn first_line(child: &mut Child) -> String {
    let (send, line) = channel();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // If it took too long nobody waits any more.
        send.send(line).ok();
        // The process may go on printing.
        std::io::copy(&mut output, &mut std::io::sink()).ok();
    });
    let Ok(line) = line.recv_timeout(PATIENCE) else {
        child.kill().unwrap();
        panic!("a process prints nothing")
    };
    line
}

/// Waits for a command, feeding it.
pub(crate) fn finish(mut child: Child, input: &str) -> Outcome {
    let stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let deadline = Instant::now() + 2 * PATIENCE;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A command that has ended reads no more.
                stdin.write_all(input.as_bytes()).ok();
            }
        });
        let out = scope.spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let err = scope.spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("a command takes too long");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Outcome { code, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
    })
}

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Devices that have to hold the very same.
pub(crate) fn assert_equal(devices: &[&Device]) {
    let first = devices[0];
    for other in &devices[1..] {
        assert_eq!(first.digest(), other.digest(), "{} and {}", first.name, other.name);
        assert_eq!(first.dump(), other.dump(), "{} and {}", first.name, other.name);
    }
}

/// The words of a command for a batch.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
