//! From what a request names to the partition that this node leads.

use std::sync::Arc;

use chronik_state::ids::{LogId, PartitionIndex};
use chronik_state::metadata::Image;
use chronik_wire::ErrorCode;

use super::Partition;
use crate::node::Node;

/// The partition, if it exists and this node leads it: else another does, or nobody.
pub(crate) fn led_here(
    node: &Node,
    image: &Image,
    topic: &str,
    index: PartitionIndex,
) -> Result<Arc<Partition>, ErrorCode> {
    let held = held_here(node, image, topic, index)?;
    match held.leads_in() {
        Some(_) => Ok(held),
        None => Err(ErrorCode::NotLeaderOrFollower),
    }
}

/// The partition, if it exists and this node has a replica of it, whoever leads.
pub(crate) fn held_here(
    node: &Node,
    image: &Image,
    topic: &str,
    index: PartitionIndex,
) -> Result<Arc<Partition>, ErrorCode> {
    let topic = image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !topic.partitions.contains_key(&index) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    node.partitions.partition(LogId { topic: topic.id, partition: index }).ok_or(ErrorCode::NotLeaderOrFollower)
}
