//! The laws of the merge, over random causal histories, over all small ones, and over the cases that
//! people meet.

mod cases;
mod exhaustive;
mod fold;
mod interleavings;
mod random;
mod world;
