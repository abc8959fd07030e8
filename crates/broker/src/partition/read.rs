//! What a reader gets of a partition, and when it has to be told that it asks the wrong one.
//!
//! Readers see what is below the high watermark of the replica that they read, be it the leader's or a follower's, whose own is
//! never above what is committed (KIP-392).
//!
//! Rules: `ReplicaManager.readFromLog` of Apache Kafka; KIP-101, KIP-320 and KIP-595 for epochs, KIP-74 for sizes.

use chronik_log::{Piece, ReadError, ReadRequest};
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};

use super::Partition;
use super::role::Role;

/// What a reader wants of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) offset: Offset,
    /// The most bytes of this partition.
    pub(crate) bytes_max: usize,
    /// The epoch the reader believes in; −1 where it does not say.
    pub(crate) current_leader_epoch: LeaderEpoch,
    /// The epoch of the record before `offset`; −1 where it does not say.
    pub(crate) last_fetched_epoch: LeaderEpoch,
    /// The reader's protocol knows that followers may be read.
    pub(crate) of_any_replica: bool,
}

/// What it got.
pub(crate) struct Given {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) bytes: usize,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
    /// Where the reader's log leaves this one: epoch and end offset.
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
    /// Who is nearer to the reader, and to be asked instead.
    pub(crate) preferred: Option<BrokerId>,
}

/// Why it got nothing.
#[derive(Debug)]
pub(crate) enum NotGiven {
    /// The reader's epoch is behind: it must refresh its metadata.
    FencedLeaderEpoch,
    /// The reader knows an epoch that this node does not yet.
    UnknownLeaderEpoch,
    /// Another node is to be asked, and metadata says which.
    NotLeaderOrFollower,
    /// A follower that may be behind: it will come, or the leader knows why not (KAFKA-14255).
    NotHereYet,
    Log(ReadError),
}

impl Partition {
    /// Compares the epoch that a client believes in with ours (KIP-320).
    pub(crate) fn check_epoch(&self, believed: LeaderEpoch) -> Result<(), NotGiven> {
        compare_epochs(believed, self.leader_epoch())
    }

    /// May it be read here? True if this node leads.
    fn check_reader(&self, wanted: Wanted) -> Result<bool, NotGiven> {
        let role = self.role.lock();
        compare_epochs(wanted.current_leader_epoch, role.leader_epoch())?;
        match &*role {
            Role::Leader(_) => Ok(true),
            Role::Follower(_) if wanted.of_any_replica => Ok(false),
            Role::Follower(_) | Role::Nobody { .. } => Err(NotGiven::NotLeaderOrFollower),
        }
    }

    /// Reads whole batches below the high watermark. `must_advance`: the first batch comes even if it is larger than wanted.
    pub(crate) fn read(&self, wanted: Wanted, must_advance: bool, now_ms: i64) -> Result<Given, NotGiven> {
        let leads = self.check_reader(wanted)?;
        // Before the read: a reader must not learn of a high watermark that its records do not go up to.
        let high_watermark = self.high_watermark();
        let log_start_offset = self.log.log_start_offset();
        let diverging = self.divergence(wanted, log_start_offset).map_err(NotGiven::Log)?;
        let mut given = Given { pieces: Vec::new(), bytes: 0, high_watermark, log_start_offset, diverging, preferred: None };
        if given.diverging.is_none() {
            let request = ReadRequest {
                offset: wanted.offset,
                max_bytes: wanted.bytes_max,
                end_offset: high_watermark,
                at_least_one: must_advance,
                now_ms,
            };
            let outcome = self.log.read(request).map_err(|error| match error {
                ReadError::OffsetOutOfRange { offset, log_end_offset, .. } if !leads && offset > log_end_offset => NotGiven::NotHereYet,
                error => NotGiven::Log(error),
            })?;
            given.pieces = outcome.pieces;
            given.bytes = outcome.bytes;
        }
        Ok(given)
    }

    /// Where the reader's log leaves this one. Of an epoch that this log knows nothing of that cannot be said, and not before its start:
    /// both are out of range, as in `Partition.readRecords` of Apache Kafka.
    fn divergence(&self, wanted: Wanted, log_start_offset: Offset) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
        if wanted.last_fetched_epoch < 0 {
            return Ok(None);
        }
        let known = self.log.epoch_end_offset(wanted.last_fetched_epoch).filter(|_| wanted.offset >= log_start_offset);
        let end = known.ok_or_else(|| ReadError::OffsetOutOfRange {
            offset: wanted.offset,
            log_start_offset,
            log_end_offset: self.log.log_end_offset(),
        })?;
        let diverges = end.epoch < wanted.last_fetched_epoch || end.end_offset < wanted.offset;
        Ok(diverges.then_some((end.epoch, end.end_offset)))
    }
}

fn compare_epochs(believed: LeaderEpoch, known: LeaderEpoch) -> Result<(), NotGiven> {
    match believed.cmp(&known) {
        _ if believed < 0 => Ok(()),
        std::cmp::Ordering::Less => Err(NotGiven::FencedLeaderEpoch),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(NotGiven::UnknownLeaderEpoch),
    }
}
