//! DescribeTopicPartitions (key 75): topics with their partitions, in pages. Version 0.
//!
//! Topics come by ascending name, all of them where none is named; a page ends after `response_partition_limit` partitions
//! (at most 2000, at least 1), and its cursor says where the next begins. A cursor that names no topic of the request, or a
//! negative partition, is INVALID_REQUEST for every topic. Topics that do not exist are UNKNOWN_TOPIC_OR_PARTITION or
//! INVALID_TOPIC_EXCEPTION.
//!
//! KIP-966. `last_known_elr` names the last leader where nobody leads, as Kafka does.

use std::collections::BTreeSet;
use std::sync::Arc;

use chronik_state::metadata::record::NO_LEADER;
use chronik_state::metadata::{Image, Partition, Topic, topic_name};
use chronik_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use chronik_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use chronik_wire::{ErrorCode, StrBytes, Uuid, message};

use crate::dispatch::authorize::{NOT_ASKED, TOPIC_OPERATIONS};
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(DescribeTopicPartitions);

/// Kafka's `max.request.partition.size.limit`.
const PARTITIONS_PER_PAGE_MAX: i32 = 2000;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeTopicPartitionsRequest = request.decode()?;
    let image = request.node().metadata.image();
    let response = match describe(&body, &image) {
        Ok(page) => message!(DescribeTopicPartitionsResponse { topics: page.topics, next_cursor: page.next_cursor }),
        Err(InvalidCursor) => refusal(&body),
    };
    request.reply(&response)
}

struct InvalidCursor;

fn describe<'a>(body: &'a DescribeTopicPartitionsRequest, image: &'a Image) -> Result<Page<'a>, InvalidCursor> {
    let limit = body.response_partition_limit.clamp(1, PARTITIONS_PER_PAGE_MAX) as usize;
    let (from, from_partition) = match &body.cursor {
        Some(cursor) if cursor.partition_index < 0 => return Err(InvalidCursor),
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        None => ("", 0),
    };
    let mut page = Page { image, from, from_partition, room: limit, topics: Vec::new(), next_cursor: None };
    if body.topics.is_empty() {
        image.topics_from(from).all(|topic| page.add(&topic.name, Some(topic)));
        return Ok(page);
    }
    let names: BTreeSet<&str> = body.topics.iter().map(|topic| topic.name.as_str()).collect();
    if body.cursor.is_some() && !names.contains(from) {
        return Err(InvalidCursor);
    }
    names.range(from..).all(|name| page.add(name, image.topic(name)));
    Ok(page)
}

/// One answer as it fills.
struct Page<'a> {
    image: &'a Image,
    from: &'a str,
    from_partition: i32,
    room: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next_cursor: Option<Cursor>,
}

impl Page<'_> {
    /// Takes as much of the topic as there is room for; false when the page is full.
    fn add(&mut self, name: &str, topic: Option<&Arc<Topic>>) -> bool {
        let first = if name == self.from { self.from_partition } else { 0 };
        // Also for one that does not exist: the next page says so.
        if self.room == 0 {
            self.next_cursor = Some(cursor(name, first));
            return false;
        }
        let Some(topic) = topic else {
            self.topics.push(unknown_topic(name));
            return true;
        };
        let all = topic.partitions.iter().filter(|(index, _)| **index >= first);
        let mut partitions: Vec<_> = all.take(self.room + 1).collect();
        let next = partitions.get(self.room).map(|(index, _)| **index);
        partitions.truncate(self.room);
        self.room -= partitions.len();
        self.next_cursor = next.map(|index| cursor(name, index));
        self.topics.push(known_topic(topic, &partitions, self.image));
        next.is_none()
    }
}

fn cursor(name: &str, partition_index: i32) -> Cursor {
    message!(Cursor { topic_name: name.into(), partition_index })
}

fn known_topic(
    topic: &Topic,
    partitions: &[(&i32, &Partition)],
    image: &Image,
) -> DescribeTopicPartitionsResponseTopic {
    message!(DescribeTopicPartitionsResponseTopic {
        name: Some(StrBytes::from(&*topic.name)),
        topic_id: Uuid::from_bytes(topic.id.0),
        is_internal: topic_name::is_internal(&topic.name),
        partitions: partitions.iter().map(|(index, partition)| known_partition(**index, partition, image)).collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
    })
}

fn known_partition(index: i32, partition: &Partition, image: &Image) -> DescribeTopicPartitionsResponsePartition {
    let led = partition.leader != NO_LEADER;
    message!(DescribeTopicPartitionsResponsePartition {
        error_code: if led { ErrorCode::None } else { ErrorCode::LeaderNotAvailable }.code(),
        partition_index: index,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.in_sync.to_vec(),
        eligible_leader_replicas: Some(partition.eligible_leaders.to_vec()),
        last_known_elr: Some(Vec::from_iter((partition.last_known_leader != NO_LEADER).then_some(partition.last_known_leader))),
        offline_replicas: partition.replicas.iter().copied().filter(|id| !image.is_active(*id)).collect(),
    })
}

fn unknown_topic(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match topic_name::validate(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    message!(DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.into()),
        is_internal: topic_name::is_internal(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
    })
}

fn refusal(body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = body.topics.iter().map(|topic| {
        message!(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name.clone()),
            topic_authorized_operations: NOT_ASKED,
        })
    });
    message!(DescribeTopicPartitionsResponse { topics: refused.collect() })
}
