//! One promise a file. Each looks at the history and at the nodes that run, and says what is broken.
//!
//! That everything heals, and serves within a bound of time, the world itself sees: it waits for it.

mod acked_is_kept;
mod idempotent_once;
mod in_sync_covers_the_commit;
mod logs_match;
mod metadata_is_alike;
mod one_leader_per_epoch;
mod shown_is_kept;
mod watermark_stays;

use std::collections::BTreeMap;

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex};
use chronik_state::metadata::{Image, Partition};

use super::history::{History, RecordId};

pub(super) use one_leader_per_epoch::note_leader;
pub(super) use watermark_stays::note_watermark;

/// What a replica holds: each record with the epoch it was written in.
pub(super) type Records = BTreeMap<Offset, (LeaderEpoch, RecordId)>;

/// A replica on a node that runs.
pub(super) struct ReplicaView {
    /// What it holds.
    pub(super) records: Records,
    /// One past what its readers see.
    pub(super) high_watermark: Offset,
}

/// The cluster at one moment.
pub(super) struct View<'a> {
    /// What clients know.
    pub(super) history: &'a History,
    /// What each running node knows of that, and how many decisions of it.
    pub(super) known: BTreeMap<BrokerId, (&'a Image, usize)>,
    /// Of running nodes.
    pub(super) replicas: BTreeMap<(PartitionIndex, BrokerId), ReplicaView>,
    /// What is agreed of each partition.
    pub(super) partitions: Vec<(PartitionIndex, &'a Partition)>,
    /// Everything has healed: all that holds at the end has to hold.
    pub(super) at_the_end: bool,
}

type Checker = fn(&View) -> Result<(), String>;

const CHECKERS: [(&str, Checker); 6] = [
    ("what was acknowledged is kept", acked_is_kept::check),
    ("what was shown is kept", shown_is_kept::check),
    ("logs match up to the high watermark", logs_match::check),
    ("the in-sync set covers the commit", in_sync_covers_the_commit::check),
    ("an idempotent producer's record is there once", idempotent_once::check),
    ("the metadata is alike everywhere", metadata_is_alike::check),
];

/// The first broken promise.
pub(super) fn check(view: &View) -> Result<(), String> {
    if let Some(broken) = &view.history.broken {
        return Err(broken.clone());
    }
    CHECKERS.iter().try_for_each(|(name, check)| check(view).map_err(|what| format!("{name}: {what}")))
}

impl View<'_> {
    /// The log of the partition's leader, if it runs.
    fn leader_log(&self, partition: PartitionIndex) -> Option<&Records> {
        let (_, agreed) = self.partitions.iter().find(|(index, _)| *index == partition)?;
        Some(&self.replicas.get(&(partition, agreed.leader))?.records)
    }
}
