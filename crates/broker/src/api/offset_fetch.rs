//! OffsetFetch (key 9): how far groups have read. Versions 1 to 10.
//!
//! No list of topics (from v2 on) asks for everything the group has committed. Where nothing is committed the answer is
//! offset −1 and no error, also for groups that do not exist. What is answered is committed: offsets of an append that
//! could still be lost are waited for, so that `require_stable` (KIP-447, v7) has nothing to add while there are no
//! transactions.
//!
//! KIP-320 (leader epochs, v5), KIP-709 (several groups, v8), KIP-848 (member id and epoch, v9, of no meaning to
//! classic groups), KIP-516 (topic ids, v10).

use std::collections::BTreeSet;

use chronik_state::group::FetchedOffset;
use chronik_state::ids::TopicId;
use chronik_state::metadata::Image;
use chronik_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use chronik_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use chronik_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use chronik_wire::{ErrorCode, Uuid, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(OffsetFetch);

/// From here on there is an error for the whole answer.
const TOP_LEVEL_ERROR_VERSION: i16 = 2;
/// From here on several groups are asked for at once.
const GROUPS_VERSION: i16 = 8;
/// From here on topics go by their ids.
const TOPIC_IDS_VERSION: i16 = 10;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: OffsetFetchRequest = request.decode()?;
    let response = if request.version() < GROUPS_VERSION {
        one_group(&request, &body).await
    } else {
        let mut groups = Vec::new();
        // Named twice, answered once: nobody means it, and answers are much larger than questions.
        let mut seen = BTreeSet::new();
        for group in body.groups.iter().filter(|group| seen.insert(group.group_id.as_str())) {
            groups.push(fetch_group(&request, group).await);
        }
        message!(OffsetFetchResponse { groups: groups })
    };
    request.reply(&response)
}

/// The older form, where the group stands in the request itself.
async fn one_group(request: &Request<'_>, body: &OffsetFetchRequest) -> OffsetFetchResponse {
    let topics = body.topics.as_ref().map(|topics| -> Vec<Named> {
        topics.iter().map(|topic| (topic.name.to_string(), topic.partition_indexes.clone())).collect()
    });
    match fetch(request, &body.group_id, topics.as_deref()).await {
        Ok(found) => message!(OffsetFetchResponse { topics: found.into_iter().map(topic_response).collect() }),
        Err(error) if request.version() >= TOP_LEVEL_ERROR_VERSION => {
            message!(OffsetFetchResponse { error_code: error.code() })
        }
        Err(error) => {
            let failed = topics.unwrap_or_default().into_iter().map(|topic| failed_topic_response(topic, error));
            message!(OffsetFetchResponse { topics: failed.collect() })
        }
    }
}

async fn fetch_group(request: &Request<'_>, group: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let image = request.node().metadata.image();
    let by_id = request.version() >= TOPIC_IDS_VERSION;
    let names = group
        .topics
        .as_ref()
        .map(|topics| -> Vec<Option<Named>> { topics.iter().map(|topic| named(&image, topic, by_id)).collect() });
    let known: Option<Vec<Named>> = names.as_ref().map(|names| names.iter().flatten().cloned().collect());
    let found = match fetch(request, &group.group_id, known.as_deref()).await {
        Ok(found) => found,
        Err(error) => {
            return message!(OffsetFetchResponseGroup { group_id: group.group_id.clone(), error_code: error.code() });
        }
    };
    let topics = match group.topics.as_ref().zip(names) {
        None => found.into_iter().filter_map(|topic| all_response(&image, topic, by_id)).collect(),
        Some((asked, names)) => {
            let mut found = found.into_iter();
            let answer = |(topic, name): (&OffsetFetchRequestTopics, Option<Named>)| match name {
                Some(_) => topics_response(topic, found.next().map(|(_, offsets)| offsets).unwrap_or_default()),
                None => unknown_topics_response(topic),
            };
            asked.iter().zip(names).map(answer).collect()
        }
    };
    message!(OffsetFetchResponseGroup { group_id: group.group_id.clone(), topics: topics })
}

type Named = (String, Vec<i32>);
type Found = (String, Vec<FetchedOffset>);

/// Of `topics`, in their order, or of everything.
async fn fetch(request: &Request<'_>, group_id: &str, topics: Option<&[Named]>) -> Result<Vec<Found>, ErrorCode> {
    let coordinator = &request.node().coordinator;
    let looked = coordinator.look(request.reactor, group_id, |groups| match topics {
        Some(topics) => groups.fetch_offsets(group_id, topics),
        None => groups.fetch_all_offsets(group_id),
    });
    looked.await
}

/// None if the topic's id is nobody's.
fn named(image: &Image, topic: &OffsetFetchRequestTopics, by_id: bool) -> Option<Named> {
    let name = match by_id {
        true => image.topic_by_id(TopicId(*topic.topic_id.as_bytes()))?.name.to_string(),
        false => topic.name.to_string(),
    };
    Some((name, topic.partition_indexes.clone()))
}

fn topics_response(asked: &OffsetFetchRequestTopics, offsets: Vec<FetchedOffset>) -> OffsetFetchResponseTopics {
    message!(OffsetFetchResponseTopics {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        partitions: offsets.into_iter().map(partitions_response).collect(),
    })
}

fn unknown_topics_response(asked: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let unknown = |partition: &i32| {
        message!(OffsetFetchResponsePartitions {
            partition_index: *partition,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some("".into()),
            error_code: ErrorCode::UnknownTopicId.code(),
        })
    };
    message!(OffsetFetchResponseTopics {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        partitions: asked.partition_indexes.iter().map(unknown).collect(),
    })
}

/// Where topics go by their ids, one that is gone has none to be told by.
fn all_response(image: &Image, (name, offsets): Found, by_id: bool) -> Option<OffsetFetchResponseTopics> {
    let topic_id = if by_id { Uuid::from_bytes(image.topic(&name)?.id.0) } else { Uuid::default() };
    let partitions = offsets.into_iter().map(partitions_response).collect();
    Some(message!(OffsetFetchResponseTopics { name: name.into(), topic_id: topic_id, partitions: partitions }))
}

fn partitions_response(fetched: FetchedOffset) -> OffsetFetchResponsePartitions {
    message!(OffsetFetchResponsePartitions {
        partition_index: fetched.partition,
        committed_offset: fetched.offset,
        committed_leader_epoch: fetched.leader_epoch,
        metadata: Some(fetched.metadata.into()),
    })
}

fn topic_response((name, offsets): Found) -> OffsetFetchResponseTopic {
    let partition = |fetched: FetchedOffset| {
        message!(OffsetFetchResponsePartition {
            partition_index: fetched.partition,
            committed_offset: fetched.offset,
            committed_leader_epoch: fetched.leader_epoch,
            metadata: Some(fetched.metadata.into()),
        })
    };
    message!(OffsetFetchResponseTopic { name: name.into(), partitions: offsets.into_iter().map(partition).collect() })
}

fn failed_topic_response((name, partitions): Named, error: ErrorCode) -> OffsetFetchResponseTopic {
    let failed = |partition: i32| {
        message!(OffsetFetchResponsePartition {
            partition_index: partition,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some("".into()),
            error_code: error.code(),
        })
    };
    message!(OffsetFetchResponseTopic { name: name.into(), partitions: partitions.into_iter().map(failed).collect() })
}
