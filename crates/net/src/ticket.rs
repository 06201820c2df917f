//! Tickets: what a member hands to a new device, as a text.
//!
//! `driftless1`, then base32 (RFC 4648, lower case, no padding) of:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 16 | library |
//! | 32 | the inviting device |
//! | 16 | secret |
//! | 8 | when it expires, Unix time in seconds (little endian) |
//! | 1, then each 1 + 4 + 2 or 1 + 16 + 2 | socket addresses of the inviting device, at most 8: 4 or 6, the address, the port (little endian) |
//! | length (varint), text | a relay's address, at most 256 bytes; empty for none |
//! | length (varint), bytes | fields of later versions, at most 1,024 bytes, skipped |
//! | 4 | the first bytes of BLAKE3 over all of the above |

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use data_encoding::BASE32_NOPAD_NOCASE;
use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::id::{DeviceId, LibraryId};
use driftless_core::limits::MAX_TEXT_BYTES;
use uuid::Uuid;

const PREFIX: &str = "driftless1";
const FAMILY: &str = "driftless";
const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
const MAX_ADDRS: usize = 8;
const MAX_RELAY: usize = 256;
/// No ticket of ours is longer, and nothing longer is decoded.
const MAX_TICKET: usize = 4_096;

/// Why a text is no ticket that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is something else.
    #[error("this is not a ticket: tickets begin with {PREFIX}")]
    NotATicket,
    /// It was a ticket, but characters are missing or changed.
    #[error("the ticket is damaged: copy it again, in full")]
    Garbled,
    /// It was made by a newer version.
    #[error("the ticket is of version {version}: update Driftless on this device")]
    Newer {
        /// Its version, as far as it can be told.
        version: String,
    },
}

/// A one-time invitation into a library.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The library.
    pub library: LibraryId,
    /// The device that made the ticket, and that answers the joiner.
    pub inviter: DeviceId,
    /// Where that device listens; the first eight are carried.
    pub addrs: Vec<SocketAddr>,
    /// The relay of that device, if it has one; up to 256 bytes.
    pub relay: Option<String>,
    /// What proves that the joiner was given the ticket.
    pub secret: [u8; 16],
    /// When it expires, Unix time in seconds by the inviting device's clock, which decides.
    pub expires: u64,
}

/// The name under which the inviting device keeps a ticket: a hash of its secret.
pub fn ticket_id(secret: &[u8; 16]) -> [u8; 16] {
    let hash = blake3::derive_key("driftless 1 ticket id", secret);
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

impl Ticket {
    /// The name under which the inviting device keeps the ticket.
    pub fn id(&self) -> [u8; 16] {
        ticket_id(&self.secret)
    }

    /// The text to hand over. A relay's address that is too long is left out.
    pub fn encode(&self) -> String {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.raw(self.library.0.as_bytes());
        out.raw(&self.inviter.0);
        out.raw(&self.secret);
        out.u64_le(self.expires);
        let addrs = &self.addrs[..self.addrs.len().min(MAX_ADDRS)];
        out.count(addrs.len());
        for addr in addrs {
            write_addr(&mut out, addr);
        }
        let relay = self.relay.as_deref().filter(|relay| relay.len() <= MAX_RELAY);
        out.text(relay.unwrap_or(""));
        out.bytes(&[]);
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&checksum(&bytes));
        format!("{PREFIX}{}", BASE32_NOPAD_NOCASE.encode(&bytes).to_lowercase())
    }

    /// Reads a text, with whatever white space is around it and in either case.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let Some(family) = text.get(..FAMILY.len()) else { return Err(TicketError::NotATicket) };
        if !family.eq_ignore_ascii_case(FAMILY) {
            return Err(TicketError::NotATicket);
        }
        match text[FAMILY.len()..].chars().next() {
            Some('1') => Self::parse_body(&text[PREFIX.len()..]),
            Some(version @ '2'..='9') => Err(TicketError::Newer { version: version.to_string() }),
            _ => Err(TicketError::NotATicket),
        }
    }

    fn parse_body(body: &str) -> Result<Self, TicketError> {
        if body.len() > MAX_TICKET {
            return Err(TicketError::Garbled);
        }
        let bytes =
            BASE32_NOPAD_NOCASE.decode(body.as_bytes()).map_err(|_| TicketError::Garbled)?;
        let (bytes, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(TicketError::Garbled)?;
        if *sum != checksum(bytes) {
            return Err(TicketError::Garbled);
        }
        match bytes.first() {
            Some(&VERSION) => Self::read(&bytes[1..]).map_err(|_| TicketError::Garbled),
            Some(newer) if *newer > VERSION => {
                Err(TicketError::Newer { version: format!("1.{newer}") })
            }
            _ => Err(TicketError::Garbled),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        let library = LibraryId(Uuid::from_bytes(input.array("the library")?));
        let inviter = DeviceId(input.array("the device")?);
        let secret = input.array("the secret")?;
        let expires = input.u64_le("the expiry")?;
        let count = input.count(MAX_ADDRS, "the addresses")?;
        let addrs = (0..count).map(|_| read_addr(&mut input)).collect::<Result<_, _>>()?;
        let relay = input.text(MAX_RELAY, "the relay")?;
        let relay = (!relay.is_empty()).then(|| relay.to_owned());
        input.bytes(MAX_TEXT_BYTES, "later fields")?;
        input.finish("the ticket")?;
        Ok(Self { library, inviter, addrs, relay, secret, expires })
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        Self::parse(text)
    }
}

/// Without the secret, so that a ticket can be logged.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket of {:?} for {} at {:?}", self.inviter, self.library, self.addrs)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM]);
    sum
}

fn write_addr(out: &mut Writer, addr: &SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.u8(4);
            out.raw(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.u8(6);
            out.raw(&ip.octets());
        }
    }
    out.raw(&addr.port().to_le_bytes());
}

fn read_addr(input: &mut Reader<'_>) -> Result<SocketAddr, CodecError> {
    let what = "an address";
    let ip = match input.u8(what)? {
        4 => IpAddr::V4(Ipv4Addr::from(input.array::<4>(what)?)),
        6 => IpAddr::V6(Ipv6Addr::from(input.array::<16>(what)?)),
        found => return Err(CodecError::Invalid { what, found: u64::from(found) }),
    };
    Ok(SocketAddr::new(ip, u16::from_le_bytes(input.array(what)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            library: LibraryId(Uuid::from_u128(7)),
            inviter: DeviceId([3; 32]),
            addrs: vec!["127.0.0.1:4242".parse().unwrap(), "[::1]:1".parse().unwrap()],
            relay: Some("https://relay.example".to_owned()),
            secret: [9; 16],
            expires: 1_800_000_000,
        }
    }

    #[test]
    fn tickets_round_trip() {
        let text = ticket().encode();
        assert!(text.starts_with("driftless1"));
        assert_eq!(Ticket::parse(&text), Ok(ticket()));
        assert_eq!(Ticket::parse(&format!(" {}\n", text.to_uppercase())), Ok(ticket()));
        let bare = Ticket { addrs: vec![], relay: None, ..ticket() };
        assert_eq!(Ticket::parse(&bare.encode()), Ok(bare));
        let many = Ticket { addrs: vec!["1.2.3.4:5".parse().unwrap(); 20], ..ticket() };
        assert_eq!(Ticket::parse(&many.encode()).unwrap().addrs.len(), MAX_ADDRS);
        assert!(!format!("{:?}", ticket()).contains("9, 9"));
    }

    #[test]
    fn damage_is_told_from_other_texts() {
        let text = ticket().encode();
        assert_eq!(Ticket::parse(""), Err(TicketError::NotATicket));
        assert_eq!(Ticket::parse("hello, world"), Err(TicketError::NotATicket));
        assert_eq!(Ticket::parse("driftless"), Err(TicketError::NotATicket));
        assert_eq!(Ticket::parse("driftléss1abc"), Err(TicketError::NotATicket));
        assert_eq!(Ticket::parse("driftless1"), Err(TicketError::Garbled));
        assert_eq!(Ticket::parse(&format!("{text}a")), Err(TicketError::Garbled));
        for at in PREFIX.len()..text.len() {
            assert_eq!(Ticket::parse(&text[..at]), Err(TicketError::Garbled), "cut at {at}");
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Ticket::parse(&changed), Err(TicketError::Garbled), "at {at}");
        }
    }

    #[test]
    fn newer_tickets_are_told() {
        let body = |version| {
            let mut bytes = vec![version, 1, 2, 3];
            bytes.extend(checksum(&bytes));
            BASE32_NOPAD_NOCASE.encode(&bytes)
        };
        let newer = |version: &str| Err(TicketError::Newer { version: version.to_owned() });
        assert_eq!(Ticket::parse(&format!("driftless1{}", body(2))), newer("1.2"));
        assert_eq!(Ticket::parse("driftless2xyz"), newer("2"));
        assert_eq!(Ticket::parse(&format!("driftless1{}", body(1))), Err(TicketError::Garbled));
    }
}
