//! What the world has seen of the cluster: what was answered, and what was shown.

use std::collections::BTreeMap;

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex};

/// A record's own number: nobody sends two records of one number, but one may be sent twice.
pub(super) type RecordId = u64;

/// Where a record is.
pub(super) type Place = (PartitionIndex, Offset);

/// All that clients know, and who led.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Answered with acks=all.
    pub(super) acked: BTreeMap<RecordId, Place>,
    /// Read by a consumer.
    pub(super) shown: BTreeMap<Place, RecordId>,
    /// Sent by producers that are not to write anything twice.
    pub(super) idempotent: std::collections::BTreeSet<RecordId>,
    /// Which process of which node led each epoch of each partition.
    pub(super) led: BTreeMap<(PartitionIndex, LeaderEpoch), (BrokerId, u32)>,
    /// The largest high watermark that a process of a node has shown, by node, life and partition.
    pub(super) watermarks: BTreeMap<(BrokerId, u32, PartitionIndex), Offset>,
    /// The first broken promise that was seen while it happened.
    pub(super) broken: Option<String>,
}

impl History {
    /// Notes a broken promise, if it is the first.
    pub(super) fn broken(&mut self, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(what());
        }
    }
}
