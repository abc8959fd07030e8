//! Reads the records of an uncompressed batch: what the node wrote itself, and what it must look into.
//!
//! Record: `varint length, int8 attributes, varint timestamp delta, varint offset delta, varint key length (−1: null),
//! key, varint value length (−1: null), value, varint count of headers, headers`. Source: Kafka's `DefaultRecord`.

use chronik_state::ids::{Offset, TimestampMs};
use thiserror::Error;

use crate::batch::{BatchView, Compression};

/// Why the records of a batch cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// They would have to be decompressed first.
    #[error("the records are compressed")]
    Compressed,
    /// They are not what their codec writes.
    #[error("the records cannot be decompressed")]
    Decompression,
    /// Decompressed they would be larger than the caller takes.
    #[error("the records are larger than {bytes_max} bytes when decompressed")]
    TooLarge {
        /// What the caller takes.
        bytes_max: usize,
    },
    /// Lengths or counts contradict each other.
    #[error("record {index} of the batch is malformed")]
    Malformed {
        /// Which one, from 0.
        index: i32,
    },
}

/// One record, where it lies in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// As the producer, or the broker, stamped it.
    pub timestamp: TimestampMs,
    /// May be null.
    pub key: Option<&'a [u8]>,
    /// Null for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// The records of `batch`, in order. Ends after the first error.
pub fn read<'a>(batch: &BatchView<'a>) -> Records<'a> {
    let is_plain = matches!(batch.compression(), Ok(Compression::None));
    Records { refused: (!is_plain).then_some(RecordError::Compressed), ..read_from(batch, batch.records()) }
}

/// The records of `batch`, of which `records` are the bytes after decompression.
pub fn read_from<'a>(batch: &BatchView<'_>, records: &'a [u8]) -> Records<'a> {
    Records {
        rest: records,
        base_offset: batch.base_offset(),
        base_timestamp: batch.base_timestamp(),
        append_time: batch.has_log_append_time().then(|| batch.max_timestamp()),
        index: 0,
        count: batch.record_count(),
        refused: None,
    }
}

/// Checks that an uncompressed batch's records are laid out as its header says: as many as it counts, with offset
/// deltas 0, 1, 2 …, each exactly as long as it says, nothing behind the last. Looks at lengths only.
pub fn check_layout(batch: &BatchView<'_>) -> Result<(), RecordError> {
    let mut rest = batch.records();
    for index in 0..batch.record_count() {
        check_one(&mut rest, index).ok_or(RecordError::Malformed { index })?;
    }
    let whole = rest.is_empty() && i64::from(batch.last_offset_delta()) == i64::from(batch.record_count()) - 1;
    if whole { Ok(()) } else { Err(RecordError::Malformed { index: batch.record_count() }) }
}

fn check_one(rest: &mut &[u8], index: i32) -> Option<()> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let mut body = take(rest, length)?;
    take(&mut body, 1)?;
    take_varint(&mut body)?;
    if take_varint(&mut body)? != i64::from(index) {
        return None;
    }
    take_bytes(&mut body)?;
    take_bytes(&mut body)?;
    for _ in 0..u32::try_from(take_varint(&mut body)?).ok()? {
        take_bytes(&mut body)??;
        take_bytes(&mut body)?;
    }
    body.is_empty().then_some(())
}

/// See [`read`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    base_offset: Offset,
    base_timestamp: TimestampMs,
    append_time: Option<TimestampMs>,
    index: i32,
    count: i32,
    refused: Option<RecordError>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.refused.take() {
            self.count = self.index;
            return Some(Err(error));
        }
        if self.index >= self.count {
            return None;
        }
        let Some(record) = self.read_one() else {
            self.count = self.index;
            return Some(Err(RecordError::Malformed { index: self.index }));
        };
        self.index += 1;
        Some(Ok(record))
    }
}

impl<'a> Records<'a> {
    fn read_one(&mut self) -> Option<Record<'a>> {
        let length = usize::try_from(take_varint(&mut self.rest)?).ok()?;
        let mut body = take(&mut self.rest, length)?;
        take(&mut body, 1)?;
        let timestamp_delta = take_varint(&mut body)?;
        let offset_delta = take_varint(&mut body)?;
        let key = take_bytes(&mut body)?;
        let value = take_bytes(&mut body)?;
        let timestamp = self.append_time.unwrap_or(self.base_timestamp.wrapping_add(timestamp_delta));
        Some(Record { offset: self.base_offset.checked_add(offset_delta)?, timestamp, key, value })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

/// The outer option is whether there is such a thing, the inner one whether it is null.
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_varint(bytes)? {
        -1 => Some(None),
        length => take(bytes, usize::try_from(length).ok()?).map(Some),
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, Header};

    fn built() -> crate::records::OwnedBatch {
        let mut builder = BatchBuilder::new();
        builder.record(1_000, Some(b"key"), Some(b"value"), &[Header { key: b"h", value: None }]);
        builder.record(999, None, None, &[]);
        builder.record(70_000, Some(b""), Some(&[7; 300]), &[]);
        builder.build()
    }

    #[test]
    fn what_was_built_is_read() {
        let batch = built();
        let records: Vec<_> = read(&BatchView::parse(batch.bytes()).unwrap()).map(Result::unwrap).collect();
        assert_eq!(records.len(), 3);
        assert_eq!(records[0], Record { offset: 0, timestamp: 1_000, key: Some(b"key"), value: Some(b"value") });
        assert_eq!(records[1], Record { offset: 1, timestamp: 999, key: None, value: None });
        assert_eq!(records[2], Record { offset: 2, timestamp: 70_000, key: Some(b""), value: Some(&[7; 300]) });
    }

    #[test]
    fn damage_ends_the_reading_and_never_panics() {
        let batch = built();
        for position in crate::batch::HEADER_BYTES..batch.bytes().len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = batch.bytes().to_vec();
                bytes[position] = byte;
                let results: Vec<_> = read(&BatchView::parse(&bytes).unwrap()).collect();
                let failed = results.iter().position(Result::is_err);
                assert!(results.len() <= 3 && failed.is_none_or(|index| index + 1 == results.len()));
            }
        }
    }

    #[test]
    fn compressed_records_are_left_alone() {
        let mut bytes = built().bytes().to_vec();
        bytes[22] = 1;
        let results: Vec<_> = read(&BatchView::parse(&bytes).unwrap()).collect();
        assert_eq!(results, [Err(RecordError::Compressed)]);
    }
}
