//! The sparse index beside a segment: where a batch lies, by offset, by position, by time.
//!
//! An index is a cache. Each entry carries a checksum; one that is wrong makes the index be built anew from
//! the segment, never a wrong answer. The last entry of a sealed segment's index is its *seal*: its length, its
//! end, its newest timestamp.

use std::io;

use chronik_state::ids::{Offset, TimestampMs};

use crate::disk::DiskFile;

/// Bytes of an entry on disk.
pub(crate) const ENTRY_BYTES: usize = 24;

const BATCH: u32 = 0;
const SEAL: u32 = 1;

/// One entry: a batch begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Offset of the batch's first record; in a seal, one past the segment's last.
    pub(crate) offset: Offset,
    /// Where the batch begins in the segment; in a seal, the segment's length.
    pub(crate) position: u64,
    /// Newest timestamp of all batches before this position; −1 if there are none.
    pub(crate) max_timestamp_before: TimestampMs,
    pub(crate) seal: bool,
}

/// The entry is not what was written; the index must be rebuilt.
#[derive(Debug)]
pub(crate) enum IndexError {
    Damaged,
    Io(io::Error),
}

impl IndexEntry {
    pub(crate) fn encode(&self, base: Offset) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..4].copy_from_slice(&((self.offset - base) as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.position as u32).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.max_timestamp_before.to_le_bytes());
        bytes[16..20].copy_from_slice(&(if self.seal { SEAL } else { BATCH }).to_le_bytes());
        let crc = checksum(&bytes, base);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES], base: Offset) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        if u32_at(20) != checksum(bytes, base) || u32_at(16) > SEAL {
            return None;
        }
        Some(IndexEntry {
            offset: base + i64::from(u32_at(0)),
            position: u64::from(u32_at(4)),
            max_timestamp_before: i64::from_le_bytes(bytes[8..16].try_into().expect("8 bytes")),
            seal: u32_at(16) == SEAL,
        })
    }
}

/// The base offset is part of it, so that an entry of another segment never fits.
fn checksum(bytes: &[u8; ENTRY_BYTES], base: Offset) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&base.to_le_bytes()), &bytes[..20])
}

/// The first `length` bytes of an index file.
pub(crate) struct Index<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) base: Offset,
    pub(crate) length: u64,
}

impl Index<'_> {
    /// The last entry of a batch that begins at or before `offset`.
    pub(crate) fn by_offset(&self, offset: Offset) -> Result<Option<IndexEntry>, IndexError> {
        self.last_where(|entry| entry.offset <= offset)
    }

    /// The last entry at or before `position` whose batches before it all lie before `end_offset`.
    pub(crate) fn by_position(&self, position: u64, end_offset: Offset) -> Result<Option<IndexEntry>, IndexError> {
        self.last_where(|entry| entry.position <= position && entry.offset <= end_offset)
    }

    /// The last entry before which everything is older than `timestamp`.
    pub(crate) fn by_timestamp(&self, timestamp: TimestampMs) -> Result<Option<IndexEntry>, IndexError> {
        self.last_where(|entry| entry.max_timestamp_before < timestamp)
    }

    /// The seal, if the last entry is one.
    pub(crate) fn seal(&self) -> Result<Option<IndexEntry>, IndexError> {
        let Some(last) = self.entries().checked_sub(1) else { return Ok(None) };
        let entry = self.entry(last)?;
        Ok(entry.seal.then_some(entry))
    }

    fn entries(&self) -> u64 {
        self.length / ENTRY_BYTES as u64
    }

    /// Binary search; `holds` is true up to some entry and false from there on. Seals are passed over.
    fn last_where(&self, holds: impl Fn(&IndexEntry) -> bool) -> Result<Option<IndexEntry>, IndexError> {
        let (mut low, mut high) = (0, self.entries());
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            if !entry.seal && holds(&entry) {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    fn entry(&self, number: u64) -> Result<IndexEntry, IndexError> {
        let mut bytes = [0; ENTRY_BYTES];
        let count = self.file.read_at(&mut bytes, number * ENTRY_BYTES as u64).map_err(IndexError::Io)?;
        if count < ENTRY_BYTES {
            return Err(IndexError::Damaged);
        }
        IndexEntry::decode(&bytes, self.base).ok_or(IndexError::Damaged)
    }
}

/// Decides which batches get an entry while a segment is written or scanned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexBuilder {
    base: Offset,
    interval_bytes: u64,
    /// Bytes since the last entry.
    since: u64,
    max_timestamp: TimestampMs,
}

impl IndexBuilder {
    /// For a segment that is written on; its next batch gets an entry.
    pub(crate) fn new(base: Offset, interval_bytes: u64, max_timestamp: TimestampMs) -> Self {
        IndexBuilder { base, interval_bytes, since: interval_bytes, max_timestamp }
    }

    /// Notes a batch; writes an entry to `out` if it is time for one.
    pub(crate) fn batch(&mut self, offset: Offset, position: u64, bytes: u64, max_timestamp: TimestampMs, out: &mut Vec<u8>) {
        if self.since >= self.interval_bytes {
            let entry = IndexEntry { offset, position, max_timestamp_before: self.max_timestamp, seal: false };
            out.extend_from_slice(&entry.encode(self.base));
            self.since = 0;
        }
        self.since += bytes;
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
    }

    pub(crate) fn max_timestamp(&self) -> TimestampMs {
        self.max_timestamp
    }
}
