//! The node's record, write-ahead and metadata files: the only crate that opens them.
//!
//! A [`Storage`] holds all logs of a node; each [`PartitionLog`] appends through the one write-ahead log and
//! reads from its segments and its tail. Nothing here starts a thread or waits for anyone: `commit`,
//! `upkeep` and `retention` are called by those who drive it.

pub mod batch;
mod checkpoint;
mod chunk;
pub mod clean;
pub mod disk;
mod errors;
mod identity;
mod partition;
pub mod records;
pub mod snapshot;
mod storage;
pub mod vote;
mod wal;

pub use chunk::ChunkSlice;
pub use errors::{AppendError, CutError, Fatal, ReadError, StorageError, UpkeepError};
pub use partition::{Append, Appended, FileRange, LogConfig, PartitionLog, Piece, ReadOutcome, ReadRequest, Replicate, TimestampOffset};
#[cfg(feature = "mutations")]
pub use storage::Mutation;
pub use storage::{Pressure, Recovered, Storage, StorageOptions};
pub use wal::commit::Commit;
pub use wal::{Lsn, SyncClass};
pub use identity::{Identity, IdentityError};
