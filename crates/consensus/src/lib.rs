//! One Raft group without I/O, clock or randomness: events go in, and what is to be done comes out in the order in which it must be done.
//!
//! Only this crate may use the Raft library. It keeps that library's contract (the order of sending,
//! persisting and applying, and what may not happen in between) in one place, so that the server and the simulator run the same code. The
//! driver owns the log, the disk, the clock and the network: see [`Member`].
//!
//! Sources: Ongaro, "Consensus: Bridging Theory and Practice" (2014): §3 the algorithm, §4 membership, §9.6 pre-vote, §10.2.1 a leader
//! that writes while it sends; raft-rs 0.7, `raw_node.rs`.

mod entry;
mod logger;
mod member;
mod membership;
mod said;
mod sound;
mod store;
#[cfg(test)]
mod tests;
mod work;

pub use entry::{Entry, Payload};
pub use member::{BadState, Member, NotTaken, Role, Saved, Settings, Standing};
pub use membership::{Change, Membership};
pub use raft::eraftpb::{Message, Snapshot};
pub use said::{Stored, Voted, stored, voted};
pub use store::SavedSnapshot;
pub use work::{Committed, Effect, HardState, Rest, Work};
