//! Reading: whole batches, as pieces of memory or ranges of files, never copied here.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use chronik_state::ids::{Offset, TimestampMs};

use super::segment::{ReadContext, SegmentError, SegmentView};
use super::{PartitionLog, State, TailBatch};
use crate::chunk::ChunkSlice;
use crate::disk::FileHandle;
use crate::errors::ReadError;

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    /// The first record wanted. The batch it lies in is given whole, so earlier records may come with it.
    pub offset: Offset,
    /// The most bytes to give.
    pub max_bytes: usize,
    /// No batch that has records at or after this (exclusive): the high watermark, or the last stable offset.
    pub end_offset: Offset,
    /// Give the first batch even if it alone is larger than `max_bytes` (KIP-74).
    pub at_least_one: bool,
    /// The node's time: bytes verified a while ago are verified again.
    pub now_ms: TimestampMs,
}

/// A stretch of whole batches.
pub enum Piece {
    /// The tail: memory shared with the write-ahead log.
    Memory(ChunkSlice),
    /// A segment: bytes of a file, already verified.
    File(FileRange),
}

impl Piece {
    /// How many bytes.
    pub fn length(&self) -> usize {
        match self {
            Piece::Memory(bytes) => bytes.len(),
            Piece::File(range) => range.length,
        }
    }

    /// Copies the bytes out.
    pub fn copy_to(&self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Piece::Memory(bytes) => out.extend_from_slice(bytes),
            Piece::File(range) => {
                let start = out.len();
                out.resize(start + range.length, 0);
                range.read_into(&mut out[start..])?;
            }
        }
        Ok(())
    }
}

/// Bytes of a segment file, which stays open as long as this lives.
#[derive(Clone)]
pub struct FileRange {
    pub(crate) file: FileHandle,
    /// Where they begin.
    pub position: u64,
    /// How many.
    pub length: usize,
}

impl FileRange {
    /// The descriptor for `sendfile`; none on a disk without descriptors.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    /// Reads the first `buffer.len()` bytes of the range.
    pub fn read_into(&self, buffer: &mut [u8]) -> io::Result<()> {
        let count = self.file.read_at(buffer, self.position)?;
        if count < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// What a read found.
pub struct ReadOutcome {
    /// In order; empty at the end of what may be read.
    pub pieces: Vec<Piece>,
    /// Bytes of all pieces.
    pub bytes: usize,
}

impl ReadOutcome {
    /// All bytes in one buffer, for those who want to decode them.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.bytes);
        self.pieces.iter().try_for_each(|piece| piece.copy_to(&mut out))?;
        Ok(out)
    }
}

/// Where the next piece is to come from.
pub(super) enum Source {
    Segment(SegmentView, ReadContext),
    /// The pieces are there already: memory needs no more than the lock.
    Tail,
}

impl PartitionLog {
    /// Reads whole batches from the one that holds `request.offset` on.
    pub fn read(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        self.read_pieces(request).map_err(|error| {
            // What was to be read may have been deleted meanwhile: that is no fault of the disk.
            let (log_start_offset, log_end_offset) = (self.log_start_offset(), self.log_end_offset());
            let gone = matches!(error, ReadError::Io { .. } | ReadError::Corrupt { .. }) && request.offset < log_start_offset;
            if gone { ReadError::OffsetOutOfRange { offset: request.offset, log_start_offset, log_end_offset } } else { error }
        })
    }

    fn read_pieces(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        let mut outcome = ReadOutcome { pieces: Vec::new(), bytes: 0 };
        let mut next = request.offset;
        while let Source::Segment(view, context) = self.source(next, &request, &mut outcome)? {
            let max_bytes = (request.max_bytes - outcome.bytes.min(request.max_bytes)) as u64;
            let at_least_one = request.at_least_one && outcome.bytes == 0;
            let read = view.read(next, request.end_offset, max_bytes, at_least_one, &context);
            let read = match read {
                Err(SegmentError::Index) => {
                    let view = self.repair_index(&view, &context)?;
                    view.read(next, request.end_offset, max_bytes, at_least_one, &context).map_err(|error| error.into_read(&view))?
                }
                other => other.map_err(|error| error.into_read(&view))?,
            };
            let Some((range, after)) = read else { break };
            outcome.bytes += range.length;
            outcome.pieces.push(Piece::File(range));
            // A range that ends within its segment ends because of the limits.
            if after < view.bounds.end || outcome.bytes >= request.max_bytes {
                break;
            }
            next = after;
        }
        Ok(outcome)
    }

    /// Where `offset` lies. What lies in the tail is taken at once, under the lock.
    fn source(&self, offset: Offset, request: &ReadRequest, outcome: &mut ReadOutcome) -> Result<Source, ReadError> {
        let mut state = self.state.lock();
        let (log_start_offset, log_end_offset) = (self.log_start_offset(), self.log_end_offset());
        if state.deleted {
            return Err(ReadError::Deleted);
        }
        if offset < log_start_offset || offset > log_end_offset {
            if !outcome.pieces.is_empty() {
                return Ok(Source::Tail);
            }
            return Err(ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset });
        }
        let memory_begins = state.recent.front().map_or(state.segments_end, |batch| batch.base_offset);
        if offset >= memory_begins {
            from_memory(&state.recent, &state.tail, offset, request, outcome);
            return Ok(Source::Tail);
        }
        self.ensure_open(&mut state, request.now_ms)?;
        let context = self.context(&state, request.now_ms);
        let active = state.active_bounds();
        let opened = state.opened.as_ref().expect("just opened");
        let Some((segment, next_base)) = opened.holding(offset) else {
            return Err(ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset });
        };
        drop(state);
        let view = SegmentView::of(segment, next_base, active, &context)?;
        if offset >= view.bounds.end && next_base.is_none() {
            return Err(view.segment.corrupt(view.bounds.length, format!("offset {offset} should be in it")));
        }
        Ok(Source::Segment(view, context))
    }

    /// Builds a segment's index anew, after one of its entries was found wrong, and looks at the segment again.
    pub(super) fn repair_index(&self, view: &SegmentView, context: &ReadContext) -> Result<SegmentView, ReadError> {
        let _writer = self.segments_writer.lock();
        self.repair_index_locked(&mut self.state.lock(), view, context)
    }

    /// As `repair_index`, for who holds the segments' lock.
    pub(super) fn repair_index_locked(&self, state: &mut State, view: &SegmentView, context: &ReadContext) -> Result<SegmentView, ReadError> {
        let is_active = state.active.is_some_and(|active| active.base == view.segment.base);
        let expected = match is_active {
            true => state.active_bounds().expect("checked"),
            // It may have been written on and sealed since the reader looked.
            false => view.segment.known_bounds().unwrap_or(view.bounds),
        };
        let bounds = view.segment.rebuild_index(expected, !is_active, context)?;
        if let Some(active) = state.active.as_mut().filter(|_| is_active) {
            active.index_length = bounds.index_length;
        }
        Ok(SegmentView { segment: view.segment.clone(), bounds })
    }
}

impl SegmentError {
    /// For where the index has just been rebuilt, or is not asked.
    pub(super) fn into_read(self, view: &SegmentView) -> ReadError {
        match self {
            SegmentError::Read(error) => error,
            SegmentError::Index => view.segment.corrupt(0, "its index is damaged"),
        }
    }
}

/// Adds the batches in memory from `offset` on to `outcome`; those of `tail` follow those of `recent`.
fn from_memory(
    recent: &VecDeque<TailBatch>,
    tail: &VecDeque<TailBatch>,
    offset: Offset,
    request: &ReadRequest,
    outcome: &mut ReadOutcome,
) {
    let before = |batch: &TailBatch| batch.last_offset < offset;
    let (recent, tail) = (recent.range(recent.partition_point(before)..), tail.range(tail.partition_point(before)..));
    for batch in recent.chain(tail) {
        let too_large = outcome.bytes + batch.bytes.len() > request.max_bytes;
        let must = request.at_least_one && outcome.bytes == 0;
        if batch.last_offset >= request.end_offset || (too_large && !must) {
            break;
        }
        outcome.bytes += batch.bytes.len();
        outcome.pieces.push(Piece::Memory(batch.bytes.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chronik_state::ids::{LogId, TopicId};

    use super::*;
    use crate::disk::RealDisk;
    use crate::records::BatchBuilder;
    use crate::wal::SyncClass;
    use crate::{Append, LogConfig, Storage, StorageOptions};

    /// A reader finds a wrong entry in the index of the segment that is written; before it holds the lock to build the index anew, the
    /// segment is sealed. It must not be sealed a second time, with the end that the reader knew.
    #[test]
    fn an_index_that_is_built_anew_late_leaves_the_end_of_its_segment_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (storage, _) = Storage::open(Arc::new(RealDisk), StorageOptions::new(directory.path()), 0).unwrap();
        let config = LogConfig { segment_bytes: 1000, ..LogConfig::default() };
        let log = storage.create(LogId { topic: TopicId([7; 16]), partition: 0 }, config).unwrap();
        let append = |count: usize| {
            for _ in 0..count {
                let mut builder = BatchBuilder::new();
                builder.record(1, None, Some(&[7; 100]), &[]);
                let append = Append { leader_epoch: 1, now_ms: 1, sync: SyncClass::Commit, privileged: false };
                log.append(builder.build().as_valid(), append).unwrap();
            }
            storage.upkeep(2, true).unwrap();
        };
        append(2);
        let (view, context) = {
            let mut state = log.state.lock();
            log.ensure_open(&mut state, 2).unwrap();
            let context = log.context(&state, 2);
            let (segment, next) = state.opened.as_ref().unwrap().holding(0).unwrap();
            (SegmentView::of(segment, next, state.active_bounds(), &context).unwrap(), context)
        };
        append(20);
        log.state.lock().recent.clear();
        log.repair_index(&view, &context).unwrap();
        let request = ReadRequest { offset: 0, max_bytes: 1 << 20, end_offset: 22, at_least_one: true, now_ms: 3 };
        let read = log.read(request).map(|read| read.bytes);
        assert!(read.is_ok(), "{:?}", read.err());
    }
}
