//! The internal topic of the groups: made when somebody first looks for a coordinator.

use std::rc::Rc;

use chronik_state::ids::TopicId;
use chronik_state::metadata::{CreatableTopic, CreateTopics, MetadataError};
use thiserror::Error;

pub(crate) use crate::metadata::OFFSETS_TOPIC;
use crate::metadata::SubmitError;
use crate::net::reactor::Reactor;
use crate::node::random_id;

/// Kafka's `offsets.topic.segment.bytes`.
const SEGMENT_BYTES: &str = "104857600";

/// Why the topic is not there.
#[derive(Debug, Error)]
pub(crate) enum TopicError {
    #[error("{0}")]
    Submit(#[from] SubmitError),
    #[error("{0}")]
    Refused(#[from] MetadataError),
}

/// Makes the topic unless it exists. Two who find it missing at once make one: the second is told that it exists.
pub(crate) async fn ensure(reactor: &Rc<Reactor>) -> Result<(), TopicError> {
    let metadata = &reactor.node.metadata;
    if metadata.image().topic(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let command = CreateTopics { topics: vec![topic(reactor)], validate_only: false };
    let results = metadata.submit(reactor, |controller| controller.create_topics(&command)).await?;
    for result in results {
        match result {
            Ok(_) | Err(MetadataError::TopicAlreadyExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Compacted, because only the last word on each group and offset counts (Kafka's
/// `GroupCoordinator.groupMetadataTopicConfigs`).
fn topic(reactor: &Rc<Reactor>) -> CreatableTopic {
    let config = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    CreatableTopic {
        name: OFFSETS_TOPIC.to_owned(),
        topic_id: TopicId(random_id()),
        partitions: reactor.node.settings.offsets_topic_partitions,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: vec![
            config("cleanup.policy", "compact"),
            config("compression.type", "producer"),
            config("segment.bytes", SEGMENT_BYTES),
        ],
    }
}
