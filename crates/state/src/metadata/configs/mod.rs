//! Configs by Kafka's names: what there is, what is allowed, what holds in the end, and how it is described.
//!
//! A topic's config is looked for in layers, the first that has it wins: the topic itself, this broker (dynamic), all
//! brokers (dynamic), what the node was started with, the default. Below the topic a config goes by the broker's name
//! for it, sometimes several of them (`log.retention.ms`, `log.retention.minutes`, `log.retention.hours`).

mod broker;
mod describe;
mod rule;
mod settings;
mod suggest;
mod topic;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub use broker::{BROKER_CONFIGS, BrokerConfig, broker_config};
pub use describe::{ConfigDescription, ConfigSource, ConfigSynonym, describe_broker, describe_topic};
pub use rule::{ConfigType, Rule};
pub use settings::{CompressionType, SyncPolicy, TimestampType, TopicSettings};
pub use topic::{BrokerName, TOPIC_CONFIGS, TopicConfig, Unit, topic_config};

use crate::metadata::MetadataError;
use suggest::nearest;

/// The longest value, so that no config weighs more than what it configures.
const VALUE_BYTES_MAX: usize = 32_767;

/// Configs by name, as they were given.
pub type ConfigMap = BTreeMap<String, String>;

/// Where the configs of brokers come from, the first layer that has one wins.
#[derive(Debug, Clone, Copy)]
pub struct BrokerLayers<'a> {
    /// Dynamic configs of this broker.
    pub broker: &'a ConfigMap,
    /// Dynamic configs of all brokers.
    pub cluster: &'a ConfigMap,
    /// What the node was started with.
    pub node: &'a ConfigMap,
}

impl<'a> BrokerLayers<'a> {
    /// The layers of a node that nobody configured while it runs.
    pub fn of_node(node: &'a ConfigMap) -> Self {
        static NONE: ConfigMap = ConfigMap::new();
        BrokerLayers { broker: &NONE, cluster: &NONE, node }
    }

    fn in_order(&self) -> [(ConfigSource, &'a ConfigMap); 3] {
        [
            (ConfigSource::DynamicBroker, self.broker),
            (ConfigSource::DynamicDefaultBroker, self.cluster),
            (ConfigSource::StaticBroker, self.node),
        ]
    }
}

/// May a topic have these configs? The text is Kafka's, with a suggestion for a name that does not exist.
pub fn validate_topic_configs(configs: &ConfigMap) -> Result<(), String> {
    for name in configs.keys() {
        if topic_config(name).is_none() {
            let known = TOPIC_CONFIGS.iter().filter(|key| !key.internal).map(|key| key.name);
            return Err(unknown_name("topic", name, known));
        }
    }
    check_lengths(configs)?;
    for (name, value) in configs {
        topic_config(name).map_or(Ok(()), |key| key.rule.check(name, key.config_type, value))?;
    }
    validate_together(configs)
}

/// May a node be started with these configs? Every objection, by name.
pub fn validate_node_configs(configs: &ConfigMap) -> Vec<(String, String)> {
    let objection = |(name, value): (&String, &String)| Some((name.clone(), check_broker_config(name, value).err()?));
    configs.iter().filter_map(objection).collect()
}

/// May these configs of a broker be changed while it runs?
pub(crate) fn validate_dynamic_broker_configs(configs: &ConfigMap) -> Result<(), MetadataError> {
    for name in configs.keys() {
        if broker_config(name).is_none() {
            let known = BROKER_CONFIGS.iter().map(|key| key.name);
            return Err(MetadataError::InvalidConfig(unknown_name("broker", name, known)));
        }
    }
    let is_static = |name: &&String| broker_config(name).is_some_and(|key| !key.dynamic);
    let fixed: Vec<&str> = configs.keys().filter(is_static).map(String::as_str).collect();
    if !fixed.is_empty() {
        let text = format!("Cannot update these configs dynamically: [{}]", fixed.join(", "));
        return Err(MetadataError::InvalidRequest(text));
    }
    check_lengths(configs).map_err(MetadataError::InvalidConfig)?;
    for (name, value) in configs {
        check_broker_config(name, value).map_err(MetadataError::InvalidRequest)?;
    }
    Ok(())
}

fn check_lengths(configs: &ConfigMap) -> Result<(), String> {
    match configs.values().all(|value| value.len() <= VALUE_BYTES_MAX) {
        true => Ok(()),
        false => Err(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {VALUE_BYTES_MAX} bytes."
        )),
    }
}

fn check_broker_config(name: &str, value: &str) -> Result<(), String> {
    match broker_config(name) {
        Some(key) => key.rule.check(name, key.config_type, value),
        None => Err(unknown_name("broker", name, BROKER_CONFIGS.iter().map(|key| key.name))),
    }
}

/// Values that each are allowed, but not with each other.
fn validate_together(configs: &ConfigMap) -> Result<(), String> {
    let number = |name: &str| {
        let default = topic_config(name).and_then(|key| key.default);
        configs.get(name).map(String::as_str).or(default).and_then(|value| value.trim().parse::<i64>().ok())
    };
    let (lag_min, lag_max) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    if let (Some(lag_min), Some(lag_max)) = (lag_min, lag_max)
        && lag_min > lag_max
    {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({lag_min}) > max.compaction.lag.ms ({lag_max})"
        ));
    }
    if configs.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
        return Err("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote \
                    log storage."
            .into());
    }
    Ok(())
}

fn unknown_name(kind: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("Unknown {kind} config name: {name} (did you mean {near}?)"),
        None => format!("Unknown {kind} config name: {name}"),
    }
}

#[cfg(test)]
mod tests;
