//! Requests that only the metadata leader serves: any node takes them, and passes them on as they are (Kafka: KIP-590).

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chronik_state::metadata::CreateTopics;
use chronik_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use chronik_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use chronik_wire::{ApiKey, ErrorCode, StrBytes, message};
use tokio::time::{Instant, sleep};

use super::messages::{ForwardResponse, Refusal};
use super::{Cluster, controller};
use crate::dispatch::errors::Failure;
use crate::net::reactor::Reactor;
use crate::node::Node;

/// Between attempts while nobody leads.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer waits until this node sees what was changed.
const SEEN_WITHIN: Duration = Duration::from_millis(1000);
/// The version of CreateTopics that nodes use among themselves.
const CREATE_TOPICS: i16 = 5;

/// Does only the metadata leader serve this?
pub(crate) fn is_for_leader(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::AlterConfigs
            | ApiKey::AlterPartitionReassignments
            | ApiKey::CreatePartitions
            | ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::DescribeQuorum
            | ApiKey::ElectLeaders
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::UpdateFeatures
    )
}

/// The leader's answer to a request; nothing if this node is the leader now, or nobody answered in time: then it is served here,
/// and who does not lead says so.
pub(crate) async fn pass_on(node: &Node, cluster: &Cluster, frame: &Bytes) -> Option<Bytes> {
    let patience = Duration::from_millis(node.config.cluster.as_ref()?.rpc_timeout_ms);
    let deadline = Instant::now() + patience;
    while !cluster.leads() && Instant::now() < deadline {
        // What was asked may have been done when an answer is lost; clients know that of any broker.
        let Ok(ForwardResponse { refusal, frame, applied_index }) = cluster.forward(frame.clone()).await else {
            sleep(PAUSE).await;
            continue;
        };
        match Refusal::try_from(refusal) {
            Ok(Refusal::None) => {
                cluster.until_applied(applied_index, SEEN_WITHIN).await;
                return Some(frame);
            }
            _ => sleep(PAUSE).await,
        }
    }
    None
}

/// Creates topics that this node finds missing, wherever that is decided. One outcome for each.
pub(crate) async fn create_topics(reactor: &Rc<Reactor>, command: &CreateTopics) -> Result<Vec<Result<(), Failure>>, Failure> {
    let node = &reactor.node;
    let elsewhere = match &node.cluster {
        Some(cluster) if !cluster.leads() => pass_on(node, cluster, &request(command)?).await,
        _ => None,
    };
    if let Some(answer) = elsewhere {
        return outcomes(command, answer);
    }
    let results = node.metadata.submit(reactor, |controller| controller.create_topics(command)).await?;
    if let Some(cluster) = &node.cluster {
        controller::until_seen(node, cluster).await;
    }
    Ok(results.into_iter().map(|result| result.map(|_| ()).map_err(Failure::from)).collect())
}

fn request(command: &CreateTopics) -> Result<Bytes, Failure> {
    let topics = command.topics.iter().map(|topic| {
        let configs = topic.configs.iter().map(|(name, value)| {
            message!(CreatableTopicConfig { name: name.as_str().to_owned().into(), value: value.clone().map(StrBytes::from) })
        });
        message!(CreatableTopic {
            name: topic.name.clone().into(),
            num_partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            configs: configs.collect(),
        })
    });
    let body = message!(CreateTopicsRequest { topics: topics.collect(), timeout_ms: 5000, validate_only: command.validate_only });
    let mut buffer = BytesMut::new();
    chronik_wire::encode_request(&mut buffer, 0, None, &body, CREATE_TOPICS).map_err(|_| ErrorCode::UnknownServerError)?;
    // Nodes pass on what follows the length.
    Ok(buffer.freeze().slice(4..))
}

fn outcomes(command: &CreateTopics, answer: Bytes) -> Result<Vec<Result<(), Failure>>, Failure> {
    let answer = answer.slice(4..);
    let (_, response): (_, CreateTopicsResponse) =
        chronik_wire::decode_response(answer, CREATE_TOPICS).map_err(|_| ErrorCode::UnknownServerError)?;
    let outcome = |name: &str| {
        let topic = response.topics.iter().find(|topic| *topic.name == *name);
        let topic = topic.ok_or(ErrorCode::UnknownServerError)?;
        match ErrorCode::from_code(topic.error_code) {
            Some(ErrorCode::None) => Ok(()),
            code => Err(Failure { code: code.unwrap_or(ErrorCode::UnknownServerError), message: topic.error_message.as_ref().map(|message| message.as_str().to_owned()) }),
        }
    };
    Ok(command.topics.iter().map(|topic| outcome(&topic.name)).collect())
}
