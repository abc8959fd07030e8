//! Whole clusters in one thread: the real machines of `chronik-state`, the real logs of `chronik-log` and the real Raft group of
//! `chronik-council` on faked disks, a faked network and a virtual clock, all determined by a seed.
//!
//! ```text
//!   clients ──▶ nodes (replica.rs: machine + log) ◀──▶ network        faults
//!                  ▲ roles    │ registrations, heartbeats, proposals      │
//!                  │          ▼                                           ▼
//!               seat.rs: the council of the metadata's Raft group      checkers/
//! ```
//! What a node asks of the metadata leader goes through the network, and so do the messages of the group, in any order.

mod agreed;
mod checkers;
mod coordinator;
mod history;
mod outcome;
mod places;
pub mod replica;
mod requests;
mod seat;
mod world;

pub use outcome::{Outcome, Plan, Statistics};
pub use world::{missed, order_missed, run, run_traced};
