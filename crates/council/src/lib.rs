//! A node's seat in the metadata's Raft group: its log, its vote and its snapshots on a disk that is handed in, and what is on that disk
//! before what is said.
//!
//! Only this crate may carry out the rounds of a member (`chronik-consensus`), so that the server and the simulator do it in the same
//! order. It has no clock, no network, no threads and no runtime: time is an argument, messages go to whoever made the seat.
//!
//! ```text
//!   events ──▶ Council ──▶ messages                     docs/format.md has the bytes
//!                │  ├────▶ journal.rs: entries           the log LogId::METADATA
//!                │  ├────▶ the vote                      metadata/vote
//!                │  └────▶ snapshot.rs                   metadata/*.snapshot
//!                ▼
//!             Applied, decision by decision
//! ```

pub mod codec;
mod council;
pub mod decision;
mod journal;
mod open;
pub mod order;
pub mod snapshot;

pub use codec::CodecError;
pub use council::{Applied, Change, Council, CouncilError};
pub use journal::{Journal, JournalError, each_record, index_at, offset_of};
pub use open::{OpenError, Saved, Seat, check_whole, saved};
