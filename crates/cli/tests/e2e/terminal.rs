//! A terminal for the program, and what is to be seen on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize};

use crate::common::until;

/// A process on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// The process's side.
    side: File,
    seen: Arc<Mutex<Seen>>,
    /// The modes in the beginning.
    modes: (LocalModes, OutputModes),
}

struct Seen {
    screen: vt100::Parser,
    /// All that was ever written.
    bytes: Vec<u8>,
}

impl Terminal {
    /// Starts a process on a terminal of this size.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&own, size).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap();
        let path = std::ffi::OsStr::from_bytes(name.as_bytes());
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let side = File::from(rustix::fs::open(path, flags, Mode::empty()).unwrap());
        let modes = modes(&side);
        let stdio = || Stdio::from(side.try_clone().unwrap());
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let screen = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
        let seen = Arc::new(Mutex::new(Seen { screen, bytes: Vec::new() }));
        let keyboard = File::from(own);
        let mut output = keyboard.try_clone().unwrap();
        let sees = seen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // It fails when nobody has the other side open any more.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut seen = sees.lock().unwrap();
                seen.screen.process(&bytes[..count]);
                seen.bytes.extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keyboard, side, seen, modes }
    }

    /// The process.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What is to be seen now.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// Whether anything that is to be seen now is coloured.
    pub(crate) fn is_coloured(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        let screen = seen.screen.screen();
        let (rows, columns) = screen.size();
        let across = |row| (0..columns.get()).map(move |column| (row, column));
        let mut cells = (0..rows.get()).flat_map(across);
        let plain = vt100::Color::Default;
        cells.any(|(row, column)| screen.cell(row, column).unwrap().fgcolor() != plain)
    }

    /// Whether this was ever written as it stands.
    pub(crate) fn wrote(&self, text: &str) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    /// Waits until this is to be seen; all that is.
    pub(crate) fn shows(&self, text: &str) -> String {
        until(&format!("the terminal shows {text:?}"), || {
            let screen = self.screen();
            screen.contains(text).then_some(screen)
        })
    }

    /// Waits until the process has ended; its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        let child = &mut self.child;
        until("the process on the terminal has ended", || child.try_wait().unwrap()).code().unwrap()
    }

    /// Whether lines are edited, keys echoed and newlines returned as in the beginning.
    pub(crate) fn is_sane(&self) -> bool {
        modes(&self.side) == self.modes
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that fails may leave it running.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn modes(side: &File) -> (LocalModes, OutputModes) {
    let modes = tcgetattr(side).unwrap();
    (modes.local_modes, modes.output_modes)
}
