//! CreatePartitions (key 37): topics grow. Versions 0 to 3.
//!
//! Each topic for itself; a topic that stands twice in a request is refused once. `validate_only` changes nothing. Errors:
//! UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS (not more than there are), INVALID_REPLICA_ASSIGNMENT,
//! INVALID_REPLICATION_FACTOR, INVALID_REQUEST, POLICY_VIOLATION (more than 10,000 new partitions a request).
//!
//! KIP-195.

use std::collections::BTreeSet;

use chronik_state::metadata::{CreatePartitions, TopicPartitions};
use chronik_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use chronik_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use chronik_wire::{StrBytes, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(CreatePartitions);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: CreatePartitionsRequest = request.decode()?;
    let topics = body.topics.iter().map(|topic| TopicPartitions {
        name: topic.name.as_str().to_owned(),
        count: topic.count,
        assignments: topic
            .assignments
            .as_ref()
            .map(|assignments| assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect()),
    });
    let command = CreatePartitions { topics: topics.collect(), validate_only: body.validate_only };
    let metadata = &request.node().metadata;
    let results = metadata.submit(request.reactor, |controller| controller.create_partitions(&command)).await;
    let results: Vec<Result<(), Failure>> = match results {
        Ok(results) => results.into_iter().map(|result| result.map_err(Failure::from)).collect(),
        Err(error) => {
            let failure = Failure::from(error);
            body.topics.iter().map(|_| Err(failure.clone())).collect()
        }
    };
    let mut answered = BTreeSet::new();
    let once = body.topics.iter().zip(results).filter(|(topic, _)| answered.insert(topic.name.clone()));
    let results = once.map(|(topic, result)| response(&topic.name, result)).collect();
    request.reply(&message!(CreatePartitionsResponse { results }))
}

fn response(name: &StrBytes, result: Result<(), Failure>) -> CreatePartitionsTopicResult {
    let mut response = message!(CreatePartitionsTopicResult { name: name.clone() });
    if let Err(failure) = result {
        response.error_code = failure.code.code();
        response.error_message = failure.message.map(StrBytes::from);
    }
    response
}
