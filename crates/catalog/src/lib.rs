//! The file catalogue of Driftless: what is on a device's drives, as records of a library.

pub mod scan;
