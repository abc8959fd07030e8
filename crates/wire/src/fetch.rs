//! The response to Fetch (API 1), versions 4 to 18, written in pieces.
//!
//! Only the lengths of the records are known here. Everything else goes into one buffer, cut where records belong; the
//! caller sends the pieces in order and takes the records from wherever they lie: memory, or a range of a file that never
//! passes through user space.
//!
//! ```text
//! buffer   length│header│topic│partition 0 … records length ┃ tags│partition 1 … records length ┃ tags …
//! sent     ───────────────────────────────────────────────── ┃      ┃ ────────────────────────── ┃ ──────
//! records                                                     0                                 1
//! ```
//! Topics have names up to version 12 and ids from 13 on (KIP-516). The request is small and is the codec's.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

pub use crate::produce::{NodeEndpoint, TopicKey};
use crate::{
    EncodeError, ErrorCode, RequestHeader,
    frame::{patch_length, put_response_header},
    produce::{endpoints_payload, leader_payload},
    writer::Writer,
};

/// The answer to a Fetch request, without the records themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    /// Of the request as a whole, i.e. of its session (version 7 on, KIP-227).
    pub error: ErrorCode,
    /// 0 where there is no session.
    pub session_id: i32,
    /// Topics, and how many of `partitions` belong to each, in order.
    pub topics: Vec<(TopicKey, usize)>,
    /// The partitions of all topics.
    pub partitions: Vec<FetchPartition>,
    /// Where the leaders named in `current_leader` are (version 16 on, KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    pub index: i32,
    pub error: ErrorCode,
    /// −1 where unknown, as with most errors; so the next two.
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// Where the follower's log leaves the leader's: epoch and end offset (version 12 on, KIP-595).
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader and its epoch, told with `NOT_LEADER_OR_FOLLOWER` and `FENCED_LEADER_EPOCH` (version 12 on).
    pub current_leader: Option<(i32, i32)>,
    /// Snapshot to fetch instead: end offset and epoch (version 12 on).
    pub snapshot_id: Option<(i64, i32)>,
    /// Producer id and first offset of transactions to skip; `None` for read_uncommitted.
    pub aborted_transactions: Option<Vec<(i64, i64)>>,
    /// −1 for the leader (version 11 on, KIP-392).
    pub preferred_read_replica: i32,
    /// How many bytes of records follow; `None` writes null, which clients read as none.
    pub records_bytes: Option<usize>,
}

impl FetchPartition {
    /// An empty answer with an error and nothing known of the log.
    pub fn failed(index: i32, error: ErrorCode) -> Self {
        Self {
            index,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: -1,
            records_bytes: Some(0),
        }
    }
}

/// A part of the frame, in the order of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This range of the buffer the response was encoded into.
    Buffer(Range<usize>),
    /// The records of this partition, counted over all topics: exactly as many bytes as were announced (never 0).
    Records { partition: usize, bytes: usize },
}

/// An encoded response: where its pieces are and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    pieces: Vec<Piece>,
    frame_bytes: usize,
}

impl Pieces {
    /// The pieces, in the order of sending.
    pub fn iter(&self) -> std::slice::Iter<'_, Piece> {
        self.pieces.iter()
    }

    /// Length of the whole frame with its records and its length field.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }
}

impl IntoIterator for Pieces {
    type Item = Piece;
    type IntoIter = std::vec::IntoIter<Piece>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

impl FetchResponse {
    /// Writes everything but the records behind what is in `buffer`, and says where they belong. On an error the buffer is
    /// as it was.
    pub fn encode(&self, buffer: &mut BytesMut, header: &RequestHeader) -> Result<Pieces, EncodeError> {
        let start = buffer.len();
        buffer.put_i32(0);
        put_response_header(buffer, header);
        let mut cuts = Cuts { pieces: Vec::new(), sent_to: start, records_bytes: 0 };
        put_response(buffer, self, header.api_version, &mut cuts);
        let pieces = cuts.finish(buffer.len());
        let frame_bytes = buffer.len() - start + pieces.1;
        if let Err(error) = patch_length(buffer, start, pieces.1) {
            buffer.truncate(start);
            return Err(error);
        }
        Ok(Pieces { pieces: pieces.0, frame_bytes })
    }
}

/// Collects pieces while the buffer grows.
struct Cuts {
    pieces: Vec<Piece>,
    sent_to: usize,
    records_bytes: usize,
}

impl Cuts {
    fn records(&mut self, at: usize, partition: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.pieces.push(Piece::Buffer(self.sent_to..at));
        self.pieces.push(Piece::Records { partition, bytes });
        self.sent_to = at;
        self.records_bytes += bytes;
    }

    fn finish(mut self, end: usize) -> (Vec<Piece>, usize) {
        if self.sent_to < end {
            self.pieces.push(Piece::Buffer(self.sent_to..end));
        }
        (self.pieces, self.records_bytes)
    }
}

fn put_response(buffer: &mut BytesMut, response: &FetchResponse, version: i16, cuts: &mut Cuts) {
    let mut writer = Writer { buffer, flexible: version >= 12 };
    writer.buffer.put_i32(response.throttle_time_ms);
    if version >= 7 {
        writer.buffer.put_i16(response.error.code());
        writer.buffer.put_i32(response.session_id);
    }
    writer.length(response.topics.len());
    let mut partitions = response.partitions.iter().enumerate();
    for (key, count) in &response.topics {
        match key {
            TopicKey::Name(name) => writer.string(name),
            TopicKey::Id(id) => writer.buffer.put_slice(id),
        }
        writer.length(*count);
        for (number, partition) in partitions.by_ref().take(*count) {
            put_partition(&mut writer, partition, version);
            cuts.records(writer.buffer.len(), number, partition.records_bytes.unwrap_or(0));
            put_partition_tags(&mut writer, partition);
        }
        writer.no_tags();
    }
    match response.node_endpoints.is_empty() || version < 16 {
        true => writer.no_tags(),
        false => writer.tags(&[(0, endpoints_payload(&response.node_endpoints))]),
    }
}

/// Everything of a partition up to where its records begin.
fn put_partition(writer: &mut Writer<'_>, partition: &FetchPartition, version: i16) {
    writer.buffer.put_i32(partition.index);
    writer.buffer.put_i16(partition.error.code());
    writer.buffer.put_i64(partition.high_watermark);
    writer.buffer.put_i64(partition.last_stable_offset);
    if version >= 5 {
        writer.buffer.put_i64(partition.log_start_offset);
    }
    writer.nullable_length(partition.aborted_transactions.as_ref().map(Vec::len));
    for (producer_id, first_offset) in partition.aborted_transactions.iter().flatten() {
        writer.buffer.put_i64(*producer_id);
        writer.buffer.put_i64(*first_offset);
        writer.no_tags();
    }
    if version >= 11 {
        writer.buffer.put_i32(partition.preferred_read_replica);
    }
    writer.nullable_length(partition.records_bytes);
}

fn put_partition_tags(writer: &mut Writer<'_>, partition: &FetchPartition) {
    let diverging = partition.diverging_epoch.map(|(epoch, end_offset)| {
        let mut payload = BytesMut::with_capacity(13);
        payload.put_i32(epoch);
        payload.put_i64(end_offset);
        payload.put_u8(0);
        payload.freeze()
    });
    let leader = partition.current_leader.map(leader_payload);
    let snapshot = partition.snapshot_id.map(|(end_offset, epoch)| {
        let mut payload = BytesMut::with_capacity(13);
        payload.put_i64(end_offset);
        payload.put_i32(epoch);
        payload.put_u8(0);
        payload.freeze()
    });
    if diverging.is_none() && leader.is_none() && snapshot.is_none() {
        return writer.no_tags();
    }
    let fields: Vec<(u32, Bytes)> = [(0, diverging), (1, leader), (2, snapshot)]
        .into_iter()
        .filter_map(|(tag, value)| Some((tag, value?)))
        .collect();
    writer.tags(&fields);
}
