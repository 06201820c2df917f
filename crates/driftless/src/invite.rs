//! Tickets: how this device lets others in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, sync_channel};

use driftless_core::id::DeviceId;
use driftless_core::member::Certificate;
use driftless_net::{OpenTicket, Pairing, PairingCode, Refusal, Ticket, ticket_id};

use crate::error::Error;
use crate::event_log::{EventKind, Happened};
use crate::library::Library;
use crate::writer::{Command, Reply, Writer};
use crate::{members, random, settings, time};

pub(crate) const TICKETS: &str = "ticket";
/// How long after its end the fate of a ticket is told to who comes with it.
const REMEMBERED_MS: u64 = 24 * 3_600_000;
/// Notices that are kept for somebody to ask.
const MAX_NOTICES: usize = 16;
/// Addresses that a ticket names.
const MAX_ADDRESSES: usize = 8;

/// A joiner showed a ticket: both sides see this code.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// // The laptop let the phone in a moment ago.
/// let notices = laptop.pairing_notices()?;
/// assert_eq!((notices[0].joiner, notices[0].name.as_str()), (phone.device_id(), "phone"));
/// assert_eq!(notices[0].code.len(), 6);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairingNotice {
    /// The six digits.
    pub code: String,
    /// Who wants to join.
    pub joiner: DeviceId,
    /// The name that it gives itself.
    pub name: String,
}

/// A ticket as it is kept.
struct Kept {
    secret: [u8; 16],
    expires_ms: u64,
    used_by: Option<DeviceId>,
}

impl Kept {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.secret.to_vec();
        bytes.extend_from_slice(&self.expires_ms.to_le_bytes());
        bytes.extend(self.used_by.iter().flat_map(|device| device.0));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (secret, rest) = bytes.split_first_chunk::<16>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let used_by = match rest.len() {
            0 => None,
            _ => Some(DeviceId(rest.try_into().ok()?)),
        };
        Some(Self { secret: *secret, expires_ms: u64::from_le_bytes(*expires), used_by })
    }
}

impl Library {
    /// Makes a ticket that lets one device in within `lifetime_ms`. This device must be reachable
    /// with sync on when it is used.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// library.sync(loopback())?;
    /// let ticket = library.invite(10 * 60_000)?;
    /// // It is handed over as text, or as a QR code of that.
    /// let text = ticket.to_string();
    /// assert_eq!(text.parse::<driftless::Ticket>()?, ticket);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn invite(&self, lifetime_ms: u64) -> Result<Ticket, Error> {
        let listening = self.listening();
        let inviter = self.device_id();
        let library = self.id();
        self.transact(move |writer| writer.invite(library, inviter, listening, lifetime_ms))
    }
}

impl Library {
    /// Joiners that showed a ticket lately, the latest last: each with the code to compare. They are
    /// told once.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// for notice in laptop.pairing_notices()? {
    ///     println!("{} wants to join; does it show {}?", notice.name, notice.code);
    /// }
    /// assert!(laptop.pairing_notices()?.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn pairing_notices(&self) -> Result<Vec<PairingNotice>, Error> {
        self.call(|writer| std::mem::take(&mut writer.notices))
    }
}

impl Writer {
    fn note_pairing(&mut self, notice: PairingNotice) {
        tracing::info!(code = notice.code, joiner = %notice.joiner, name = notice.name, "pairing");
        if self.notices.len() >= MAX_NOTICES {
            self.notices.remove(0);
        }
        self.notices.push(notice);
    }

    fn invite(
        &mut self,
        library: driftless_core::id::LibraryId,
        inviter: DeviceId,
        mut addrs: Vec<SocketAddr>,
        lifetime_ms: u64,
    ) -> Result<Ticket, Error> {
        if addrs.is_empty() {
            addrs = settings::listen(&self.store)?;
        }
        if addrs.is_empty() {
            return Err(Error::NoAddress);
        }
        addrs.truncate(MAX_ADDRESSES);
        let secret: [u8; 16] = random::bytes()?;
        let expires_ms = time::wall_ms().saturating_add(lifetime_ms);
        let kept = Kept { secret, expires_ms, used_by: None };
        self.forget_old_tickets()?;
        self.store.put_local(TICKETS, &ticket_id(&secret), &kept.encode())?;
        self.open_until.fetch_max(expires_ms.saturating_add(REMEMBERED_MS), Ordering::Relaxed);
        let expires = expires_ms.div_ceil(1_000);
        let words = format!("a ticket was made, good for {} s", lifetime_ms / 1_000);
        self.record(Happened::new(EventKind::TicketMade, words).with("expires_ms", expires_ms));
        Ok(Ticket { library, inviter, addrs, relay: None, secret, expires })
    }

    /// Until when strangers may ask about tickets, Unix milliseconds, from what is kept.
    pub(crate) fn recall_tickets(&self) -> Result<(), Error> {
        for (_, bytes) in self.store.locals(TICKETS)? {
            let until = Kept::decode(&bytes).map_or(0, |kept| kept.expires_ms);
            self.open_until.fetch_max(until.saturating_add(REMEMBERED_MS), Ordering::Relaxed);
        }
        Ok(())
    }

    fn forget_old_tickets(&mut self) -> Result<(), Error> {
        let now = time::wall_ms();
        for (id, bytes) in self.store.locals(TICKETS)? {
            let kept = Kept::decode(&bytes);
            if kept.is_none_or(|kept| kept.expires_ms.saturating_add(REMEMBERED_MS) < now) {
                self.store.delete_local(TICKETS, &id)?;
            }
        }
        Ok(())
    }

    fn ticket(&self, id: [u8; 16], joiner: Option<DeviceId>) -> Result<Kept, Refusal> {
        let bytes = self.store.local(TICKETS, &id).map_err(|error| {
            tracing::error!(%error, "a ticket cannot be read");
            Refusal::Failed
        })?;
        let kept = bytes.and_then(|bytes| Kept::decode(&bytes)).ok_or(Refusal::UnknownTicket)?;
        match kept.used_by {
            Some(device) if Some(device) != joiner => Err(Refusal::Used),
            None if kept.expires_ms <= time::wall_ms() => Err(Refusal::Expired),
            _ => Ok(kept),
        }
    }

    fn admit(
        &mut self,
        id: [u8; 16],
        joiner: DeviceId,
        name: &str,
    ) -> Result<Vec<Certificate>, AdmitError> {
        let kept = self.ticket(id, Some(joiner)).map_err(|refusal| {
            self.tell_ticket(refusal);
            AdmitError::Refused(refusal)
        })?;
        let mut roster = self.roster.clone();
        if kept.used_by.is_none() {
            let library = self.store.identity().library;
            let now = time::wall_ms();
            let new = Certificate::issue(library, joiner, name, &self.signing, now);
            let new = new.map_err(Error::from)?;
            roster.admit(new.clone()).map_err(Error::from)?;
            members::keep(&mut self.store, &[new])?;
            let used = Kept { used_by: Some(joiner), ..kept };
            self.store.put_local(TICKETS, &id, &used.encode()).map_err(Error::from)?;
            let words = format!("a ticket let {name} in");
            self.record(Happened::new(EventKind::TicketUsed, words).about(&joiner));
            self.adopt(roster.clone());
        }
        Ok(roster.certificates().cloned().collect())
    }
}

/// Why a joiner was not let in.
enum AdmitError {
    Refused(Refusal),
    Failed(Error),
}

impl From<Error> for AdmitError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The network's view of the tickets: every question goes through the writer.
pub(crate) struct Tickets {
    commands: Sender<Command>,
    /// When the last ticket will be forgotten, Unix milliseconds.
    open_until: Arc<AtomicU64>,
}

impl Tickets {
    pub(crate) fn new(commands: Sender<Command>, open_until: Arc<AtomicU64>) -> Self {
        Self { commands, open_until }
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Writer) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = sync_channel(1);
        // An asker who has gone away needs no answer.
        let call = move |writer: &mut Writer| drop(reply.send(ask(writer)));
        self.commands.send(Command::Call(Box::new(call))).map_err(|_| Refusal::Failed)?;
        answer.recv().map_err(|_| Refusal::Failed)?
    }
}

impl Pairing for Tickets {
    fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Relaxed) > time::wall_ms()
    }

    fn ticket(&self, id: [u8; 16]) -> Result<OpenTicket, Refusal> {
        self.ask(move |writer| {
            let kept =
                writer.ticket(id, None).inspect_err(|refusal| writer.tell_ticket(*refusal))?;
            let library_name = settings::library_name(&writer.store).map_err(|error| {
                tracing::error!(%error, "the library's name cannot be read");
                Refusal::Failed
            })?;
            Ok(OpenTicket { secret: kept.secret, library_name })
        })
    }

    fn show_code(&self, code: PairingCode, joiner: DeviceId, name: &str) {
        let notice = PairingNotice { code: code.to_string(), joiner, name: name.to_owned() };
        let call = move |writer: &mut Writer| writer.note_pairing(notice);
        // A writer that has ended shows nothing.
        drop(self.commands.send(Command::Call(Box::new(call))));
    }

    fn admit(
        &self,
        id: [u8; 16],
        joiner: DeviceId,
        name: &str,
    ) -> Result<Vec<Certificate>, Refusal> {
        let (reply, answer) = sync_channel(1);
        let name = name.to_owned();
        let command = Command::Write(Box::new(move |writer| {
            let admitted = writer.admit(id, joiner, &name);
            let finish: Reply = Box::new(move |committed| {
                let outcome = match (admitted, committed) {
                    (Err(AdmitError::Refused(refusal)), _) => Err(refusal),
                    (Ok(certificates), Ok(())) => Ok(certificates),
                    (Err(AdmitError::Failed(error)), _) => {
                        tracing::error!(%error, "no certificate could be issued");
                        Err(Refusal::Failed)
                    }
                    (Ok(_), Err(error)) => {
                        tracing::error!(%error, "a certificate could not be kept");
                        Err(Refusal::Failed)
                    }
                };
                // A joiner that has gone away comes again.
                drop(reply.send(outcome));
            });
            finish
        }));
        self.commands.send(command).map_err(|_| Refusal::Failed)?;
        answer.recv().map_err(|_| Refusal::Failed)?
    }
}
