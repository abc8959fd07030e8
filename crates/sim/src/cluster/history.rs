//! What the world has seen of the cluster: what was answered, what was shown, who led, and who voted for whom.

use std::collections::{BTreeMap, BTreeSet};

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex};

use super::places::Place;

/// A record's own number: nobody sends two records of one number, but one may be sent twice.
pub(super) type RecordId = u64;

/// Where a record is.
pub(super) type Spot = (Place, Offset);

/// All that clients know, and who led.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Answered with acks=all.
    pub(super) acked: BTreeMap<RecordId, Spot>,
    /// Read by a consumer.
    pub(super) shown: BTreeMap<Spot, RecordId>,
    /// Sent by producers that are not to write anything twice.
    pub(super) idempotent: BTreeSet<RecordId>,
    /// Up to where records were deleted, at somebody's word.
    pub(super) deleted: BTreeMap<Place, Offset>,
    /// Topics whose creation was answered.
    pub(super) created: BTreeSet<PartitionIndex>,
    /// Which process of which node led each epoch of each partition.
    pub(super) led: BTreeMap<(Place, LeaderEpoch), (BrokerId, u32)>,
    /// The largest high watermark that a process of a node has shown, by node, life and partition.
    pub(super) watermarks: BTreeMap<(BrokerId, u32, Place), Offset>,
    /// Which member led the metadata's Raft group in each term.
    pub(super) raft_leaders: BTreeMap<u64, u64>,
    /// Whom each member voted for in each term.
    pub(super) votes: BTreeMap<(u64, u64), u64>,
    /// How far each member's log goes, as it last said: the term of the leader that it told, and the entry.
    pub(super) stored: BTreeMap<u64, (u64, u64)>,
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
