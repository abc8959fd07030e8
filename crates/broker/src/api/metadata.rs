//! Metadata (key 3): brokers, and topics with their partitions and leaders. Versions 0 to 13.
//!
//! All topics (null; in version 0 an empty list), none, some by name, or some by id (version 12 on, KIP-516); ids win where a
//! request has both. A topic that does not exist is created where the node and the request allow it (version 4 on), and
//! stands in the answer at once; otherwise it is UNKNOWN_TOPIC_OR_PARTITION, or INVALID_TOPIC_EXCEPTION where no topic can
//! have that name. Each topic is answered once, however often it was asked for. Ids, or no name, in versions 10 and 11 are
//! INVALID_REQUEST.
//!
//! KIP-4 (creation), KIP-430 (operations, v8; those of the cluster until v10), KIP-516 (ids), KIP-700 (DescribeCluster instead).

use std::collections::{BTreeMap, BTreeSet};

use chronik_state::ids::TopicId;
use chronik_state::metadata::record::NO_LEADER;
use chronik_state::metadata::topic_name;
use chronik_state::metadata::{CreatableTopic, CreateTopics, Image, Partition, Topic};
use chronik_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use chronik_wire::messages::{MetadataRequest, MetadataResponse};
use chronik_wire::{ErrorCode, StrBytes, Uuid, message};

use super::brokers;
use crate::coordinator::offsets_topic::{self, OFFSETS_TOPIC};
use crate::dispatch::authorize::{CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS};
use crate::cluster::forward::create_topics;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::random_id;

serves!(Metadata);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: MetadataRequest = request.decode()?;
    let Some(wanted) = Wanted::of(&body, request.version()) else {
        return request.reply(&refusal(&body));
    };
    let refused = create_missing(&request, &wanted, body.allow_auto_topic_creation).await;
    let image = request.node().metadata.image();
    let mut response = message!(MetadataResponse {
        brokers: brokers::active(&request, &image).into_iter().map(broker).collect(),
        cluster_id: image.cluster_id().map(StrBytes::from),
        controller_id: request.node().config.node_id,
        topics: wanted.topics(&image, &refused),
    });
    if request.version() >= 8 && body.include_topic_authorized_operations {
        let known = response.topics.iter_mut().filter(|topic| topic.error_code != ErrorCode::UnknownTopicId.code());
        known.for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
    }
    if (8..=10).contains(&request.version()) && body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    request.reply(&response)
}

/// Which topics a request is about.
enum Wanted {
    All,
    Named(BTreeSet<StrBytes>),
    WithId(BTreeSet<TopicId>),
}

impl Wanted {
    /// `None` where the version does not allow what is asked.
    fn of(body: &MetadataRequest, version: i16) -> Option<Self> {
        let topics = match &body.topics {
            None => return Some(Self::All),
            Some(topics) if topics.is_empty() && version == 0 => return Some(Self::All),
            Some(topics) => topics,
        };
        let ids: BTreeSet<_> =
            topics.iter().map(|topic| TopicId(topic.topic_id.to_bytes())).filter(|id| !id.is_zero()).collect();
        let unnamed = topics.iter().any(|topic| topic.name.is_none());
        if version < 12 && (unnamed || !ids.is_empty()) {
            return None;
        }
        match ids.is_empty() {
            false => Some(Self::WithId(ids)),
            true if unnamed => None,
            true => Some(Self::Named(topics.iter().filter_map(|topic| topic.name.clone()).collect())),
        }
    }

    fn topics(&self, image: &Image, refused: &BTreeMap<StrBytes, ErrorCode>) -> Vec<MetadataResponseTopic> {
        match self {
            Self::All => image.topics().map(|topic| known_topic(topic, image)).collect(),
            Self::Named(names) => names
                .iter()
                .map(|name| match image.topic(name) {
                    Some(topic) => known_topic(topic, image),
                    None => unknown_name(name, refused.get(name).copied()),
                })
                .collect(),
            Self::WithId(ids) => ids
                .iter()
                .map(|id| match image.topic_by_id(*id) {
                    Some(topic) => known_topic(topic, image),
                    None => unknown_id(*id),
                })
                .collect(),
        }
    }
}

/// Creates what is missing, if that is allowed, and says why what is still missing could not be created.
async fn create_missing(request: &Request<'_>, wanted: &Wanted, allowed: bool) -> BTreeMap<StrBytes, ErrorCode> {
    let Wanted::Named(names) = wanted else { return BTreeMap::new() };
    if !(allowed && request.node().settings.auto_create_topics) {
        return BTreeMap::new();
    }
    if names.iter().any(|name| **name == *OFFSETS_TOPIC) {
        // The coordinator knows what this one has to look like; where it fails, it is unknown.
        let _ = offsets_topic::ensure(request.reactor).await;
    }
    let image = request.node().metadata.image();
    let can_be_created = |name: &&StrBytes| {
        image.topic(name).is_none() && topic_name::validate(name).is_ok() && !topic_name::is_internal(name)
    };
    let missing: Vec<StrBytes> = names.iter().filter(can_be_created).cloned().collect();
    if missing.is_empty() {
        return BTreeMap::new();
    }
    let command = CreateTopics { topics: missing.iter().map(with_defaults).collect(), validate_only: false };
    match create_topics(request.reactor, &command).await {
        Ok(results) => {
            let refused = missing.into_iter().zip(results);
            refused.filter_map(|(name, result)| Some((name, result.err()?.code))).collect()
        }
        Err(error) => {
            missing.into_iter().map(|name| (name, error.code)).collect()
        }
    }
}

fn with_defaults(name: &StrBytes) -> CreatableTopic {
    CreatableTopic {
        name: name.as_str().to_owned(),
        topic_id: TopicId(random_id()),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn broker(broker: brokers::Reachable) -> MetadataResponseBroker {
    message!(MetadataResponseBroker { node_id: broker.id, host: broker.host, port: broker.port, rack: broker.rack })
}

fn known_topic(topic: &Topic, image: &Image) -> MetadataResponseTopic {
    message!(MetadataResponseTopic {
        name: Some(StrBytes::from(&*topic.name)),
        topic_id: Uuid::from_bytes(topic.id.0),
        is_internal: topic_name::is_internal(&topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|(index, partition)| known_partition(*index, partition, image))
            .collect(),
    })
}

fn known_partition(index: i32, partition: &Partition, image: &Image) -> MetadataResponsePartition {
    let led = partition.leader != NO_LEADER;
    message!(MetadataResponsePartition {
        error_code: if led { ErrorCode::None } else { ErrorCode::LeaderNotAvailable }.code(),
        partition_index: index,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.in_sync.to_vec(),
        offline_replicas: partition.replicas.iter().copied().filter(|id| !image.is_active(*id)).collect(),
    })
}

fn unknown_name(name: &StrBytes, refused: Option<ErrorCode>) -> MetadataResponseTopic {
    let error = match topic_name::validate(name) {
        Ok(()) => refused.unwrap_or(ErrorCode::UnknownTopicOrPartition),
        Err(_) => ErrorCode::InvalidTopicException,
    };
    message!(MetadataResponseTopic {
        error_code: error.code(),
        name: Some(name.clone()),
        is_internal: topic_name::is_internal(name),
    })
}

fn unknown_id(id: TopicId) -> MetadataResponseTopic {
    message!(MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicId.code(),
        name: None,
        topic_id: Uuid::from_bytes(id.0),
    })
}

/// INVALID_REQUEST for every topic, and nothing of the cluster.
fn refusal(body: &MetadataRequest) -> MetadataResponse {
    let refused = |topic: &chronik_wire::messages::metadata_request::MetadataRequestTopic| {
        message!(MetadataResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name.clone().unwrap_or_default()),
            topic_id: topic.topic_id,
            topic_authorized_operations: NOT_ASKED,
        })
    };
    message!(MetadataResponse {
        topics: body.topics.iter().flatten().map(refused).collect(),
        error_code: ErrorCode::InvalidRequest.code(),
    })
}
