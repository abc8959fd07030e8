//! What lies in the write-ahead log: file headers, blocks, entries. The byte maps are in `docs/format.md`.

use chronik_state::ids::{LogId, Offset, TimestampMs, TopicId};

use crate::batch::UNCHECKED_BYTES;

/// Position in the write-ahead log: bytes of entries since the node's first, headers and padding not counted.
pub type Lsn = u64;

/// Bytes of a file's header: one block, so that it can be written directly.
pub(crate) const FILE_HEADER_BYTES: usize = crate::disk::BLOCK_BYTES;
/// Bytes of a block's header.
pub(crate) const BLOCK_HEADER_BYTES: usize = 64;
/// Bytes of an entry's header.
pub(crate) const ENTRY_HEADER_BYTES: usize = 48;

/// Sequence numbers and start positions above this are nobody's.
pub(crate) const COUNT_MAX: u64 = u64::MAX / 2;

const FILE_MAGIC: [u8; 8] = *b"CHRONWAL";
/// Version 2 knows entries with a gap before their payload; in files of version 1 all gaps are 0.
const FILE_VERSION: u32 = 2;
const FILE_VERSION_MIN: u32 = 1;
const BLOCK_MAGIC: [u8; 4] = *b"CHWB";
const BLOCK_VERSION: u16 = 1;

/// The first block of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) sequence: u64,
    /// What tells this file's blocks from those of its earlier lives.
    pub(crate) salt: u64,
    /// The LSN of its first entry; what earlier files hold from there on does not count.
    pub(crate) start_lsn: Lsn,
}

/// Why a file header is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("its header is damaged")]
    Damaged,
    #[error("its format version {0} is newer than this program")]
    Version(u32),
}

impl FileHeader {
    pub(crate) fn write(&self, block: &mut [u8]) {
        block.fill(0);
        block[0..8].copy_from_slice(&FILE_MAGIC);
        block[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        block[24..32].copy_from_slice(&self.salt.to_le_bytes());
        block[32..40].copy_from_slice(&self.start_lsn.to_le_bytes());
        let crc = crc32c::crc32c(&block[..60]);
        block[60..64].copy_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn read(block: &[u8]) -> Result<Self, HeaderError> {
        if block.len() < 64 || block[0..8] != FILE_MAGIC || u32_at(block, 60) != crc32c::crc32c(&block[..60]) {
            return Err(HeaderError::Damaged);
        }
        let header = FileHeader { sequence: u64_at(block, 16), salt: u64_at(block, 24), start_lsn: u64_at(block, 32) };
        match u32_at(block, 8) {
            // No log gets there, and what follows could not be counted.
            _ if header.sequence.max(header.start_lsn) > COUNT_MAX => Err(HeaderError::Damaged),
            FILE_VERSION_MIN..=FILE_VERSION => Ok(header),
            version => Err(HeaderError::Version(version)),
        }
    }
}

/// The head of what one commit wrote in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) salt: u64,
    pub(crate) lsn: Lsn,
    pub(crate) payload_bytes: u32,
    pub(crate) entries: u32,
    /// Everything before this was durable when this block was written: damage there is no torn tail.
    pub(crate) synced_lsn: Lsn,
}

impl BlockHeader {
    pub(crate) fn write(&self, header: &mut [u8]) {
        header.fill(0);
        header[0..4].copy_from_slice(&BLOCK_MAGIC);
        header[4..6].copy_from_slice(&BLOCK_VERSION.to_le_bytes());
        header[8..16].copy_from_slice(&self.salt.to_le_bytes());
        header[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        header[24..28].copy_from_slice(&self.payload_bytes.to_le_bytes());
        header[28..32].copy_from_slice(&self.entries.to_le_bytes());
        header[32..40].copy_from_slice(&self.synced_lsn.to_le_bytes());
        let crc = crc32c::crc32c(&header[..60]);
        header[60..64].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header, if these bytes are one and belong to the file with this salt.
    pub(crate) fn read(header: &[u8], salt: u64) -> Option<Self> {
        let valid = header.len() >= BLOCK_HEADER_BYTES
            && header[0..4] == BLOCK_MAGIC
            && u16_at(header, 4) == BLOCK_VERSION
            && u64_at(header, 8) == salt
            && u32_at(header, 60) == crc32c::crc32c(&header[..60]);
        valid.then(|| BlockHeader {
            salt,
            lsn: u64_at(header, 16),
            payload_bytes: u32_at(header, 24),
            entries: u32_at(header, 28),
            synced_lsn: u64_at(header, 32),
        })
    }
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// Its payload is a record batch, appended to the log.
    Batch,
    /// The log ends at an offset: its payload is that offset.
    Truncate,
    /// The log starts at an offset: its payload is that offset.
    LogStart,
    /// The log is gone. No payload.
    Delete,
}

impl EntryKind {
    fn to_byte(self) -> u8 {
        match self {
            EntryKind::Batch => 1,
            EntryKind::Truncate => 2,
            EntryKind::LogStart => 3,
            EntryKind::Delete => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(EntryKind::Batch),
            2 => Some(EntryKind::Truncate),
            3 => Some(EntryKind::LogStart),
            4 => Some(EntryKind::Delete),
            _ => None,
        }
    }
}

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) kind: EntryKind,
    pub(crate) log: LogId,
    pub(crate) lsn: Lsn,
    /// When the node appended it.
    pub(crate) appended_ms: TimestampMs,
    /// Zeros between header and payload, fewer than a disk block: so that the payload lies in its block as it will in its segment.
    pub(crate) gap_bytes: u16,
    pub(crate) payload_bytes: u32,
}

impl EntryHeader {
    /// Fills `header`; the checksum covers it, the file's salt, and of the payload what nothing else covers.
    pub(crate) fn write(&self, header: &mut [u8], salt: u64, payload: &[u8]) {
        header.fill(0);
        header[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        header[8] = self.kind.to_byte();
        header[10..12].copy_from_slice(&self.gap_bytes.to_le_bytes());
        header[12..16].copy_from_slice(&self.log.partition.to_le_bytes());
        header[16..32].copy_from_slice(&self.log.topic.0);
        header[32..40].copy_from_slice(&self.lsn.to_le_bytes());
        header[40..48].copy_from_slice(&self.appended_ms.to_le_bytes());
        let crc = checksum(header, salt, payload);
        header[0..4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header without its checksum, to learn how long the payload is.
    pub(crate) fn read(header: &[u8]) -> Option<Self> {
        if header.len() < ENTRY_HEADER_BYTES {
            return None;
        }
        Some(EntryHeader {
            kind: EntryKind::from_byte(header[8])?,
            log: LogId {
                topic: TopicId(header[16..32].try_into().expect("16 bytes")),
                partition: u32_at(header, 12) as i32,
            },
            lsn: u64_at(header, 32),
            appended_ms: u64_at(header, 40) as i64,
            gap_bytes: u16_at(header, 10),
            payload_bytes: u32_at(header, 4),
        })
    }

    /// True if the checksum in `header` is right for it and for `payload`.
    pub(crate) fn verify(header: &[u8], salt: u64, payload: &[u8]) -> bool {
        u32_at(header, 0) == checksum(header, salt, payload)
    }

    /// Bytes of the whole entry.
    pub(crate) fn total_bytes(&self) -> usize {
        self.payload_at() + self.payload_bytes as usize
    }

    /// Where in the entry its payload begins.
    pub(crate) fn payload_at(&self) -> usize {
        ENTRY_HEADER_BYTES + usize::from(self.gap_bytes)
    }
}

/// A batch's own checksum covers all but its first bytes, so those are all that is added here.
fn checksum(header: &[u8], salt: u64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &header[4..ENTRY_HEADER_BYTES]);
    crc32c::crc32c_append(crc, &payload[..payload.len().min(UNCHECKED_BYTES)])
}

/// The payload of entries that hold an offset.
pub(crate) fn offset_payload(offset: Offset) -> [u8; 8] {
    offset.to_le_bytes()
}

/// Reads what [`offset_payload`] wrote.
pub(crate) fn read_offset_payload(payload: &[u8]) -> Option<Offset> {
    Some(i64::from_le_bytes(payload.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
