//! What the config APIs share: the layers in which configs stand, and whom a request means by a resource.

use chronik_state::metadata::configs::{BrokerLayers, ConfigDescription, ConfigMap, describe_topic};
use chronik_state::metadata::record::{ConfigResource, ConfigResourceKind};
use chronik_state::metadata::{Image, MetadataError, topic_name};
use chronik_wire::ErrorCode;

use crate::dispatch::errors::Failure;
use crate::metadata::SubmitError;
use crate::node::Node;

/// Kafka's numbers of resources that carry configs (`ConfigResource.Type`).
pub(crate) mod resource {
    pub(crate) const TOPIC: i8 = 2;
    pub(crate) const BROKER: i8 = 4;
    pub(crate) const BROKER_LOGGER: i8 = 8;
    pub(crate) const CLIENT_METRICS: i8 = 16;
    pub(crate) const GROUP: i8 = 32;
    /// All of them, in Kafka's order.
    pub(crate) const KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
}

/// All configs of a topic that itself has `configs`.
pub(crate) fn topic_configs(node: &Node, image: &Image, configs: &ConfigMap) -> Vec<ConfigDescription> {
    let name = node.config.node_id.to_string();
    describe_topic(configs, broker_layers(node, image, &name))
}

/// The layers below a topic on this node, whose name among the brokers is `broker`.
pub(crate) fn broker_layers<'a>(node: &'a Node, image: &'a Image, broker: &str) -> BrokerLayers<'a> {
    BrokerLayers { broker: image.broker_configs(broker), cluster: image.broker_configs(""), node: &node.config.kafka }
}

/// The resource whose configs a request wants to change.
pub(crate) fn alterable(node: &Node, kind: i8, name: &str) -> Result<ConfigResource, Failure> {
    let kind = match kind {
        resource::TOPIC => check_topic_name(name).map(|()| ConfigResourceKind::Topic),
        resource::BROKER => check_broker_name(node, name).map(|()| ConfigResourceKind::Broker),
        other => Err(invalid_request(format!("Unknown resource type {other}"))),
    };
    Ok(ConfigResource { kind: kind?, name: name.to_owned() })
}

/// What was refused before anything was decided, and what the decision says of the others, in the order of the request.
pub(crate) fn merge(
    refused: Vec<Option<Failure>>,
    altered: Result<Vec<Result<(), MetadataError>>, SubmitError>,
) -> Vec<Result<(), Failure>> {
    let (mut results, undecided) = match altered {
        Ok(results) => (results.into_iter(), None),
        Err(error) => (Vec::new().into_iter(), Some(Failure::from(error))),
    };
    let mut decided = || match &undecided {
        Some(failure) => Err(failure.clone()),
        None => results.next().expect("one result for each that was not refused").map_err(Failure::from),
    };
    refused.into_iter().map(|refused| refused.map_or_else(&mut decided, Err)).collect()
}

fn check_topic_name(name: &str) -> Result<(), Failure> {
    match name {
        "" => Err(invalid_request("Default topic resources are not allowed.".to_owned())),
        _ => Ok(topic_name::validate(name)?),
    }
}

/// Empty for all brokers, else the number of this one.
fn check_broker_name(node: &Node, name: &str) -> Result<(), Failure> {
    let own = node.config.node_id;
    match name.parse::<i32>() {
        _ if name.is_empty() => Ok(()),
        Ok(id) if id == own => Ok(()),
        Ok(_) => Err(invalid_request(format!("Unexpected broker id, expected {own}, but received {name}"))),
        Err(_) => Err(invalid_request(format!("Node id must be an integer, but it is: {name}"))),
    }
}

fn invalid_request(text: String) -> Failure {
    Failure { code: ErrorCode::InvalidRequest, message: Some(text) }
}
