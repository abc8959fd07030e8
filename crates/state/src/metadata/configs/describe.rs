//! Configs as DescribeConfigs tells them: value, where it comes from, what else it could have come from.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::broker::{BROKER_CONFIGS, BrokerConfig};
use super::rule::ConfigType;
use super::settings::{Found, effective, in_topic_unit, inherited};
use super::topic::{TOPIC_CONFIGS, TopicConfig};
use super::{BrokerLayers, ConfigMap};

/// One config of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDescription {
    /// Kafka's name.
    pub name: &'static str,
    /// What holds; none where nothing does.
    pub value: Option<String>,
    /// Who says so.
    pub source: ConfigSource,
    /// Everyone who says something, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// How the value is written.
    pub config_type: ConfigType,
    /// What it does.
    pub documentation: &'static str,
    /// True if it cannot be changed while the node runs.
    pub read_only: bool,
    /// True if the value is a secret; none is, so far.
    pub sensitive: bool,
}

/// One voice on a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name under which it speaks.
    pub name: &'static str,
    /// What it says, in its own unit.
    pub value: String,
    /// Who it is.
    pub source: ConfigSource,
}

/// Who sets a config; the numbers are those of DescribeConfigs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// 1: set on the topic.
    DynamicTopic,
    /// 2: set on this broker while it runs.
    DynamicBroker,
    /// 3: set on all brokers while they run.
    DynamicDefaultBroker,
    /// 4: what the node was started with.
    StaticBroker,
    /// 5: what holds where nobody says anything.
    Default,
}

impl ConfigSource {
    /// The number in DescribeConfigs.
    pub fn code(self) -> i8 {
        match self {
            ConfigSource::DynamicTopic => 1,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
        }
    }
}

/// All configs of a topic by ascending name.
pub fn describe_topic(topic: &ConfigMap, brokers: BrokerLayers<'_>) -> Vec<ConfigDescription> {
    let shown = TOPIC_CONFIGS.iter().filter(|key| !key.internal || topic.contains_key(key.name));
    shown.map(|key| describe_topic_config(key, topic, brokers)).collect()
}

/// All configs of a broker by ascending name.
pub fn describe_broker(brokers: BrokerLayers<'_>) -> Vec<ConfigDescription> {
    BROKER_CONFIGS.iter().map(|key| describe_broker_config(key, brokers)).collect()
}

fn describe_topic_config(key: &'static TopicConfig, topic: &ConfigMap, brokers: BrokerLayers<'_>) -> ConfigDescription {
    let own = topic.get(key.name).map(|value| Found {
        source: ConfigSource::DynamicTopic,
        name: key.name,
        value: value.clone(),
    });
    let synonyms: Vec<Found> = own.into_iter().chain(inherited(key, brokers)).collect();
    let strongest = synonyms.first();
    let value = match strongest {
        Some(found) if found.source != ConfigSource::DynamicTopic => in_topic_unit(key, found),
        _ => effective(key.name, topic, brokers),
    };
    ConfigDescription {
        name: key.name,
        value: Some(value),
        source: strongest.map_or(ConfigSource::Default, |found| found.source),
        synonyms: synonyms.into_iter().map(ConfigSynonym::from).collect(),
        config_type: key.config_type,
        documentation: key.documentation,
        read_only: false,
        sensitive: false,
    }
}

fn describe_broker_config(key: &'static BrokerConfig, brokers: BrokerLayers<'_>) -> ConfigDescription {
    let given = brokers.in_order().into_iter().filter_map(|(source, configs)| {
        Some(ConfigSynonym { name: key.name, value: configs.get(key.name)?.clone(), source })
    });
    let default = key.default.map(|value| ConfigSynonym {
        name: key.name,
        value: value.to_owned(),
        source: ConfigSource::Default,
    });
    let synonyms: Vec<ConfigSynonym> = given.chain(default).collect();
    ConfigDescription {
        name: key.name,
        value: synonyms.first().map(|synonym| synonym.value.clone()),
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        synonyms,
        config_type: key.config_type,
        documentation: key.documentation(),
        read_only: !key.dynamic,
        sensitive: false,
    }
}

impl From<Found> for ConfigSynonym {
    fn from(found: Found) -> Self {
        ConfigSynonym { name: found.name, value: found.value, source: found.source }
    }
}
