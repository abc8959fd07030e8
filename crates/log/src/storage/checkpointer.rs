//! Writing checkpoints: rows for the logs that have changed, when everything they say is durable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik_state::ids::{LogId, TimestampMs};

use super::{Shared, Storage};
use crate::checkpoint::{CheckpointFile, GroupInfo, RowChange};
use crate::errors::UpkeepError;
use crate::partition::{Captured, PartitionLog, sync_captured};
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
        let mut captured = log.capture(now_ms)?;
        let written = self.write_row(shared, &mut captured);
        // It stays on the list of those that need a row.
        log.give_back(if written.is_ok() { Captured::default() } else { captured });
        written
    }

    fn write_row(&mut self, shared: &Shared, captured: &mut Captured) -> Result<(), UpkeepError> {
        sync_captured(std::iter::once(&*captured), shared)?;
        shared.wal.sync_all()?;
        self.ensure_file().map_err(|error| self.error(shared, error))?;
        let rows: Vec<_> = captured.row.take().into_iter().map(|row| RowChange::Set(Box::new(row))).collect();
        let info = GroupInfo { replay_lsn: self.replay_lsn, clean: false };
        self.file.append(info, &rows).map_err(|error| self.error(shared, error))
    }

    fn write(&mut self, shared: &Shared, info: GroupInfo, rows: &[RowChange], all: bool) -> Result<(), UpkeepError> {
        let written = if all { self.file.rewrite(info, rows) } else { self.file.append(info, rows) };
        written.map_err(|error| self.error(shared, error))?;
        self.replay_lsn = info.replay_lsn;
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
        let placed = shared.wal.placed_bytes();
        let appended = shared.wal.appended_lsn();
        let (dirty, removed, replay_lsn) = {
            let mut lists = shared.lists.lock();
            let replay_lsn = lists.first_pending_deletion().unwrap_or(appended).min(appended);
            (std::mem::take(&mut lists.dirty), std::mem::take(&mut lists.removed), replay_lsn)
        };
        let settled = dirty.len() + removed.len();
        let all = checkpointer.file.wants_rewrite();
        let logs = self.log_list(if all { self.log_ids() } else { dirty });
        let info = GroupInfo { replay_lsn, clean };
        let mut captured = Vec::with_capacity(logs.len());
        let written = self.write_rows(&mut checkpointer, &logs, &mut captured, &removed, info, all, now_ms);
        shared.settled(settled);
        if let Err(error) = written {
            captured.resize_with(logs.len(), Captured::default);
            logs.iter().zip(captured).for_each(|(log, captured)| log.give_back(captured));
            removed.into_iter().for_each(|id| shared.note_removed(id));
            return Err(error);
        }
        removed.into_iter().for_each(|id| shared.end_deletion(id));
        shared.checkpoint_at.store(placed, Ordering::Relaxed);
        shared.moved_at.fetch_max(placed, Ordering::Relaxed);
        drop(checkpointer);
        Ok(shared.wal.recycle(replay_lsn)?)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `checkpoint`, in a function of its own to be undone as a whole")]
    fn write_rows(
        &self,
        checkpointer: &mut Checkpointer,
        logs: &[Arc<PartitionLog>],
        captured: &mut Vec<Captured>,
        removed: &[LogId],
        info: GroupInfo,
        all: bool,
        now_ms: TimestampMs,
    ) -> Result<(), UpkeepError> {
        let mut rows: Vec<_> = removed.iter().copied().map(RowChange::Removed).collect();
        for log in logs {
            let mut one = log.capture(now_ms)?;
            rows.extend(one.row.take().map(|row| RowChange::Set(Box::new(row))));
            captured.push(one);
            self.shared.limit_open(log);
        }
        // A row may speak of entries after `replay_lsn`: they too must not be lost any more.
        self.shared.wal.sync_all()?;
        if !self.lacks_segment_sync() {
            sync_captured(captured.iter(), &self.shared)?;
        }
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
