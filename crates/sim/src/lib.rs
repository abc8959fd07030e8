//! A faked world: disks that lose, tear, rot and fill up, and the checks that live through it.
//!
//! Everything is determined by a seed: `cargo run --release -p chronik-sim -- replay SEED` shows what happened.

pub mod cluster;
pub mod crash;
pub mod disk;
pub mod model;
pub mod random;
