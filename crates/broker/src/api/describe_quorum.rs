//! DescribeQuorum (key 55): who decides upon the metadata, and how far each voter has followed. Versions 0 to 2.
//!
//! Served by the metadata leader, who knows how far each voter is; a single node has followed itself to the end. Anything but the one partition of the metadata is
//! UNKNOWN_TOPIC_OR_PARTITION; while nobody leads it is NOT_CONTROLLER.
//!
//! KIP-595, KIP-836 (times), KIP-853 (directories, and where to reach the voters: here the listener for clients).

use chronik_state::metadata::topic_name::METADATA_TOPIC;
use chronik_wire::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use chronik_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use chronik_wire::{ErrorCode, StrBytes, Uuid, message};

use super::brokers::reachable;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::now_ms;

serves!(DescribeQuorum);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeQuorumRequest = request.decode()?;
    let is_metadata = matches!(&body.topics[..], [topic]
        if *topic.topic_name == *METADATA_TOPIC && matches!(&topic.partitions[..], [only] if only.partition_index == 0));
    if request.node().cluster.as_ref().is_some_and(|cluster| !cluster.leads()) {
        // It would have been passed on if anybody led.
        let error_code = ErrorCode::NotController.code();
        return request.reply(&message!(DescribeQuorumResponse { error_code, error_message: no_text() }));
    }
    match is_metadata {
        true => request.reply(&described(&request).await),
        false => request.reply(&unknown(&body, request.version())),
    }
}

async fn described(request: &Request<'_>) -> DescribeQuorumResponse {
    let node = request.node();
    let (id, reached, image) = (node.config.node_id, node.metadata.reached(), node.metadata.image());
    let voters = node.metadata.voters().await.into_iter().filter_map(|(raft_id, log_end_offset)| {
        let broker = image.brokers().find(|broker| crate::metadata::raft_id(broker.directory_id) == raft_id)?;
        let heard_ms = match &node.cluster {
            Some(cluster) if broker.id != id => cluster.heard_ms_ago(broker.id),
            _ => Some(0),
        };
        Some((broker, log_end_offset, heard_ms))
    });
    let mut response = message!(DescribeQuorumResponse { error_message: no_text() });
    let mut current_voters = Vec::new();
    for (broker, log_end_offset, heard_ms) in voters {
        let mut voter = message!(ReplicaState { replica_id: broker.id, log_end_offset });
        if request.version() >= 1 {
            voter.last_fetch_timestamp = heard_ms.map_or(-1, |ago_ms| now_ms() - ago_ms);
            voter.last_caught_up_timestamp =
                if log_end_offset >= reached.high_watermark { voter.last_fetch_timestamp } else { -1 };
        }
        if request.version() >= 2 {
            voter.replica_directory_id = Uuid::from_bytes(broker.directory_id);
            let reachable = reachable(node, request.connection, broker);
            let port = u16::try_from(reachable.port).unwrap_or_default();
            let listener = message!(Listener { name: "PLAINTEXT".into(), host: reachable.host, port });
            response.nodes.push(message!(Node { node_id: broker.id, listeners: vec![listener] }));
        }
        current_voters.push(voter);
    }
    let partition = message!(PartitionData {
        error_message: no_text(),
        leader_id: id,
        leader_epoch: reached.term,
        high_watermark: reached.high_watermark,
        current_voters,
    });
    response.topics = vec![message!(TopicData { topic_name: METADATA_TOPIC.into(), partitions: vec![partition] })];
    response
}

fn unknown(body: &DescribeQuorumRequest, version: i16) -> DescribeQuorumResponse {
    let error = ErrorCode::UnknownTopicOrPartition;
    let text =
        if version >= 2 { "This server does not host this topic-partition.".into() } else { StrBytes::default() };
    let topics = body.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            message!(PartitionData {
                partition_index: partition.partition_index,
                error_code: error.code(),
                error_message: Some(text.clone()),
            })
        });
        message!(TopicData { topic_name: topic.topic_name.clone(), partitions: partitions.collect() })
    });
    message!(DescribeQuorumResponse { error_message: no_text(), topics: topics.collect() })
}

/// Kafka sends no text here, not null.
fn no_text() -> Option<StrBytes> {
    Some(StrBytes::default())
}
