//! Snapshots of the metadata: the image as records, so that the log before them can go.
//!
//! Taken on progress since the last one, never because some condition stays true. The file is whole on disk before the
//! log's start moves.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chronik_consensus::{Membership, SavedSnapshot};
use chronik_log::disk::Disk;
use chronik_log::snapshot::{self as snapshot_file, Snapshot, SnapshotError};
use chronik_state::ids::LeaderEpoch;
use chronik_state::metadata::record::Record;
use tracing::{debug, warn};

use super::Metadata;
use super::journal::{index_at, offset_of};
use crate::config::{Config, SnapshotCompression};
use crate::node::Node;

/// Payloads larger than this are worth compressing.
const COMPRESSED_FROM_BYTES: usize = 4096;
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
    pub(crate) fn snapshot_if_due(&self, node: &Node) {
        let last = self.snapshots.last_index.load(Ordering::Relaxed);
        if self.applied_index() < last + self.snapshots.entries_between {
            return;
        }
        let grown = self.applied_bytes.load(Ordering::Relaxed) - self.snapshots.last_bytes.load(Ordering::Relaxed);
        if grown < self.snapshots.bytes_between {
            return;
        }
        match self.snapshot(node) {
            Ok(index) => debug!(index, "metadata snapshot taken"),
            // The log is still whole; the next round tries again.
            Err(error) => warn!("a metadata snapshot could not be taken: {error}"),
        }
    }

    pub(super) fn snapshot(&self, node: &Node) -> Result<u64, SnapshotError> {
        let mut council = self.council.blocking_lock();
        let Some(snapshot) = council.compact(ENTRIES_KEPT) else { return Ok(council.applied_index()) };
        // Held to the end: a snapshot from a leader must not come in between.
        write(node.storage.disk(), &node.config.data_dir, &snapshot, compresses(&node.config))?;
        self.snapshots.last_index.store(snapshot.index, Ordering::Relaxed);
        self.snapshots.last_bytes.store(council.applied_bytes(), Ordering::Relaxed);
        if let Err(error) = council.journal.log().advance_log_start(offset_of(snapshot.index) + 1) {
            warn!("the metadata log before entry {} could not be let go: {error}", snapshot.index + 1);
        }
        Ok(snapshot.index)
    }
}

/// Whether the node's configuration wants snapshots compressed; one that is alone has none, and wants it.
pub(super) fn compresses(config: &Config) -> bool {
    config.cluster.as_ref().is_none_or(|cluster| cluster.snapshot_compression == SnapshotCompression::Zstd)
}

/// Writes a snapshot with the membership in front of its records.
pub(super) fn write(
    disk: &dyn Disk,
    data_directory: &Path,
    snapshot: &SavedSnapshot,
    compress: bool,
) -> Result<(), SnapshotError> {
    let membership = snapshot.membership.encode();
    let file = Snapshot {
        end_offset: offset_of(snapshot.index) + 1,
        epoch: snapshot.term as LeaderEpoch,
        membership: Some(membership),
        payload: snapshot.data.to_vec(),
    };
    // What is small fits into a block of the disk either way.
    snapshot_file::write(disk, data_directory, &file, compress && file.payload.len() > COMPRESSED_FROM_BYTES)
}

/// The newest one, and nothing where none was written since the log has been one of a Raft group.
pub(super) fn read(file: &Snapshot) -> Option<Result<SavedSnapshot, String>> {
    let membership = Membership::decode(file.membership.as_deref()?).map_err(|error| error.to_string());
    Some(membership.map(|membership| SavedSnapshot {
        index: index_at(file.end_offset - 1),
        term: file.epoch as u64,
        membership,
        data: Bytes::copy_from_slice(&file.payload),
    }))
}

/// Whether a Raft group has begun in this directory, or the directory has been taken into one.
pub(crate) fn has_founded(disk: &dyn Disk, data_directory: &Path) -> Result<bool, SnapshotError> {
    Ok(snapshot_file::read_latest(disk, data_directory)?.is_some_and(|file| file.membership.is_some()))
}

/// Writes what a group begins with on this member.
pub(crate) fn write_founding(
    disk: &dyn Disk,
    data_directory: &Path,
    records: &[Record],
    founding: impl FnOnce(Bytes) -> SavedSnapshot,
) -> Result<(), SnapshotError> {
    write(disk, data_directory, &founding(super::decision::encode(records).into()), false)
}
