//! The system's randomness.

use crate::error::Error;

/// Fresh random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A fresh random number.
pub(crate) fn seed() -> Result<u64, Error> {
    bytes().map(u64::from_le_bytes)
}
