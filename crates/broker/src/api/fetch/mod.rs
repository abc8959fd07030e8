//! Fetch (key 1): gives record batches. Versions 4 to 18.
//!
//! Answers at once when there are `min_bytes` or an error, else when they have come or `max_wait_ms` is over; waiting costs
//! nothing until a partition changes. Batches leave whole, as they were stored: the young from memory, the older by
//! `sendfile`. The first partition that has something gives at least one batch, however small the limits (KIP-74).
//!
//! KIP-74 (sizes), KIP-98 (isolation; nothing is transactional here, so the last stable offset is the high watermark),
//! KIP-227 (sessions, v7), KIP-320 and KIP-595 (epochs, v9 and v12), KIP-392 (reading the replica in one's own rack, v11), KIP-516
//! (topic ids, v13), KIP-951 (current leader, v16). Replicas do not fetch here: leaders push (docs/replication.md).

pub(crate) mod sessions;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chronik_log::Piece as LogPiece;
use chronik_state::ids::{BrokerId, Offset};
use chronik_state::metadata::Image;
use chronik_wire::{ErrorCode, StrBytes};
use chronik_wire::fetch::{FetchPartition, FetchResponse, Piece};
use chronik_wire::messages::FetchRequest;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api::leaders::Leaders;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};
use crate::net::output::Run;
use crate::node::{Node, now_ms};
use crate::partition::Partition;
use crate::partition::read::{Given, NotGiven, Wanted};
use sessions::{Exchange, Target};

serves!(Fetch);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: FetchRequest = request.decode()?;
    let exchange = match Exchange::begin(&request, &body) {
        Ok(exchange) => exchange,
        Err(error) => {
            request.connection.note_failure();
            return encode(&request, FetchResponse { error, ..FetchResponse::default() }, Vec::new());
        }
    };
    let targets = exchange.targets();
    let reading = Reading {
        bytes_max: (body.max_bytes.max(0) as usize).min(request.node().settings.fetch_bytes_max),
        bytes_min: body.min_bytes.max(0) as usize,
        committed_only: body.isolation_level == 1,
        targets: &targets,
        elsewhere: Elsewhere::of(request.node(), request.version(), &body.rack_id),
    };
    let mut round = reading.read();
    if !round.is_enough(&reading) && body.max_wait_ms > 0 {
        let deadline = Instant::now() + Duration::from_millis(body.max_wait_ms.unsigned_abs().into());
        round = reading.wait(&request, deadline).await;
    }
    count(&request, &targets, &round);
    let committed_only = reading.committed_only;
    let (mut response, records) = exchange.finish(round.partitions, committed_only);
    if request.version() >= LEADERS_VERSION {
        name_leaders(&request, &mut response);
    }
    encode(&request, response, records)
}

fn count(request: &Request<'_>, targets: &[Target], round: &Round) {
    request.reactor.metrics().given(round.bytes as u64);
    for (target, result) in targets.iter().zip(&round.partitions) {
        match (&target.partition, result) {
            (Ok(partition), Ok(given)) if given.bytes > 0 => partition.traffic().bytes_out.add(given.bytes as u64),
            (Ok(_), Ok(_)) => {}
            _ => request.connection.note_failure(),
        }
    }
}

/// The version from which a refusal says who leads instead.
const LEADERS_VERSION: i16 = 16;

fn name_leaders(request: &Request<'_>, response: &mut FetchResponse) {
    let refused = |partition: &FetchPartition| matches!(partition.error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    if !response.partitions.iter().any(refused) {
        return;
    }
    let image = request.node().metadata.image();
    let mut leaders = Leaders::of(request.node(), &image);
    let mut partitions = response.partitions.iter_mut();
    for (topic, count) in &response.topics {
        for partition in partitions.by_ref().take(*count).filter(|partition| refused(partition)) {
            partition.current_leader = leaders.name(topic, partition.index);
        }
    }
    response.node_endpoints = leaders.endpoints(request.connection);
}

/// For a reader who says where it stands, which is not where this node does: who of a partition's replicas is nearer.
struct Elsewhere {
    rack: StrBytes,
    image: Arc<Image>,
}

impl Elsewhere {
    fn of(node: &Node, version: i16, rack: &StrBytes) -> Option<Self> {
        if version < sessions::FOLLOWERS_VERSION || rack.is_empty() {
            return None;
        }
        let image = node.metadata.image();
        let own = image.broker(node.config.node_id)?.rack.clone();
        (own.as_deref() != Some(&**rack)).then(|| Elsewhere { rack: rack.clone(), image })
    }

    /// The follower in the reader's rack that has most, if this node leads and one of them has what is wanted. As Kafka's
    /// `RackAwareReplicaSelector`, but only of those who are in sync.
    fn nearer(&self, partition: &Partition, offset: Offset) -> Option<BrokerId> {
        let stands_there = |id: BrokerId| {
            let broker = self.image.broker(id);
            broker.is_some_and(|broker| broker.may_lead() && broker.rack.as_deref() == Some(&*self.rack))
        };
        let holders = partition.holders_of(offset).into_iter().filter(|(id, _)| stands_there(*id));
        holders.max_by_key(|(_, end_offset)| *end_offset).map(|(id, _)| id)
    }
}

/// What is to be read, and when it is enough.
struct Reading<'a> {
    bytes_max: usize,
    bytes_min: usize,
    committed_only: bool,
    targets: &'a [Target],
    elsewhere: Option<Elsewhere>,
}

/// One pass over all partitions.
struct Round {
    /// In the order of the targets.
    partitions: Vec<Result<Given, ErrorCode>>,
    bytes: usize,
    /// Something that must be told at once.
    urgent: bool,
}

impl Round {
    fn is_enough(&self, reading: &Reading<'_>) -> bool {
        self.urgent || self.bytes >= reading.bytes_min || reading.targets.is_empty()
    }
}

impl Reading<'_> {
    fn read(&self) -> Round {
        let now_ms = now_ms();
        let mut round = Round { partitions: Vec::with_capacity(self.targets.len()), bytes: 0, urgent: false };
        for target in self.targets {
            let result = self.read_one(target, self.bytes_max.saturating_sub(round.bytes), round.bytes == 0, now_ms);
            match &result {
                Ok(given) => {
                    round.bytes += given.bytes;
                    round.urgent |= given.diverging.is_some() || given.preferred.is_some();
                }
                Err(_) => round.urgent = true,
            }
            round.partitions.push(result);
        }
        round
    }

    fn read_one(&self, target: &Target, bytes_left: usize, must_advance: bool, now_ms: i64) -> Result<Given, ErrorCode> {
        let partition = target.partition.as_ref().map_err(|error| *error)?;
        let preferred = self.elsewhere.as_ref().and_then(|elsewhere| elsewhere.nearer(partition, target.wanted.offset));
        // Who is sent elsewhere gets nothing here.
        let bytes_max = if preferred.is_some() { 0 } else { target.wanted.bytes_max.min(bytes_left) };
        let wanted = Wanted { bytes_max, ..target.wanted };
        let given = partition.read(wanted, must_advance && preferred.is_none(), now_ms);
        given.map(|given| Given { preferred, ..given }).map_err(|error| {
            if let NotGiven::Log(error @ (chronik_log::ReadError::Corrupt { .. } | chronik_log::ReadError::Io { .. })) = &error {
                tracing::error!(partition = %partition.id, offset = wanted.offset, "not served: {error}");
            }
            errors::not_given(&error)
        })
    }

    async fn wait(&self, request: &Request<'_>, deadline: Instant) -> Round {
        let waiting = Waiting::begin(self.targets);
        let mut stopping = request.node().stopping();
        let gone = request.connection.gone();
        loop {
            // After the waiter is known to the partitions, so that no change falls between.
            let round = self.read();
            if round.is_enough(self) {
                return round;
            }
            drop(round);
            tokio::select! {
                () = waiting.waiter.notified() => {}
                () = tokio::time::sleep_until(deadline) => return self.read(),
                // Who only ended its own side is still answered, with what there is.
                () = gone.wait() => return self.read(),
                _ = stopping.wait_for(|stopping| *stopping) => return self.read(),
            }
        }
    }
}

/// A waiter that its partitions know of; they forget it when it ends.
struct Waiting<'a> {
    waiter: Arc<Notify>,
    targets: &'a [Target],
}

impl<'a> Waiting<'a> {
    fn begin(targets: &'a [Target]) -> Self {
        let waiting = Waiting { waiter: Arc::new(Notify::new()), targets };
        waiting.partitions().for_each(|partition| partition.wait(&waiting.waiter));
        waiting
    }

    fn partitions(&self) -> impl Iterator<Item = &'a Arc<Partition>> + use<'a> {
        self.targets.iter().filter_map(|target| target.partition.as_ref().ok())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.partitions().for_each(|partition| partition.stop_waiting(&self.waiter));
    }
}

/// Nobody else is preferred.
const NO_REPLICA: BrokerId = -1;

/// What the response says of one partition.
fn partition_response(index: i32, result: &Result<Given, ErrorCode>, committed_only: bool) -> FetchPartition {
    let given = match result {
        Ok(given) => given,
        Err(error) => {
            // Of what does not exist the list is empty; where a read failed there is none.
            let unknown = matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId);
            let aborted_transactions = unknown.then(Vec::new);
            return FetchPartition { aborted_transactions, ..FetchPartition::failed(index, *error) };
        }
    };
    FetchPartition {
        high_watermark: given.high_watermark,
        last_stable_offset: given.high_watermark,
        log_start_offset: given.log_start_offset,
        diverging_epoch: given.diverging,
        preferred_read_replica: given.preferred.unwrap_or(NO_REPLICA),
        aborted_transactions: committed_only.then(Vec::new),
        records_bytes: Some(given.bytes),
        ..FetchPartition::failed(index, ErrorCode::None)
    }
}

/// The response in pieces, with the records of each of its partitions in between.
fn encode(request: &Request<'_>, response: FetchResponse, records: Vec<Vec<LogPiece>>) -> Result<Reply, BadRequest> {
    let mut buffer = BytesMut::new();
    let pieces = response.encode(&mut buffer, request.header())?;
    let buffer = buffer.freeze();
    let mut records: Vec<_> = records.into_iter().map(Some).collect();
    let mut runs = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Buffer(range) => runs.push(Run::Bytes(buffer.slice(range))),
            Piece::Records { partition, .. } => {
                let pieces = records[partition].take().expect("the records of a partition are placed once");
                runs.extend(pieces.into_iter().map(Run::from));
            }
        }
    }
    Ok(Reply::Runs(runs))
}
