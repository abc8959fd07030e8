//! ListOffsets (key 2): the offset that belongs to a time, or to an end of the log. Versions 1 to 11.
//!
//! Timestamps from 0 on ask for the first record that is as young or younger. Below 0 they mean: −1 the end that readers may
//! see, −2 the start, −3 the youngest record (version 7 on, KIP-734), −4 the start on this node's disk (version 8 on, KIP-405),
//! −5 the newest offset in tiered storage (version 9 on, KIP-1005), −6 the first that is not there yet (version 11 on,
//! KIP-1023); nothing is tiered here, so −4 and −6 are the start and −5 is none. Others, and these in earlier versions,
//! are UNSUPPORTED_VERSION. Where there is no such record, offset and timestamp are −1.
//!
//! Who does not lead is NOT_LEADER_OR_FOLLOWER; who leads and does not know yet how far the leader before came, OFFSET_NOT_AVAILABLE
//! (before version 5 LEADER_NOT_AVAILABLE, KIP-207) for −1 and for what is not found. A leader epoch that is not this leader's is FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH (version 4 on, KIP-320). A partition
//! named twice is INVALID_REQUEST, answered once. read_committed (version 2 on, KIP-98) is the same as read_uncommitted as long as
//! nothing is transactional. For replica id −2 the −1 means the end of the replica that this node has.

use std::collections::BTreeSet;

use chronik_log::TimestampOffset;
use chronik_state::ids::Offset;
use chronik_state::metadata::Image;
use chronik_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use chronik_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use chronik_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};
use crate::node::Node;
use crate::partition::Partition;
use crate::partition::find::{held_here, led_here};

serves!(ListOffsets);

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Who asks for the end of a replica, readable or not, whoever leads: for those who look how far followers are (Kafka's
/// `ListOffsetsRequest.DEBUGGING_REPLICA_ID`).
const ANY_REPLICA: i32 = -2;

/// No offset, no timestamp.
const NONE: i64 = -1;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: ListOffsetsRequest = request.decode()?;
    let image = request.node().metadata.image();
    let lookup = Lookup {
        node: request.node(),
        image: &image,
        version: request.version(),
        isolation_known: matches!(body.isolation_level, 0 | 1),
        repeated: repeated(&body.topics),
        any_replica: body.replica_id == ANY_REPLICA,
    };
    let topics = body.topics.iter().map(|topic| lookup.topic(topic)).collect();
    request.reply(&message!(ListOffsetsResponse { topics }))
}

/// The partitions that a request names more than once.
fn repeated(topics: &[ListOffsetsTopic]) -> BTreeSet<(StrBytes, i32)> {
    let mut seen = BTreeSet::new();
    let all = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.clone(), partition.partition_index)));
    all.filter(|partition| !seen.insert(partition.clone())).collect()
}

/// What was found of one partition.
struct Found {
    offset: Offset,
    timestamp_ms: i64,
    leader_epoch: i32,
}

struct Lookup<'a> {
    node: &'a Node,
    image: &'a Image,
    version: i16,
    isolation_known: bool,
    repeated: BTreeSet<(StrBytes, i32)>,
    any_replica: bool,
}

impl Lookup<'_> {
    fn topic(&self, topic: &ListOffsetsTopic) -> ListOffsetsTopicResponse {
        let mut answered = BTreeSet::new();
        let once = topic.partitions.iter().filter(|partition| answered.insert(partition.partition_index));
        let partitions =
            once.map(|partition| self.response(partition, self.partition(&topic.name, partition))).collect();
        message!(ListOffsetsTopicResponse { name: topic.name.clone(), partitions })
    }

    fn partition(&self, topic: &StrBytes, asked: &ListOffsetsPartition) -> Result<Option<Found>, ErrorCode> {
        if self.repeated.contains(&(topic.clone(), asked.partition_index)) {
            return Err(ErrorCode::InvalidRequest);
        }
        if !is_known(asked.timestamp, self.version) {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if !self.isolation_known {
            return Err(ErrorCode::UnknownServerError);
        }
        if self.any_replica && asked.timestamp == LATEST {
            let partition = held_here(self.node, self.image, topic, asked.partition_index)?;
            let (offset, leader_epoch) = (partition.log.log_end_offset(), partition.leader_epoch());
            return Ok(Some(Found { offset, timestamp_ms: NONE, leader_epoch }));
        }
        let partition = led_here(self.node, self.image, topic, asked.partition_index)?;
        partition.check_epoch(asked.current_leader_epoch).map_err(|error| errors::not_given(&error))?;
        find(&partition, asked.timestamp, self.version)
    }

    fn response(
        &self,
        asked: &ListOffsetsPartition,
        found: Result<Option<Found>, ErrorCode>,
    ) -> ListOffsetsPartitionResponse {
        let mut response = message!(ListOffsetsPartitionResponse { partition_index: asked.partition_index });
        match found {
            Ok(Some(found)) => {
                response.offset = found.offset;
                response.timestamp = found.timestamp_ms;
                if self.version >= 4 {
                    response.leader_epoch = found.leader_epoch;
                }
            }
            Ok(None) => {}
            Err(error) => response.error_code = error.code(),
        }
        response
    }
}

/// Whether the version knows what this timestamp means.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        EARLIEST.. => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        _ => false,
    }
}

fn find(partition: &Partition, timestamp: i64, version: i16) -> Result<Option<Found>, ErrorCode> {
    // Until it knows how far an earlier leader came, a new one must not say that there is no more (KIP-207). Before the high
    // watermark is read: one that is known then is known of that one.
    let end = match (partition.high_watermark_is_known(), version) {
        (true, _) => Ok(None),
        (false, 5..) => Err(ErrorCode::OffsetNotAvailable),
        (false, _) => Err(ErrorCode::LeaderNotAvailable),
    };
    let high_watermark = partition.high_watermark();
    let record = match timestamp {
        LATEST => {
            end?;
            let leader_epoch = partition.leader_epoch();
            return Ok(Some(Found { offset: high_watermark, timestamp_ms: NONE, leader_epoch }));
        }
        EARLIEST | EARLIEST_LOCAL | EARLIEST_PENDING_UPLOAD => return Ok(Some(start(partition))),
        LATEST_TIERED => return Ok(None),
        MAX_TIMESTAMP => partition.log.max_timestamp(high_watermark),
        timestamp => partition.log.offset_for_timestamp(timestamp, high_watermark),
    };
    match record.map_err(|error| errors::read(&error))? {
        Some(record) => Ok(Some(found(record))),
        None => end,
    }
}

fn start(partition: &Partition) -> Found {
    let offset = partition.log.log_start_offset();
    let leader_epoch = partition.log.epoch_at(offset).unwrap_or_else(|| partition.leader_epoch());
    Found { offset, timestamp_ms: NONE, leader_epoch }
}

fn found(record: TimestampOffset) -> Found {
    Found { offset: record.offset, timestamp_ms: record.timestamp_ms, leader_epoch: record.leader_epoch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_knows_its_timestamps() {
        // As Apache Kafka 4.3 answers: the lowest timestamp that is not UNSUPPORTED_VERSION.
        for (version, lowest) in [(1, -2), (6, -2), (7, -3), (8, -4), (9, -5), (10, -5), (11, -6)] {
            assert!(is_known(lowest, version), "v{version}");
            assert!(!is_known(lowest - 1, version), "v{version}");
            assert!(is_known(0, version) && is_known(i64::MAX, version));
        }
    }
}
