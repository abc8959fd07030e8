//! DescribeConfigs (key 32): configs of topics and brokers by Kafka's names. Versions 1 to 4.
//!
//! A topic is described with all configs a topic can have; this broker, by its number, with all it knows; all brokers (the
//! empty name) with what was set for all of them while they run. Only the names asked for, if any; a name that does not
//! exist is left out. Synonyms (KIP-226) say where else a value could have come from; types and documentation from
//! version 3 on (KIP-569).
//!
//! Errors, each for its resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_REQUEST (another broker's
//! number, a kind of resource that has no configs here: loggers, client metrics, groups). A kind that does not exist makes the
//! whole request INVALID_REQUEST.

use chronik_state::metadata::Image;
use chronik_state::metadata::configs::{
    BrokerLayers, ConfigDescription, ConfigMap, ConfigSource, ConfigSynonym, describe_broker,
};
use chronik_state::metadata::topic_name;
use chronik_wire::messages::describe_configs_request::DescribeConfigsResource;
use chronik_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use chronik_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use super::configs::{broker_layers, resource, topic_configs};
use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::Node;

serves!(DescribeConfigs);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeConfigsRequest = request.decode()?;
    let image = request.node().metadata.image();
    let results = match check_kinds(&body.resources) {
        Err(failure) => body.resources.iter().map(|resource| refused(resource, failure.clone())).collect(),
        Ok(()) => body
            .resources
            .iter()
            .map(|resource| match configs(request.node(), &image, resource) {
                Ok(configs) => described(&body, request.version(), resource, configs),
                Err(failure) => refused(resource, failure),
            })
            .collect(),
    };
    request.reply(&message!(DescribeConfigsResponse { results }))
}

/// With a kind that does not exist nothing of the request can be believed.
fn check_kinds(resources: &[DescribeConfigsResource]) -> Result<(), Failure> {
    match resources.iter().find(|resource| !resource::KINDS.contains(&resource.resource_type)) {
        Some(asked) => refuse(format!(
            "Unexpected resource type {} for resource {}",
            asked.resource_type, asked.resource_name
        )),
        None => Ok(()),
    }
}

fn configs(node: &Node, image: &Image, asked: &DescribeConfigsResource) -> Result<Vec<ConfigDescription>, Failure> {
    match asked.resource_type {
        resource::TOPIC => configs_of_topic(node, image, &asked.resource_name),
        resource::BROKER if asked.resource_name.is_empty() => Ok(configs_of_all_brokers(image)),
        resource::BROKER => configs_of_broker(node, image, &asked.resource_name),
        resource::BROKER_LOGGER => refuse("Log levels are not kept as configs of a broker".to_owned()),
        resource::CLIENT_METRICS => refuse("Unsupported resource type: CLIENT_METRICS".to_owned()),
        resource::GROUP => refuse("Unsupported resource type: GROUP".to_owned()),
        other => unreachable!("kind {other} was refused"),
    }
}

fn configs_of_topic(node: &Node, image: &Image, name: &str) -> Result<Vec<ConfigDescription>, Failure> {
    topic_name::validate(name)?;
    let topic = image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok(topic_configs(node, image, &topic.configs))
}

fn configs_of_broker(node: &Node, image: &Image, name: &str) -> Result<Vec<ConfigDescription>, Failure> {
    let own = node.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == own => Ok(describe_broker(broker_layers(node, image, &own.to_string()))),
        Ok(_) => refuse(format!("Unexpected broker id, expected {own} or empty string, but received {name}")),
        Err(_) => refuse(format!("Broker id must be an integer, but it is: {name}")),
    }
}

/// Only what was set for all of them: where nothing was, there is nothing.
fn configs_of_all_brokers(image: &Image) -> Vec<ConfigDescription> {
    static NONE: ConfigMap = ConfigMap::new();
    let layers = BrokerLayers { broker: &NONE, cluster: image.broker_configs(""), node: &NONE };
    let mut configs = describe_broker(layers);
    configs.retain(|config| config.source == ConfigSource::DynamicDefaultBroker);
    for config in &mut configs {
        config.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
    }
    configs
}

fn refuse<T>(text: String) -> Result<T, Failure> {
    Err(Failure { code: ErrorCode::InvalidRequest, message: Some(text) })
}

fn described(
    body: &DescribeConfigsRequest,
    version: i16,
    asked: &DescribeConfigsResource,
    configs: Vec<ConfigDescription>,
) -> DescribeConfigsResult {
    // No names at all means all of them, like null.
    let names = asked.configuration_keys.as_deref().filter(|names| !names.is_empty());
    let wanted = |config: &ConfigDescription| names.is_none_or(|names| names.iter().any(|name| **name == *config.name));
    message!(DescribeConfigsResult {
        // Kafka sends no text here, not null.
        error_message: Some(StrBytes::default()),
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
        configs: configs.into_iter().filter(wanted).map(|config| described_config(body, version, config)).collect(),
    })
}

fn described_config(
    body: &DescribeConfigsRequest,
    version: i16,
    config: ConfigDescription,
) -> DescribeConfigsResourceResult {
    let mut result = message!(DescribeConfigsResourceResult {
        name: config.name.into(),
        value: config.value.filter(|_| !config.sensitive).map(StrBytes::from),
        read_only: config.read_only,
        config_source: config.source.code(),
        is_sensitive: config.sensitive,
    });
    if body.include_synonyms {
        result.synonyms = config.synonyms.into_iter().map(synonym).collect();
    }
    if version >= 3 {
        result.config_type = config.config_type.code();
        result.documentation = body.include_documentation.then(|| config.documentation.into());
    }
    result
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    message!(DescribeConfigsSynonym {
        name: synonym.name.into(),
        value: Some(synonym.value.into()),
        source: synonym.source.code(),
    })
}

fn refused(asked: &DescribeConfigsResource, failure: Failure) -> DescribeConfigsResult {
    message!(DescribeConfigsResult {
        error_code: failure.code.code(),
        error_message: Some(failure.message.unwrap_or_default().into()),
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
    })
}
