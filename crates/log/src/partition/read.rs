//! Reading: whole batches, as pieces of memory or ranges of files, never copied here.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use chronik_state::ids::{Offset, TimestampMs};

use super::TailBatch;
use crate::chunk::ChunkSlice;
use crate::disk::FileHandle;

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

/// Reads from the batches in memory.
pub(super) fn from_tail(tail: &VecDeque<TailBatch>, request: &ReadRequest) -> ReadOutcome {
    let mut outcome = ReadOutcome { pieces: Vec::new(), bytes: 0 };
    let first = tail.partition_point(|batch| batch.last_offset < request.offset);
    for batch in tail.iter().skip(first) {
        let too_large = outcome.bytes + batch.bytes.len() > request.max_bytes;
        let must = request.at_least_one && outcome.bytes == 0;
        if batch.last_offset >= request.end_offset || (too_large && !must) {
            break;
        }
        outcome.bytes += batch.bytes.len();
        outcome.pieces.push(Piece::Memory(batch.bytes.clone()));
    }
    outcome
}
