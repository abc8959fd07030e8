//! When snapshots of the metadata are taken: on progress since the last one, never because some condition stays true. What is
//! in one, and what is on disk before what: `chronik_council::snapshot`.

use std::sync::atomic::{AtomicU64, Ordering};

use chronik_log::snapshot::SnapshotError;
use tracing::{debug, warn};

use super::Metadata;
use crate::config::{Config, SnapshotCompression};
use crate::metrics::SnapshotMetrics;

/// Entries in memory behind a snapshot, for members that are a little behind.
const ENTRIES_KEPT: u64 = 1000;

/// When the last snapshot was taken.
pub(super) struct Snapshots {
    last_index: AtomicU64,
    /// What of the log this process had applied by then.
    last_bytes: AtomicU64,
    entries_between: u64,
    bytes_between: u64,
}

impl Snapshots {
    /// One is due when the log has grown by so many entries, and by so many bytes.
    pub(super) fn new(last_index: u64, entries_between: u64, bytes_between: u64) -> Self {
        let (last_index, last_bytes) = (AtomicU64::new(last_index), AtomicU64::new(0));
        Snapshots { last_index, last_bytes, entries_between, bytes_between }
    }
}

impl Metadata {
    /// Takes a snapshot if enough has happened since the last. Called by upkeep, which may wait for the disk.
    pub(crate) fn snapshot_if_due(&self, counted: &SnapshotMetrics) {
        let last = self.snapshots.last_index.load(Ordering::Relaxed);
        if self.applied_index() < last + self.snapshots.entries_between {
            return;
        }
        let grown = self.applied_bytes.load(Ordering::Relaxed) - self.snapshots.last_bytes.load(Ordering::Relaxed);
        if grown < self.snapshots.bytes_between {
            return;
        }
        match self.snapshot(counted) {
            Ok(index) => debug!(index, "metadata snapshot taken"),
            // The log is still whole; the next round tries again.
            Err(error) => warn!("a metadata snapshot could not be taken: {error}"),
        }
    }

    pub(super) fn snapshot(&self, counted: &SnapshotMetrics) -> Result<u64, SnapshotError> {
        // Held to the end: a snapshot from a leader must not come in between.
        let mut council = self.council.blocking_lock();
        let Some(index) = council.snapshot(ENTRIES_KEPT)? else { return Ok(council.applied_index()) };
        self.snapshots.last_index.store(index, Ordering::Relaxed);
        counted.taken.add(1);
        counted.last_bytes.store(council.snapshot_bytes(), Ordering::Relaxed);
        self.snapshots.last_bytes.store(council.applied_bytes(), Ordering::Relaxed);
        Ok(index)
    }
}

/// Whether the node's configuration wants snapshots compressed; one that is alone has none, and wants it.
pub(super) fn compresses(config: &Config) -> bool {
    config.cluster.as_ref().is_none_or(|cluster| cluster.snapshot_compression == SnapshotCompression::Zstd)
}
