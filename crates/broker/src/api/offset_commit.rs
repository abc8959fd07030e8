//! OffsetCommit (key 8): a group notes how far it has read. Versions 2 to 10.
//!
//! Partitions that do not exist are refused one by one; the others are committed together, and answered when they are
//! in the log. A caller that is no member (generation −1) may commit only while the group has none.
//!
//! KIP-211 (no retention of one's own from v5 on), KIP-320 (leader epochs, v6), KIP-345 (static members, v7), KIP-516
//! (topic ids, v10), KIP-848 (GROUP_ID_NOT_FOUND, v9).

use chronik_state::group::{CommitPartition, CommitRequest, PartitionResults, Reply as GroupReply};
use chronik_state::ids::TopicId;
use chronik_state::metadata::Image;
use chronik_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use chronik_wire::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use chronik_wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};

serves!(OffsetCommit);

/// From here on topics go by their ids.
const TOPIC_IDS_VERSION: i16 = 10;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: OffsetCommitRequest = request.decode()?;
    let mut response = message!(OffsetCommitResponse {});
    let mut commit = commit_request(&body, request.version());
    let image = request.node().metadata.image();
    let mut places = Vec::new();
    for topic in &body.topics {
        let (answer, committed) = examine(&image, topic, request.version());
        if let Some(committed) = committed {
            places.push(response.topics.len());
            commit.topics.push(committed);
        }
        response.topics.push(answer);
    }
    if !commit.topics.is_empty() {
        let results = ask(&request, &commit).await;
        for ((index, topic), (_, partitions)) in places.into_iter().zip(&commit.topics).zip(results) {
            debug_assert_eq!(topic.1.len(), partitions.len());
            let committed = |(partition, error)| partition_response(partition, error);
            response.topics[index].partitions.extend(partitions.into_iter().map(committed));
        }
    }
    request.reply(&response)
}

fn commit_request(body: &OffsetCommitRequest, version: i16) -> CommitRequest {
    CommitRequest {
        group_id: body.group_id.to_string(),
        generation_id: body.generation_id_or_member_epoch,
        member_id: body.member_id.to_string(),
        group_instance_id: body.group_instance_id.as_ref().map(ToString::to_string),
        retention_time_ms: Some(body.retention_time_ms).filter(|retention_ms| *retention_ms != -1),
        knows_group_id_not_found: version >= 9,
        topics: Vec::new(),
    }
}

/// The answer as far as it is known without the group, and what of the topic can be committed.
fn examine(
    image: &Image,
    topic: &OffsetCommitRequestTopic,
    version: i16,
) -> (OffsetCommitResponseTopic, Option<(String, Vec<CommitPartition>)>) {
    let (found, error) = match version {
        TOPIC_IDS_VERSION.. => (image.topic_by_id(TopicId(*topic.topic_id.as_bytes())), ErrorCode::UnknownTopicId),
        _ => (image.topic(&topic.name), ErrorCode::UnknownTopicOrPartition),
    };
    let exists = |partition: &&OffsetCommitRequestPartition| {
        found.is_some_and(|found| found.partitions.contains_key(&partition.partition_index))
    };
    let (known, unknown): (Vec<_>, Vec<_>) = topic.partitions.iter().partition(exists);
    let error = if found.is_some() { ErrorCode::UnknownTopicOrPartition } else { error };
    let answer = message!(OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: unknown.into_iter().map(|partition| partition_response(partition.partition_index, error)).collect(),
    });
    let committed = found
        .filter(|_| !known.is_empty())
        .map(|found| (found.name.to_string(), known.into_iter().map(commit).collect()));
    (answer, committed)
}

fn commit(partition: &OffsetCommitRequestPartition) -> CommitPartition {
    CommitPartition {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_ref().map(ToString::to_string),
    }
}

type Results = Vec<(String, Vec<(i32, ErrorCode)>)>;

async fn ask(request: &Request<'_>, commit: &CommitRequest) -> Results {
    let coordinator = &request.node().coordinator;
    let asked =
        coordinator.ask(request.reactor, &commit.group_id, |groups, ticket, now| groups.on_commit(ticket, commit, now));
    match asked.await {
        Ok(GroupReply::Commit(Ok(results))) => by_partition(results),
        Ok(GroupReply::Commit(Err(error))) => all(commit, errors::group(error)),
        Ok(_) => all(commit, ErrorCode::UnknownServerError),
        Err(error) => all(commit, error),
    }
}

fn by_partition(results: PartitionResults) -> Results {
    let code = |(partition, error): (i32, Option<_>)| (partition, error.map_or(ErrorCode::None, errors::group));
    results.into_iter().map(|(topic, partitions)| (topic, partitions.into_iter().map(code).collect())).collect()
}

fn all(commit: &CommitRequest, error: ErrorCode) -> Results {
    let failed = |partition: &CommitPartition| (partition.partition, error);
    commit.topics.iter().map(|(topic, partitions)| (topic.clone(), partitions.iter().map(failed).collect())).collect()
}

fn partition_response(partition_index: i32, error: ErrorCode) -> OffsetCommitResponsePartition {
    message!(OffsetCommitResponsePartition { partition_index, error_code: error.code() })
}
