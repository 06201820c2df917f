//! Why connections are closed: a code for the program and words for people.

use driftless_core::message::ENVELOPE_VERSION;
use iroh::endpoint::{Connection, ConnectionError, TransportErrorCode, VarInt};

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
    /// Another process with the same key has connected: if this one is alive, the device is there twice.
    Elsewhere = 12,
    /// Its disk is full, or cannot be written.
    Unwritable = 13,
    /// Its library is damaged.
    Damaged = 14,
}

/// Why there is no link with a peer, as far as programs tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It does not answer: it is off, asleep, or not where it was.
    Unreachable,
    /// It has ended in good order.
    Stopped,
    /// Links with it are paused on this device.
    PausedHere,
    /// It has paused its links with this device.
    PausedThere,
    /// It is no member here.
    NotMemberHere,
    /// It does not know this device as a member.
    NotMemberThere,
    /// It speaks another major version of the protocol.
    OtherVersion,
    /// It speaks for another library.
    OtherLibrary,
    /// This device cannot write to its disk.
    UnwritableHere,
    /// It cannot write to its disk.
    UnwritableThere,
    /// The library on this device is damaged.
    DamagedHere,
    /// Its library is damaged.
    DamagedThere,
    /// Another process has this device's key.
    Elsewhere,
    /// The protocol was broken, by whichever side.
    Protocol,
    /// One of the two ended the link, and the words say why.
    Cut,
}

/// Why a program cuts a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It cannot write to its disk.
    Unwritable,
    /// Its library is damaged.
    Damaged,
    /// For the reason that the words give.
    Other,
}

impl Cut {
    pub(crate) fn close(self) -> Close {
        match self {
            Self::Unwritable => Close::Unwritable,
            Self::Damaged => Close::Damaged,
            Self::Other => Close::Cut,
        }
    }
}

/// What a side says within the handshake that speaks no protocol that the dialler offers: the TLS
/// alert `no_application_protocol` (RFC 7301). As the protocol's name carries the major version, that
/// is what differs.
const NO_COMMON_PROTOCOL: u8 = 120;

/// Longest text that is taken over from another device's last words, in characters.
const MAX_WORDS: usize = 240;

impl Close {
    const ALL: [Self; 14] = [
        Self::Shutdown,
        Self::NotMember,
        Self::Paused,
        Self::Duplicate,
        Self::Replaced,
        Self::Protocol,
        Self::Cut,
        Self::NotInviting,
        Self::Busy,
        Self::PairingOver,
        Self::OtherLibrary,
        Self::Elsewhere,
        Self::Unwritable,
        Self::Damaged,
    ];

    /// What it means that this device has closed with this code.
    pub(crate) fn cause_here(self) -> Cause {
        match self {
            Self::Shutdown => Cause::Stopped,
            Self::NotMember => Cause::NotMemberHere,
            Self::Paused => Cause::PausedHere,
            Self::Protocol => Cause::Protocol,
            Self::OtherLibrary => Cause::OtherLibrary,
            Self::Unwritable => Cause::UnwritableHere,
            Self::Damaged => Cause::DamagedHere,
            _ => Cause::Cut,
        }
    }

    /// What it means that the other side has.
    fn cause_there(self) -> Cause {
        match self {
            Self::NotMember => Cause::NotMemberThere,
            Self::Paused => Cause::PausedThere,
            Self::Elsewhere => Cause::Elsewhere,
            Self::Unwritable => Cause::UnwritableThere,
            Self::Damaged => Cause::DamagedThere,
            close => close.cause_here(),
        }
    }

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

/// Whether two sides found that they speak no version of the protocol in common.
pub(crate) fn is_other_version(error: &ConnectionError) -> bool {
    let code = TransportErrorCode::crypto(NO_COMMON_PROTOCOL);
    match error {
        ConnectionError::ConnectionClosed(close) => close.error_code == code,
        ConnectionError::TransportError(error) => error.code == code,
        ConnectionError::VersionMismatch => true,
        _ => false,
    }
}

/// Why a connection ended that this side did not close.
pub(crate) fn cause(error: &ConnectionError) -> Cause {
    match error {
        error if is_other_version(error) => Cause::OtherVersion,
        ConnectionError::ApplicationClosed(_) => {
            let close = Close::ALL.into_iter().find(|close| close.is_in(error));
            close.map_or(Cause::Cut, Close::cause_there)
        }
        ConnectionError::TimedOut | ConnectionError::Reset => Cause::Unreachable,
        _ => Cause::Cut,
    }
}

/// Why a connection ended, for people.
pub(crate) fn words(error: &ConnectionError) -> String {
    match error {
        error if is_other_version(error) => format!(
            "it speaks another major version of the protocol than this device, which speaks \
             version {ENVELOPE_VERSION}: nothing is exchanged and nothing is lost until driftless is \
             updated on the older of the two"
        ),
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
    fn every_code_is_known_once() {
        for (n, close) in Close::ALL.into_iter().enumerate() {
            assert_eq!(close as usize, n + 1);
        }
    }

    #[test]
    fn last_words_are_tamed() {
        let long = "x".repeat(1_000);
        assert_eq!(printable(long.as_bytes()).len(), MAX_WORDS);
        assert_eq!(printable(b"a\x1b[2Jb\n\xff"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
