//! Moving the tail from memory into segments, in large writes, so that the write-ahead log can be recycled and
//! consumers are served by `sendfile`.

use std::io::{self, IoSlice};
use std::sync::Arc;

use chronik_state::ids::TimestampMs;
use parking_lot::MutexGuard;

use super::index::{IndexBuilder, IndexEntry};
use super::segment::Segment;
use super::{PartitionLog, State, TailBatch};
use crate::checkpoint::ActiveRow;
use crate::disk::gather::write_gathered;
use crate::errors::UpkeepError;

/// The most that is written at once.
const WRITE_BYTES: u64 = 4 << 20;
/// The most batches that are written at once.
const WRITE_BATCHES: usize = 1024;
/// Positions in the index have 32 bits.
const POSITION_MAX: u64 = u32::MAX as u64;

/// Some batches, and the segment they go to.
struct Move {
    segment: Arc<Segment>,
    active: ActiveRow,
    index: IndexBuilder,
    batches: Vec<TailBatch>,
}

impl PartitionLog {
    /// Moves the tail as it is now; returns how many bytes were moved.
    pub(crate) fn materialise(&self, now_ms: TimestampMs) -> Result<u64, UpkeepError> {
        let _writer = self.segments_writer.lock();
        self.materialise_as_writer(now_ms)
    }

    /// As `materialise`, for who holds the segments' lock.
    pub(super) fn materialise_as_writer(&self, now_ms: TimestampMs) -> Result<u64, UpkeepError> {
        let mut moved = 0;
        // What is appended meanwhile is for another time, or there might be no end to it.
        let until = self.log_end_offset();
        loop {
            let mut state = self.state.lock();
            match state.tail.front() {
                None => state.ripe = false,
                Some(first) if first.base_offset >= until => {
                    self.shared.note_ripe(self.id);
                    return Ok(moved);
                }
                Some(_) => {}
            }
            let Some(mut step) = self.plan(&mut state, now_ms)? else { return Ok(moved) };
            drop(state);
            let entries = self.write(&mut step)?;
            let bytes = self.publish(&mut self.state.lock(), step, entries, now_ms);
            moved += bytes;
        }
    }

    /// Moves what is left of the tail without letting go of the log: nothing can be appended meanwhile.
    pub(super) fn materialise_locked(&self, state: &mut MutexGuard<'_, State>, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        while let Some(mut step) = self.plan(state, now_ms)? {
            let entries = self.write(&mut step)?;
            self.publish(state, step, entries, now_ms);
        }
        state.ripe = false;
        Ok(())
    }

    /// Lets go of the oldest `count` batches that are in segments anyway.
    pub(crate) fn forget_recent(&self, count: usize) {
        let mut state = self.state.lock();
        let count = count.min(state.recent.len());
        state.recent.drain(..count);
    }

    fn plan(&self, state: &mut State, now_ms: TimestampMs) -> Result<Option<Move>, UpkeepError> {
        if state.deleted || state.tail.is_empty() {
            return Ok(None);
        }
        self.ensure_open(state, now_ms).map_err(|error| self.upkeep_error(error))?;
        if state.must_roll(now_ms) {
            self.roll(state).map_err(|error| self.shared.upkeep_error("rolling", &self.directory(), error))?;
        }
        let active = state.active.expect("a segment was rolled to");
        let opened = state.opened.as_ref().expect("opened above");
        let segment = Arc::clone(opened.active.as_ref().expect("a segment was rolled to"));
        let mut room = state.config.segment_bytes.min(POSITION_MAX).saturating_sub(active.length).min(WRITE_BYTES);
        let mut batches = Vec::new();
        for batch in state.tail.iter().take(WRITE_BATCHES) {
            let bytes = batch.bytes.len() as u64;
            let far = batch.last_offset - active.base > i64::from(i32::MAX);
            if !batches.is_empty() && (bytes > room || far) {
                break;
            }
            room = room.saturating_sub(bytes);
            batches.push(batch.clone());
        }
        let index = state.index.expect("set with the active segment");
        Ok(Some(Move { segment, active, index, batches }))
    }

    fn write(&self, step: &mut Move) -> Result<Vec<u8>, UpkeepError> {
        let failed = |error| self.shared.upkeep_error("writing", step.segment.path(), error);
        let disk = self.shared.disk.as_ref();
        let buffers: Vec<IoSlice<'_>> = step.batches.iter().map(|batch| IoSlice::new(&batch.bytes)).collect();
        let pool = &self.shared.pool;
        let data = step.segment.data(disk).map_err(failed)?;
        write_gathered(data.as_ref(), pool, &buffers, step.active.length).map_err(failed)?;
        let mut entries = Vec::new();
        let mut position = step.active.length;
        for batch in &step.batches {
            let bytes = batch.bytes.len() as u64;
            step.index.batch(batch.base_offset, position, bytes, batch.max_timestamp, &mut entries);
            position += bytes;
        }
        if !entries.is_empty() {
            let index = step.segment.index(disk).map_err(failed)?;
            index.write_at(&[IoSlice::new(&entries)], step.active.index_length).map_err(failed)?;
        }
        Ok(entries)
    }

    fn publish(&self, state: &mut State, step: Move, entries: Vec<u8>, now_ms: TimestampMs) -> u64 {
        if state.deleted {
            // While it was being written. The tail went with the deletion, the files go when that is durable.
            return 0;
        }
        let bytes: u64 = step.batches.iter().map(|batch| batch.bytes.len() as u64).sum();
        let active = state.active.as_mut().expect("only the holder of the segments' lock changes it");
        active.length += bytes;
        active.index_length += entries.len() as u64;
        for batch in &step.batches {
            active.max_timestamp = active.max_timestamp.max(batch.max_timestamp);
        }
        state.index = Some(step.index);
        step.segment.note_written(step.active.length, active.length, now_ms);
        if state.active.is_some_and(|active| state.segments_bytes == 0 || active.length == state.segments_bytes + bytes) {
            state.oldest_max_timestamp = state.active.expect("checked").max_timestamp;
        }
        state.segments_bytes += bytes;
        state.segments_end = step.batches.last().expect("a move has batches").last_offset + 1;
        let moved = state.tail.drain(..step.batches.len());
        state.recent.extend(moved);
        self.shared.note_recent(self.id, step.batches.len());
        state.tail_bytes -= bytes;
        if !state.unsynced.iter().any(|segment| Arc::ptr_eq(segment, &step.segment)) {
            state.unsynced.push(step.segment);
        }
        self.shared.note_moved(bytes);
        bytes
    }

    /// Seals the active segment, if there is one, and opens the next for the first batch of the tail.
    fn roll(&self, state: &mut State) -> io::Result<()> {
        let disk = self.shared.disk.as_ref();
        self.seal_active(state)?;
        let first = state.tail.front().expect("the tail has batches");
        let directory = self.directory();
        disk.create_directory(&directory)?;
        let first_base = first.base_offset;
        let segment = Arc::new(Segment::create(&directory, first_base, &self.shared.open_files, disk)?);
        state.active = Some(ActiveRow {
            base: first_base,
            length: 0,
            index_length: 0,
            max_timestamp: -1,
            first_append_ms: first.appended_ms,
        });
        state.segments_end = first_base;
        state.directory_unsynced = true;
        state.roll_next = false;
        state.index = Some(IndexBuilder::new(first_base, self.shared.options.index_interval_bytes, -1));
        state.opened.as_mut().expect("opened before").active = Some(segment);
        Ok(())
    }

    fn seal_active(&self, state: &mut State) -> io::Result<()> {
        let Some(mut bounds) = state.active_bounds() else { return Ok(()) };
        let disk = self.shared.disk.as_ref();
        let opened = state.opened.as_mut().expect("opened before");
        let segment = Arc::clone(opened.active.as_ref().expect("an active segment has files"));
        let seal = IndexEntry { offset: bounds.end, position: bounds.length, max_timestamp_before: bounds.max_timestamp, seal: true };
        // A failed write or a crash may have left more than what counts.
        segment.data(disk)?.set_length(bounds.length)?;
        let index = segment.index(disk)?;
        let entry = seal.encode(segment.base);
        index.write_at(&[IoSlice::new(&entry)], bounds.index_length)?;
        bounds.index_length += entry.len() as u64;
        index.set_length(bounds.index_length)?;
        segment.seal(bounds);
        if !state.unsynced.iter().any(|other| Arc::ptr_eq(other, &segment)) {
            state.unsynced.push(Arc::clone(&segment));
        }
        opened.sealed.push_back(segment);
        opened.active = None;
        state.active = None;
        Ok(())
    }
}

impl State {
    /// True when the first batch of the tail does not belong into the active segment.
    fn must_roll(&self, now_ms: TimestampMs) -> bool {
        let Some(active) = &self.active else { return true };
        let Some(first) = self.tail.front() else { return false };
        if active.length == 0 {
            return false;
        }
        let grown = active.length + first.bytes.len() as u64;
        self.roll_next
            || grown > self.config.segment_bytes.min(POSITION_MAX)
            || now_ms.saturating_sub(active.first_append_ms) > self.config.segment_ms
            || first.last_offset - active.base > i64::from(i32::MAX)
    }
}
