//! Writing checkpoints: rows for the logs that have changed, when everything they say is durable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik_state::ids::{LogId, TimestampMs};

use super::{Shared, Storage};
use crate::checkpoint::{CheckpointFile, GroupInfo, RowChange};
use crate::errors::UpkeepError;
use crate::partition::{PartitionLog, Unsynced};
use crate::wal::Lsn;

/// The checkpoint file, and where replay would start.
pub(crate) struct Checkpointer {
    file: CheckpointFile,
    replay_lsn: Lsn,
}

impl Checkpointer {
    pub(super) fn new(file: CheckpointFile, replay_lsn: Lsn) -> Self {
        Checkpointer { file, replay_lsn }
    }

    /// Writes an empty checkpoint if there is no file yet.
    pub(super) fn ensure_file(&mut self) -> io::Result<()> {
        if self.file.exists() {
            return Ok(());
        }
        self.file.rewrite(GroupInfo { replay_lsn: self.replay_lsn, clean: false }, &[])
    }

    /// Gives one log a new row, for someone who has just changed what replay could not repeat.
    pub(crate) fn write_one(&mut self, shared: &Shared, log: &PartitionLog, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        let mut unsynced = Unsynced::default();
        let row = log.capture(now_ms, &mut unsynced);
        let written = row.and_then(|row| {
            unsynced.sync(shared)?;
            shared.wal.sync_all()?;
            self.ensure_file().map_err(|error| self.error(shared, error))?;
            let rows: Vec<_> = row.into_iter().map(|row| RowChange::Set(Box::new(row))).collect();
            let info = GroupInfo { replay_lsn: self.replay_lsn, clean: false };
            self.file.append(info, &rows).map_err(|error| self.error(shared, error))
        });
        // It stays on the list of those that need a row; one too many does no harm.
        log.uncapture();
        written
    }

    fn write(&mut self, shared: &Shared, info: GroupInfo, rows: &[RowChange], all: bool) -> Result<(), UpkeepError> {
        let written = if all { self.file.rewrite(info, rows) } else { self.file.append(info, rows) };
        written.map_err(|error| self.error(shared, error))?;
        self.replay_lsn = info.replay_lsn;
        shared.checkpoint_lsn.store(info.replay_lsn, Ordering::Relaxed);
        Ok(())
    }

    fn error(&self, shared: &Shared, error: io::Error) -> UpkeepError {
        shared.upkeep_error("writing", self.file.path(), error)
    }
}

impl Storage {
    /// Moves everything to segments, syncs them, and writes down that replay may start behind it.
    pub(super) fn checkpoint(&self, now_ms: TimestampMs, clean: bool) -> Result<(), UpkeepError> {
        let shared = &self.shared;
        let mut checkpointer = shared.checkpointer.lock();
        checkpointer.ensure_file().map_err(|error| checkpointer.error(shared, error))?;
        // In this order: whoever gets a place before this is on the list already.
        let replay_lsn = shared.wal.appended_lsn();
        let (dirty, removed) = {
            let mut lists = shared.lists.lock();
            (std::mem::take(&mut lists.dirty), std::mem::take(&mut lists.removed))
        };
        let settled = dirty.len() + removed.len();
        let all = checkpointer.file.wants_rewrite();
        let logs = self.log_list(if all { self.log_ids() } else { dirty });
        let info = GroupInfo { replay_lsn, clean };
        let written = self.write_rows(&mut checkpointer, &logs, &removed, info, all, now_ms);
        shared.settled(settled);
        if let Err(error) = written {
            logs.iter().for_each(|log| log.uncapture());
            removed.into_iter().for_each(|id| shared.note_removed(id));
            return Err(error);
        }
        drop(checkpointer);
        Ok(shared.wal.recycle(replay_lsn)?)
    }

    fn write_rows(
        &self,
        checkpointer: &mut Checkpointer,
        logs: &[Arc<PartitionLog>],
        removed: &[LogId],
        info: GroupInfo,
        all: bool,
        now_ms: TimestampMs,
    ) -> Result<(), UpkeepError> {
        let mut unsynced = Unsynced::default();
        let mut rows: Vec<_> = removed.iter().copied().map(RowChange::Removed).collect();
        for log in logs {
            rows.extend(log.capture(now_ms, &mut unsynced)?.map(|row| RowChange::Set(Box::new(row))));
        }
        // A row may speak of entries after `replay_lsn`: they too must not be lost any more.
        self.shared.wal.sync_all()?;
        if self.lacks_segment_sync() {
            return checkpointer.write(&self.shared, info, &rows, all);
        }
        unsynced.sync(&self.shared)?;
        checkpointer.write(&self.shared, info, &rows, all)
    }

    #[cfg(feature = "mutations")]
    fn lacks_segment_sync(&self) -> bool {
        self.shared.options.lacks(super::Mutation::CheckpointBeforeSegments)
    }

    #[cfg(not(feature = "mutations"))]
    fn lacks_segment_sync(&self) -> bool {
        false
    }
}
