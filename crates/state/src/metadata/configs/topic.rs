//! Every config a topic can have: those of Apache Kafka 4.4 (names, types, defaults and ranges of its `LogConfig`,
//! synonyms of its `ServerTopicConfigSynonyms`) and ours.

use ConfigType::{Boolean, Double, Int, List, Long, String};
use Rule::{Any, AtLeast, Between, Fraction, GzipLevel, ListOf, OneOf, ThrottledReplicas};

use super::rule::{ConfigType, Rule};

/// What is known of one topic config.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicConfig {
    /// Kafka's name, or ours under `chronik.`.
    pub name: &'static str,
    /// How its value is written.
    pub config_type: ConfigType,
    /// What holds where nobody says anything.
    pub default: Option<&'static str>,
    /// What a value must satisfy.
    pub rule: Rule,
    /// The broker's names for it, the strongest first.
    pub broker_names: &'static [BrokerName],
    /// False where the config is accepted and kept, but nothing comes of it here (yet).
    pub effective: bool,
    /// Never described; for tests that need what no user should have.
    pub internal: bool,
    /// What it does.
    pub documentation: &'static str,
}

/// A broker's name for a topic config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerName {
    /// The name.
    pub name: &'static str,
    /// The unit in which the broker has it.
    pub unit: Unit,
}

/// What one of a broker's config is in the unit of the topic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The same.
    Same,
    /// Minutes for milliseconds.
    Minutes,
    /// Hours for milliseconds.
    Hours,
}

/// What is known of the config of that name.
pub fn topic_config(name: &str) -> Option<&'static TopicConfig> {
    let index = TOPIC_CONFIGS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&TOPIC_CONFIGS[index])
}

const fn key(name: &'static str, config_type: ConfigType, default: &'static str, rule: Rule) -> TopicConfig {
    let default = Some(default);
    let (broker_names, documentation) = (&[], "");
    TopicConfig { name, config_type, default, rule, broker_names, effective: true, internal: false, documentation }
}

const fn same(name: &'static str) -> BrokerName {
    BrokerName { name, unit: Unit::Same }
}

const fn minutes(name: &'static str) -> BrokerName {
    BrokerName { name, unit: Unit::Minutes }
}

const fn hours(name: &'static str) -> BrokerName {
    BrokerName { name, unit: Unit::Hours }
}

impl TopicConfig {
    const fn from(self, broker_names: &'static [BrokerName]) -> Self {
        TopicConfig { broker_names, ..self }
    }

    const fn doc(self, documentation: &'static str) -> Self {
        TopicConfig { documentation, ..self }
    }

    const fn without_effect(self) -> Self {
        TopicConfig { effective: false, ..self }
    }

    const fn internal(self) -> Self {
        TopicConfig { internal: true, default: None, ..self }
    }
}

pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
pub(super) const SYNC_POLICIES: &[&str] = &["commit", "interval"];

/// The largest array a Java client can be given.
const ARRAY_BYTES_MAX: i64 = 2_147_483_639;

/// By ascending name.
pub static TOPIC_CONFIGS: &[TopicConfig] = &[
    key("chronik.sync", String, "commit", OneOf(SYNC_POLICIES))
        .from(&[same("chronik.sync")])
        .doc("When a record counts as written: commit, once it is on disk; interval, once it is in the page cache, which is synced from time to time."),
    key("cleanup.policy", List, "delete", ListOf(CLEANUP_POLICIES))
        .from(&[same("log.cleanup.policy")])
        .doc("What becomes of old segments: delete removes them by time and size, compact keeps the newest record of each key; both may be named."),
    key("compression.gzip.level", Int, "-1", GzipLevel)
        .from(&[same("compression.gzip.level")]).without_effect()
        .doc("Level for compression.type gzip. Accepted; batches are stored as producers compress them."),
    key("compression.lz4.level", Int, "9", Between(1, 17))
        .from(&[same("compression.lz4.level")]).without_effect()
        .doc("Level for compression.type lz4. Accepted; batches are stored as producers compress them."),
    key("compression.type", String, "producer", OneOf(COMPRESSION_TYPES))
        .from(&[same("compression.type")]).without_effect()
        .doc("The compression of the stored batches. Accepted; batches are stored as each producer compressed them, whatever is named here."),
    key("compression.zstd.level", Int, "3", Between(-131_072, 22))
        .from(&[same("compression.zstd.level")]).without_effect()
        .doc("Level for compression.type zstd. Accepted; batches are stored as producers compress them."),
    key("delete.retention.ms", Long, "86400000", AtLeast(0))
        .from(&[same("log.cleaner.delete.retention.ms")]).without_effect()
        .doc("How long a compacted topic keeps the marker of a deleted key."),
    key("errors.deadletterqueue.group.enable", Boolean, "false", Any).without_effect()
        .doc("Whether share groups may use the topic as their dead letter queue."),
    key("file.delete.delay.ms", Long, "60000", AtLeast(0))
        .from(&[same("log.segment.delete.delay.ms")]).without_effect()
        .doc("How long a removed segment stays on disk. Accepted; here readers hold what they read, and the rest goes at once."),
    key("flush.messages", Long, "9223372036854775807", AtLeast(1))
        .from(&[same("log.flush.interval.messages")]).without_effect()
        .doc("Sync after so many records. Accepted; chronik.sync decides when records are synced."),
    key("flush.ms", Long, "9223372036854775807", AtLeast(0))
        .from(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]).without_effect()
        .doc("Sync after so long. Accepted; chronik.sync decides when records are synced."),
    key("follower.replication.throttled.replicas", List, "", ThrottledReplicas).without_effect()
        .doc("Replicas whose replication is throttled on the follower's side, as partition:broker pairs or * for all."),
    key("index.interval.bytes", Int, "4096", AtLeast(0))
        .from(&[same("log.index.interval.bytes")]).without_effect()
        .doc("Data between two entries of the offset index. Accepted; the index has an entry about every 4 KiB."),
    key("internal.segment.bytes", Int, "", AtLeast(1)).internal()
        .doc("Segment size below the smallest that segment.bytes allows, for tests."),
    key("leader.replication.throttled.replicas", List, "", ThrottledReplicas).without_effect()
        .doc("Replicas whose replication is throttled on the leader's side, as partition:broker pairs or * for all."),
    key("local.retention.bytes", Long, "-2", AtLeast(-2))
        .from(&[same("log.local.retention.bytes")]).without_effect()
        .doc("How much of a tiered partition stays on local disk; -2 as much as retention.bytes."),
    key("local.retention.ms", Long, "-2", AtLeast(-2))
        .from(&[same("log.local.retention.ms")]).without_effect()
        .doc("How long a tiered partition stays on local disk; -2 as long as retention.ms."),
    key("max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1))
        .from(&[same("log.cleaner.max.compaction.lag.ms")]).without_effect()
        .doc("After this time a record is compacted, however clean the log is."),
    key("max.decompressed.message.bytes", Int, "2147483639", Between(1, ARRAY_BYTES_MAX))
        .from(&[same("max.decompressed.message.bytes")]).without_effect()
        .doc("The largest batch after decompression. Accepted; batches are stored without decompressing them."),
    key("max.message.bytes", Int, "1048588", AtLeast(0))
        .from(&[same("message.max.bytes")])
        .doc("The largest record batch, as it is stored, that a producer may write."),
    key("message.timestamp.after.max.ms", Long, "3600000", AtLeast(0))
        .from(&[same("log.message.timestamp.after.max.ms")])
        .doc("How far a record's timestamp may lie ahead of the broker's clock, with message.timestamp.type CreateTime."),
    key("message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0))
        .from(&[same("log.message.timestamp.before.max.ms")])
        .doc("How far a record's timestamp may lie behind the broker's clock, with message.timestamp.type CreateTime."),
    key("message.timestamp.type", String, "CreateTime", OneOf(TIMESTAMP_TYPES))
        .from(&[same("log.message.timestamp.type")])
        .doc("Whose clock a record's timestamp is: CreateTime the producer's, LogAppendTime the broker's."),
    key("min.cleanable.dirty.ratio", Double, "0.5", Fraction)
        .from(&[same("log.cleaner.min.cleanable.ratio")]).without_effect()
        .doc("How much of a compacted log must be dirty before it is compacted again."),
    key("min.compaction.lag.ms", Long, "0", AtLeast(0))
        .from(&[same("log.cleaner.min.compaction.lag.ms")]).without_effect()
        .doc("Before this time a record is not compacted."),
    key("min.insync.replicas", Int, "1", AtLeast(1))
        .from(&[same("min.insync.replicas")])
        .doc("How many in-sync replicas a write with acks=all needs."),
    key("preallocate", Boolean, "false", Any)
        .from(&[same("log.preallocate")]).without_effect()
        .doc("Whether segments get their space at birth. Accepted; the write-ahead log has its space ahead of time."),
    key("remote.copy.lag.bytes", Long, "-1", AtLeast(-1))
        .from(&[same("log.remote.copy.lag.bytes")]).without_effect()
        .doc("How much of a tiered partition is held back from object storage."),
    key("remote.copy.lag.ms", Long, "0", AtLeast(-1))
        .from(&[same("log.remote.copy.lag.ms")]).without_effect()
        .doc("How long a segment of a tiered partition is held back from object storage."),
    key("remote.log.copy.disable", Boolean, "false", Any).without_effect()
        .doc("Whether a tiered topic stops copying to object storage."),
    key("remote.log.delete.on.disable", Boolean, "false", Any).without_effect()
        .doc("Whether tiered data is deleted when tiering is switched off."),
    key("remote.storage.enable", Boolean, "false", Any).without_effect()
        .doc("Whether the topic is tiered to object storage."),
    key("retention.bytes", Long, "-1", Any)
        .from(&[same("log.retention.bytes")])
        .doc("How much of each partition is kept at most, with cleanup.policy delete; -1 for no bound."),
    key("retention.ms", Long, "604800000", AtLeast(-1))
        .from(&[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")])
        .doc("How long records are kept at most, with cleanup.policy delete; -1 for ever."),
    key("segment.bytes", Int, "1073741824", AtLeast(1_048_576))
        .from(&[same("log.segment.bytes")])
        .doc("Size at which a segment is closed and the next begun. Retention removes whole closed segments."),
    key("segment.index.bytes", Int, "10485760", AtLeast(4))
        .from(&[same("log.index.size.max.bytes")]).without_effect()
        .doc("Largest offset index. Accepted; the index grows with its segment."),
    key("segment.jitter.ms", Long, "0", AtLeast(0))
        .from(&[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]).without_effect()
        .doc("Random part of segment.ms. Accepted; closing a segment costs nothing that would have to be spread."),
    key("segment.ms", Long, "604800000", AtLeast(1))
        .from(&[same("log.roll.ms"), hours("log.roll.hours")])
        .doc("Age at which a segment is closed even if it is small, so that retention can remove it."),
    key("unclean.leader.election.enable", Boolean, "false", Any)
        .from(&[same("unclean.leader.election.enable")]).without_effect()
        .doc("Whether a replica that may lack acknowledged records can become leader when no other is left."),
];
