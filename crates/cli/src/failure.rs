//! How a command can fail, in the words and numbers of the contract.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// I/O, a full or read-only disk, a database that is damaged or newer.
    Failed = 1,
    /// Bad usage.
    Usage = 2,
    /// No library here, no such record, path or device.
    NotFound = 3,
    /// Not a member; a ticket that is wrong, used or expired; a second daemon.
    Refused = 4,
    /// A wait timed out, or devices differ.
    NotYet = 5,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked: what happened, what that means for the data, and the
/// command to try next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A stable word for scripts.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) effect: String,
    pub(crate) next: String,
}

/// What most failures mean for the data.
pub(crate) const NOTHING_CHANGED: &str = "Nothing was changed.";

/// What damage that is in more than records means.
pub(crate) const DAMAGED_EFFECT: &str = "Nothing of it is given to other devices, and what they have is safe: everything that was synced.";
/// What can be done about it.
pub(crate) const DAMAGED_NEXT: &str = "driftless down, move the library's directory away, and \
     driftless restore FILE if there is a backup, else driftless join TICKET: everything that others \
     have comes back";

/// The code of what is no trouble.
const ENOUGH: &str = "enough";

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            effect: NOTHING_CHANGED.to_owned(),
            next: "driftless help".to_owned(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, code, message)
    }

    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, code, message)
    }

    /// The system refused something that is about no library's data.
    pub(crate) fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::new(Exit::Failed, "io", format!("{doing} failed: {error}"))
            .next("see to the cause and run the command again")
    }

    /// The output could not be written. A reader that has gone had enough, which is no trouble.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, ENOUGH, "whoever read the output has gone");
        }
        Self::io("writing the output", error)
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.code == ENOUGH
    }

    /// More than records is damaged in the library.
    pub(crate) fn damaged(words: &str) -> Self {
        Self::new(Exit::Failed, "damaged", format!("the library is damaged: {words}"))
            .effect(DAMAGED_EFFECT)
            .next(DAMAGED_NEXT)
    }

    /// Something that cannot be, unless the program itself is wrong.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "internal", message)
            .next("report this message as a fault of the program")
    }

    pub(crate) fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = effect.into();
        self
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// The form of it for scripts.
    pub(crate) fn json(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "effect": self.effect,
            "next": self.next,
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\nnext: {}", self.message, self.effect, self.next)
    }
}

impl std::error::Error for Failure {}
