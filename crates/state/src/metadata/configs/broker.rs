//! The broker configs that mean something here: Kafka's names for what this node does, with the defaults of Apache Kafka
//! 4.3. What topics inherit can be changed while the node runs, everything else is read at its start.

use ConfigType::{Boolean, Double, Int, List, Long, Short, String};
use Rule::{Any, AtLeast, Between, Fraction, GzipLevel, ListOf, OneOf};

use super::rule::{ConfigType, Rule};
use super::topic::{CLEANUP_POLICIES, COMPRESSION_TYPES, SYNC_POLICIES, TIMESTAMP_TYPES, TOPIC_CONFIGS};

/// What is known of one broker config.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrokerConfig {
    /// Kafka's name, or ours under `chronik.`.
    pub name: &'static str,
    /// How its value is written.
    pub config_type: ConfigType,
    /// What holds where nobody says anything.
    pub default: Option<&'static str>,
    /// What a value must satisfy.
    pub rule: Rule,
    /// True if it can be changed while the node runs.
    pub dynamic: bool,
    documentation: &'static str,
}

impl BrokerConfig {
    /// What it does; for what topics inherit, what it does to them.
    pub fn documentation(&self) -> &'static str {
        let inherits = |topic: &&super::TopicConfig| topic.broker_names.iter().any(|known| known.name == self.name);
        match self.documentation {
            "" => TOPIC_CONFIGS.iter().find(inherits).map_or("", |topic| topic.documentation),
            own => own,
        }
    }
}

/// What is known of the config of that name.
pub fn broker_config(name: &str) -> Option<&'static BrokerConfig> {
    let index = BROKER_CONFIGS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&BROKER_CONFIGS[index])
}

/// What the node is told at its start.
const fn node(
    name: &'static str,
    config_type: ConfigType,
    default: &'static str,
    rule: Rule,
    documentation: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, config_type, default: Some(default), rule, dynamic: false, documentation }
}

/// What the node is told at its start and has no default.
const fn unset(name: &'static str, config_type: ConfigType, rule: Rule, documentation: &'static str) -> BrokerConfig {
    BrokerConfig { name, config_type, default: None, rule, dynamic: false, documentation }
}

/// What topics inherit.
const fn topic(name: &'static str, config_type: ConfigType, default: &'static str, rule: Rule) -> BrokerConfig {
    BrokerConfig { name, config_type, default: Some(default), rule, dynamic: true, documentation: "" }
}

/// What topics inherit unless a weaker name says otherwise.
const fn topic_unset(name: &'static str, config_type: ConfigType, rule: Rule) -> BrokerConfig {
    BrokerConfig { name, config_type, default: None, rule, dynamic: true, documentation: "" }
}

/// By ascending name.
#[rustfmt::skip]
pub static BROKER_CONFIGS: &[BrokerConfig] = &[
    unset("advertised.listeners", List, Any, "Where clients are told to connect."),
    node("auto.create.topics.enable", Boolean, "true", Any, "Whether asking for the metadata of an unknown topic creates it."),
    unset("broker.id", Int, AtLeast(0), "The node's number, under its old name."),
    unset("broker.rack", String, Any, "Where the node stands."),
    topic("chronik.sync", String, "commit", OneOf(SYNC_POLICIES)),
    topic("compression.gzip.level", Int, "-1", GzipLevel),
    topic("compression.lz4.level", Int, "9", Between(1, 17)),
    topic("compression.type", String, "producer", OneOf(COMPRESSION_TYPES)),
    topic("compression.zstd.level", Int, "3", Between(-131_072, 22)),
    node("connections.max.idle.ms", Long, "600000", Any, "After this time a connection on which nothing happens is closed."),
    node("default.replication.factor", Int, "1", AtLeast(1), "Replicas of a topic that is created without saying how many."),
    node("delete.topic.enable", Boolean, "true", Any, "Whether topics can be deleted."),
    node("fetch.max.bytes", Int, "57671680", AtLeast(1024), "The largest answer to a fetch, whatever the client asks for."),
    node("group.initial.rebalance.delay.ms", Int, "3000", AtLeast(0), "How long an empty group waits for further members before its first rebalance."),
    node("group.max.session.timeout.ms", Int, "1800000", AtLeast(0), "The longest session timeout a group member may ask for."),
    node("group.max.size", Int, "2147483647", AtLeast(1), "How many members a group may have."),
    node("group.min.session.timeout.ms", Int, "6000", AtLeast(0), "The shortest session timeout a group member may ask for."),
    unset("inter.broker.listener.name", String, Any, "The listener by which nodes reach each other."),
    unset("listeners", List, Any, "Where the node listens."),
    topic("log.cleaner.delete.retention.ms", Long, "86400000", AtLeast(0)),
    topic("log.cleaner.max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1)),
    topic("log.cleaner.min.cleanable.ratio", Double, "0.5", Fraction),
    topic("log.cleaner.min.compaction.lag.ms", Long, "0", AtLeast(0)),
    topic("log.cleanup.policy", List, "delete", ListOf(CLEANUP_POLICIES)),
    unset("log.dirs", List, Any, "Where the node keeps its data."),
    topic("log.flush.interval.messages", Long, "9223372036854775807", AtLeast(1)),
    topic_unset("log.flush.interval.ms", Long, AtLeast(0)),
    node("log.flush.scheduler.interval.ms", Long, "9223372036854775807", AtLeast(0), ""),
    topic("log.index.interval.bytes", Int, "4096", AtLeast(0)),
    topic("log.index.size.max.bytes", Int, "10485760", AtLeast(4)),
    topic("log.local.retention.bytes", Long, "-2", AtLeast(-2)),
    topic("log.local.retention.ms", Long, "-2", AtLeast(-2)),
    topic("log.message.timestamp.after.max.ms", Long, "3600000", AtLeast(0)),
    topic("log.message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0)),
    topic("log.message.timestamp.type", String, "CreateTime", OneOf(TIMESTAMP_TYPES)),
    topic("log.preallocate", Boolean, "false", Any),
    topic("log.remote.copy.lag.bytes", Long, "-1", AtLeast(-1)),
    topic("log.remote.copy.lag.ms", Long, "0", AtLeast(-1)),
    topic("log.retention.bytes", Long, "-1", Any),
    node("log.retention.check.interval.ms", Long, "300000", AtLeast(1), "How often it is looked for segments that may be removed."),
    node("log.retention.hours", Int, "168", Any, ""),
    unset("log.retention.minutes", Int, Any, ""),
    topic_unset("log.retention.ms", Long, AtLeast(-1)),
    node("log.roll.hours", Int, "168", AtLeast(1), ""),
    node("log.roll.jitter.hours", Int, "0", AtLeast(0), ""),
    topic_unset("log.roll.jitter.ms", Long, AtLeast(0)),
    topic_unset("log.roll.ms", Long, AtLeast(1)),
    topic("log.segment.bytes", Int, "1073741824", AtLeast(1_048_576)),
    topic("log.segment.delete.delay.ms", Long, "60000", AtLeast(0)),
    node("max.connections", Int, "2147483647", AtLeast(0), "How many connections the node accepts."),
    node("max.connections.per.ip", Int, "2147483647", AtLeast(0), "How many connections the node accepts from one address."),
    topic("max.decompressed.message.bytes", Int, "2147483639", Between(1, 2_147_483_639)),
    node("max.incremental.fetch.session.cache.slots", Int, "1000", AtLeast(0), "How many fetch sessions the node remembers."),
    topic("message.max.bytes", Int, "1048588", AtLeast(0)),
    topic("min.insync.replicas", Int, "1", AtLeast(1)),
    unset("node.id", Int, AtLeast(0), "The node's number."),
    node("num.partitions", Int, "1", AtLeast(1), "Partitions of a topic that is created without saying how many."),
    node("offset.metadata.max.bytes", Int, "4096", AtLeast(0), "The longest text a consumer may commit with an offset."),
    node("offsets.retention.check.interval.ms", Long, "600000", AtLeast(1), "How often it is looked for committed offsets that may be forgotten."),
    node("offsets.retention.minutes", Int, "10080", AtLeast(1), "How long the offsets of a group without members are kept."),
    node("offsets.topic.num.partitions", Int, "50", AtLeast(1), "Partitions of the topic that holds committed offsets."),
    node("offsets.topic.replication.factor", Short, "3", AtLeast(1), "Replicas of the topic that holds committed offsets, as far as there are nodes."),
    unset("process.roles", List, ListOf(&["broker", "controller"]), "What the node does."),
    node("producer.id.expiration.ms", Int, "86400000", AtLeast(1), "How long an idle idempotent producer is remembered."),
    node("replica.lag.time.max.ms", Long, "30000", AtLeast(1), "How long a replica may lag before it leaves the in-sync set."),
    node("request.timeout.ms", Int, "30000", AtLeast(1), "How long the node waits for the answer of another."),
    node("socket.request.max.bytes", Int, "104857600", AtLeast(1), "The largest request."),
    topic("unclean.leader.election.enable", Boolean, "false", Any),
];
