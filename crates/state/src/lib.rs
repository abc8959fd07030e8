//! Every rule that can lose data or divide a cluster, as machines without I/O, clock, randomness or threads.
//!
//! Time is an argument, maps are ordered, nothing is logged. The broker drives these machines; the
//! simulator drives the very same code through bad days.
#![cfg_attr(not(test), no_std)]
extern crate alloc;

pub mod fetch_session;
pub mod group;
pub mod health;
pub mod ids;
pub mod metadata;
pub mod partition;
pub mod rule;
mod snapshot;

pub use snapshot::SnapshotError;
