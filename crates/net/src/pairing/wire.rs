//! The messages of a pairing: a length (four bytes, little endian), a kind, and what it carries.

use bytes::BytesMut;
use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::limits::{MAX_CERTS, MAX_FRAME_BYTES, MAX_TEXT_BYTES};
use driftless_core::member::{CertError, Certificate, MAX_CERT_BYTES};
use iroh::endpoint::{ReadExactError, RecvStream, SendStream, WriteError};

use super::Refusal;

/// All that is read from a stranger, over the whole exchange.
pub(super) const MAX_FROM_JOINER: usize = 4 << 10;
/// The longest message from the inviting device.
pub(super) const MAX_FROM_INVITER: usize = MAX_FRAME_BYTES;

/// Memory for a message grows with what has really come, in steps of this size.
const STEP: usize = 64 << 10;

/// Why a message cannot be exchanged.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the exchange broke off: {0}")]
    Read(#[from] ReadExactError),
    #[error("the exchange broke off: {0}")]
    Write(#[from] WriteError),
    #[error("a message of {len} bytes is above the limit of {limit}")]
    TooLarge { len: usize, limit: usize },
    #[error("not understood: {0}")]
    Codec(#[from] CodecError),
    #[error("not understood: {0}")]
    Certificate(#[from] CertError),
}

/// A message of a pairing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Hello { ticket: [u8; 16], proof: [u8; 32], name: String },
    Refused(Refusal),
    Proof { proof: [u8; 32], library_name: String },
    Confirmed(bool),
    Welcome(Vec<Certificate>),
    Done,
}

impl Message {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Self::Hello { ticket, proof, name } => {
                out.u8(1);
                out.raw(ticket);
                out.raw(proof);
                out.text(name);
            }
            Self::Refused(refusal) => {
                out.u8(2);
                out.u8(*refusal as u8);
            }
            Self::Proof { proof, library_name } => {
                out.u8(3);
                out.raw(proof);
                out.text(library_name);
            }
            Self::Confirmed(yes) => {
                out.u8(4);
                out.u8(u8::from(*yes));
            }
            Self::Welcome(certificates) => {
                out.u8(5);
                out.count(certificates.len());
                for certificate in certificates {
                    out.bytes(&certificate.encode());
                }
            }
            Self::Done => out.u8(6),
        }
        out.into_bytes()
    }

    /// What follows the fields of this version is of a later one, and skipped.
    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut input = Reader::new(bytes);
        let message = match input.u8("the message's kind")? {
            1 => Self::Hello {
                ticket: input.array("the ticket's id")?,
                proof: input.array("the proof")?,
                name: read_name(&mut input, "the device's name")?,
            },
            2 => {
                let code = input.u8("the refusal")?;
                let unknown =
                    || CodecError::Invalid { what: "the refusal", found: u64::from(code) };
                Self::Refused(Refusal::of_code(code).ok_or_else(unknown)?)
            }
            3 => Self::Proof {
                proof: input.array("the proof")?,
                library_name: read_name(&mut input, "the library's name")?,
            },
            4 => Self::Confirmed(input.u8("the confirmation")? == 1),
            5 => Self::Welcome(read_certificates(&mut input)?),
            6 => Self::Done,
            kind => {
                let found = u64::from(kind);
                return Err(CodecError::Invalid { what: "the message's kind", found }.into());
            }
        };
        Ok(message)
    }
}

/// Names are shown to people, so they must not steer a terminal.
fn read_name(input: &mut Reader<'_>, what: &'static str) -> Result<String, CodecError> {
    let name = input.text(MAX_TEXT_BYTES, what)?;
    if is_name(name) { Ok(name.to_owned()) } else { Err(CodecError::NotCanonical(what)) }
}

/// Whether a text may be the name of a device or a library here.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
}

fn read_certificates(input: &mut Reader<'_>) -> Result<Vec<Certificate>, WireError> {
    let count = input.count(MAX_CERTS, "the certificates")?;
    let mut certificates = Vec::new();
    for _ in 0..count {
        let bytes = input.bytes(MAX_CERT_BYTES, "a certificate")?;
        certificates.push(Certificate::decode(bytes)?);
    }
    Ok(certificates)
}

pub(super) async fn send(stream: &mut SendStream, message: &Message) -> Result<(), WireError> {
    let body = message.encode();
    let too_large = || WireError::TooLarge { len: body.len(), limit: MAX_FROM_INVITER };
    let len = u32::try_from(body.len()).map_err(|_| too_large())?;
    if body.len() > MAX_FROM_INVITER {
        return Err(too_large());
    }
    stream.write_all(&len.to_le_bytes()).await?;
    stream.write_all(&body).await?;
    Ok(())
}

/// Reads one message and takes its size off `allowance`.
pub(super) async fn receive(
    stream: &mut RecvStream,
    allowance: &mut usize,
) -> Result<Message, WireError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let limit = *allowance;
    let len = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    *allowance = limit.checked_sub(len).ok_or(WireError::TooLarge { len, limit })?;
    let mut body = BytesMut::with_capacity(len.min(STEP));
    while body.len() < len {
        let start = body.len();
        body.resize(len.min(start + STEP), 0);
        stream.read_exact(&mut body[start..]).await?;
    }
    Message::decode(&body)
}

#[cfg(test)]
mod tests {
    use driftless_core::id::{DeviceId, LibraryId};
    use ed25519_dalek::SigningKey;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn messages_round_trip_and_leave_room() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let device = DeviceId(key.verifying_key().to_bytes());
        let library = LibraryId(Uuid::from_u128(1));
        let certificate = Certificate::issue(library, device, "a", &key, 1).unwrap();
        let messages = [
            Message::Hello { ticket: [1; 16], proof: [2; 32], name: "laptop".to_owned() },
            Message::Refused(Refusal::Expired),
            Message::Proof { proof: [3; 32], library_name: "home".to_owned() },
            Message::Confirmed(true),
            Message::Confirmed(false),
            Message::Welcome(vec![certificate]),
            Message::Done,
        ];
        for message in messages {
            let mut bytes = message.encode();
            for cut in 0..bytes.len() {
                assert!(Message::decode(&bytes[..cut]).is_err(), "{message:?} cut at {cut}");
            }
            bytes.push(0);
            assert_eq!(Message::decode(&bytes).unwrap(), message);
        }
        assert!(Message::decode(&[9]).is_err());
        assert!(Message::decode(&[2, 200]).is_err());
        let steering = Message::Proof { proof: [3; 32], library_name: "a\x1b[2J".to_owned() };
        assert!(Message::decode(&steering.encode()).is_err());
    }

    #[test]
    fn the_longest_welcome_fits() {
        const { assert!(MAX_CERTS * (MAX_CERT_BYTES + 3) + 16 <= MAX_FROM_INVITER) };
    }
}
