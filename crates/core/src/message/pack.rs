//! Compression of payloads, with contexts that are kept: making one costs more than packing a small
//! message with it.

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::codec::CodecError;

/// The fastest level: links are faster than any of the others.
const LEVEL: i32 = 1;
const FAILED: CodecError = CodecError::Compression("a message");

// A context carries nothing from one message to the next: the same payload gives the same bytes,
// whatever was packed before it.
thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The payload in fewer bytes.
pub(super) fn pack(payload: &[u8]) -> Result<Vec<u8>, CodecError> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(Compressor::new(LEVEL).map_err(|_| FAILED)?),
        };
        context.compress(payload).map_err(|_| FAILED)
    })
}

/// The payload that was packed, which must be of `raw` bytes; no more are allocated.
pub(super) fn unpack(packed: &[u8], raw: usize) -> Result<Bytes, CodecError> {
    let payload = DECOMPRESSOR.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(Decompressor::new().map_err(|_| FAILED)?),
        };
        context.decompress(packed, raw).map_err(|_| FAILED)
    })?;
    if payload.len() == raw { Ok(payload.into()) } else { Err(FAILED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_before_changes_nothing() {
        let (one, other) = (b"to be or not to be ".repeat(50), b"that is the question ".repeat(90));
        let first = pack(&one).unwrap();
        assert_eq!(unpack(&pack(&other).unwrap(), other.len()).unwrap(), other);
        assert_eq!(pack(&one).unwrap(), first);
        assert_eq!(unpack(&first, one.len()).unwrap(), one);
    }

    #[test]
    fn a_context_that_met_damage_goes_on_working() {
        let payload = b"to be or not to be ".repeat(50);
        let packed = pack(&payload).unwrap();
        assert_eq!(unpack(&packed[..packed.len() / 2], payload.len()), Err(FAILED));
        assert_eq!(unpack(&packed, payload.len() - 1), Err(FAILED));
        assert_eq!(unpack(&packed, payload.len() + 1), Err(FAILED));
        assert_eq!(unpack(&packed, payload.len()).unwrap(), payload);
    }
}
