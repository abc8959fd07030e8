//! Partitions by one number each, as the world names them.

use chronik_state::ids::{LogId, PartitionIndex, TopicId};

/// A partition of a topic: the topic's number times ten, and its index.
pub(super) type Place = PartitionIndex;

/// Partitions of one topic, at most.
const PER_TOPIC: PartitionIndex = 10;

pub(super) fn place(topic: PartitionIndex, partition: PartitionIndex) -> Place {
    topic * PER_TOPIC + partition
}

pub(super) fn log_id(place: Place) -> LogId {
    LogId { topic: topic_id(place / PER_TOPIC), partition: place % PER_TOPIC }
}

/// The identity of a topic.
pub(super) fn topic_id(topic: PartitionIndex) -> TopicId {
    TopicId([7 + topic as u8; 16])
}

/// The place of a partition of a topic that the world created.
pub(super) fn place_of(topic: TopicId, partition: PartitionIndex) -> Place {
    place(PartitionIndex::from(topic.0[0]) - 7, partition)
}

pub(super) fn topic_name(place: Place) -> String {
    format!("t{}", place / PER_TOPIC)
}
