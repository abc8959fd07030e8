//! A view over Kafka's record batch, format 2: the 61-byte header is read, the records are not.
//!
//! ```text
//!  0 base offset i64          21 attributes i16           43 producer id i64
//!  8 length i32 (from 12 on)  23 last offset delta i32    51 producer epoch i16
//! 12 leader epoch i32         27 base timestamp i64       53 base sequence i32
//! 16 magic i8 (2)             35 max timestamp i64        57 record count i32
//! 17 crc32c u32 (from 21 on)                              61 records
//! ```
//!
//! The first 21 bytes are outside the batch's own checksum, which is why a leader may patch base offset
//! and epoch in place, and why the write-ahead log adds a checksum of its own over them.
//! Source: Kafka's `DefaultRecordBatch`, KIP-98.

use chronik_state::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes that the batch's own checksum leaves out: base offset, length, leader epoch, magic, the checksum.
pub const UNCHECKED_BYTES: usize = 21;
/// Bytes before those which the length field counts.
pub const LENGTH_PREFIX_BYTES: usize = 12;

const BASE_OFFSET_AT: usize = 0;
const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// Why bytes are no record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header's length field announces.
    #[error("record batch is cut short: {have} bytes of {need}")]
    Truncated { have: usize, need: usize },
    /// The length field is smaller than a header.
    #[error("record batch length {0} is smaller than its header")]
    Length(i32),
    /// Only magic 2 is stored; older formats ended with Kafka 4.0 (KIP-724).
    #[error("record batch magic {0} is not supported")]
    Magic(i8),
    /// The stored checksum is not that of the bytes.
    #[error("record batch checksum is {stored:#010x}, its bytes give {computed:#010x}")]
    Checksum { stored: u32, computed: u32 },
    /// A count, delta or codec that no writer produces.
    #[error("record batch field {0} has an impossible value")]
    Field(&'static str),
}

/// How the records of a batch are compressed (attributes, bits 0 to 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in Xerial's framing or raw.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

/// One batch: exactly its bytes, of which the header has been found plausible but the checksum not yet computed.
#[derive(Clone, Copy)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the start of `bytes`, which may hold more after it.
    ///
    /// # Errors
    /// Everything but [`BatchError::Checksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let total = total_bytes(bytes)?;
        if bytes.len() < total.max(HEADER_BYTES) {
            return Err(BatchError::Truncated { have: bytes.len(), need: total.max(HEADER_BYTES) });
        }
        let view = BatchView { bytes: &bytes[..total] };
        if view.last_offset_delta() < 0 {
            return Err(BatchError::Field("last offset delta"));
        }
        if view.record_count() < 0 {
            return Err(BatchError::Field("record count"));
        }
        Ok(view)
    }

    /// Checks the checksum over everything from the attributes on: the one pass over the data.
    pub fn verify(self) -> Result<ValidBatch<'a>, BatchError> {
        let computed = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if computed != self.crc() {
            return Err(BatchError::Checksum { stored: self.crc(), computed });
        }
        Ok(ValidBatch { view: self })
    }

    /// All bytes of the batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as stored, compressed or not.
    pub fn records(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Offset of the first record; whatever the producer wrote until a leader assigns it.
    pub fn base_offset(&self) -> Offset {
        i64_at(self.bytes, BASE_OFFSET_AT)
    }

    /// Offset of the last record (kept through compaction even when the record is gone).
    pub fn last_offset(&self) -> Offset {
        self.base_offset().saturating_add(i64::from(self.last_offset_delta()))
    }

    /// Epoch of the leader that appended it.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        i32_at(self.bytes, LEADER_EPOCH_AT)
    }

    /// The stored CRC-32C.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(array_at(self.bytes, CRC_AT))
    }

    /// All attribute bits.
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(array_at(self.bytes, ATTRIBUTES_AT))
    }

    /// The codec of the records; `Err` for the three numbers nobody has given out.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        match self.attributes() & COMPRESSION_MASK {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            _ => Err(BatchError::Field("compression")),
        }
    }

    /// True when the timestamps are the broker's (`message.timestamp.type=LogAppendTime`).
    pub fn has_log_append_time(&self) -> bool {
        self.attributes() & LOG_APPEND_TIME_BIT != 0
    }

    /// True for a batch of a transaction (KIP-98).
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL_BIT != 0
    }

    /// True for a batch of control records, which clients skip and may not send.
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL_BIT != 0
    }

    /// True when the base timestamp holds a delete horizon (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes() & DELETE_HORIZON_BIT != 0
    }

    /// Distance from the first offset to the last.
    pub fn last_offset_delta(&self) -> i32 {
        i32_at(self.bytes, LAST_OFFSET_DELTA_AT)
    }

    /// What the records' timestamp deltas count from.
    pub fn base_timestamp(&self) -> TimestampMs {
        i64_at(self.bytes, BASE_TIMESTAMP_AT)
    }

    /// The largest timestamp of its records, or the append time.
    pub fn max_timestamp(&self) -> TimestampMs {
        i64_at(self.bytes, MAX_TIMESTAMP_AT)
    }

    /// −1 where the producer is not idempotent.
    pub fn producer_id(&self) -> ProducerId {
        i64_at(self.bytes, PRODUCER_ID_AT)
    }

    /// −1 where the producer is not idempotent.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        i16::from_be_bytes(array_at(self.bytes, PRODUCER_EPOCH_AT))
    }

    /// Sequence number of the first record, −1 where there is none.
    pub fn base_sequence(&self) -> i32 {
        i32_at(self.bytes, BASE_SEQUENCE_AT)
    }

    /// Sequence number of the last record; wraps to 0 after `i32::MAX` (KIP-98). −1 where there is none.
    pub fn last_sequence(&self) -> i32 {
        let base = self.base_sequence();
        if base < 0 {
            return -1;
        }
        let last = i64::from(base) + i64::from(self.last_offset_delta());
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    /// How many records it says it holds.
    pub fn record_count(&self) -> i32 {
        i32_at(self.bytes, RECORD_COUNT_AT)
    }
}

/// A batch whose checksum has been computed and found right. Only such a one can be appended.
#[derive(Clone, Copy)]
pub struct ValidBatch<'a> {
    view: BatchView<'a>,
}

impl<'a> ValidBatch<'a> {
    /// For batches whose checksum this crate has just computed.
    pub(crate) fn trusted(view: BatchView<'a>) -> Self {
        ValidBatch { view }
    }
}

impl<'a> std::ops::Deref for ValidBatch<'a> {
    type Target = BatchView<'a>;

    fn deref(&self) -> &BatchView<'a> {
        &self.view
    }
}

/// Walks the batches of `bytes` one after another; stops after the first error.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// See [`batches`].
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = BatchView::parse(self.rest);
        self.rest = match &parsed {
            Ok(view) => &self.rest[view.bytes.len()..],
            Err(_) => &[],
        };
        Some(parsed)
    }
}

/// The size of the batch that starts with these bytes (at least 17 of them are needed), from its length field.
pub fn total_bytes(bytes: &[u8]) -> Result<usize, BatchError> {
    if bytes.len() <= MAGIC_AT {
        return Err(BatchError::Truncated { have: bytes.len(), need: HEADER_BYTES });
    }
    let magic = bytes[MAGIC_AT] as i8;
    if magic != 2 {
        return Err(BatchError::Magic(magic));
    }
    let length = i32_at(bytes, LENGTH_AT);
    if length < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32 {
        return Err(BatchError::Length(length));
    }
    Ok(LENGTH_PREFIX_BYTES + length as usize)
}

/// Gives the batch its place: neither field is covered by its checksum.
pub(crate) fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    put(batch, BASE_OFFSET_AT, &base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, &leader_epoch.to_be_bytes());
}

/// Puts the broker's time over the producer's (`LogAppendTime`), which needs a new checksum.
pub(crate) fn stamp_log_append_time(batch: &mut [u8], now_ms: TimestampMs) {
    let attributes = i16::from_be_bytes(array_at(batch, ATTRIBUTES_AT)) | LOG_APPEND_TIME_BIT;
    put(batch, ATTRIBUTES_AT, &attributes.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, &now_ms.to_be_bytes());
    seal(batch);
}

/// Computes and stores the checksum.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

/// The fields of a header, for those who write batches.
pub(crate) struct HeaderFields {
    pub(crate) base_offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: TimestampMs,
    pub(crate) max_timestamp: TimestampMs,
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl HeaderFields {
    pub(crate) const CONTROL: i16 = CONTROL_BIT;
    pub(crate) const TRANSACTIONAL: i16 = TRANSACTIONAL_BIT;

    /// Fills the header of `batch`, whose records stand already behind it, and seals it.
    pub(crate) fn write(&self, batch: &mut [u8]) {
        let length = i32::try_from(batch.len() - LENGTH_PREFIX_BYTES).expect("a batch is smaller than 2 GiB");
        put(batch, BASE_OFFSET_AT, &self.base_offset.to_be_bytes());
        put(batch, LENGTH_AT, &length.to_be_bytes());
        put(batch, LEADER_EPOCH_AT, &self.leader_epoch.to_be_bytes());
        batch[MAGIC_AT] = 2;
        put(batch, ATTRIBUTES_AT, &self.attributes.to_be_bytes());
        put(batch, LAST_OFFSET_DELTA_AT, &self.last_offset_delta.to_be_bytes());
        put(batch, BASE_TIMESTAMP_AT, &self.base_timestamp.to_be_bytes());
        put(batch, MAX_TIMESTAMP_AT, &self.max_timestamp.to_be_bytes());
        put(batch, PRODUCER_ID_AT, &self.producer_id.to_be_bytes());
        put(batch, PRODUCER_EPOCH_AT, &self.producer_epoch.to_be_bytes());
        put(batch, BASE_SEQUENCE_AT, &self.base_sequence.to_be_bytes());
        put(batch, RECORD_COUNT_AT, &self.record_count.to_be_bytes());
        seal(batch);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}
