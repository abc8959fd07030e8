//! A log's row in the checkpoint: taking it, starting from it, and what the write-ahead log adds to it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik_state::ids::{Offset, TimestampMs};
use chronik_state::partition::epochs::LeaderEpochs;
use chronik_state::partition::producers::Producers;

use super::append::producer_batch;
use super::index::IndexBuilder;
use super::segment::Segment;
use super::{LogConfig, Opened, PartitionLog, State, TailBatch};
use crate::batch::BatchView;
use crate::checkpoint::Row;
use crate::errors::{Fatal, ReadError, StorageError, UpkeepError};
use crate::storage::Shared;
use crate::wal::entry::{EntryKind, read_offset_payload};
use crate::wal::Lsn;
use crate::wal::recover::ReplayedEntry;

impl PartitionLog {
    /// The log as its row describes it. Its files are not touched.
    pub(crate) fn from_row(row: &Row, shared: Arc<Shared>) -> Result<Self, String> {
        check_offsets(row)?;
        let log = PartitionLog::new(row.log, LogConfig::default(), shared);
        let epochs = LeaderEpochs::restore(&row.epochs).map_err(|error| error.to_string())?;
        let producers = Producers::restore(&row.producers).map_err(|error| error.to_string())?;
        log.log_start.store(row.log_start, Ordering::Release);
        log.log_end.store(row.log_end, Ordering::Release);
        log.high_watermark.store(row.high_watermark, Ordering::Release);
        {
            let mut state = log.state.lock();
            state.epochs = Arc::new(epochs);
            state.producers = producers;
            state.row_lsn = row.lsn;
            state.last_lsn = row.lsn;
            state.segments_end = row.log_end;
            state.segments_bytes = row.bytes;
            state.oldest_max_timestamp = row.oldest_max_timestamp;
            state.active = row.active;
        }
        Ok(log)
    }

    /// Does again what the write-ahead log says was done. Entries that the row already knows are passed over.
    pub(crate) fn replay(&self, entry: ReplayedEntry) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if entry.header.lsn < state.row_lsn {
            return Ok(());
        }
        self.mark_dirty(&mut state);
        let end_lsn = entry.header.lsn + entry.header.total_bytes() as u64;
        match entry.header.kind {
            EntryKind::Batch => self.replay_batch(&mut state, entry, end_lsn)?,
            EntryKind::LogStart => self.replay_log_start(&mut state, &entry, end_lsn)?,
            EntryKind::Truncate => self.replay_truncate(&mut state, &entry, end_lsn)?,
            EntryKind::Delete => unreachable!("entries of a log before its deletion are not replayed, nor is that"),
        }
        Ok(())
    }

    /// True if the log's row was taken after the entry at `lsn`.
    pub(crate) fn knows(&self, lsn: Lsn) -> bool {
        lsn < self.state.lock().row_lsn
    }

    /// Part of it is in files that the checkpoint knows.
    pub(crate) fn needs_files(&self) -> bool {
        let state = self.state.lock();
        state.active.is_some() && self.log_start_offset() < state.segments_end
    }

    /// Puts the high watermark within what the log holds, after everything has been replayed.
    pub(crate) fn finish_replay(&self) {
        let bounded = self.high_watermark().min(self.log_end_offset()).max(self.log_start_offset());
        self.high_watermark.store(bounded, Ordering::Release);
    }

    /// Moves the rest of the tail to segments, and says what the log looks like then, and what has to be synced before
    /// that is true.
    pub(crate) fn capture(&self, now_ms: TimestampMs) -> Result<Captured, UpkeepError> {
        let _writer = self.segments_writer.lock();
        self.materialise_as_writer(now_ms)?;
        let mut state = self.state.lock();
        self.materialise_locked(&mut state, now_ms)?;
        state.dirty = false;
        if state.deleted {
            return Ok(Captured::default());
        }
        Ok(Captured {
            row: Some(self.row(&state)),
            cut: std::mem::take(&mut state.cut),
            segments: std::mem::take(&mut state.unsynced),
            directory: std::mem::take(&mut state.directory_unsynced).then(|| self.directory()),
        })
    }

    /// Takes back a capture whose row was not written; also where the capture itself failed. One row too many does no harm.
    pub(crate) fn give_back(&self, captured: Captured) {
        let mut state = self.state.lock();
        state.unsynced.extend(captured.segments);
        state.cut |= captured.cut;
        state.directory_unsynced |= captured.directory.is_some();
        state.dirty = false;
        self.mark_dirty(&mut state);
    }

    fn row(&self, state: &State) -> Row {
        Row {
            log: self.id,
            // Nothing of this log can get a place in the write-ahead log while its state is locked.
            lsn: self.shared.wal.appended_lsn(),
            log_start: self.log_start_offset(),
            log_end: self.log_end_offset(),
            high_watermark: self.high_watermark(),
            bytes: state.segments_bytes,
            oldest_max_timestamp: state.oldest_max_timestamp,
            active: state.active,
            epochs: state.epochs.snapshot(),
            producers: state.producers.snapshot(),
        }
    }

    fn replay_batch(&self, state: &mut State, entry: ReplayedEntry, end_lsn: u64) -> Result<(), StorageError> {
        let batch = BatchView::parse(&entry.payload).map_err(|error| self.contradiction(&entry, error.to_string()))?;
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        // The first batch of a log that was reset may begin before it (KAFKA-6975).
        let straddles = start == end && (batch.base_offset()..=batch.last_offset()).contains(&start);
        let possible = batch.base_offset() >= 0 && batch.last_offset() < Offset::MAX;
        if !(batch.base_offset() == end || straddles) || !possible {
            let found = format!("{} to {}", batch.base_offset(), batch.last_offset());
            return Err(self.contradiction(&entry, format!("a batch with offsets from {end} on was expected, {found} found")));
        }
        let producer = producer_batch(&batch);
        let tail_batch = TailBatch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp(),
            appended_ms: entry.header.appended_ms,
            end_lsn,
            bytes: entry.payload.clone(),
        };
        self.take_in(state, tail_batch, batch.leader_epoch(), producer);
        Ok(())
    }

    fn replay_log_start(&self, state: &mut State, entry: &ReplayedEntry, end_lsn: u64) -> Result<(), StorageError> {
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        let offset = read_offset_payload(&entry.payload).filter(|offset| (start..=end).contains(offset));
        let offset = offset.ok_or_else(|| self.contradiction(entry, format!("a new start within {start}..={end} was expected")))?;
        self.apply_log_start(state, offset, end_lsn);
        Ok(())
    }

    /// What the write-ahead log says to do cannot have been done to this log.
    pub(super) fn contradiction(&self, entry: &ReplayedEntry, what: String) -> StorageError {
        let path = self.shared.options.data_directory.join("wal");
        let log = self.directory();
        let what = format!("the entry at log position {} contradicts those before it: {what} in {}", entry.header.lsn, log.display());
        StorageError::Damaged { path, position: 0, what }
    }

    /// Finds the log's files, if nobody has yet. Files that the checkpoint and the write-ahead log do not know are
    /// what a crash left; the replayed tail holds whatever of them was acknowledged.
    pub(super) fn ensure_open(&self, state: &mut State, now_ms: TimestampMs) -> Result<(), ReadError> {
        state.touched_ms = state.touched_ms.max(now_ms);
        if state.opened.is_some() {
            return Ok(());
        }
        let directory = self.directory();
        let failed = |source| ReadError::Io { path: directory.clone(), source };
        let disk = self.shared.disk.as_ref();
        let mut bases = self.segment_bases().map_err(failed)?;
        let end = state.active.map_or(0, |active| active.base + 1);
        for left in bases.split_off(bases.partition_point(|base| *base < end)) {
            Segment::new(&directory, left, &self.shared.open_files).remove(disk).map_err(failed)?;
        }
        let pruned = self.log_start_offset() >= state.segments_end;
        let active_is_there = bases.last().is_some_and(|last| Some(*last) == state.active.map(|active| active.base));
        if pruned && !active_is_there {
            state.forget_segments();
        }
        if state.active.is_some() {
            bases.pop();
        }
        let mut opened = self.opened(&bases, state);
        if let Some(active) = state.active {
            let segment = Segment::new(&directory, active.base, &self.shared.open_files);
            if !active_is_there {
                return Err(segment.corrupt(0, "the file is missing"));
            }
            self.open_active(state, &segment, now_ms)?;
            opened.active = Some(Arc::new(segment));
        }
        let first = opened.all().next().map(|segment| segment.base);
        if let Some(first) = first.filter(|first| *first > self.log_start_offset()) {
            let what = format!("the segments before it are missing: the log starts at offset {}", self.log_start_offset());
            return Err(Segment::new(&directory, first, &self.shared.open_files).corrupt(0, what));
        }
        state.opened = Some(opened);
        self.shared.note_opened(self.id);
        Ok(())
    }

    /// The sealed segments with these bases, apart from those that end before the log starts.
    pub(super) fn opened(&self, sealed: &[Offset], state: &State) -> Opened {
        let nexts = sealed.iter().skip(1).copied().chain(state.active.map(|active| active.base));
        let stale = nexts.take(sealed.len()).take_while(|next| *next <= self.log_start_offset()).count();
        let directory = self.directory();
        let segments = |bases: &[Offset]| bases.iter().map(|base| Arc::new(Segment::new(&directory, *base, &self.shared.open_files))).collect::<Vec<_>>();
        Opened { stale: segments(&sealed[..stale]), sealed: segments(&sealed[stale..]).into(), active: None }
    }

    fn open_active(&self, state: &mut State, segment: &Segment, now_ms: TimestampMs) -> Result<(), ReadError> {
        let context = self.context(state, now_ms);
        let bounds = state.active_bounds().expect("the caller has looked");
        let active = state.active.as_mut().expect("the caller has looked");
        let disk = self.shared.disk.as_ref();
        let length = segment.data(disk).and_then(|file| file.length()).map_err(|error| segment.io(error))?;
        if length < active.length {
            return Err(segment.corrupt(length, format!("{} bytes of it were durable", active.length)));
        }
        let index_length = segment.index(disk).and_then(|file| file.length()).map_err(|error| segment.io(error))?;
        if index_length < active.index_length {
            active.index_length = segment.rebuild_index(bounds, false, &context)?.index_length;
        } else if index_length > active.index_length {
            // Entries of batches that a crash took back must not come back as entries of those written in their place.
            let cut = segment.index(disk).and_then(|file| file.set_length(active.index_length).and_then(|()| file.sync()));
            cut.map_err(|error| {
                self.shared.wal.stop(Fatal::io("syncing", segment.path(), &error));
                segment.io(error)
            })?;
        }
        state.index = Some(IndexBuilder::new(active.base, context.index_interval_bytes, active.max_timestamp));
        Ok(())
    }

    /// The base offsets of the segments on disk, ascending.
    pub(super) fn segment_bases(&self) -> io::Result<Vec<Offset>> {
        let names = match self.shared.disk.list(&self.directory()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut bases: Vec<Offset> =
            names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
        bases.sort_unstable();
        Ok(bases)
    }

    pub(super) fn upkeep_error(&self, error: ReadError) -> UpkeepError {
        match error {
            ReadError::Io { path, source } => self.shared.upkeep_error("opening", &path, source),
            other => self.shared.wal.stop(Fatal::damaged(&other)).into(),
        }
    }
}

/// Its checksum says that a row is as it was written, not that it was written by us.
fn check_offsets(row: &Row) -> Result<(), String> {
    let in_order = 0 <= row.log_start && row.log_start <= row.log_end && row.log_end < Offset::MAX && row.high_watermark <= row.log_end;
    let active_fits = row.active.is_none_or(|active| 0 <= active.base && active.base <= row.log_end);
    if in_order && active_fits { Ok(()) } else { Err("its offsets contradict each other".to_owned()) }
}

impl State {
    pub(super) fn forget_segments(&mut self) {
        self.active = None;
        self.index = None;
        self.segments_bytes = 0;
        self.oldest_max_timestamp = -1;
    }
}

/// A log's row, and what has to be synced before it is true.
#[derive(Default)]
pub(crate) struct Captured {
    /// None for a log that has been deleted.
    pub(crate) row: Option<Row>,
    segments: Vec<Arc<Segment>>,
    directory: Option<PathBuf>,
    cut: bool,
}

/// Syncs all that the rows of `captured` speak of: files first, then the directories that name them, innermost first.
pub(crate) fn sync_captured<'a>(captured: impl Iterator<Item = &'a Captured> + Clone, shared: &Shared) -> Result<(), UpkeepError> {
    let disk = shared.disk.as_ref();
    let segments: Vec<_> = captured.clone().flat_map(|captured| &captured.segments).collect();
    let synced = disk.for_each(segments.len(), &|index| segments[index].sync(disk));
    synced.map_err(|(index, error)| shared.sync_error(segments[index].path(), &error))?;
    let mut directories: Vec<_> = captured.filter_map(|captured| captured.directory.clone()).collect();
    for _partition_topic_all in 0..3 {
        directories.sort_unstable();
        directories.dedup();
        let synced = disk.for_each(directories.len(), &|index| disk.sync_directory(&directories[index]));
        synced.map_err(|(index, error)| shared.sync_error(&directories[index], &error))?;
        directories.iter_mut().for_each(|directory| {
            directory.pop();
        });
    }
    Ok(())
}
