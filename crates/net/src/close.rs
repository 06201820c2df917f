//! Why connections are closed: a code for the program and words for people.

use iroh::endpoint::{Connection, ConnectionError, VarInt};

/// Code of a closed connection. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// The device stops.
    Shutdown = 1,
    /// The other key is no member.
    NotMember = 2,
    /// The link is paused.
    Paused = 3,
    /// The pair has a link already, which stays.
    Duplicate = 4,
    /// The pair has a newer or better link.
    Replaced = 5,
    /// The other side broke the protocol.
    Protocol = 6,
    /// The program cut the link.
    Cut = 7,
    /// Pairing: no ticket is open.
    NotInviting = 8,
    /// Pairing: too many at once.
    Busy = 9,
    /// Pairing: done, as well as it went.
    PairingOver = 10,
    /// The other side speaks for another library.
    OtherLibrary = 11,
}

/// Longest text that is taken over from another device's last words, in characters.
const MAX_WORDS: usize = 200;

impl Close {
    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// Whether `error` says that the other side closed with this code.
    pub(crate) fn is_in(self, error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == self.code())
    }

    pub(crate) fn connection(self, conn: &Connection, words: &str) {
        conn.close(self.code(), words.as_bytes());
    }
}

/// Why a connection ended, for people.
pub(crate) fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) if !close.reason.is_empty() => {
            format!("closed by the peer: {}", printable(&close.reason))
        }
        ConnectionError::ApplicationClosed(_) => "closed by the peer".to_owned(),
        ConnectionError::TimedOut => "nothing was heard from the peer".to_owned(),
        ConnectionError::Reset => "the peer was restarted".to_owned(),
        ConnectionError::LocallyClosed => "closed here".to_owned(),
        other => printable(other.to_string().as_bytes()),
    }
}

/// Text from outside, cut and without control characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(MAX_WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_tamed() {
        let long = "x".repeat(1_000);
        assert_eq!(printable(long.as_bytes()).len(), MAX_WORDS);
        assert_eq!(printable(b"a\x1b[2Jb\n\xff"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
