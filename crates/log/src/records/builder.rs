//! Builds uncompressed batches, for the records that the node writes itself and for tests.

use chronik_state::ids::{ProducerEpoch, ProducerId, TimestampMs};

use crate::batch::{BatchView, HEADER_BYTES, HeaderFields, ValidBatch};

/// A record's header: key and value, which may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// UTF-8 by Kafka's convention; not checked.
    pub key: &'a [u8],
    /// May be null.
    pub value: Option<&'a [u8]>,
}

/// Collects records into one batch with base offset 0; [`PartitionLog::append`](crate::PartitionLog::append) gives it its place.
pub struct BatchBuilder {
    bytes: Vec<u8>,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    records: i32,
    producer: (ProducerId, ProducerEpoch, i32),
    attributes: i16,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// A batch without records.
    pub fn new() -> Self {
        BatchBuilder {
            bytes: vec![0; HEADER_BYTES],
            base_timestamp: -1,
            max_timestamp: -1,
            records: 0,
            producer: (-1, -1, -1),
            attributes: 0,
        }
    }

    /// Marks it as an idempotent producer's (KIP-98).
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Marks it as a batch of control records.
    pub fn control(mut self) -> Self {
        self.attributes |= HeaderFields::CONTROL;
        self
    }

    /// Marks it as part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.attributes |= HeaderFields::TRANSACTIONAL;
        self
    }

    /// Adds a record.
    pub fn record(&mut self, timestamp_ms: TimestampMs, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        if self.records == 0 {
            self.base_timestamp = timestamp_ms;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        let mut body = vec![0];
        put_varint(&mut body, timestamp_ms - self.base_timestamp);
        put_varint(&mut body, i64::from(self.records));
        put_bytes(&mut body, key);
        put_bytes(&mut body, value);
        put_varint(&mut body, headers.len() as i64);
        for header in headers {
            put_bytes(&mut body, Some(header.key));
            put_bytes(&mut body, header.value);
        }
        put_varint(&mut self.bytes, body.len() as i64);
        self.bytes.extend_from_slice(&body);
        self.records += 1;
    }

    /// How many records there are.
    pub fn record_count(&self) -> usize {
        self.records as usize
    }

    /// Bytes so far, header included.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The finished batch.
    ///
    /// # Panics
    /// If no record was added: Kafka has no empty batches but those that compaction leaves.
    pub fn build(mut self) -> OwnedBatch {
        assert!(self.records > 0, "a batch has records");
        HeaderFields {
            base_offset: 0,
            leader_epoch: -1,
            attributes: self.attributes,
            last_offset_delta: self.records - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            base_sequence: self.producer.2,
            record_count: self.records,
        }
        .write(&mut self.bytes);
        OwnedBatch { bytes: self.bytes }
    }
}

/// A batch that was built here, so that its checksum is known to be right.
#[derive(Debug, Clone)]
pub struct OwnedBatch {
    bytes: Vec<u8>,
}

impl OwnedBatch {
    /// For appending.
    pub fn as_valid(&self) -> ValidBatch<'_> {
        let view = BatchView::parse(&self.bytes).expect("a built batch has a header");
        ValidBatch::trusted(view)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

/// Zig-zag, then seven bits a byte, lowest first (Protocol Buffers' encoding, which Kafka's records use).
fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
