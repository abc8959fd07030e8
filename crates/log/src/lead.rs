//! What the broker asks of the storage beyond appends and reads.

use chronik_state::ids::{LeaderEpoch, LogId, Offset, TimestampMs};
use chronik_state::partition::epochs::EpochEnd;

use crate::errors::{AppendError, Fatal};
use crate::{Lsn, PartitionLog, Storage};
use crate::disk::Disk;

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pressure {
    pub urgent: bool,
    pub dirty: bool,
}

/// Why upkeep could not be done.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error("the disk is full")]
    Full,
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl Storage {
    pub fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    pub fn pressure(&self) -> Pressure {
        Pressure::default()
    }

    pub fn upkeep(&self, _now_ms: TimestampMs, _force: bool) -> Result<(), UpkeepError> {
        Ok(())
    }

    pub fn retention(&self, _now_ms: TimestampMs) -> Result<(), UpkeepError> {
        Ok(())
    }

    pub fn retain(&self, keep: impl Fn(LogId) -> bool) {
        self.logs.write().retain(|id, _| keep(*id));
    }

    pub fn delete(&self, id: LogId) -> Result<(), Fatal> {
        self.logs.write().remove(&id);
        Ok(())
    }

    pub fn disk(&self) -> &dyn Disk {
        self.shared.disk.as_ref()
    }

    pub fn close(&self, _now_ms: TimestampMs) -> Result<(), UpkeepError> {
        Ok(())
    }
}

impl PartitionLog {
    pub fn epoch_end_offset(&self, _epoch: LeaderEpoch) -> Option<EpochEnd> {
        None
    }

    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        None
    }

    pub fn advance_log_start(&self, _offset: Offset) -> Result<Lsn, AppendError> {
        Ok(Lsn::default())
    }
}
