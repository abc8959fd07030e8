//! Snapshots of the metadata as files: the image as records, with the group's membership in front of them.

use std::path::Path;

use bytes::Bytes;
use chronik_consensus::{Membership, SavedSnapshot};
use chronik_log::disk::Disk;
use chronik_log::snapshot::{self as snapshot_file, Snapshot, SnapshotError};
use chronik_state::ids::LeaderEpoch;
use chronik_state::metadata::record::Record;

use crate::decision;
use crate::journal::{index_at, offset_of};

/// Payloads larger than this are worth compressing.
const COMPRESSED_FROM_BYTES: usize = 4096;

/// Writes a snapshot; it is on disk when this returns.
///
/// # Errors
/// The snapshot before is still there then.
pub fn write(
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

/// A file as a snapshot; nothing if it was written before the log was that of a Raft group.
pub(crate) fn read(file: &Snapshot) -> Option<Result<SavedSnapshot, String>> {
    let membership = Membership::decode(file.membership.as_deref()?).map_err(|error| error.to_string());
    Some(membership.map(|membership| SavedSnapshot {
        index: index_at(file.end_offset - 1),
        term: file.epoch as u64,
        membership,
        data: Bytes::copy_from_slice(&file.payload),
    }))
}

/// Whether a Raft group has begun in this directory, or the directory has been taken into one.
///
/// # Errors
/// What the disk said.
pub fn has_founded(disk: &dyn Disk, data_directory: &Path) -> Result<bool, SnapshotError> {
    Ok(snapshot_file::read_latest(disk, data_directory)?.is_some_and(|file| file.membership.is_some()))
}

/// Writes what a group begins with on this member.
///
/// # Errors
/// What the disk said.
pub fn write_founding(
    disk: &dyn Disk,
    data_directory: &Path,
    records: &[Record],
    founding: impl FnOnce(Bytes) -> SavedSnapshot,
) -> Result<(), SnapshotError> {
    write(disk, data_directory, &founding(decision::encode(records).into()), false)
}
