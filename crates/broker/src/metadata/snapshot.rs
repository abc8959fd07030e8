//! Snapshots of the metadata: the image as records, so that the log before them can go.
//!
//! Taken on progress since the last one, never because some condition stays true. The file is whole on disk before the
//! log's start moves.

use std::sync::atomic::{AtomicI64, Ordering};

use chronik_log::snapshot::{self as snapshot_file, Snapshot, SnapshotError};
use chronik_state::ids::Offset;
use chronik_state::metadata::record::Record;
use tracing::{debug, warn};

use super::Metadata;
use super::codec::{self, CodecError};
use crate::node::Node;

/// Records behind the last snapshot that make another one due (`snapshot_min_interval_entries`).
const RECORDS_BETWEEN: i64 = 10_000;

/// When the last snapshot was taken.
pub(super) struct Snapshots {
    last_end_offset: AtomicI64,
}

impl Snapshots {
    pub(super) fn new(last_end_offset: Offset) -> Self {
        Snapshots { last_end_offset: AtomicI64::new(last_end_offset) }
    }
}

impl Metadata {
    /// Takes a snapshot if enough has happened since the last. Called by upkeep, which may wait for the disk.
    pub(crate) fn snapshot_if_due(&self, node: &Node) {
        let last = self.snapshots.last_end_offset.load(Ordering::Relaxed);
        if self.log.log_end_offset() - last < RECORDS_BETWEEN {
            return;
        }
        match self.snapshot(node) {
            Ok(end_offset) => debug!(end_offset, "metadata snapshot taken"),
            // The log is still whole; the next round tries again.
            Err(error) => warn!("a metadata snapshot could not be taken: {error}"),
        }
    }

    pub(super) fn snapshot(&self, node: &Node) -> Result<Offset, SnapshotError> {
        // While this is held no decision is between the log and the image.
        let controller = self.controller.blocking_lock();
        let end_offset = self.log.log_end_offset();
        let image = controller.image().clone();
        drop(controller);
        let snapshot = Snapshot { end_offset, epoch: self.term, payload: encode(&image.to_records()) };
        snapshot_file::write(node.storage.disk(), &node.config.data_dir, &snapshot)?;
        self.snapshots.last_end_offset.store(end_offset, Ordering::Relaxed);
        if let Err(error) = self.log.advance_log_start(end_offset) {
            warn!("the metadata log before offset {end_offset} could not be let go: {error}");
        }
        Ok(end_offset)
    }
}

/// Each record behind its length.
fn encode(records: &[Record]) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut bytes = Vec::new();
    for record in records {
        bytes.clear();
        codec::encode(record, &mut bytes);
        payload.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        payload.extend_from_slice(&bytes);
    }
    payload
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(mut payload: &[u8]) -> Result<Vec<Record>, CodecError> {
    let mut records = Vec::new();
    while let Some((length, rest)) = payload.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let bytes = rest.get(..length).ok_or_else(|| CodecError::Malformed("a record is cut short".to_owned()))?;
        records.push(codec::decode(bytes)?);
        payload = &rest[length..];
    }
    match payload.is_empty() {
        true => Ok(records),
        false => Err(CodecError::Malformed("there are bytes behind the last record".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronik_state::metadata::record::{ClusterRecord, ProducerIdsRecord};

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let records = vec![
            Record::Cluster(ClusterRecord { cluster_id: "c".into() }),
            Record::ProducerIds(ProducerIdsRecord { broker_id: -1, next: 7 }),
        ];
        let payload = encode(&records);
        assert_eq!(decode(&payload), Ok(records));
        assert_eq!(decode(&[]), Ok(vec![]));
        for length in 1..payload.len() {
            // Cut between records it is shorter, cut anywhere else it is refused.
            assert!(decode(&payload[..length]).map_or(true, |cut| cut.len() == 1), "cut to {length}");
        }
    }
}
