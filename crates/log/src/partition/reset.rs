//! A log that begins anew elsewhere: what it held is of no use where it has to go on.
//!
//! A follower does this whose log ends before its leader's begins, and the metadata log where a snapshot came in its place. It
//! is an entry of the write-ahead log first; files go only when that entry is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik_state::ids::{Offset, TimestampMs};
use chronik_state::partition::producers::Producers;

use super::cut::{Cut, RESET};
use super::segment::Segment;
use super::{PartitionLog, State};
use crate::errors::{CutError, Fatal, StorageError, UpkeepError};
use crate::wal::Lsn;
use crate::wal::entry::EntryKind;

impl PartitionLog {
    /// Drops everything: the log begins and ends at `offset`, wherever it was before, and knows no epoch and no producer. The high
    /// watermark goes there too, as it may not point to records that nobody has (KAFKA-9491). Returns when that is durable.
    /// For slow paths: it waits for the disk.
    pub fn reset_to(&self, offset: Offset) -> Result<(), CutError> {
        assert!((0..Offset::MAX).contains(&offset), "a log cannot begin at offset {offset}");
        let mut checkpointer = self.shared.checkpointer.lock();
        let now_ms = {
            let _writer = self.segments_writer.lock();
            self.reset_as_writer(offset)?
        };
        // With its own row at once, as after any other cut.
        match checkpointer.write_one(&self.shared, self, now_ms) {
            Err(UpkeepError::Fatal(fatal)) => Err(fatal.into()),
            Ok(()) | Err(UpkeepError::Full) => Ok(()),
        }
    }

    fn reset_as_writer(&self, offset: Offset) -> Result<TimestampMs, CutError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Err(CutError::Deleted);
        }
        self.open_for_cut(&mut state)?;
        let now_ms = state.touched_ms;
        let reset = Cut { offset, base: RESET, position: 0 };
        let lsn = self.log_decision(&mut state, EntryKind::Truncate, &reset.encode())?;
        let removed = self.apply_reset(&mut state, offset, lsn);
        drop(state);
        // Before anything is written where something was.
        self.shared.wal.sync_all()?;
        let disk = self.shared.disk.as_ref();
        for segment in &removed {
            segment.remove(disk).map_err(|error| self.stop("removing", segment, &error))?;
        }
        if !removed.is_empty() {
            let directory = self.directory();
            disk.sync_directory(&directory).map_err(|error| self.shared.wal.stop(Fatal::io("syncing", &directory, &error)))?;
        }
        Ok(now_ms)
    }

    /// Resets again where the log was reset before the crash.
    pub(super) fn replay_reset(&self, state: &mut State, offset: Offset, end_lsn: Lsn) -> Result<(), StorageError> {
        self.open_for_cut(state).map_err(|error| self.unreadable(error))?;
        let removed = self.apply_reset(state, offset, end_lsn);
        removed.iter().try_for_each(|segment| {
            segment.remove(self.shared.disk.as_ref()).map_err(StorageError::io("removing", segment.path()))
        })
    }

    /// Resets, in memory; returns the segments whose files are to go.
    fn apply_reset(&self, state: &mut State, offset: Offset, end_lsn: Lsn) -> Vec<Arc<Segment>> {
        let opened = state.opened.as_mut().expect("opened by the caller");
        let removed = opened.stale.drain(..).chain(opened.sealed.drain(..)).chain(opened.active.take()).collect();
        state.unsynced.clear();
        state.forget_segments();
        state.segments_end = offset;
        state.roll_next = false;
        state.recent.clear();
        state.tail.clear();
        self.shared.note_moved(std::mem::take(&mut state.tail_bytes));
        state.epochs = Arc::default();
        state.producers = Producers::default();
        state.cut = true;
        state.last_lsn = end_lsn;
        state.log_start_lsn = end_lsn;
        self.log_start.store(offset, Ordering::Release);
        self.set_log_end(offset);
        self.note_high_watermark(offset);
        removed
    }
}
