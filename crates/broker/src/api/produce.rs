//! Produce (key 0): takes record batches. Versions 3 to 13; advertised from 0 because librdkafka turns compression off otherwise
//! (KAFKA-18659), and 0 to 2 are refused as Kafka does.
//!
//! The request is a view over the socket's buffer; the one copy is into the log's memory. The answer is encoded at once and
//! leaves when the log is durable up to the furthest batch. With acks=all and more replicas than one it waits for the high
//! watermark instead: see `committing.rs`. acks=0 has no answer: an error closes the connection, which is all such a client can
//! notice.
//!
//! KIP-98 (idempotence), KIP-467 (record errors, messages), KIP-516 (topic ids, v13), KIP-951 (current leader, v10).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chronik_state::ids::{LogId, TopicId};
use chronik_state::metadata::{Image, topic_name};
use chronik_wire::produce::{PartitionResponse, ProduceRequest, RecordError, Topic, TopicRef};
use chronik_wire::{DecodeError, ErrorCode, Request, RequestHeader};
use tokio::time::Instant;

use super::committing::{self, Committing, Open, Waits};
use crate::dispatch::{BadRequest, Connection, errors};
use crate::net::connection::Closed;
use crate::net::reactor::{Position, Reactor};
use crate::node::now_ms;
use crate::partition::Waiter;
use crate::partition::append::{Origin, Refused, Taken};

/// What became of a produce request.
pub(crate) enum Produced {
    /// The answer is encoded; it may leave once the log has come to this position, or at once.
    Answered { position: Option<Position> },
    /// It is not known yet what the answer is: the records have to come to other nodes.
    Committing(Box<Committing>),
    /// acks=0: there is none.
    NoAnswer,
    /// Nothing was taken: the log's memory is full for the moment.
    NoRoom,
}

/// Serves one produce request out of `frame`; the answer goes behind what is in `answers`. `waiter` is the connection's, made when
/// it is first needed: it is woken when something becomes of records that are to be committed.
pub(crate) fn serve(
    reactor: &Rc<Reactor>,
    connection: &mut Connection,
    frame: &[u8],
    answers: &mut BytesMut,
    waiter: &mut Option<Arc<Waiter>>,
) -> Result<Produced, Closed> {
    let (header, body) = Request::split(frame).map_err(BadRequest::from)?;
    if !header.is_supported() {
        return Err(BadRequest::from(chronik_wire::FrameError::UnsupportedVersion {
            api_key: header.api_key,
            api_version: header.api_version,
        })
        .into());
    }
    let request = ProduceRequest::parse(body, header.api_version).map_err(|error: DecodeError| BadRequest::from(error))?;
    if !reactor.node.storage.has_room(frame.len()) {
        return Ok(Produced::NoRoom);
    }
    let mut work = Work {
        reactor,
        image: reactor.node.metadata.image(),
        internal_allowed: header.client_id.as_deref() == Some(ADMIN_CLIENT),
        origin: Origin { version: header.api_version, all_replicas: request.acks() == -1, now_ms: now_ms() },
        position: None,
        open: Vec::new(),
        partitions: Vec::with_capacity(request.partition_count()),
    };
    work.take_all(&request);
    tracing::trace!(peer = %connection.peer, version = header.api_version, partitions = work.partitions.len(), "produce");
    work.answer(connection, &request, &header, answers, waiter)
}

/// Why a partition took nothing, and which records were at fault (KIP-467).
struct NotTaken {
    failure: errors::Failure,
    record_errors: Vec<RecordError>,
}

impl From<ErrorCode> for NotTaken {
    fn from(code: ErrorCode) -> Self {
        NotTaken { failure: code.into(), record_errors: Vec::new() }
    }
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> Self {
        let indexes = if let Refused::WithoutKey { batch_indexes } = &refused { batch_indexes.clone() } else { Vec::new() };
        let failure = errors::Failure::from(refused);
        let message = || failure.message.as_deref().map(Box::from);
        let record_errors = indexes.into_iter().map(|batch_index| RecordError { batch_index, message: message() }).collect();
        NotTaken { failure, record_errors }
    }
}

/// The client id that Kafka lets write to internal topics (`AdminClient` of its own tools).
const ADMIN_CLIENT: &str = "__admin_client";

/// One request under way.
struct Work<'a> {
    reactor: &'a Rc<Reactor>,
    image: Arc<Image>,
    internal_allowed: bool,
    origin: Origin,
    /// The furthest that any batch of the request waits for.
    position: Option<Position>,
    /// What waits for other nodes.
    open: Vec<Open>,
    partitions: Vec<PartitionResponse>,
}

impl Work<'_> {
    fn take_all(&mut self, request: &ProduceRequest<'_>) {
        let refusal = match request.acks() {
            -1..=1 => None,
            _ => Some(ErrorCode::InvalidRequiredAcks),
        };
        // Transactions are not served; a client that has no transactional id of ours cannot be in one.
        let refusal = refusal.or(request.transactional_id().map(|_| ErrorCode::InvalidTxnState));
        for topic in request.topics() {
            match refusal.map_or_else(|| self.topic_id(&topic), Err) {
                Ok(id) => self.take_topic(&topic, id),
                Err(error) => self.partitions.extend(topic.partitions().map(|p| PartitionResponse::failed(p.index, error))),
            }
        }
    }

    fn topic_id(&self, topic: &Topic<'_>) -> Result<TopicId, ErrorCode> {
        let found = match topic.key() {
            TopicRef::Name(name) => self.image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
            TopicRef::Id(id) => self.image.topic_by_id(TopicId(id)).ok_or(ErrorCode::UnknownTopicId)?,
        };
        match topic_name::is_internal(&found.name) && !self.internal_allowed {
            true => Err(ErrorCode::InvalidTopicException),
            false => Ok(found.id),
        }
    }

    fn take_topic(&mut self, topic: &Topic<'_>, id: TopicId) {
        for partition in topic.partitions() {
            let mut response = PartitionResponse::new(partition.index);
            match self.take(LogId { topic: id, partition: partition.index }, partition.records) {
                Ok((taken, log_start_offset)) => {
                    response.base_offset = taken.base_offset;
                    response.log_append_time_ms = taken.log_append_time_ms;
                    response.log_start_offset = log_start_offset;
                }
                Err(NotTaken { failure, record_errors }) => {
                    response.error = failure.code;
                    response.error_message = failure.message.map(String::into_boxed_str);
                    response.record_errors = record_errors;
                }
            }
            self.partitions.push(response);
        }
    }

    fn take(&mut self, id: LogId, records: Option<&[u8]>) -> Result<(Taken, i64), NotTaken> {
        let partition = self.reactor.node.partitions.partition(id).ok_or_else(|| self.not_held(id))?;
        let records = records.ok_or_else(|| Refused::Invalid("a produce request must have records".to_owned()))?;
        let taken = partition.append(records, self.origin)?;
        if !taken.duplicate {
            let (bytes, count) = (records.len() as u64, (taken.end_offset - taken.base_offset).unsigned_abs());
            self.reactor.metrics().taken(bytes, count);
            let traffic = partition.traffic();
            traffic.bytes_in.add(bytes);
            traffic.records_in.add(count);
            self.reactor.show_at(taken.position, &partition, taken.end_offset);
        }
        let log_start_offset = partition.log.log_start_offset();
        if self.origin.all_replicas && partition.is_replicated() {
            let Taken { end_offset, leader_epoch, .. } = taken;
            self.open.push(Open { index: self.partitions.len(), partition, end_offset, leader_epoch });
        } else {
            self.wait_for(taken.position);
        }
        Ok((taken, log_start_offset))
    }

    /// Another node may hold it.
    fn not_held(&self, id: LogId) -> ErrorCode {
        match self.image.partition(id.topic, id.partition) {
            Some(_) => ErrorCode::NotLeaderOrFollower,
            None => ErrorCode::UnknownTopicOrPartition,
        }
    }

    /// Remembers the furthest position. What must be on disk is further than anything only written.
    fn wait_for(&mut self, position: Position) {
        self.position = Some(match self.position {
            None => position,
            Some(before) => Position { lsn: before.lsn.max(position.lsn), durable: before.durable || position.durable },
        });
    }

    fn answer(
        self,
        connection: &Connection,
        request: &ProduceRequest<'_>,
        header: &RequestHeader,
        answers: &mut BytesMut,
        waiter: &mut Option<Arc<Waiter>>,
    ) -> Result<Produced, Closed> {
        if request.acks() == 0 {
            let failed = self.partitions.iter().find(|partition| partition.error != ErrorCode::None);
            return match failed {
                Some(partition) => Err(Closed::ProduceWithoutAcks(partition.error.name().to_owned())),
                None => Ok(Produced::NoAnswer),
            };
        }
        let mut response = request.response();
        response.partitions = self.partitions;
        if !self.open.is_empty() {
            let patience = Duration::from_millis(request.timeout_ms().max(0).unsigned_abs().into());
            let waits = Waits {
                open: self.open,
                position: self.position,
                deadline: Instant::now() + patience,
                waiter: Arc::clone(waiter.get_or_insert_default()),
            };
            return Ok(Produced::Committing(Committing::begin(response, header.clone(), waits)));
        }
        committing::encode(response, header, &self.reactor.node, connection, answers).map_err(BadRequest::from)?;
        Ok(Produced::Answered { position: self.position })
    }
}
