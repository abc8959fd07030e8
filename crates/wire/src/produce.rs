//! Produce (API 0), versions 3 to 13, read and written by hand.
//!
//! The request is walked once; what is kept are positions in the frame, in two vectors whatever the number of
//! partitions. Records are handed out as slices of the frame and never looked into here. Topics have names up to version
//! 12 and ids from 13 on (KIP-516).

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire_core::StrBytes;

use crate::{
    DecodeError, EncodeError, ErrorCode, RequestHeader,
    frame::{framed, put_response_header},
    reader::{Reader, text},
    writer::Writer,
};

/// Smallest topic and partition on the wire: an empty name or none, a count, a number, null records.
const TOPIC_BYTES_MIN: usize = 3;
const PARTITION_BYTES_MIN: usize = 5;

/// Most topics, and most partitions of all topics, in one request. What is kept and answered for each is many times what
/// it costs to name it, and a frame of Produce may be long.
const ENTRIES_MAX: usize = 100_000;

/// A Produce request as a view over its frame.
#[derive(Clone, Debug)]
pub struct ProduceRequest<'a> {
    body: &'a [u8],
    transactional_id: Option<Range<usize>>,
    acks: i16,
    timeout_ms: i32,
    topics: Vec<TopicSpan>,
    partitions: Vec<PartitionSpan>,
}

#[derive(Clone, Debug)]
struct TopicSpan {
    key: TopicKeySpan,
    partitions: Range<usize>,
}

#[derive(Clone, Debug)]
enum TopicKeySpan {
    Name(Range<usize>),
    Id([u8; 16]),
}

#[derive(Clone, Debug)]
struct PartitionSpan {
    index: i32,
    records: Option<Range<usize>>,
}

/// How a request names a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRef<'a> {
    Name(&'a str),
    Id([u8; 16]),
}

/// One topic of a request.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    request: &'a ProduceRequest<'a>,
    span: &'a TopicSpan,
}

/// One partition of a request.
#[derive(Clone, Copy, Debug)]
pub struct Partition<'a> {
    pub index: i32,
    /// The record batches as they came, or `None` for null.
    pub records: Option<&'a [u8]>,
}

impl<'a> ProduceRequest<'a> {
    /// Reads the body of a request in `version`, which must be one that is served. Bytes behind it are left alone, as Kafka
    /// does.
    pub fn parse(body: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        parse(body, version).map_err(|cause| DecodeError::from_codec("ProduceRequest", version, cause))
    }

    pub fn transactional_id(&self) -> Option<&str> {
        self.transactional_id.clone().map(|range| text(&self.body[range]))
    }

    /// 0: no answer is wanted; 1: the leader's log has it; −1: all in-sync replicas have it. Anything else is the client's
    /// mistake, which the caller answers.
    pub fn acks(&self) -> i16 {
        self.acks
    }

    /// How long the client lets the server wait for replicas.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    pub fn topics(&self) -> impl ExactSizeIterator<Item = Topic<'_>> {
        self.topics.iter().map(|span| Topic { request: self, span })
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// An answer in the shape of this request: every partition once, in order, without error. It does not hold the frame.
    pub fn response(&self) -> ProduceResponse {
        ProduceResponse {
            topics: self.topics.iter().map(|topic| (self.owned_key(&topic.key), topic.partitions.len())).collect(),
            partitions: self.partitions.iter().map(|partition| PartitionResponse::new(partition.index)).collect(),
            throttle_time_ms: 0,
            node_endpoints: Vec::new(),
        }
    }

    fn key(&self, span: &TopicKeySpan) -> TopicRef<'a> {
        match span {
            TopicKeySpan::Name(range) => TopicRef::Name(text(&self.body[range.clone()])),
            TopicKeySpan::Id(id) => TopicRef::Id(*id),
        }
    }

    fn owned_key(&self, span: &TopicKeySpan) -> TopicKey {
        match self.key(span) {
            TopicRef::Name(name) => TopicKey::Name(name.into()),
            TopicRef::Id(id) => TopicKey::Id(id),
        }
    }
}

impl<'a> Topic<'a> {
    pub fn key(&self) -> TopicRef<'a> {
        self.request.key(&self.span.key)
    }

    pub fn partitions(&self) -> impl ExactSizeIterator<Item = Partition<'a>> + use<'a> {
        let request = self.request;
        request.partitions[self.span.partitions.clone()].iter().map(|span| Partition {
            index: span.index,
            records: span.records.clone().map(|range| &request.body[range]),
        })
    }
}

/// How an answer names a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicKey {
    Name(Box<str>),
    Id([u8; 16]),
}

/// The answer to a Produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResponse {
    /// Topics, and how many of `partitions` belong to each, in order.
    pub topics: Vec<(TopicKey, usize)>,
    /// The partitions of all topics, in the order of the request.
    pub partitions: Vec<PartitionResponse>,
    pub throttle_time_ms: i32,
    /// Where the leaders named in `current_leader` are (version 10 on, KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionResponse {
    pub index: i32,
    pub error: ErrorCode,
    /// Offset of the first record, −1 on an error.
    pub base_offset: i64,
    /// Set where the topic stamps the time of append, else −1.
    pub log_append_time_ms: i64,
    /// −1 on an error.
    pub log_start_offset: i64,
    /// What was wrong with which record (version 8 on, KIP-467).
    pub record_errors: Vec<RecordError>,
    pub error_message: Option<Box<str>>,
    /// Leader and its epoch, told with `NOT_LEADER_OR_FOLLOWER` (version 10 on).
    pub current_leader: Option<(i32, i32)>,
}

/// A record that was refused, by its place in the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    pub batch_index: i32,
    pub message: Option<Box<str>>,
}

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

impl PartitionResponse {
    /// Success at an offset not yet known.
    pub fn new(index: i32) -> Self {
        Self {
            index,
            error: ErrorCode::None,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }

    /// A refusal.
    pub fn failed(index: i32, error: ErrorCode) -> Self {
        Self { error, ..Self::new(index) }
    }
}

impl ProduceResponse {
    /// Writes the whole response frame behind what is in `buffer`.
    pub fn encode(&self, buffer: &mut BytesMut, header: &RequestHeader) -> Result<(), EncodeError> {
        framed(buffer, |buffer| {
            put_response_header(buffer, header);
            put_response(buffer, self, header.api_version);
            Ok(())
        })
    }
}

fn parse(body: &[u8], version: i16) -> Result<ProduceRequest<'_>, kafka_wire_core::DecodeError> {
    let flexible = version >= 9;
    let mut reader = Reader::new(body);
    let transactional_id = reader.nullable_text(flexible)?;
    let acks = reader.i16()?;
    let timeout_ms = reader.i32()?;
    let topic_count = reader.array_len(flexible, TOPIC_BYTES_MIN)?;
    refuse_more_than(ENTRIES_MAX, topic_count, reader.position())?;
    let mut topics = Vec::with_capacity(topic_count);
    let mut partitions = Vec::new();
    for _ in 0..topic_count {
        topics.push(parse_topic(&mut reader, version, flexible, &mut partitions)?);
    }
    if flexible {
        reader.skip_tagged_fields()?;
    }
    Ok(ProduceRequest { transactional_id, acks, timeout_ms, topics, partitions, body })
}

fn parse_topic(
    reader: &mut Reader<'_>,
    version: i16,
    flexible: bool,
    partitions: &mut Vec<PartitionSpan>,
) -> Result<TopicSpan, kafka_wire_core::DecodeError> {
    let key = match version {
        13.. => TopicKeySpan::Id(reader.uuid()?),
        _ => TopicKeySpan::Name(reader.text(flexible)?),
    };
    let first = partitions.len();
    let count = reader.array_len(flexible, PARTITION_BYTES_MIN)?;
    refuse_more_than(ENTRIES_MAX, first + count, reader.position())?;
    partitions.reserve(count);
    for _ in 0..count {
        let index = reader.i32()?;
        let records = reader.nullable_bytes(flexible)?;
        if flexible {
            reader.skip_tagged_fields()?;
        }
        partitions.push(PartitionSpan { index, records });
    }
    if flexible {
        reader.skip_tagged_fields()?;
    }
    Ok(TopicSpan { key, partitions: first..partitions.len() })
}

fn refuse_more_than(limit: usize, count: usize, offset: usize) -> Result<(), kafka_wire_core::DecodeError> {
    match count <= limit {
        true => Ok(()),
        false => Err(kafka_wire_core::DecodeError::LimitExceeded { kind: "array", length: count, limit, offset }),
    }
}

fn put_response(buffer: &mut BytesMut, response: &ProduceResponse, version: i16) {
    let mut writer = Writer { buffer, flexible: version >= 9 };
    let mut partitions = response.partitions.iter();
    writer.length(response.topics.len());
    for (key, count) in &response.topics {
        put_topic_key(&mut writer, key);
        writer.length(*count);
        for partition in partitions.by_ref().take(*count) {
            put_partition(&mut writer, partition, version);
        }
        writer.no_tags();
    }
    writer.buffer.put_i32(response.throttle_time_ms);
    match response.node_endpoints.is_empty() || version < 10 {
        true => writer.no_tags(),
        false => writer.tags(&[(0, endpoints_payload(&response.node_endpoints))]),
    }
}

fn put_topic_key(writer: &mut Writer<'_>, key: &TopicKey) {
    match key {
        TopicKey::Name(name) => writer.string(name),
        TopicKey::Id(id) => writer.buffer.put_slice(id),
    }
}

fn put_partition(writer: &mut Writer<'_>, partition: &PartitionResponse, version: i16) {
    writer.buffer.put_i32(partition.index);
    writer.buffer.put_i16(partition.error.code());
    writer.buffer.put_i64(partition.base_offset);
    writer.buffer.put_i64(partition.log_append_time_ms);
    if version >= 5 {
        writer.buffer.put_i64(partition.log_start_offset);
    }
    if version >= 8 {
        writer.length(partition.record_errors.len());
        for error in &partition.record_errors {
            writer.buffer.put_i32(error.batch_index);
            writer.nullable_string(error.message.as_deref());
            writer.no_tags();
        }
        writer.nullable_string(partition.error_message.as_deref());
    }
    match partition.current_leader {
        Some(leader) if version >= 10 => writer.tags(&[(0, leader_payload(leader))]),
        _ => writer.no_tags(),
    }
}

/// Leader id and epoch, as the tagged field of Produce and Fetch responses.
pub(crate) fn leader_payload((leader_id, leader_epoch): (i32, i32)) -> Bytes {
    let mut payload = BytesMut::with_capacity(9);
    payload.put_i32(leader_id);
    payload.put_i32(leader_epoch);
    payload.put_u8(0);
    payload.freeze()
}

/// The nodes, as the tagged field of Produce and Fetch responses.
pub(crate) fn endpoints_payload(endpoints: &[NodeEndpoint]) -> Bytes {
    let mut payload = BytesMut::new();
    let mut writer = Writer { buffer: &mut payload, flexible: true };
    writer.length(endpoints.len());
    for endpoint in endpoints {
        writer.buffer.put_i32(endpoint.node_id);
        writer.string(&endpoint.host);
        writer.buffer.put_i32(endpoint.port);
        writer.nullable_string(endpoint.rack.as_deref());
        writer.no_tags();
    }
    payload.freeze()
}
