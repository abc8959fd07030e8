//! One promise a file. Each looks at the history and at the nodes that run, and says what is broken.
//!
//! Two promises the world itself sees: that everything heals and serves within a bound of time, for which it waits, and that the metadata
//! is applied alike everywhere and never undone (`agreed.rs`), which it compares decision by decision.

mod acked_is_kept;
mod created_is_kept;
mod deleted_at_a_word;
mod idempotent_once;
mod in_sync_covers_the_commit;
mod logs_match;
mod one_leader_per_epoch;
mod one_leader_per_term;
mod one_vote_per_term;
mod shown_is_kept;
mod stored_is_kept;
mod watermark_stays;

use std::collections::BTreeMap;

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::{Image, Partition};

use super::history::{History, RecordId};
use super::places::Place;
pub(super) use one_leader_per_epoch::note_leader;
pub(super) use one_leader_per_term::note_raft_leader;
pub(super) use one_vote_per_term::note_vote;
pub(super) use stored_is_kept::{check_stored, note_overruled, note_stored};
pub(super) use watermark_stays::note_watermark;

/// What a replica holds: each record with the epoch it was written in.
pub(super) type Records = BTreeMap<Offset, (LeaderEpoch, RecordId)>;

/// A replica on a node that runs.
pub(super) struct ReplicaView {
    /// What it holds.
    pub(super) records: Records,
    /// Where its log begins: what was before is deleted.
    pub(super) log_start_offset: Offset,
    /// One past what its readers see.
    pub(super) high_watermark: Offset,
}

/// The cluster at one moment.
pub(super) struct View<'a> {
    /// What clients know.
    pub(super) history: &'a History,
    /// The metadata that is agreed on.
    pub(super) agreed: &'a Image,
    /// Of running nodes.
    pub(super) replicas: BTreeMap<(Place, BrokerId), ReplicaView>,
    /// What is agreed of each partition.
    pub(super) partitions: Vec<(Place, &'a Partition)>,
    /// Everything has healed: all that holds at the end has to hold.
    pub(super) at_the_end: bool,
}

type Checker = fn(&View) -> Result<(), String>;

const CHECKERS: [(&str, Checker); 7] = [
    ("what was acknowledged is kept", acked_is_kept::check),
    ("what was shown is kept", shown_is_kept::check),
    ("a topic that was created is there", created_is_kept::check),
    ("records are deleted at somebody's word", deleted_at_a_word::check),
    ("logs match up to the high watermark", logs_match::check),
    ("the in-sync set covers the commit", in_sync_covers_the_commit::check),
    ("an idempotent producer's record is there once", idempotent_once::check),
];

/// The first broken promise.
pub(super) fn check(view: &View) -> Result<(), String> {
    if let Some(broken) = &view.history.broken {
        return Err(broken.clone());
    }
    CHECKERS.iter().try_for_each(|(name, check)| check(view).map_err(|what| format!("{name}: {what}")))
}

impl View<'_> {
    /// The partition's leader, if it runs.
    fn leader(&self, place: Place) -> Option<&ReplicaView> {
        let (_, agreed) = self.partitions.iter().find(|(index, _)| *index == place)?;
        self.replicas.get(&(place, agreed.leader))
    }
}
