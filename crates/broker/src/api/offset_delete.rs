//! OffsetDelete (key 47): a group forgets how far it has read (KIP-496). Version 0.
//!
//! Only of topics that it does not read any more: GROUP_SUBSCRIBED_TO_TOPIC otherwise. A group with members that are
//! no consumers is NON_EMPTY_GROUP, because nobody can know what they read.

use chronik_state::group::Reply as GroupReply;
use chronik_wire::messages::offset_delete_request::OffsetDeleteRequestTopic;
use chronik_wire::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use chronik_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};

serves!(OffsetDelete);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: OffsetDeleteRequest = request.decode()?;
    let group_id = body.group_id.as_str();
    let (existing, mut answers) = examine(&request, &body.topics);
    let asked = request
        .node()
        .coordinator
        .ask(request.reactor, group_id, |groups, ticket, _| groups.on_delete_offsets(ticket, group_id, &existing));
    let error = match asked.await {
        Ok(GroupReply::DeleteOffsets(Ok(results))) => {
            for (topic, partitions) in results {
                let deleted = partitions
                    .into_iter()
                    .map(|(partition, error)| (partition, error.map_or(ErrorCode::None, errors::group)));
                let answer = answers.iter_mut().find(|(name, _)| *name == topic);
                answer.into_iter().for_each(|(_, answer)| answer.extend(deleted.clone()));
            }
            return request
                .reply(&message!(OffsetDeleteResponse { topics: answers.into_iter().map(topic_response).collect() }));
        }
        Ok(GroupReply::DeleteOffsets(Err(error))) => errors::group(error),
        Ok(_) => ErrorCode::UnknownServerError,
        Err(error) => error,
    };
    request.reply(&message!(OffsetDeleteResponse { error_code: error.code() }))
}

type Answer = (String, Vec<(i32, ErrorCode)>);

/// What exists, and the answers for what does not.
fn examine(request: &Request<'_>, topics: &[OffsetDeleteRequestTopic]) -> (Vec<(String, Vec<i32>)>, Vec<Answer>) {
    let image = request.node().metadata.image();
    let mut existing = Vec::new();
    let mut answers = Vec::new();
    for topic in topics {
        let found = image.topic(&topic.name);
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
        let (known, unknown): (Vec<i32>, Vec<i32>) =
            partitions.partition(|index| found.is_some_and(|found| found.partitions.contains_key(index)));
        if !known.is_empty() {
            existing.push((topic.name.to_string(), known));
        }
        let refused = unknown.into_iter().map(|partition| (partition, ErrorCode::UnknownTopicOrPartition)).collect();
        answers.push((topic.name.to_string(), refused));
    }
    (existing, answers)
}

fn topic_response((name, partitions): Answer) -> OffsetDeleteResponseTopic {
    let partition = |(partition_index, error): (i32, ErrorCode)| {
        message!(OffsetDeleteResponsePartition { partition_index, error_code: error.code() })
    };
    message!(OffsetDeleteResponseTopic {
        name: name.into(),
        partitions: partitions.into_iter().map(partition).collect()
    })
}
