//! The answer to a produce request with acks=all whose records have to come to other nodes first.
//!
//! It is complete but for what becomes of these: each is either committed, which is when the high watermark has passed it, or it
//! fails: too few in-sync replicas were left by then (NOT_ENOUGH_REPLICAS_AFTER_APPEND), another node leads by now
//! (NOT_LEADER_OR_FOLLOWER), or the request's own time is over (REQUEST_TIMED_OUT). Failed is not lost: such a record may still be
//! committed later, as with Kafka.

use std::sync::Arc;

use bytes::BytesMut;
use chronik_state::ids::{LeaderEpoch, Offset};
use chronik_wire::produce::{PartitionResponse, ProduceResponse};
use chronik_wire::{EncodeError, ErrorCode, RequestHeader};
use tokio::time::Instant;

use super::leaders::Leaders;
use crate::dispatch::Connection;
use crate::dispatch::errors::Failure;
use crate::net::reactor::Position;
use crate::node::Node;
use crate::partition::lead::NotCommitted;
use crate::partition::{Partition, Waiter};

/// The version from which a refusal says who leads instead.
const LEADERS_VERSION: i16 = 10;

/// One batch that waits.
pub(crate) struct Open {
    /// Which of the response's partitions.
    pub(crate) index: usize,
    pub(crate) partition: Arc<Partition>,
    pub(crate) end_offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
}

/// What an answer waits for.
pub(crate) struct Waits {
    pub(crate) open: Vec<Open>,
    /// What of the request needs no other node.
    pub(crate) position: Option<Position>,
    pub(crate) deadline: Instant,
    /// Known to every partition that is open.
    pub(crate) waiter: Arc<Waiter>,
}

/// See the module.
pub(crate) struct Committing {
    response: ProduceResponse,
    header: RequestHeader,
    waits: Waits,
}

impl Committing {
    pub(crate) fn begin(response: ProduceResponse, header: RequestHeader, waits: Waits) -> Box<Self> {
        waits.open.iter().for_each(|open| open.partition.wait(&waits.waiter));
        Box::new(Committing { response, header, waits })
    }

    /// Looks what has become of its records; true if nothing is open any more.
    pub(crate) fn is_decided(&mut self) -> bool {
        let is_late = self.waits.deadline <= Instant::now();
        self.decide(|open| {
            let became = open.partition.committed(open.end_offset, open.leader_epoch);
            became.or_else(|| is_late.then_some(Err(NotCommitted::TimedOut)))
        });
        self.waits.open.is_empty()
    }

    /// How far this node's log must have come besides.
    pub(crate) fn position(&self) -> Option<Position> {
        self.waits.position
    }

    /// The node stops: whoever leads next is to be asked.
    pub(crate) fn give_up(&mut self) {
        self.decide(|open| {
            let became = open.partition.committed(open.end_offset, open.leader_epoch);
            became.or(Some(Err(NotCommitted::NotLeader)))
        });
    }

    /// When it has to be looked at again at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        self.waits.deadline
    }

    /// The answer, behind what is in `out`.
    pub(crate) fn encode(
        mut self,
        node: &Node,
        connection: &Connection,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        encode(std::mem::replace(&mut self.response, EMPTY), &self.header, node, connection, out)
    }

    fn decide(&mut self, decide: impl Fn(&Open) -> Option<Result<(), NotCommitted>>) {
        let (response, Waits { open, waiter, .. }) = (&mut self.response, &mut self.waits);
        open.retain(|open| {
            let Some(became) = decide(open) else { return true };
            open.partition.stop_waiting(waiter);
            if let Err(error) = became {
                let partition = &mut response.partitions[open.index];
                *partition = failed(partition.index, error);
            }
            false
        });
    }
}

/// The connection is gone: nobody is to be told.
impl Drop for Committing {
    fn drop(&mut self) {
        self.waits.open.iter().for_each(|open| open.partition.stop_waiting(&self.waits.waiter));
    }
}

const EMPTY: ProduceResponse =
    ProduceResponse { topics: Vec::new(), partitions: Vec::new(), throttle_time_ms: 0, node_endpoints: Vec::new() };

fn failed(index: i32, error: NotCommitted) -> PartitionResponse {
    let failure = Failure::from(error);
    PartitionResponse {
        error_message: failure.message.map(String::into_boxed_str),
        ..PartitionResponse::failed(index, failure.code)
    }
}

/// Writes an answer behind what is in `out`; where it says that this node does not lead, it says who does.
pub(crate) fn encode(
    mut response: ProduceResponse,
    header: &RequestHeader,
    node: &Node,
    connection: &Connection,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    if response.partitions.iter().any(|partition| partition.error != ErrorCode::None) {
        connection.note_failure();
    }
    let refused = |partition: &PartitionResponse| partition.error == ErrorCode::NotLeaderOrFollower;
    if header.api_version >= LEADERS_VERSION && response.partitions.iter().any(refused) {
        let image = node.metadata.image();
        let mut leaders = Leaders::of(node, &image);
        let mut partitions = response.partitions.iter_mut();
        for (topic, count) in &response.topics {
            for partition in partitions.by_ref().take(*count).filter(|partition| refused(partition)) {
                partition.current_leader = leaders.name(topic, partition.index);
            }
        }
        response.node_endpoints = leaders.endpoints(connection);
    }
    response.encode(out, header)
}
