//! Whole clusters in one thread: the real machines of `chronik-state` and the real logs of `chronik-log` on faked disks, a
//! faked network and a virtual clock, all determined by a seed.
//!
//! ```text
//!   workload ──▶ nodes (replica.rs: machine + log) ◀──▶ network     faults
//!                  │ registrations, proposals, heartbeats               │
//!                  ▼                                                     ▼
//!               metadata.rs: the controller machine and its log      checkers/
//! ```
//! The metadata log is an oracle so far: it is linear, it answers late or not at all, and whoever reads it is behind. What
//! decides is the real controller. Raft takes its place behind the same three calls.

mod checkers;
mod history;
mod metadata;
mod outcome;
pub mod replica;
mod world;

pub use outcome::{Outcome, Plan, Statistics};
pub use world::{missed, run, run_traced};
