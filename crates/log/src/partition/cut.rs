//! Cutting a log at either end, and deleting it. Each is an entry of the write-ahead log first; files go only
//! when that entry is durable.

use std::path::PathBuf;
use std::sync::Arc;

use chronik_state::ids::{Offset, TimestampMs};
use chronik_state::partition::producers::{Appended, Producers, Truncated};

use super::append::producer_batch;
use super::segment::{Bounds, Segment, SegmentError, SegmentView};
use super::{PartitionLog, State};
use crate::batch::BatchView;
use crate::checkpoint::ActiveRow;
use crate::errors::{AppendError, CutError, Fatal, ReadError, StorageError, UpkeepError};
use crate::storage::Shared;
use crate::wal::entry::{EntryKind, offset_payload};
use crate::wal::recover::ReplayedEntry;
use crate::wal::{Lsn, NewEntry, ReserveError, SyncClass};

impl PartitionLog {
    /// Raises the log's start (retention, DeleteRecords): records before `offset` are gone, their segments follow when
    /// this is durable. Returns the LSN to wait for. An offset at or before the start changes nothing; one behind the
    /// log's end counts as the end.
    pub fn advance_log_start(&self, offset: Offset) -> Result<Lsn, AppendError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Err(AppendError::Deleted);
        }
        let offset = offset.min(self.log_end_offset());
        if offset <= self.log_start_offset() {
            return Ok(state.log_start_lsn);
        }
        let lsn = self.log_decision(&mut state, EntryKind::LogStart, &offset_payload(offset))?;
        self.apply_log_start(&mut state, offset, lsn);
        Ok(lsn)
    }

    /// Cuts the log's end: the batch that holds `offset`, and all after it, are gone. Returns when that is durable,
    /// for a follower that must not forget it (KIP-101). For slow paths: it waits for the disk.
    pub fn truncate_to(&self, offset: Offset, now_ms: TimestampMs) -> Result<(), CutError> {
        let mut checkpointer = self.shared.checkpointer.lock();
        {
            let _writer = self.segments_writer.lock();
            self.truncate_as_writer(offset, now_ms)?;
        }
        // With its own row at once, so that no replay has to read the log to find out what producers wrote. Should
        // the disk be full, the next checkpoint does it.
        match checkpointer.write_one(&self.shared, self, now_ms) {
            Err(UpkeepError::Fatal(fatal)) => Err(fatal.into()),
            Ok(()) | Err(UpkeepError::Full) => Ok(()),
        }
    }

    /// Marks the log as deleted and returns the LSN at which it is; its files go when that is durable.
    pub(crate) fn delete(&self) -> Result<Lsn, ReserveError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Ok(state.last_lsn);
        }
        // Before the entry gets its place: no checkpoint may go past it before the files are gone.
        let not_before = self.shared.wal.appended_lsn();
        self.shared.note_deletion(self.id, not_before);
        let lsn = match self.log_decision(&mut state, EntryKind::Delete, &[]) {
            Ok(lsn) => lsn,
            Err(error) => {
                self.shared.end_deletion(self.id);
                return Err(error);
            }
        };
        state.deleted = true;
        state.recent.clear();
        state.tail.clear();
        self.shared.note_moved(std::mem::take(&mut state.tail_bytes));
        Ok(lsn)
    }

    /// Removes all files of a deleted log.
    pub(crate) fn remove_files(&self) -> Result<(), UpkeepError> {
        let _writer = self.segments_writer.lock();
        self.state.lock().opened = None;
        self.shared.remove_directory_of(self.id)
    }

    /// Removes segments that lie before the log's start.
    pub(crate) fn prune(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        let _checkpointer = self.shared.checkpointer.lock();
        let _writer = self.segments_writer.lock();
        let mut removed = Vec::new();
        {
            let mut state = self.state.lock();
            let is_durable = state.log_start_lsn <= self.shared.wal.durable_lsn();
            if state.deleted || !is_durable {
                // Deleted: all of it goes. Raised again meanwhile: that is on the list too.
                return Ok(());
            }
            if state.cut {
                // After the next checkpoint.
                self.shared.note_prune(self.id, state.log_start_lsn);
                return Ok(());
            }
            self.ensure_open(&mut state, now_ms).map_err(|error| self.upkeep_error(error))?;
            self.take_pruned(&mut state, now_ms, &mut removed).map_err(|error| self.upkeep_error(error))?;
        }
        let disk = self.shared.disk.as_ref();
        for segment in &removed {
            segment.remove(disk).map_err(|error| self.shared.upkeep_error("removing", segment.path(), error))?;
        }
        if !removed.is_empty() {
            let directory = self.directory();
            disk.sync_directory(&directory).map_err(|error| self.shared.sync_error(&directory, &error))?;
        }
        Ok(())
    }

    /// What a start further on changes.
    pub(super) fn apply_log_start(&self, state: &mut State, offset: Offset, end_lsn: Lsn) {
        use std::sync::atomic::Ordering;
        self.log_start.store(offset, Ordering::Release);
        Arc::make_mut(&mut state.epochs).truncate_from_start(offset);
        state.producers.advance_log_start(offset);
        state.last_lsn = end_lsn;
        state.log_start_lsn = end_lsn;
        if self.high_watermark() < offset {
            self.note_high_watermark(offset);
        }
        self.shared.note_prune(self.id, end_lsn);
    }

    /// Cuts again where the log was cut before the crash.
    pub(super) fn replay_truncate(&self, state: &mut State, entry: &ReplayedEntry, end_lsn: Lsn) -> Result<(), StorageError> {
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        let cut = Cut::decode(&entry.payload);
        if let Some(reset) = cut.filter(|cut| cut.base == RESET && (0..Offset::MAX).contains(&cut.offset)) {
            return self.replay_reset(state, reset.offset, end_lsn);
        }
        let cut = cut.filter(|cut| (start..=end).contains(&cut.offset));
        let cut = cut.ok_or_else(|| self.contradiction(entry, format!("a cut within {start}..={end} was expected")))?;
        if cut.base == NOTHING || cut.offset < state.segments_end {
            self.open_for_cut(state).map_err(|error| self.unreadable(error))?;
        }
        let removed = self.apply_cut(state, cut, 0, end_lsn).map_err(|error| self.unreadable(error))?;
        removed.iter().try_for_each(|segment| {
            segment.remove(self.shared.disk.as_ref()).map_err(StorageError::io("removing", segment.path()))
        })
    }

    /// What is to be cut again cannot be read.
    pub(super) fn unreadable(&self, error: ReadError) -> StorageError {
        match error {
            ReadError::Io { path, source } => StorageError::Io { doing: "truncating", path, source },
            ReadError::Corrupt { path, position, what } => StorageError::Damaged { path, position, what },
            other => StorageError::Damaged { path: self.directory(), position: 0, what: other.to_string() },
        }
    }

    /// Finds the segments that are still there: some may be gone already, as they were to go.
    pub(super) fn open_for_cut(&self, state: &mut State) -> Result<(), ReadError> {
        if state.opened.is_none() {
            let directory = self.directory();
            let bases = self.segment_bases().map_err(|source| ReadError::Io { path: directory.clone(), source })?;
            state.active = None;
            state.opened = Some(self.opened(&bases, state));
            self.shared.note_opened(self.id);
        }
        Ok(())
    }

    fn truncate_as_writer(&self, offset: Offset, now_ms: TimestampMs) -> Result<(), CutError> {
        let mut state = self.state.lock();
        let bounds = self.bounds(&state)?;
        if offset < bounds.0 || offset > bounds.1 {
            return Err(bounds_error(offset, bounds));
        }
        self.ensure_open(&mut state, now_ms)?;
        let cut = self.find_cut(&mut state, offset, now_ms)?.not_before(bounds.0);
        let lsn = self.log_decision(&mut state, EntryKind::Truncate, &cut.encode())?;
        let removed = self.apply_cut(&mut state, cut, now_ms, lsn);
        let removed = removed.map_err(|error| self.shared.wal.stop(Fatal::damaged(&error)))?;
        drop(state);
        // Before anything is written over what was cut.
        self.shared.wal.sync_all()?;
        let disk = self.shared.disk.as_ref();
        for segment in removed {
            segment.remove(disk).map_err(|error| self.stop("removing", &segment, &error))?;
        }
        Ok(())
    }

    /// The cut as a place in the segments, which replay would not find again once they have been written over.
    fn find_cut(&self, state: &mut State, offset: Offset, now_ms: TimestampMs) -> Result<Cut, CutError> {
        let whole = Cut {
            offset,
            base: state.active.map_or(-1, |active| active.base),
            position: state.active.map_or(0, |active| active.length as u32),
        };
        if offset >= state.segments_end {
            let cut_batch = state.tail.iter().find(|batch| batch.last_offset >= offset);
            return Ok(Cut { offset: cut_batch.map_or(offset, |batch| batch.base_offset), ..whole });
        }
        let opened = state.opened.as_ref().expect("opened by the caller");
        let Some((segment, next_base)) = opened.holding(offset) else { return Ok(Cut { offset, base: NOTHING, position: 0 }) };
        let context = self.context(state, now_ms);
        let view = SegmentView::of(segment, next_base, state.active_bounds(), &context)?;
        let place = match view.locate(offset, &context) {
            Err(SegmentError::Index) => {
                let view = self.repair_index_locked(state, &view, &context)?;
                view.locate(offset, &context).map_err(|error| error.into_read(&view))?
            }
            other => other.map_err(|error| error.into_read(&view))?,
        };
        let place = place.expect("the segment holds the offset");
        Ok(Cut { offset: place.base_offset, base: view.segment.base, position: place.position as u32 })
    }

    /// Cuts, in memory; returns the segments whose files are to go.
    fn apply_cut(&self, state: &mut State, cut: Cut, now_ms: TimestampMs, end_lsn: Lsn) -> Result<Vec<Arc<Segment>>, ReadError> {
        state.recent.clear();
        while state.tail.back().is_some_and(|batch| batch.last_offset >= cut.offset || cut.base == NOTHING) {
            let batch = state.tail.pop_back().expect("there is a last one");
            state.tail_bytes -= batch.bytes.len() as u64;
            self.shared.note_moved(batch.bytes.len() as u64);
        }
        let removed = if cut.offset < state.segments_end || cut.base == NOTHING { self.cut_segments(state, cut, now_ms)? } else { Vec::new() };
        self.set_log_end(cut.offset);
        state.cut = true;
        state.last_lsn = end_lsn;
        Arc::make_mut(&mut state.epochs).truncate_from_end(cut.offset);
        if state.producers.truncate_to(cut.offset) == Truncated::RebuildFromLog {
            self.rebuild_producers(state, now_ms)?;
        }
        if self.high_watermark() > cut.offset {
            self.note_high_watermark(cut.offset);
        }
        Ok(removed)
    }

    /// Makes the segment that is cut the active one; those after it go.
    fn cut_segments(&self, state: &mut State, cut: Cut, now_ms: TimestampMs) -> Result<Vec<Arc<Segment>>, ReadError> {
        let opened = state.opened.as_mut().expect("opened by the caller");
        let mut segments: Vec<_> = opened.sealed.drain(..).chain(opened.active.take()).collect();
        let kept = segments.partition_point(|segment| segment.base <= cut.base);
        let mut removed = segments.split_off(kept);
        state.unsynced.retain(|segment| !removed.iter().any(|gone| Arc::ptr_eq(gone, segment)));
        state.segments_end = cut.offset;
        state.forget_segments();
        if cut.position == 0 && segments.last().is_some_and(|last| last.base == cut.base) {
            removed.extend(segments.pop());
        }
        let directory = self.directory();
        let last = segments.pop();
        let opened = state.opened.as_mut().expect("opened by the caller");
        opened.sealed = segments.into();
        let Some(last) = last else { return Ok(removed) };
        // A fresh view of the file: what was known of it as a sealed one no longer holds.
        let active = Arc::new(Segment::new(&directory, last.base, &self.shared.open_files));
        state.unsynced.retain(|segment| !Arc::ptr_eq(segment, &last));
        state.unsynced.push(Arc::clone(&active));
        state.opened.as_mut().expect("opened by the caller").active = Some(Arc::clone(&active));
        let length = if cut.position > 0 && active.base == cut.base { u64::from(cut.position) } else { self.file_length(&active)? };
        let context = self.context(state, now_ms);
        let expected = Bounds { length, index_length: 0, end: cut.offset, max_timestamp: -1 };
        let bounds = active.rebuild_index(expected, false, &context)?;
        // Entries of what was cut must not come back after a crash, as entries of what will be written there.
        active.sync_index(context.disk.as_ref()).map_err(|error| active.io(error))?;
        state.active = Some(ActiveRow {
            base: active.base,
            length: bounds.length,
            index_length: bounds.index_length,
            max_timestamp: bounds.max_timestamp,
            first_append_ms: now_ms,
        });
        state.index = Some(super::index::IndexBuilder::new(active.base, context.index_interval_bytes, bounds.max_timestamp));
        state.segments_bytes = self.bytes_of_segments(state, now_ms)?;
        state.oldest_max_timestamp = bounds.max_timestamp;
        Ok(removed)
    }

    fn file_length(&self, segment: &Segment) -> Result<u64, ReadError> {
        segment.data(self.shared.disk.as_ref()).and_then(|file| file.length()).map_err(|error| segment.io(error))
    }

    /// What producers wrote, from every batch that is left: only after a cut, and only if they had written much. Batches
    /// before the log's start do not count: some of their segments may be gone, or not yet.
    fn rebuild_producers(&self, state: &mut State, now_ms: TimestampMs) -> Result<(), ReadError> {
        let mut producers = Producers::default();
        let log_start = self.log_start_offset();
        self.ensure_open(state, now_ms)?;
        let context = self.context(state, now_ms);
        for view in self.views(state, now_ms)? {
            view.for_each(&context, |batch| apply_producer(&mut producers, batch, log_start))?;
        }
        for batch in &state.tail {
            if let Ok(view) = BatchView::parse(&batch.bytes) {
                apply_producer(&mut producers, view, log_start);
            }
        }
        state.producers = producers;
        Ok(())
    }

    /// All segments with their bounds, oldest first.
    fn views(&self, state: &State, now_ms: TimestampMs) -> Result<Vec<SegmentView>, ReadError> {
        let context = self.context(state, now_ms);
        let opened = state.opened.as_ref().expect("opened by the caller");
        let segments: Vec<_> = opened.all().cloned().collect();
        let next_bases: Vec<_> = segments.iter().skip(1).map(|next| Some(next.base)).chain([None]).collect();
        let views = segments.into_iter().zip(next_bases);
        views.map(|(segment, next)| SegmentView::of(segment, next, state.active_bounds(), &context)).collect()
    }

    pub(super) fn bytes_of_segments(&self, state: &State, now_ms: TimestampMs) -> Result<u64, ReadError> {
        Ok(self.views(state, now_ms)?.iter().map(|view| view.bounds.length).sum())
    }

    fn take_pruned(&self, state: &mut State, now_ms: TimestampMs, removed: &mut Vec<Arc<Segment>>) -> Result<(), ReadError> {
        let log_start = self.log_start_offset();
        let opened = state.opened.as_mut().expect("opened by the caller");
        removed.append(&mut opened.stale);
        while opened.all().nth(1).is_some_and(|second| second.base <= log_start) {
            removed.extend(opened.sealed.pop_front());
        }
        let all_gone = state.tail.is_empty() && log_start >= state.segments_end && state.roll_next;
        if all_gone && opened.sealed.len() <= 1 {
            removed.extend(opened.sealed.pop_front());
            removed.extend(opened.active.take());
            state.forget_segments();
        }
        state.unsynced.retain(|segment| !removed.iter().any(|gone| Arc::ptr_eq(gone, segment)));
        if removed.is_empty() {
            return Ok(());
        }
        self.mark_dirty(state);
        let views = self.views(state, now_ms)?;
        state.segments_bytes = views.iter().map(|view| view.bounds.length).sum();
        state.oldest_max_timestamp = views.first().map_or(-1, |view| view.bounds.max_timestamp);
        Ok(())
    }

    /// Writes one of the log's own decisions, with the space that is kept for such.
    pub(super) fn log_decision(&self, state: &mut State, kind: EntryKind, payload: &[u8]) -> Result<Lsn, ReserveError> {
        self.mark_dirty(state);
        let entry = NewEntry {
            kind,
            log: self.id,
            now_ms: 0,
            payload_bytes: payload.len(),
            class: SyncClass::Commit,
            privileged: true,
            lies_at: None,
        };
        let reserved = self.shared.wal.reserve(&entry)?;
        let lsn = self.shared.wal.write(reserved, &entry, payload, |_| {}).end_lsn;
        state.last_lsn = lsn;
        Ok(lsn)
    }

    fn bounds(&self, state: &State) -> Result<(Offset, Offset), CutError> {
        if state.deleted {
            return Err(CutError::Deleted);
        }
        Ok((self.log_start_offset(), self.log_end_offset()))
    }

    pub(super) fn stop(&self, doing: &str, segment: &Segment, error: &std::io::Error) -> Fatal {
        self.shared.wal.stop(Fatal::io(doing, segment.path(), error))
    }
}

/// Where a log was cut: the payload of its entry, all of which the entry's checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// The log's new end.
    pub(super) offset: Offset,
    /// The segment that holds the new end, −1 if that is only in the tail, [`NOTHING`], or [`RESET`].
    pub(super) base: Offset,
    /// Where in it the new end lies.
    pub(super) position: u32,
}

/// In place of a base offset: no batch is left.
const NOTHING: Offset = -2;
/// In place of a base offset: no batch is left, and the log begins at its new end too, wherever it was.
pub(super) const RESET: Offset = -3;

impl Cut {
    /// A batch that began before the log's start goes whole, and leaves a gap: what is before it goes too, as nobody
    /// can read it, and the log begins anew where it starts.
    fn not_before(self, log_start: Offset) -> Self {
        if self.offset >= log_start { self } else { Cut { offset: log_start, base: NOTHING, position: 0 } }
    }

    pub(super) fn encode(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[0..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.base.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.position.to_le_bytes());
        bytes
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; 20] = payload.try_into().ok()?;
        Some(Cut {
            offset: i64::from_le_bytes(payload[0..8].try_into().ok()?),
            base: i64::from_le_bytes(payload[8..16].try_into().ok()?),
            position: u32::from_le_bytes(payload[16..20].try_into().ok()?),
        })
    }
}

/// Segments to be removed when something is durable.
#[derive(Debug, Clone)]
pub(crate) struct Prune {
    pub(crate) log: chronik_state::ids::LogId,
    pub(crate) lsn: Lsn,
}

impl Shared {
    /// Where the files of a log lie.
    pub(crate) fn directory_of(&self, log: chronik_state::ids::LogId) -> PathBuf {
        self.options.data_directory.join("topics").join(log.topic.to_string()).join(log.partition.to_string())
    }
}

fn apply_producer(producers: &mut Producers, batch: BatchView<'_>, log_start: Offset) {
    let Some(producer) = producer_batch(&batch).filter(|_| batch.last_offset() >= log_start) else { return };
    let appended = Appended {
        base_offset: batch.base_offset(),
        last_offset: batch.last_offset(),
        timestamp: batch.max_timestamp(),
    };
    producers.apply(&producer, appended, batch.max_timestamp());
}

fn bounds_error(offset: Offset, (log_start_offset, log_end_offset): (Offset, Offset)) -> CutError {
    CutError::OffsetOutOfRange { offset, log_start_offset, log_end_offset }
}
