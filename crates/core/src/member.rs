//! Membership as a set of signed certificates: who belongs to the library, and who let them in.
//!
//! The founder signs its own certificate, the root. Every other one is signed by a device that is
//! a member already, so a certificate is worth something only within a [`Roster`] that leads from
//! it to the root.
//!
//! Layout of a certificate (numbers little endian, lengths as varints):
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 16 | library |
//! | 32 | device that is a member by it |
//! | 32 | device that issued it |
//! | 8 | when, Unix time in milliseconds by the issuer's clock; never decides anything |
//! | length, text | name of the device at that moment |
//! | length, bytes | fields of later versions: carried and signed as they are |
//! | 64 | ed25519 signature over `driftless 1 certificate`, a zero byte, and all of the above |

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use uuid::Uuid;

use crate::codec::{CodecError, Reader, Writer};
use crate::id::{DeviceId, LibraryId};
use crate::limits::{MAX_CERTS, MAX_TEXT_BYTES};

const FORMAT: u8 = 1;
const DOMAIN: &[u8] = b"driftless 1 certificate\0";

/// The most bytes that one encoded certificate takes.
pub const MAX_CERT_BYTES: usize = 1 + 16 + 32 + 32 + 8 + 2 * (3 + MAX_TEXT_BYTES) + 64;

/// Why a certificate is not accepted. The roster is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// The bytes are not a certificate.
    #[error("not a certificate: {0}")]
    Codec(#[from] CodecError),
    /// A text that is longer than a certificate carries.
    #[error("a device name of {found} bytes is above the limit of {MAX_TEXT_BYTES}")]
    NameTooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// It speaks of another library.
    #[error("the certificate of {device} is for library {found}, not for {expected}")]
    WrongLibrary {
        /// Whose certificate.
        device: DeviceId,
        /// The library in it.
        found: LibraryId,
        /// Ours.
        expected: LibraryId,
    },
    /// The signature is not the issuer's.
    #[error("the certificate of {device} is not signed by {issued_by}")]
    BadSignature {
        /// Whose certificate.
        device: DeviceId,
        /// Who should have signed it.
        issued_by: DeviceId,
    },
    /// The issuer is no member, as far as this roster knows.
    #[error("the certificate of {device} was issued by {issued_by}, which is no member")]
    UnknownIssuer {
        /// Whose certificate.
        device: DeviceId,
        /// Who issued it.
        issued_by: DeviceId,
    },
    /// A library has one founder; this would be a second.
    #[error("{device} signed its own certificate, but the library was founded by {root}")]
    SecondRoot {
        /// The device that claims to be the founder.
        device: DeviceId,
        /// The founder.
        root: DeviceId,
    },
    /// None of the certificates is the founder's.
    #[error("no certificate of a founder is among them")]
    NoRoot,
    /// The roster holds as many certificates as it may.
    #[error("the library has {MAX_CERTS} members, and no room for {device}")]
    Full {
        /// The device that finds no room.
        device: DeviceId,
    },
}

/// Proof that a device is a member of a library: signed by the founder or by another member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The library that it is a member of.
    pub library: LibraryId,
    /// The member.
    pub device: DeviceId,
    /// Its name when the certificate was issued.
    pub name: String,
    /// The member that let it in; the device itself for the founder.
    pub issued_by: DeviceId,
    /// When, Unix time in milliseconds by the issuer's clock. For people: it decides nothing.
    pub issued_ms: u64,
    /// Fields of later versions, carried as they are; empty in this version.
    pub later: Vec<u8>,
    /// The issuer's ed25519 signature over [`signed_bytes`](Self::signed_bytes).
    pub signature: [u8; 64],
}

impl Certificate {
    /// Signs `device` into `library` with the issuer's key. A device that issues its own is the
    /// founder.
    pub fn issue(
        library: LibraryId,
        device: DeviceId,
        name: &str,
        issuer: &SigningKey,
        now_ms: u64,
    ) -> Result<Self, CertError> {
        if name.len() > MAX_TEXT_BYTES {
            return Err(CertError::NameTooLong { found: name.len() });
        }
        let mut certificate = Self {
            library,
            device,
            name: name.to_owned(),
            issued_by: DeviceId(issuer.verifying_key().to_bytes()),
            issued_ms: now_ms,
            later: Vec::new(),
            signature: [0; 64],
        };
        certificate.signature = issuer.sign(&certificate.signed_bytes()).to_bytes();
        Ok(certificate)
    }

    /// Whether this is a founder's certificate: issued by the device itself.
    pub fn is_root(&self) -> bool {
        self.device == self.issued_by
    }

    /// The bytes that the signature covers: the domain, then everything but the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Writer::append_to(DOMAIN.to_vec());
        self.write_body(&mut out);
        out.into_bytes()
    }

    /// Checks the signature alone; whether the issuer may issue is the [`Roster`]'s affair.
    pub fn verify_signature(&self) -> Result<(), CertError> {
        let bad = CertError::BadSignature { device: self.device, issued_by: self.issued_by };
        let Ok(key) = VerifyingKey::from_bytes(&self.issued_by.0) else { return Err(bad) };
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&self.signed_bytes(), &signature).map_err(|_| bad)
    }

    /// The bytes on the wire and on disk; at most [`MAX_CERT_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write_body(&mut out);
        out.raw(&self.signature);
        out.into_bytes()
    }

    /// Reads what [`encode`](Self::encode) wrote. The signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertError> {
        let mut input = Reader::new(bytes);
        let format = input.u8("the certificate's format")?;
        if format != FORMAT {
            let what = "the certificate's format";
            return Err(CodecError::Invalid { what, found: u64::from(format) }.into());
        }
        let certificate = Self {
            library: LibraryId(Uuid::from_bytes(input.array("the certificate's library")?)),
            device: DeviceId(input.array("the certificate's device")?),
            issued_by: DeviceId(input.array("the certificate's issuer")?),
            issued_ms: input.u64_le("the certificate's time")?,
            name: input.text(MAX_TEXT_BYTES, "the certificate's name")?.to_owned(),
            later: input.bytes(MAX_TEXT_BYTES, "the certificate's later fields")?.to_vec(),
            signature: input.array("the certificate's signature")?,
        };
        input.finish("the certificate")?;
        Ok(certificate)
    }

    fn write_body(&self, out: &mut Writer) {
        out.u8(FORMAT);
        out.raw(self.library.0.as_bytes());
        out.raw(&self.device.0);
        out.raw(&self.issued_by.0);
        out.u64_le(self.issued_ms);
        out.text(&self.name);
        out.bytes(&self.later);
    }
}

/// What became of certificates that were offered together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admitted {
    /// The devices that are members by them and were not before, in the order of admission.
    pub new: Vec<DeviceId>,
    /// The certificates that were not accepted, each with the reason.
    pub left: Vec<(Certificate, CertError)>,
}

/// The members of a library: certificates that all lead to the founder's.
///
/// Members are only ever added: who is evicted or revoked is told elsewhere. The first accepted
/// certificate of a device stays; a second one proves the same fact and is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    library: LibraryId,
    root: DeviceId,
    certificates: BTreeMap<DeviceId, Certificate>,
}

impl Roster {
    /// The roster of a library that has only its founder.
    pub fn new(root: Certificate) -> Result<Self, CertError> {
        if !root.is_root() {
            return Err(CertError::NoRoot);
        }
        root.verify_signature()?;
        let (library, device) = (root.library, root.device);
        Ok(Self { library, root: device, certificates: BTreeMap::from([(device, root)]) })
    }

    /// The roster that these certificates of `library` make, in whatever order they come. Every
    /// one of them must be accepted, and one must be the founder's.
    pub fn from_certificates(
        library: LibraryId,
        certificates: Vec<Certificate>,
    ) -> Result<Self, CertError> {
        let is_root = |c: &&Certificate| c.is_root() && c.library == library;
        let root = certificates.iter().find(is_root).ok_or(CertError::NoRoot)?;
        let mut roster = Self::new(root.clone())?;
        match roster.admit_all(certificates).left.into_iter().next() {
            Some((_, why)) => Err(why),
            None => Ok(roster),
        }
    }

    /// The library.
    pub fn library(&self) -> LibraryId {
        self.library
    }

    /// The founder.
    pub fn root(&self) -> DeviceId {
        self.root
    }

    /// Whether `device` is a member.
    pub fn contains(&self, device: &DeviceId) -> bool {
        self.certificates.contains_key(device)
    }

    /// The certificate of `device`.
    pub fn get(&self, device: &DeviceId) -> Option<&Certificate> {
        self.certificates.get(device)
    }

    /// How many members; at least one, the founder.
    #[expect(clippy::len_without_is_empty, reason = "a roster always has its founder")]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// All certificates, by device.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.values()
    }

    /// Accepts a certificate of this library, signed by a member. Tells whether its device is a
    /// member only now; a second certificate of a member changes nothing.
    pub fn admit(&mut self, certificate: Certificate) -> Result<bool, CertError> {
        self.check(&certificate)?;
        if self.contains(&certificate.device) {
            return Ok(false);
        }
        if self.len() >= MAX_CERTS {
            return Err(CertError::Full { device: certificate.device });
        }
        self.certificates.insert(certificate.device, certificate);
        Ok(true)
    }

    /// Accepts certificates that may come before those of their issuers, and tells of each one
    /// that finds no way in. The caller bounds how many it reads.
    pub fn admit_all(&mut self, certificates: Vec<Certificate>) -> Admitted {
        let mut admitted = Admitted::default();
        let mut waiting: BTreeMap<DeviceId, Vec<Certificate>> = BTreeMap::new();
        let mut ready = Vec::new();
        for certificate in certificates {
            if self.contains(&certificate.issued_by) || certificate.is_root() {
                ready.push(certificate);
            } else {
                waiting.entry(certificate.issued_by).or_default().push(certificate);
            }
        }
        // Each certificate is tried once: when it comes, or when its issuer has become a member.
        ready.reverse();
        while let Some(certificate) = ready.pop() {
            let device = certificate.device;
            match self.admit(certificate.clone()) {
                Ok(true) => {
                    admitted.new.push(device);
                    ready.extend(waiting.remove(&device).into_iter().flatten());
                }
                Ok(false) => {}
                Err(why) => admitted.left.push((certificate, why)),
            }
        }
        for certificate in waiting.into_values().flatten() {
            let why = CertError::UnknownIssuer {
                device: certificate.device,
                issued_by: certificate.issued_by,
            };
            admitted.left.push((certificate, why));
        }
        admitted
    }

    fn check(&self, certificate: &Certificate) -> Result<(), CertError> {
        let device = certificate.device;
        if certificate.library != self.library {
            let (found, expected) = (certificate.library, self.library);
            return Err(CertError::WrongLibrary { device, found, expected });
        }
        if certificate.is_root() && device != self.root {
            return Err(CertError::SecondRoot { device, root: self.root });
        }
        if !self.contains(&certificate.issued_by) {
            let issued_by = certificate.issued_by;
            return Err(CertError::UnknownIssuer { device, issued_by });
        }
        certificate.verify_signature()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: LibraryId = LibraryId(Uuid::from_u128(7));

    fn key(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    fn device(n: u8) -> DeviceId {
        DeviceId(key(n).verifying_key().to_bytes())
    }

    fn cert(of: u8, by: u8) -> Certificate {
        Certificate::issue(LIBRARY, device(of), &format!("d{of}"), &key(by), 42).unwrap()
    }

    #[test]
    fn certificates_round_trip() {
        let mut certificate = cert(2, 1);
        assert_eq!(Certificate::decode(&certificate.encode()), Ok(certificate.clone()));
        assert_eq!(certificate.verify_signature(), Ok(()));
        certificate.later = vec![1, 2, 3];
        certificate.signature = key(1).sign(&certificate.signed_bytes()).to_bytes();
        let again = Certificate::decode(&certificate.encode()).unwrap();
        assert_eq!(again.verify_signature(), Ok(()), "later fields are signed and kept");
    }

    #[test]
    fn the_layout_stays() {
        let certificate = cert(2, 1);
        let bytes = certificate.encode();
        assert_eq!(bytes.len(), 1 + 16 + 32 + 32 + 8 + (1 + 2) + 1 + 64);
        assert_eq!(&certificate.signed_bytes()[..DOMAIN.len()], DOMAIN);
        assert_eq!(&certificate.signed_bytes()[DOMAIN.len()..], &bytes[..bytes.len() - 64]);
        assert_eq!(&bytes[17..49], &device(2).0);
        assert_eq!(bytes[81..89], 42u64.to_le_bytes());
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let bytes = cert(2, 1).encode();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let accepted =
                Certificate::decode(&bad).is_ok_and(|found| found.verify_signature().is_ok());
            assert!(!accepted, "byte {at}");
            assert!(Certificate::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(Certificate::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn lengths_are_bounded() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let issued = Certificate::issue(LIBRARY, device(2), &long, &key(1), 0);
        assert_eq!(issued, Err(CertError::NameTooLong { found: MAX_TEXT_BYTES + 1 }));
        let longest = "x".repeat(MAX_TEXT_BYTES);
        let mut certificate =
            Certificate::issue(LIBRARY, device(2), &longest, &key(1), u64::MAX).unwrap();
        certificate.later = vec![0; MAX_TEXT_BYTES];
        assert!(certificate.encode().len() <= MAX_CERT_BYTES);
        certificate.name.push('x');
        assert!(matches!(
            Certificate::decode(&certificate.encode()),
            Err(CertError::Codec(CodecError::TooLarge { .. }))
        ));
    }

    #[test]
    fn only_members_let_others_in() {
        let mut roster = Roster::new(cert(1, 1)).unwrap();
        assert_eq!(roster.admit(cert(2, 1)), Ok(true));
        assert_eq!(roster.admit(cert(2, 1)), Ok(false));
        let unknown = CertError::UnknownIssuer { device: device(4), issued_by: device(3) };
        assert_eq!(roster.admit(cert(4, 3)), Err(unknown));
        let second = CertError::SecondRoot { device: device(5), root: device(1) };
        assert_eq!(roster.admit(cert(5, 5)), Err(second));

        let mut forged = cert(6, 3);
        forged.issued_by = device(1);
        let bad = CertError::BadSignature { device: device(6), issued_by: device(1) };
        assert_eq!(roster.admit(forged), Err(bad));

        let elsewhere = LibraryId(Uuid::from_u128(8));
        let other = Certificate::issue(elsewhere, device(7), "x", &key(1), 0).unwrap();
        assert!(matches!(roster.admit(other), Err(CertError::WrongLibrary { .. })));
        assert_eq!(roster.len(), 2);
        assert!(matches!(Roster::new(cert(2, 1)), Err(CertError::NoRoot)));
    }

    #[test]
    fn a_second_certificate_of_a_member_is_not_kept() {
        let mut roster = Roster::new(cert(1, 1)).unwrap();
        roster.admit_all(vec![cert(2, 1), cert(3, 2)]);
        assert_eq!(roster.admit(cert(2, 3)), Ok(false));
        assert_eq!(roster.get(&device(2)).unwrap().issued_by, device(1));
    }

    #[test]
    fn order_does_not_matter() {
        let chain = vec![cert(5, 4), cert(4, 3), cert(9, 8), cert(3, 2), cert(2, 1), cert(1, 1)];
        let mut roster = Roster::new(cert(1, 1)).unwrap();
        let admitted = roster.admit_all(chain.clone());
        assert_eq!(admitted.new, [2, 3, 4, 5].map(device));
        assert_eq!(admitted.left.len(), 1);
        assert_eq!(admitted.left[0].0.device, device(9));

        assert!(Roster::from_certificates(LIBRARY, chain.clone()).is_err());
        let whole: Vec<_> = chain.into_iter().filter(|c| c.device != device(9)).collect();
        let mut turned = whole.clone();
        turned.reverse();
        let roster = Roster::from_certificates(LIBRARY, whole).unwrap();
        assert_eq!(Ok(&roster), Roster::from_certificates(LIBRARY, turned).as_ref());
        assert_eq!((roster.root(), roster.len()), (device(1), 5));
    }

    #[test]
    fn the_roster_has_a_bound() {
        let mut roster = Roster::new(cert(1, 1)).unwrap();
        let mut template = cert(2, 1);
        for n in 1..MAX_CERTS {
            template.device.0[..8].copy_from_slice(&n.to_le_bytes());
            roster.certificates.insert(template.device, template.clone());
        }
        assert_eq!(roster.admit(cert(3, 1)), Err(CertError::Full { device: device(3) }));
        assert_eq!(roster.admit(cert(1, 1)), Ok(false));
    }
}
