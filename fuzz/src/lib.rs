//! Five fuzz targets: each takes bytes that nobody vouches for through one door of the server, as deep as it goes, and
//! panics when a promise is broken. An engine drives them (`cargo xtask fuzz`), or a replay of what it found.

mod archive;
pub mod batches;
pub mod config;
mod forge;
mod lives;
mod memory;
mod random;
mod seeds;
pub mod requests;
pub mod segments;
mod storage;
pub mod wal;

pub use memory::{Limits, count_panics, within_bounds};

/// A target: its name, what it may allocate, and what it does with an input.
pub struct Target {
    /// As on the command line, and of its corpus.
    pub name: &'static str,
    /// Memory that one input may take.
    pub limits: Limits,
    /// Panics if an input breaks a promise.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "requests", limits: requests::LIMITS, run: requests::run, seeds: requests::seeds },
    Target { name: "batches", limits: batches::LIMITS, run: batches::run, seeds: batches::seeds },
    Target { name: "wal", limits: wal::LIMITS, run: wal::run, seeds: wal::seeds },
    Target { name: "segments", limits: segments::LIMITS, run: segments::run, seeds: segments::seeds },
    Target { name: "config", limits: config::LIMITS, run: config::run, seeds: config::seeds },
];

/// The engine's own mutation of `size` bytes in a buffer of `size_max`: the new size is returned.
pub type Plain = fn(&mut [u8], usize, usize) -> usize;
