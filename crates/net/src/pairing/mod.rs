//! Pairing: how a device that holds a ticket becomes a member.
//!
//! The joiner dials the inviting device, whose key is in the ticket, with a protocol of its own
//! that strangers may use while a ticket is open. On one stream:
//!
//! ```text
//! joiner                                            inviter
//!   hello: ticket id, proof, device name  ────────►   is the ticket good, and the proof?
//!                                         ◄────────   proof, name of the library   (or a refusal)
//!   both show a code of six digits; the person at the joiner compares them
//!   confirmed (or not)                    ────────►   issues the certificate
//!                                         ◄────────   all certificates             (or a refusal)
//!   checks that they lead from it to the founder
//!   done                                  ────────►   closes
//! ```
//!
//! A proof is a hash keyed with the ticket's secret over both keys, the library and keying
//! material of this very TLS session: who relays the exchange without the secret can neither make
//! one nor use one again elsewhere.

mod invite;
mod join;
mod wire;

use std::fmt;

use driftless_core::id::{DeviceId, LibraryId};
use driftless_core::member::Certificate;
use iroh::endpoint::{Connection, ExportKeyingMaterialError};

pub(crate) use invite::serve;
pub use join::{JoinConfig, Joined, PairError, pair_join};

const EXPORT_LABEL: &[u8] = b"driftless 1 pairing";

/// Six digits that both devices show, equal if nobody is in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairingCode(u32);

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// Why the inviting device does not take the joiner in. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It knows no such ticket.
    #[error("the inviting device does not know this ticket")]
    UnknownTicket = 1,
    /// The ticket let somebody in already.
    #[error("the ticket was used already")]
    Used = 2,
    /// The ticket is too old.
    #[error("the ticket has expired")]
    Expired = 3,
    /// The joiner does not hold the ticket's secret.
    #[error("the ticket's secret is wrong")]
    WrongProof = 4,
    /// Too many devices pair with it at this moment.
    #[error("the inviting device is busy pairing with others")]
    Busy = 5,
    /// No ticket of the device is open.
    #[error("the inviting device has no open invitation: the ticket was used or has expired")]
    NotInviting = 6,
    /// It could not issue the certificate, for reasons of its own.
    #[error("the inviting device could not issue the certificate")]
    Failed = 7,
}

impl Refusal {
    const ALL: [Self; 7] = [
        Self::UnknownTicket,
        Self::Used,
        Self::Expired,
        Self::WrongProof,
        Self::Busy,
        Self::NotInviting,
        Self::Failed,
    ];

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == code)
    }
}

/// What the inviting device knows of an open ticket.
#[derive(Clone)]
pub struct OpenTicket {
    /// The ticket's secret.
    pub secret: [u8; 16],
    /// The name of the library, shown to the person at the joiner.
    pub library_name: String,
}

/// Who keeps the open tickets of the inviting device and issues certificates.
pub trait Pairing: Send + Sync {
    /// Whether a ticket is open, or was so lately that its holder should be told what became of
    /// it. While not, no stranger's connection is accepted. Asked within handshakes, so it has to
    /// answer at once.
    fn is_open(&self) -> bool;

    /// The ticket of this id if it can be used now. May block.
    fn ticket(&self, id: [u8; 16]) -> Result<OpenTicket, Refusal>;

    /// A joiner proved that it holds a ticket: show the code that it shows as well. Must not
    /// block.
    fn show_code(&self, code: PairingCode, joiner: DeviceId, name: &str);

    /// The joiner confirmed: uses the ticket up, issues and keeps the certificate, and gives all
    /// certificates of the library. May block. It must happen exactly once for a ticket, also if
    /// two joiners come at the same time; asked again for the *same* joiner it gives the
    /// certificates again, as the first answer may not have arrived.
    fn admit(
        &self,
        id: [u8; 16],
        joiner: DeviceId,
        name: &str,
    ) -> Result<Vec<Certificate>, Refusal>;
}

/// Who says something; an input of the hashes, so that nothing can be sent back as one's own.
#[derive(Clone, Copy)]
enum Role {
    Joiner = 1,
    Inviter = 2,
    Code = 3,
}

/// What both sides know of a pairing, and nobody else.
struct Channel {
    key: [u8; 32],
    context: Vec<u8>,
}

impl Channel {
    fn new(
        conn: &Connection,
        secret: &[u8; 16],
        library: LibraryId,
        inviter: DeviceId,
        joiner: DeviceId,
    ) -> Result<Self, ExportKeyingMaterialError> {
        let mut exported = [0; 32];
        conn.export_keying_material(&mut exported, EXPORT_LABEL, b"")?;
        Ok(Self::of(exported, secret, library, inviter, joiner))
    }

    fn of(
        exported: [u8; 32],
        secret: &[u8; 16],
        library: LibraryId,
        inviter: DeviceId,
        joiner: DeviceId,
    ) -> Self {
        let key = blake3::derive_key("driftless 1 pairing", secret);
        let context = [&inviter.0[..], &joiner.0[..], library.0.as_bytes(), &exported[..]].concat();
        Self { key, context }
    }

    fn hash(&self, role: Role) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[role as u8]).update(&self.context);
        hasher.finalize()
    }

    /// What `role` sends to prove that it holds the secret.
    fn proof(&self, role: Role) -> [u8; 32] {
        self.hash(role).into()
    }

    /// Whether `proof` is what `role` has to send; compared in constant time.
    fn proves(&self, role: Role, proof: [u8; 32]) -> bool {
        self.hash(role) == blake3::Hash::from_bytes(proof)
    }

    fn code(&self) -> PairingCode {
        let mut head = [0; 4];
        head.copy_from_slice(&self.hash(Role::Code).as_bytes()[..4]);
        PairingCode(u32::from_le_bytes(head) % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn proofs_hang_on_everything() {
        let library = LibraryId(Uuid::from_u128(1));
        let (a, b) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let channel = |exported: u8, secret: u8, library, inviter, joiner| {
            Channel::of([exported; 32], &[secret; 16], library, inviter, joiner)
        };
        let ours = channel(1, 1, library, a, b);
        assert!(ours.proves(Role::Joiner, ours.proof(Role::Joiner)));
        assert!(!ours.proves(Role::Inviter, ours.proof(Role::Joiner)));
        let others = [
            channel(2, 1, library, a, b),
            channel(1, 2, library, a, b),
            channel(1, 1, LibraryId(Uuid::from_u128(2)), a, b),
            channel(1, 1, library, b, a),
        ];
        for other in others {
            assert!(!ours.proves(Role::Joiner, other.proof(Role::Joiner)));
            assert_ne!(ours.code(), other.code());
        }
        assert_eq!(ours.code().to_string().len(), 6);
        assert_eq!(PairingCode(42).to_string(), "000042");
    }

    #[test]
    fn refusals_have_codes() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of_code(refusal as u8), Some(refusal));
        }
        assert_eq!(Refusal::of_code(0), None);
        assert_eq!(Refusal::of_code(8), None);
    }
}
