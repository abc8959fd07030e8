//! A segment: whole batches one after another in a file, as they go to consumers, with an index beside it.
//!
//! Nothing here trusts the disk. Before bytes are handed out for the first time (and again after some minutes)
//! the megabyte they lie in is read and every batch in it verified; positions come from checksummed index entries, and each
//! batch must begin where and with the offset the one before it says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use chronik_state::ids::{Offset, TimestampMs};
use chronik_state::partition::epochs::LeaderEpochs;
use parking_lot::Mutex;

use super::index::{Index, IndexBuilder, IndexError};
use super::read::FileRange;
use crate::batch::{BatchView, HEADER_BYTES, total_bytes};
use crate::chunk::{ChunkPool, ChunkSlice};
use crate::disk::{Disk, FileHandle, OpenMode, is_full};
use crate::errors::ReadError;

/// Bytes are verified in stretches of this size.
const VERIFY_BYTES: u64 = 1 << 20;
/// What was verified this long ago is verified again.
const VERIFIED_FOR_MS: i64 = 5 * 60_000;
/// How many places are remembered where readers will go on.
const HINTS: usize = 4;
/// Headers are read this many bytes at a time.
const WALK_BYTES: usize = 4096;

/// One segment's files, and what has been learnt about them.
pub(crate) struct Segment {
    pub(crate) base: Offset,
    path: PathBuf,
    index_path: PathBuf,
    open_files: Arc<AtomicUsize>,
    files: Mutex<Option<Files>>,
    /// Known once it is sealed and its end is known; its index may be built anew later.
    sealed: Mutex<Option<Bounds>>,
    /// When each stretch was verified last; 0 for never.
    verified: Mutex<Vec<i64>>,
    hints: Mutex<Hints>,
}

/// Counted while they are open.
struct Files {
    data: FileHandle,
    index: FileHandle,
    open_files: Arc<AtomicUsize>,
}

impl Drop for Files {
    fn drop(&mut self) {
        self.open_files.fetch_sub(2, Ordering::Relaxed);
    }
}

/// How much of a segment counts. Taken together under the log's lock, as more is written all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) length: u64,
    pub(crate) index_length: u64,
    /// One past its last offset.
    pub(crate) end: Offset,
    pub(crate) max_timestamp: TimestampMs,
}

/// A segment as one reader sees it.
pub(crate) struct SegmentView {
    pub(crate) segment: Arc<Segment>,
    pub(crate) bounds: Bounds,
}

/// What reading a segment needs beside it.
#[derive(Clone)]
pub(crate) struct ReadContext {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: Arc<ChunkPool>,
    pub(crate) epochs: Arc<LeaderEpochs>,
    pub(crate) index_interval_bytes: u64,
    pub(crate) now_ms: TimestampMs,
}

/// Why a segment could not be read.
#[derive(Debug)]
pub(crate) enum SegmentError {
    /// The index is wrong; it can be rebuilt.
    Index,
    /// The records are.
    Read(ReadError),
}

/// A batch's place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchPlace {
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) max_timestamp: TimestampMs,
}

#[derive(Default)]
struct Hints {
    places: [(Offset, u64); HINTS],
    next: usize,
}

impl Segment {
    pub(crate) fn new(directory: &Path, base: Offset, open_files: &Arc<AtomicUsize>) -> Self {
        Segment {
            base,
            path: directory.join(format!("{base:020}.log")),
            index_path: directory.join(format!("{base:020}.index")),
            open_files: Arc::clone(open_files),
            files: Mutex::new(None),
            sealed: Mutex::default(),
            verified: Mutex::default(),
            hints: Mutex::default(),
        }
    }

    /// Makes the files. What a crash left under their names is removed and not just cut: index entries in it would look
    /// right, and might come back after another crash.
    pub(crate) fn create(directory: &Path, base: Offset, open_files: &Arc<AtomicUsize>, disk: &dyn Disk) -> io::Result<Self> {
        let segment = Segment::new(directory, base, open_files);
        segment.remove(disk)?;
        let data = disk.open(&segment.path, OpenMode::Write)?;
        let index = disk.open(&segment.index_path, OpenMode::Write)?;
        data.set_length(0)?;
        index.set_length(0)?;
        segment.set_files(data, index);
        Ok(segment)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self, disk: &dyn Disk) -> io::Result<FileHandle> {
        Ok(self.files(disk)?.0)
    }

    pub(crate) fn index(&self, disk: &dyn Disk) -> io::Result<FileHandle> {
        Ok(self.files(disk)?.1)
    }

    /// Closes the files until someone needs them again.
    pub(crate) fn close(&self) {
        *self.files.lock() = None;
    }

    /// Makes what was written durable. The index of a segment that is still written is not worth a sync: should it
    /// be lost, it is rebuilt. Files that were closed are closed again: a checkpoint of ten thousand logs must not hold
    /// the descriptors of all of them.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        let were_open = self.files.lock().is_some();
        let synced = self.sync_files(disk);
        if !were_open {
            self.close();
        }
        synced
    }

    fn sync_files(&self, disk: &dyn Disk) -> io::Result<()> {
        let (data, index) = self.files(disk)?;
        if self.sealed.lock().is_some() {
            index.sync()?;
        }
        data.sync()
    }

    pub(crate) fn sync_index(&self, disk: &dyn Disk) -> io::Result<()> {
        self.index(disk)?.sync()
    }

    /// Removes both files.
    pub(crate) fn remove(&self, disk: &dyn Disk) -> io::Result<()> {
        for path in [&self.path, &self.index_path] {
            match disk.remove(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Notes that nothing more will be written.
    pub(crate) fn seal(&self, bounds: Bounds) {
        *self.sealed.lock() = Some(bounds);
    }

    /// Notes that this process has just written the bytes from `start` to `end`.
    pub(crate) fn note_written(&self, start: u64, end: u64, now_ms: TimestampMs) {
        let mut verified = self.verified.lock();
        for stretch in stretches(start, end) {
            if verified.len() <= stretch {
                verified.resize(stretch + 1, 0);
                if stretch as u64 * VERIFY_BYTES >= start {
                    verified[stretch] = now_ms.max(1);
                }
            }
        }
    }

    /// What it was sealed with, if that is known.
    pub(crate) fn known_bounds(&self) -> Option<Bounds> {
        *self.sealed.lock()
    }

    /// How much of a sealed segment counts: what its seal says, or, without one, what a look at every batch says.
    /// It must end at `next_base`, where the next segment begins.
    pub(crate) fn sealed_bounds(&self, next_base: Offset, context: &ReadContext) -> Result<Bounds, ReadError> {
        let known = self.known_bounds();
        let bounds = known.map_or_else(|| self.load_bounds(context), Ok)?;
        if bounds.end != next_base {
            let what = format!("it ends at offset {} but the next segment begins at {next_base}", bounds.end);
            return Err(self.corrupt(bounds.length, what));
        }
        Ok(*self.sealed.lock().get_or_insert(bounds))
    }

    /// Builds the index of the bytes that count anew, verifying every batch. They must end where `expected` says: what the segment
    /// itself says of its end is no more to be believed than its index.
    pub(crate) fn rebuild_index(&self, expected: Bounds, seal: bool, context: &ReadContext) -> Result<Bounds, ReadError> {
        let bounds = self.index_anew(expected.length, seal, context)?;
        if bounds.end != expected.end {
            let what = format!("it ends at offset {} and should end at {}", bounds.end, expected.end);
            return Err(self.corrupt(bounds.length, what));
        }
        Ok(bounds)
    }

    fn index_anew(&self, length: u64, seal: bool, context: &ReadContext) -> Result<Bounds, ReadError> {
        let mut builder = IndexBuilder::new(self.base, context.index_interval_bytes, -1);
        let mut entries = Vec::new();
        let end = self.verify(0, length, length, context, self.base, |place| {
            builder.batch(place.base_offset, place.position, place.bytes, place.max_timestamp, &mut entries);
        })?;
        let max_timestamp = builder.max_timestamp();
        if seal {
            let entry = super::index::IndexEntry { offset: end, position: length, max_timestamp_before: max_timestamp, seal };
            entries.extend_from_slice(&entry.encode(self.base));
        }
        let index = self.index(context.disk.as_ref()).map_err(|error| self.io(error))?;
        let written = index.set_length(0).and_then(|()| index.write_at(&[io::IoSlice::new(&entries)], 0));
        let index_length = match written {
            Ok(()) => entries.len() as u64,
            // Without an index, searches begin at the segment's start.
            Err(error) if is_full(&error) => 0,
            Err(error) => return Err(self.io(error)),
        };
        let bounds = Bounds { length, index_length, end, max_timestamp };
        if seal {
            self.seal(bounds);
        }
        Ok(bounds)
    }

    pub(crate) fn corrupt(&self, position: u64, what: impl Into<String>) -> ReadError {
        ReadError::Corrupt { path: self.path.clone(), position, what: what.into() }
    }

    pub(crate) fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), source }
    }

    fn set_files(&self, data: FileHandle, index: FileHandle) {
        self.open_files.fetch_add(2, Ordering::Relaxed);
        *self.files.lock() = Some(Files { data, index, open_files: Arc::clone(&self.open_files) });
    }

    fn files(&self, disk: &dyn Disk) -> io::Result<(FileHandle, FileHandle)> {
        let mut files = self.files.lock();
        if files.is_none() {
            // One that is gone must not come back empty.
            let data = disk.open(&self.path, OpenMode::Existing)?;
            let index = disk.open(&self.index_path, OpenMode::Write)?;
            self.open_files.fetch_add(2, Ordering::Relaxed);
            *files = Some(Files { data, index, open_files: Arc::clone(&self.open_files) });
        }
        let files = files.as_ref().expect("just set");
        Ok((Arc::clone(&files.data), Arc::clone(&files.index)))
    }

    fn load_bounds(&self, context: &ReadContext) -> Result<Bounds, ReadError> {
        let disk = context.disk.as_ref();
        let length = self.data(disk).and_then(|file| file.length()).map_err(|error| self.io(error))?;
        let index = self.index(disk).map_err(|error| self.io(error))?;
        let index_length = index.length().map_err(|error| self.io(error))?;
        let seal = Index { file: index.as_ref(), base: self.base, length: index_length }.seal();
        match seal {
            Ok(Some(seal)) if seal.position == length => {
                Ok(Bounds { length, index_length, end: seal.offset, max_timestamp: seal.max_timestamp_before })
            }
            Err(IndexError::Io(error)) => Err(self.io(error)),
            _ => self.index_anew(length, true, context),
        }
    }

    /// Verifies every batch that begins in `start..stop`, the first of which has offset `offset`, in a segment of which
    /// `length` bytes count. Returns the offset after the last.
    fn verify(
        &self,
        start: u64,
        stop: u64,
        length: u64,
        context: &ReadContext,
        mut offset: Offset,
        mut each: impl FnMut(BatchPlace),
    ) -> Result<Offset, ReadError> {
        let mut reader = Buffered { segment: self, length, window: None };
        let mut position = start;
        while position < stop {
            let bytes = reader.batch(position, context)?;
            let batch = self.check(position, &bytes, offset, context)?;
            each(BatchPlace {
                position,
                bytes: bytes.len() as u64,
                base_offset: batch.base_offset(),
                last_offset: batch.last_offset(),
                max_timestamp: batch.max_timestamp(),
            });
            offset = batch.last_offset() + 1;
            position += bytes.len() as u64;
        }
        Ok(offset)
    }

    fn check<'a>(&self, position: u64, bytes: &'a [u8], offset: Offset, context: &ReadContext) -> Result<BatchView<'a>, ReadError> {
        let view = BatchView::parse(bytes).map_err(|error| self.corrupt(position, error.to_string()))?;
        let batch = view.verify().map_err(|error| self.corrupt(position, error.to_string()))?;
        if batch.base_offset() != offset {
            return Err(self.corrupt(position, format!("offset {offset} was expected, {} found", batch.base_offset())));
        }
        if batch.last_offset() == Offset::MAX {
            return Err(self.corrupt(position, "its offsets end where none can follow"));
        }
        match context.epochs.epoch_at(offset) {
            Some(epoch) if epoch != batch.leader_epoch() => {
                Err(self.corrupt(position, format!("leader epoch {epoch} was expected, {} found", batch.leader_epoch())))
            }
            _ => Ok(view),
        }
    }
}

impl SegmentView {
    /// The batches from the one that holds `offset` on: up to `max_bytes` of them, all before `end_offset`.
    pub(crate) fn read(
        &self,
        offset: Offset,
        end_offset: Offset,
        max_bytes: u64,
        at_least_one: bool,
        context: &ReadContext,
    ) -> Result<Option<(FileRange, Offset)>, SegmentError> {
        let Some(first) = self.locate(offset, context)? else { return Ok(None) };
        let Some((end, next)) = self.end_of_range(&first, end_offset, max_bytes, at_least_one, context)? else { return Ok(None) };
        self.verify_range(first.position, end, context)?;
        self.segment.hints.lock().remember(next, end);
        let file = self.segment.data(context.disk.as_ref()).map_err(|error| self.io(error))?;
        let range = FileRange { file, position: first.position, length: (end - first.position) as usize };
        Ok(Some((range, next)))
    }

    /// The first batch with a record at or after `timestamp`, among those that end at or after `offset`.
    pub(crate) fn first_at_or_after(
        &self,
        timestamp: TimestampMs,
        offset: Offset,
        context: &ReadContext,
    ) -> Result<Option<BatchPlace>, SegmentError> {
        let start = self.ask_index(context, |index| index.by_timestamp(timestamp))?;
        let mut walker = self.walk_from(start.map_or((0, self.segment.base), |entry| (entry.position, entry.offset)));
        while let Some(place) = walker.next(context)? {
            if place.max_timestamp >= timestamp && place.last_offset >= offset {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The newest timestamp of the batches between two offsets.
    pub(crate) fn newest(&self, from: Offset, end: Offset, context: &ReadContext) -> Result<TimestampMs, ReadError> {
        if from <= self.segment.base && end >= self.bounds.end {
            return Ok(self.bounds.max_timestamp);
        }
        let mut newest = -1;
        let mut walker = self.walk_from((0, self.segment.base));
        while let Some(place) = walker.next(context).map_err(|error| error.into_read(self))? {
            if place.last_offset >= from && place.last_offset < end {
                newest = newest.max(place.max_timestamp);
            }
        }
        Ok(newest)
    }

    /// All bytes of one batch, verified.
    pub(crate) fn batch(&self, place: &BatchPlace, context: &ReadContext) -> Result<ChunkSlice, SegmentError> {
        let mut reader = Buffered { segment: &self.segment, length: self.bounds.length, window: None };
        let bytes = reader.batch(place.position, context).map_err(SegmentError::Read)?;
        self.segment.check(place.position, &bytes, place.base_offset, context).map_err(SegmentError::Read)?;
        Ok(bytes)
    }

    /// Calls `each` with every batch of the segment, verified.
    pub(crate) fn for_each(&self, context: &ReadContext, mut each: impl FnMut(BatchView<'_>)) -> Result<(), ReadError> {
        let mut reader = Buffered { segment: &self.segment, length: self.bounds.length, window: None };
        let (mut position, mut offset) = (0, self.segment.base);
        while position < self.bounds.length {
            let bytes = reader.batch(position, context)?;
            let batch = self.segment.check(position, &bytes, offset, context)?;
            offset = batch.last_offset() + 1;
            position += bytes.len() as u64;
            each(batch);
        }
        Ok(())
    }

    /// The batch that holds `offset`; `None` if the segment ends before it.
    pub(crate) fn locate(&self, offset: Offset, context: &ReadContext) -> Result<Option<BatchPlace>, SegmentError> {
        if offset >= self.bounds.end {
            return Ok(None);
        }
        let hint = self.segment.hints.lock().find(offset, self.bounds.length);
        let start = match hint {
            Some(position) => (position, offset),
            None if offset <= self.segment.base => (0, self.segment.base),
            None => {
                let entry = self.ask_index(context, |index| index.by_offset(offset))?;
                entry.map_or((0, self.segment.base), |entry| (entry.position, entry.offset))
            }
        };
        let mut walker = self.walk_from(start);
        while let Some(place) = walker.next(context)? {
            if place.last_offset >= offset {
                return Ok(Some(place));
            }
        }
        Err(self.bounds_lie())
    }

    /// Where the range that begins with `first` ends, and the offset after it; `None` if not even `first` may be given.
    fn end_of_range(
        &self,
        first: &BatchPlace,
        end_offset: Offset,
        max_bytes: u64,
        at_least_one: bool,
        context: &ReadContext,
    ) -> Result<Option<(u64, Offset)>, SegmentError> {
        if first.last_offset >= end_offset || (first.bytes > max_bytes && !at_least_one) {
            return Ok(None);
        }
        let limit = first.position.saturating_add(max_bytes);
        if self.bounds.length <= limit && self.bounds.end <= end_offset {
            return Ok(Some((self.bounds.length, self.bounds.end)));
        }
        let mut end = (first.position + first.bytes, first.last_offset + 1);
        let entry = self.ask_index(context, |index| index.by_position(limit, end_offset))?;
        if let Some(entry) = entry.filter(|entry| entry.position > end.0) {
            end = (entry.position, entry.offset);
        }
        let mut walker = self.walk_from(end);
        while let Some(place) = walker.next(context)? {
            if place.position + place.bytes > limit || place.last_offset >= end_offset {
                break;
            }
            end = (place.position + place.bytes, place.last_offset + 1);
        }
        Ok(Some(end))
    }

    /// Verifies the stretches that `start..end` touches, unless that was done a short while ago.
    fn verify_range(&self, start: u64, end: u64, context: &ReadContext) -> Result<(), SegmentError> {
        for stretch in stretches(start, end) {
            let done = self.segment.verified.lock().get(stretch).copied().unwrap_or(0);
            if done != 0 && (context.now_ms - done).abs() < VERIFIED_FOR_MS {
                continue;
            }
            self.verify_stretch(stretch as u64 * VERIFY_BYTES, context)?;
            let mut verified = self.segment.verified.lock();
            if verified.len() <= stretch {
                verified.resize(stretch + 1, 0);
            }
            verified[stretch] = context.now_ms.max(1);
        }
        Ok(())
    }

    fn verify_stretch(&self, start: u64, context: &ReadContext) -> Result<(), SegmentError> {
        let entry = self.ask_index(context, |index| index.by_position(start, Offset::MAX))?;
        let (position, offset) = entry.map_or((0, self.segment.base), |entry| (entry.position, entry.offset));
        self.walk_from((position, offset)).next(context)?;
        let stop = (start + VERIFY_BYTES).min(self.bounds.length);
        let verified = self.segment.verify(position, stop, self.bounds.length, context, offset, |_| {});
        let end = verified.map_err(SegmentError::Read)?;
        if stop == self.bounds.length && end != self.bounds.end {
            return Err(self.bounds_lie());
        }
        Ok(())
    }

    fn ask_index<T>(&self, context: &ReadContext, ask: impl FnOnce(Index<'_>) -> Result<T, IndexError>) -> Result<T, SegmentError> {
        let file = self.segment.index(context.disk.as_ref()).map_err(|error| self.io(error))?;
        let index = Index { file: file.as_ref(), base: self.segment.base, length: self.bounds.index_length };
        ask(index).map_err(|error| match error {
            IndexError::Damaged => SegmentError::Index,
            IndexError::Io(error) => self.io(error),
        })
    }

    fn walk_from(&self, (position, offset): (u64, Offset)) -> Walker<'_> {
        Walker { view: self, start: position, position, offset, window: [0; WALK_BYTES], window_start: 0, window_bytes: 0 }
    }

    fn bounds_lie(&self) -> SegmentError {
        SegmentError::Read(self.segment.corrupt(self.bounds.length, format!("it should end at offset {}", self.bounds.end)))
    }

    fn io(&self, error: io::Error) -> SegmentError {
        SegmentError::Read(self.segment.io(error))
    }
}

/// Goes from header to header without reading the records between them.
struct Walker<'a> {
    view: &'a SegmentView,
    /// Where it began.
    start: u64,
    position: u64,
    offset: Offset,
    window: [u8; WALK_BYTES],
    window_start: u64,
    window_bytes: usize,
}

impl Walker<'_> {
    fn next(&mut self, context: &ReadContext) -> Result<Option<BatchPlace>, SegmentError> {
        if self.position >= self.view.bounds.length {
            return Ok(None);
        }
        let (position, offset) = (self.position, self.offset);
        // Where an index entry leads there must be a batch. If there is none, the entry may be one of an earlier life, as
        // the index of a segment that is written is never synced: it is built anew, which finds out what is wrong.
        let by_index = position == self.start && (position, offset) != (0, self.view.segment.base);
        let broken = |what: &str| match by_index {
            true => SegmentError::Index,
            false => SegmentError::Read(self.view.segment.corrupt(position, what)),
        };
        let (base, last_delta, bytes, max_timestamp) = {
            let header = self.header(context)?;
            let bytes = total_bytes(header).map_err(|error| broken(&error.to_string()))? as u64;
            let i64_at = |at: usize| i64::from_be_bytes(header[at..at + 8].try_into().expect("8 bytes"));
            let delta = i32::from_be_bytes(header[23..27].try_into().expect("4 bytes"));
            (i64_at(0), delta, bytes, i64_at(35))
        };
        if base != offset || last_delta < 0 || position + bytes > self.view.bounds.length {
            return Err(broken(&format!("no batch with offset {offset} lies here")));
        }
        let Some(next_offset) = base.checked_add(i64::from(last_delta) + 1) else {
            return Err(broken("its offsets end where none can follow"));
        };
        if next_offset > self.view.bounds.end {
            return Err(broken(&format!("it should end at offset {}", self.view.bounds.end)));
        }
        let last_offset = next_offset - 1;
        self.position += bytes;
        self.offset = next_offset;
        Ok(Some(BatchPlace { position, bytes, base_offset: base, last_offset, max_timestamp }))
    }

    fn header(&mut self, context: &ReadContext) -> Result<&[u8; HEADER_BYTES], SegmentError> {
        let end = self.position + HEADER_BYTES as u64;
        if self.position < self.window_start || end > self.window_start + self.window_bytes as u64 {
            let data = self.view.segment.data(context.disk.as_ref()).map_err(|error| self.view.io(error))?;
            self.window_bytes = data.read_at(&mut self.window, self.position).map_err(|error| self.view.io(error))?;
            self.window_start = self.position;
        }
        let at = (self.position - self.window_start) as usize;
        let header = self.window[..self.window_bytes].get(at..at + HEADER_BYTES);
        header.and_then(|header| header.try_into().ok()).ok_or_else(|| {
            SegmentError::Read(self.view.segment.corrupt(self.position, "the file is too short"))
        })
    }
}

/// Reads whole batches in large pieces.
struct Buffered<'a> {
    segment: &'a Segment,
    length: u64,
    window: Option<(u64, ChunkSlice)>,
}

impl Buffered<'_> {
    fn batch(&mut self, position: u64, context: &ReadContext) -> Result<ChunkSlice, ReadError> {
        let header = self.bytes(position, HEADER_BYTES, context)?;
        let bytes = total_bytes(&header).map_err(|error| self.segment.corrupt(position, error.to_string()))?;
        self.bytes(position, bytes, context)
    }

    fn bytes(&mut self, position: u64, length: usize, context: &ReadContext) -> Result<ChunkSlice, ReadError> {
        if let Some((start, window)) = &self.window
            && position >= *start
            && position + length as u64 <= start + window.len() as u64
        {
            let at = (position - start) as usize;
            return Ok(window.slice(at..at + length));
        }
        if position + length as u64 > self.length {
            return Err(self.segment.corrupt(position, "a batch goes beyond the end"));
        }
        let size = length.max((self.length - position).min(VERIFY_BYTES) as usize);
        let mut range = context.pool.take(size).take(size);
        range.fill_zero();
        let data = self.segment.data(context.disk.as_ref()).map_err(|error| self.segment.io(error))?;
        let count = data.read_at(range.bytes_mut(), position).map_err(|error| self.segment.io(error))?;
        let window = range.freeze().slice(0..count);
        if count < length {
            return Err(self.segment.corrupt(position, "the file is too short"));
        }
        self.window = Some((position, window.clone()));
        Ok(window.slice(0..length))
    }
}

impl Hints {
    fn remember(&mut self, offset: Offset, position: u64) {
        self.places[self.next % HINTS] = (offset, position);
        self.next += 1;
    }

    /// Position 0 needs no hint, so it marks an empty one.
    fn find(&self, offset: Offset, length: u64) -> Option<u64> {
        let place = self.places.iter().find(|place| place.0 == offset && place.1 != 0)?;
        (place.1 < length).then_some(place.1)
    }
}

/// The numbers of the stretches that hold the bytes `start..end`.
fn stretches(start: u64, end: u64) -> std::ops::Range<usize> {
    (start / VERIFY_BYTES) as usize..end.div_ceil(VERIFY_BYTES) as usize
}
