//! Errors by operation: each says what the caller can do.

use std::io;
use std::path::{Path, PathBuf};

use chronik_state::ids::Offset;

use chronik_state::partition::producers::ProducerError;

use crate::disk::is_full;
use crate::wal::ReserveError;

/// The storage has stopped for good: what is on disk can no longer be known. The node must end; the next start
/// reads what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("storage has stopped: {0}")]
pub struct Fatal(String);

impl Fatal {
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        Fatal(format!("{doing} {} failed: {error}", path.display()))
    }

    pub(crate) fn removing(path: &Path, error: &UpkeepError) -> Self {
        match error {
            UpkeepError::Fatal(fatal) => fatal.clone(),
            UpkeepError::Full => Fatal(format!("removing {} failed: {error}", path.display())),
        }
    }

    pub(crate) fn damaged(error: &ReadError) -> Self {
        Fatal(error.to_string())
    }
}

/// Why an append was refused. Nothing of it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk is full; appends work again by themselves when it is not.
    #[error("the disk is full")]
    Full,
    /// The log has been deleted.
    #[error("the log has been deleted")]
    Deleted,
    /// The producer's epoch or sequence does not fit (KIP-98).
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// See [`Fatal`].
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl From<ReserveError> for AppendError {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Full => AppendError::Full,
            ReserveError::Fatal(fatal) => AppendError::Fatal(fatal),
        }
    }
}

/// Why a change of where a log starts or ends was refused.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The offset is before the log's start or after its end.
    #[error("offset {offset} is outside {log_start_offset}..={log_end_offset}")]
    OffsetOutOfRange { offset: Offset, log_start_offset: Offset, log_end_offset: Offset },
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The log has been deleted.
    #[error("the log has been deleted")]
    Deleted,
    /// What is to be kept cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// See [`Fatal`].
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl From<ReserveError> for CutError {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Full => CutError::Full,
            ReserveError::Fatal(fatal) => CutError::Fatal(fatal),
        }
    }
}

/// Why upkeep could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpkeepError {
    /// The disk is full: appends are refused until there is space. Upkeep tries again.
    #[error("the disk is full")]
    Full,
    /// See [`Fatal`].
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl From<ReserveError> for UpkeepError {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Full => UpkeepError::Full,
            ReserveError::Fatal(fatal) => UpkeepError::Fatal(fatal),
        }
    }
}

impl UpkeepError {
    /// A full disk passes; any other failed write means that the disk cannot be trusted any more.
    pub(crate) fn of(doing: &str, path: &Path, error: &io::Error) -> Self {
        if is_full(error) { UpkeepError::Full } else { Fatal::io(doing, path, error).into() }
    }
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is before the log's start or after its end.
    #[error("offset {offset} is outside {log_start_offset}..={log_end_offset}")]
    OffsetOutOfRange { offset: Offset, log_start_offset: Offset, log_end_offset: Offset },
    /// The bytes on disk are not what was written. They are never handed out.
    #[error("{} is damaged at byte {position}: {what}", path.display())]
    Corrupt { path: PathBuf, position: u64, what: String },
    /// The log has been deleted.
    #[error("the log has been deleted")]
    Deleted,
    /// The disk failed.
    #[error("reading {} failed: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Why storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has the data directory.
    #[error("{} is in use by another process", path.display())]
    Locked { path: PathBuf },
    /// Records that were acknowledged can no longer be read: not a torn tail, which a crash leaves and recovery cuts.
    #[error("{} is damaged at byte {position}: {what}; refusing to start, as acknowledged records would be lost (restore the file, or replace this node's data from a replica or a backup)", path.display())]
    Damaged { path: PathBuf, position: u64, what: String },
    /// There was a log here once.
    #[error(
        "{} has been a node's data directory, and its log is gone: neither `checkpoint` nor a file of `wal` is there\n\n\
         Started like this, the node would have lost every record, and the other nodes would still count on it to have them. \
         Nothing was touched.\n\n\
         Fix: mount or restore what is missing; or, to begin anew as a node with a new disk, give it an empty data directory",
        path.display()
    )]
    Lost { path: PathBuf },
    /// The storage stopped while it was opened.
    #[error("{0}")]
    Stopped(String),
    /// The disk failed, or refused.
    #[error("{doing} {} failed: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl StorageError {
    /// For `map_err`: what was being done to which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        let path = path.to_owned();
        move |source| StorageError::Io { doing, path, source }
    }
}
