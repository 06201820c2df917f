//! Random work on the store and on the reference store in memory: they must never differ.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod ops;
mod world;

use proptest::prelude::*;

use crate::ops::{SCHEMAS, op};
use crate::world::World;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_is_like_the_one_in_memory(
        schema in 0..SCHEMAS,
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(schema);
        for op in &ops {
            world.run(op);
            world.check();
        }
        world.check_all();
    }
}
