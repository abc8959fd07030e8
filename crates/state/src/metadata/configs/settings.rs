//! What holds for a topic in the end, parsed once, for the code that serves it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::topic::{BrokerName, TopicConfig, Unit, topic_config};
use super::{BrokerLayers, ConfigMap, ConfigSource};

/// The effective settings of one topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSettings {
    /// Old segments are removed by time and size.
    pub delete: bool,
    /// The newest record of each key is kept.
    pub compact: bool,
    /// How long records are kept; none for ever.
    pub retention_ms: Option<u64>,
    /// How much of a partition is kept; none without bound.
    pub retention_bytes: Option<u64>,
    /// Size at which a segment is closed.
    pub segment_bytes: u64,
    /// Age at which a segment is closed.
    pub segment_ms: u64,
    /// The largest batch, as it is stored.
    pub max_message_bytes: usize,
    /// Whose clock stamps records.
    pub timestamp_type: TimestampType,
    /// How far a timestamp may lie behind the clock.
    pub timestamp_before_max_ms: i64,
    /// How far a timestamp may lie ahead of the clock.
    pub timestamp_after_max_ms: i64,
    /// How batches are stored.
    pub compression: CompressionType,
    /// In-sync replicas a write with acks=all needs.
    pub min_in_sync_replicas: usize,
    /// When a record counts as written.
    pub sync: SyncPolicy,
}

/// Whose clock a record's timestamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
}

/// How batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As each producer sent them.
    Producer,
    /// Plain.
    Uncompressed,
    /// gzip
    Gzip,
    /// snappy
    Snappy,
    /// lz4
    Lz4,
    /// zstd
    Zstd,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Once it is on disk.
    Commit,
    /// Once it is in the page cache.
    Interval,
}

impl TopicSettings {
    /// What holds for a topic with these configs on a broker with those. Values that are not valid (they are refused
    /// where they are given) count as absent.
    pub fn resolve(topic: &ConfigMap, brokers: BrokerLayers<'_>) -> TopicSettings {
        let value = |name| effective(name, topic, brokers);
        let number = |name| value(name).trim().parse::<i64>().unwrap_or_default();
        let policies = value("cleanup.policy");
        let named = |policy| policies.split(',').any(|item| item.trim() == policy);
        TopicSettings {
            delete: named("delete"),
            compact: named("compact"),
            retention_ms: u64::try_from(number("retention.ms")).ok(),
            retention_bytes: u64::try_from(number("retention.bytes")).ok(),
            segment_bytes: segment_bytes(topic, number("segment.bytes")),
            segment_ms: number("segment.ms").unsigned_abs(),
            max_message_bytes: number("max.message.bytes").unsigned_abs() as usize,
            timestamp_type: timestamp_type(&value("message.timestamp.type")),
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            compression: compression_type(&value("compression.type")),
            min_in_sync_replicas: number("min.insync.replicas").unsigned_abs() as usize,
            sync: sync_policy(&value("chronik.sync")),
        }
    }
}

/// Where one value comes from.
pub(super) struct Found {
    pub(super) source: ConfigSource,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// The broker's word on a topic config, the strongest first; the default only as a broker's config.
pub(super) fn inherited(key: &'static TopicConfig, brokers: BrokerLayers<'_>) -> impl Iterator<Item = Found> {
    let layers = brokers.in_order().into_iter();
    let given = layers.flat_map(move |(source, configs)| {
        key.broker_names.iter().filter_map(move |known| {
            let value = configs.get(known.name)?;
            is_valid(known, value).then(|| Found { source, name: known.name, value: value.clone() })
        })
    });
    let defaults = key.broker_names.iter().filter_map(|known| {
        let value = super::broker_config(known.name)?.default?;
        Some(Found { source: ConfigSource::Default, name: known.name, value: value.to_owned() })
    });
    given.chain(defaults)
}

/// What holds for the topic config `name` in the topic's unit.
pub(super) fn effective(name: &str, topic: &ConfigMap, brokers: BrokerLayers<'_>) -> String {
    let Some(key) = topic_config(name) else { return String::new() };
    if let Some(value) = topic.get(name).filter(|value| key.rule.check(name, key.config_type, value).is_ok()) {
        return value.clone();
    }
    let found = inherited(key, brokers).next();
    found.map_or_else(|| key.default.unwrap_or_default().to_owned(), |found| in_topic_unit(key, &found))
}

/// A broker's hours or minutes as the topic's milliseconds; negative is for ever, whatever the unit.
pub(super) fn in_topic_unit(key: &TopicConfig, found: &Found) -> String {
    let unit = key.broker_names.iter().find(|known| known.name == found.name).map_or(Unit::Same, |known| known.unit);
    let factor = match unit {
        Unit::Same => return found.value.clone(),
        Unit::Minutes => 60_000,
        Unit::Hours => 3_600_000,
    };
    match found.value.trim().parse::<i64>() {
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => format!("{}", number.saturating_mul(factor)),
        Err(_) => found.value.clone(),
    }
}

fn is_valid(known: &BrokerName, value: &str) -> bool {
    super::broker_config(known.name).is_some_and(|key| key.rule.check(key.name, key.config_type, value).is_ok())
}

/// Tests roll segments far below what a user may ask for.
fn segment_bytes(topic: &ConfigMap, configured: i64) -> u64 {
    let internal = topic.get("internal.segment.bytes").and_then(|value| value.trim().parse::<u64>().ok());
    internal.unwrap_or(configured.unsigned_abs())
}

fn timestamp_type(value: &str) -> TimestampType {
    match value.trim() {
        "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    }
}

fn compression_type(value: &str) -> CompressionType {
    match value.trim() {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip,
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd,
        _ => CompressionType::Producer,
    }
}

fn sync_policy(value: &str) -> SyncPolicy {
    match value.trim() {
        "interval" => SyncPolicy::Interval,
        _ => SyncPolicy::Commit,
    }
}
