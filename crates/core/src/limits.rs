//! Hard limits on everything that comes from outside, checked before allocation.

/// Bytes of a record key.
pub const MAX_KEY_BYTES: usize = 64;
/// Bytes of one text or blob value (1 MiB).
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Bytes of a change set's body before compression. One transaction writes at most this.
pub const MAX_BODY_BYTES: usize = 8 << 20;
/// Changes in one change set.
pub const MAX_CHANGES: usize = 100_000;
/// Fields of one model.
pub const MAX_FIELDS: usize = 256;
/// Dots that one change may name as seen or overwritten.
pub const MAX_DOTS: usize = 4_096;
/// Origins in a vector or in needs.
pub const MAX_ORIGINS: usize = 65_536;
/// Bytes of one envelope on the wire.
pub const MAX_FRAME_BYTES: usize = 12 << 20;
/// Bytes of one envelope's payload after decompression.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// Change sets in one `Changes` message.
pub const MAX_SETS: usize = 16_384;
/// Rows in one `Page`.
pub const MAX_PAGE_ROWS: usize = 16_384;
/// Bytes of a device name, an address or any other short text.
pub const MAX_TEXT_BYTES: usize = 1_024;
/// Certificates in one `Membership` message.
pub const MAX_CERTS: usize = 4_096;
/// Buckets in one answer of a reconcile.
pub const MAX_BUCKETS: usize = 1_024;
/// Keys in one `Recall` message.
pub const MAX_RECALLED: usize = 256;
/// Gaps in one `History` message.
pub const MAX_GAPS: usize = 1_024;
/// Versions that are handed over with one change set.
pub const MAX_ENDED: usize = 262_144;
/// Bytes of a change set that is handed over, with the versions that it ended: more of them are left out.
pub const MAX_PAST_SET_BYTES: usize = 11 << 20;
/// Greatest seq: more than a device writes in a hundred thousand years at a million a second, and
/// sums of a few of them are still numbers that every store can keep.
pub const MAX_SEQ: u64 = 1 << 61;
