//! CreateTopics (key 19). Versions 2 to 7.
//!
//! Each topic for itself: what is wrong with one does not touch the others. A name that stands twice in a request is refused
//! once, for all its places. The answer comes when the topics are on disk and can be used; `validate_only` gives the same
//! answer without creating anything. From version 5 on it tells what was created, with the configs that hold (KIP-525),
//! and from version 7 on the topic's id (KIP-516).
//!
//! Errors: INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR,
//! INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, INVALID_REQUEST, POLICY_VIOLATION (more than 10,000 partitions a request).

use std::collections::BTreeSet;

use chronik_state::ids::TopicId;
use chronik_state::metadata::{CreatableTopic, CreateTopics, CreatedTopic, PartitionAssignment};
use chronik_wire::messages::create_topics_request::CreatableTopic as Asked;
use chronik_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use chronik_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use chronik_wire::{StrBytes, Uuid, message};

use super::configs::topic_configs;
use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::random_id;

serves!(CreateTopics);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: CreateTopicsRequest = request.decode()?;
    let command = CreateTopics { topics: body.topics.iter().map(wanted).collect(), validate_only: body.validate_only };
    let metadata = &request.node().metadata;
    let results = metadata.submit(request.reactor, |controller| controller.create_topics(&command)).await;
    let results: Vec<Result<CreatedTopic, Failure>> = match results {
        Ok(results) => results.into_iter().map(|result| result.map_err(Failure::from)).collect(),
        Err(error) => {
            let failure = Failure::from(error);
            body.topics.iter().map(|_| Err(failure.clone())).collect()
        }
    };
    let mut answered = BTreeSet::new();
    let once = body.topics.iter().zip(results).filter(|(topic, _)| answered.insert(topic.name.clone()));
    let topics = once
        .map(|(topic, result)| match result {
            Ok(created) => success(&request, &topic.name, created),
            Err(failure) => refused(&topic.name, failure),
        })
        .collect();
    request.reply(&message!(CreateTopicsResponse { topics }))
}

fn wanted(topic: &Asked) -> CreatableTopic {
    let assignments = topic.assignments.iter().map(|assignment| PartitionAssignment {
        partition: assignment.partition_index,
        replicas: assignment.broker_ids.clone(),
    });
    let configs = topic
        .configs
        .iter()
        .map(|config| (config.name.as_str().to_owned(), config.value.as_ref().map(|value| value.as_str().to_owned())));
    CreatableTopic {
        name: topic.name.as_str().to_owned(),
        topic_id: TopicId(random_id()),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn success(request: &Request<'_>, name: &StrBytes, created: CreatedTopic) -> CreatableTopicResult {
    let mut result =
        message!(CreatableTopicResult { name: name.clone(), error_message: None, configs: Some(Vec::new()) });
    if request.version() >= 5 {
        result.num_partitions = created.partitions;
        result.replication_factor = created.replication_factor;
        let configs = topic_configs(request.node(), &request.node().metadata.image(), &created.configs);
        result.configs = Some(
            configs
                .into_iter()
                .map(|config| {
                    message!(CreatableTopicConfigs {
                        name: config.name.into(),
                        value: config.value.map(StrBytes::from),
                        read_only: config.read_only,
                        config_source: config.source.code(),
                        is_sensitive: config.sensitive,
                    })
                })
                .collect(),
        );
    }
    if request.version() >= 7 {
        result.topic_id = Uuid::from_bytes(created.topic_id.0);
    }
    result
}

fn refused(name: &StrBytes, failure: Failure) -> CreatableTopicResult {
    message!(CreatableTopicResult {
        name: name.clone(),
        error_code: failure.code.code(),
        error_message: failure.message.map(StrBytes::from),
        configs: Some(Vec::new()),
    })
}
