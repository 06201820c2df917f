//! Who belongs to the library: certificates, and what the network asks of them.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use driftless_core::id::DeviceId;
use driftless_core::member::{Certificate, Roster};
use driftless_net::Membership;
use driftless_store::SqliteStore;

use crate::device::Device;
use crate::error::Error;
use crate::reader;
use crate::writer::Writer;

/// Where certificates are kept in the store's local tables.
pub(crate) const CERTIFICATES: &str = "certificate";
/// The most certificates that one frame brings and that are looked at.
const MAX_OFFERED: usize = driftless_core::limits::MAX_CERTS;

/// A member of the library.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let members = library.members()?;
/// assert_eq!((members[0].name.as_str(), members[0].here), ("laptop", true));
/// assert_eq!(members[0].issued_by, members[0].device, "it founded the library");
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The device.
    pub device: DeviceId,
    /// Its present name: what its row says, or the certificate's until that has arrived.
    pub name: String,
    /// Who let it in; itself for the founder.
    pub issued_by: DeviceId,
    /// When, Unix milliseconds by the issuer's clock.
    pub issued_ms: u64,
    /// Its operating system, once its row has arrived.
    pub os: Option<String>,
    /// Where it said that it listens.
    pub addresses: Vec<std::net::SocketAddr>,
    /// Whether it is not waited for any more.
    pub evicted: bool,
    /// Whether it is this device.
    pub here: bool,
}

/// The members' keys, shared with the network's gate.
#[derive(Default)]
pub(crate) struct MemberSet(RwLock<BTreeSet<DeviceId>>);

impl MemberSet {
    pub(crate) fn replace(&self, roster: &Roster) {
        let devices = roster.certificates().map(|certificate| certificate.device).collect();
        // A poisoned set is whole: it is only ever replaced.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = devices;
    }
}

impl Membership for MemberSet {
    fn is_member(&self, device: &DeviceId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(device)
    }
}

/// Reads the roster that the store keeps.
pub(crate) fn load(store: &SqliteStore) -> Result<Roster, Error> {
    let kept = store.locals(CERTIFICATES)?;
    let certificates =
        kept.iter().map(|(_, bytes)| Certificate::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
    Ok(Roster::from_certificates(store.identity().library, certificates)?)
}

/// Keeps certificates in the open transaction.
pub(crate) fn keep(store: &mut SqliteStore, certificates: &[Certificate]) -> Result<(), Error> {
    for certificate in certificates {
        store.put_local(CERTIFICATES, &certificate.device.0, &certificate.encode())?;
    }
    Ok(())
}

/// Those of the offered certificates that make a new member, with the roster that they make. What
/// does not hold together is left out, and told.
pub(crate) fn admit(roster: &Roster, offered: &[bytes::Bytes]) -> (Roster, Vec<Certificate>) {
    let mut grown = roster.clone();
    let mut certificates = Vec::new();
    for bytes in offered.iter().take(MAX_OFFERED) {
        match Certificate::decode(bytes) {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => tracing::warn!(%error, "a certificate cannot be read"),
        }
    }
    let admitted = grown.admit_all(certificates);
    for (certificate, error) in &admitted.left {
        tracing::warn!(device = %certificate.device, %error, "a certificate is not accepted");
    }
    let new = admitted.new.iter().filter_map(|device| grown.get(device).cloned()).collect();
    (grown, new)
}

impl Writer {
    pub(crate) fn members(&self) -> Result<Vec<Member>, Error> {
        let rows: Vec<Device> = reader::all(self.store.connection(), "true", [])?;
        let here = self.store.identity().device;
        let member = |certificate: &Certificate| {
            let row = rows.iter().find(|row| row.id == Device::row_id(&certificate.device));
            Member {
                device: certificate.device,
                name: row.map_or_else(|| certificate.name.clone(), |row| row.name.clone()),
                issued_by: certificate.issued_by,
                issued_ms: certificate.issued_ms,
                os: row.map(|row| row.os.clone()),
                addresses: row.map_or_else(Vec::new, crate::writer::addresses),
                evicted: row.is_some_and(|row| row.evicted == Some(true)),
                here: certificate.device == here,
            }
        };
        Ok(self.roster.certificates().map(member).collect())
    }
}
