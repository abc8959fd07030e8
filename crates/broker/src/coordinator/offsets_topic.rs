//! The internal topic of the groups: made when somebody first looks for a coordinator.

use std::rc::Rc;

use chronik_state::ids::TopicId;
use chronik_state::metadata::{CreatableTopic, CreateTopics};
use chronik_wire::ErrorCode;

use crate::cluster::forward::create_topics;
use crate::dispatch::errors::Failure;
pub(crate) use crate::metadata::OFFSETS_TOPIC;
use crate::net::reactor::Reactor;
use crate::node::random_id;

/// Kafka's `offsets.topic.segment.bytes`.
const SEGMENT_BYTES: &str = "104857600";

/// Makes the topic unless it exists. Two who find it missing at once make one: the second is told that it exists.
pub(crate) async fn ensure(reactor: &Rc<Reactor>) -> Result<(), Failure> {
    if reactor.node.metadata.image().topic(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let command = CreateTopics { topics: vec![topic(reactor)], validate_only: false };
    for result in create_topics(reactor, &command).await? {
        match result {
            Err(error) if error.code != ErrorCode::TopicAlreadyExists => return Err(error),
            _ => {}
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
        // As many as any topic gets that is made without saying so.
        replication_factor: -1,
        assignments: Vec::new(),
        configs: vec![
            config("cleanup.policy", "compact"),
            config("compression.type", "producer"),
            config("segment.bytes", SEGMENT_BYTES),
        ],
    }
}
