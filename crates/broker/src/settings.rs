//! The settings that go by Kafka's names, parsed once into what the code asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

/// A value that does not fit its setting.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("\"{name}\" = \"{value}\": {expected} is expected")]
pub struct InvalidSetting {
    /// Kafka's name of the setting.
    pub name: String,
    /// What was given.
    pub value: String,
    /// What would fit, in words.
    pub expected: &'static str,
}

/// What the node itself asks for; what topics inherit is in [`chronik_state::metadata::configs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `num.partitions`
    pub default_partitions: i32,
    /// `default.replication.factor`
    pub default_replication_factor: i16,
    /// `delete.topic.enable`
    pub delete_topics: bool,
    /// `socket.request.max.bytes`
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`; none for −1.
    pub connection_idle_max: Duration,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: usize,
    /// `max.incremental.fetch.session.cache.slots`
    pub fetch_session_slots: usize,
    /// `producer.id.expiration.ms`
    pub producer_id_expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`
    pub producer_id_expiration_check_interval: Duration,
    /// `log.retention.check.interval.ms`
    pub retention_check_interval: Duration,
    /// `offsets.topic.num.partitions`
    pub offsets_topic_partitions: i32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval: Duration,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_bytes_max: usize,
    /// `group.min.session.timeout.ms`
    pub group_session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub group_session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`
    pub group_initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub group_members_max: usize,
}

/// Names of the settings above, so that the command line knows what is heard.
pub const NAMES: &[&str] = &[
    "auto.create.topics.enable",
    "num.partitions",
    "default.replication.factor",
    "delete.topic.enable",
    "socket.request.max.bytes",
    "connections.max.idle.ms",
    "fetch.max.bytes",
    "max.incremental.fetch.session.cache.slots",
    "producer.id.expiration.ms",
    "producer.id.expiration.check.interval.ms",
    "log.retention.check.interval.ms",
    "offsets.topic.num.partitions",
    "offsets.retention.minutes",
    "offsets.retention.check.interval.ms",
    "offset.metadata.max.bytes",
    "group.min.session.timeout.ms",
    "group.max.session.timeout.ms",
    "group.initial.rebalance.delay.ms",
    "group.max.size",
];

impl Settings {
    /// Parses `kafka`; what is not given has Kafka's default. Names it does not know belong to topics.
    ///
    /// # Errors
    /// Every value that does not fit, not only the first.
    pub fn parse(kafka: &BTreeMap<String, String>) -> Result<Settings, Vec<InvalidSetting>> {
        let mut reader = Reader { kafka, errors: Vec::new() };
        let settings = Settings {
            auto_create_topics: reader.boolean("auto.create.topics.enable", true),
            default_partitions: reader.number("num.partitions", 1, 1, i32::MAX.into()) as i32,
            default_replication_factor: reader.number("default.replication.factor", 1, 1, i16::MAX.into()) as i16,
            delete_topics: reader.boolean("delete.topic.enable", true),
            request_bytes_max: reader.number("socket.request.max.bytes", 100 << 20, 1, i32::MAX.into()) as usize,
            connection_idle_max: reader.milliseconds("connections.max.idle.ms", 600_000),
            fetch_bytes_max: reader.number("fetch.max.bytes", 55 << 20, 1024, i32::MAX.into()) as usize,
            fetch_session_slots: reader.number("max.incremental.fetch.session.cache.slots", 1000, 0, i32::MAX.into()) as usize,
            producer_id_expiration_ms: reader.number("producer.id.expiration.ms", 86_400_000, 1, i32::MAX.into()),
            producer_id_expiration_check_interval: reader
                .milliseconds("producer.id.expiration.check.interval.ms", 600_000),
            retention_check_interval: reader.milliseconds("log.retention.check.interval.ms", 300_000),
            offsets_topic_partitions: reader.number("offsets.topic.num.partitions", 50, 1, i32::MAX.into()) as i32,
            offsets_retention_ms: reader.number("offsets.retention.minutes", 10_080, 1, i32::MAX.into()) * 60_000,
            offsets_retention_check_interval: reader.milliseconds("offsets.retention.check.interval.ms", 600_000),
            offset_metadata_bytes_max: reader.number("offset.metadata.max.bytes", 4096, 0, i32::MAX.into()) as usize,
            group_session_timeout_ms_min: reader.number("group.min.session.timeout.ms", 6_000, 0, i32::MAX.into()) as i32,
            group_session_timeout_ms_max: reader.number("group.max.session.timeout.ms", 1_800_000, 0, i32::MAX.into()) as i32,
            group_initial_rebalance_delay_ms: reader.number("group.initial.rebalance.delay.ms", 3_000, 0, i32::MAX.into()) as i32,
            group_members_max: reader.number("group.max.size", i32::MAX.into(), 1, i32::MAX.into()) as usize,
        };
        if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
    }
}

struct Reader<'a> {
    kafka: &'a BTreeMap<String, String>,
    errors: Vec<InvalidSetting>,
}

impl Reader<'_> {
    fn boolean(&mut self, name: &str, default: bool) -> bool {
        match self.kafka.get(name).map(|value| value.trim().to_ascii_lowercase()) {
            None => default,
            Some(value) if value == "true" => true,
            Some(value) if value == "false" => false,
            Some(_) => self.refuse(name, "true or false", default),
        }
    }

    fn number(&mut self, name: &str, default: i64, min: i64, max: i64) -> i64 {
        match self.kafka.get(name).map(|value| value.trim().parse::<i64>()) {
            None => default,
            Some(Ok(value)) if (min..=max).contains(&value) => value,
            Some(Ok(_)) => self.refuse(name, "a number within the range Kafka allows", default),
            Some(Err(_)) => self.refuse(name, "a whole number", default),
        }
    }

    fn milliseconds(&mut self, name: &str, default: i64) -> Duration {
        match self.number(name, default, -1, i64::MAX) {
            -1 => FOREVER,
            value => Duration::from_millis(value.unsigned_abs()),
        }
    }

    fn refuse<T>(&mut self, name: &str, expected: &'static str, default: T) -> T {
        let value = self.kafka[name].clone();
        self.errors.push(InvalidSetting { name: name.to_owned(), value, expected });
        default
    }
}

/// Long enough to be never, short enough to be added to a clock.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read() {
        // A value that fits nothing is refused by name exactly where a name is really read.
        let kafka = NAMES.iter().map(|name| (name.to_string(), "?".to_string())).collect();
        let refused: Vec<_> = Settings::parse(&kafka).unwrap_err().into_iter().map(|error| error.name).collect();
        assert_eq!(refused, NAMES);
    }

    #[test]
    fn names_of_others_are_left_alone() {
        let kafka = BTreeMap::from([("log.retention.hours".to_owned(), "?".to_owned())]);
        assert_eq!(Settings::parse(&kafka), Settings::parse(&BTreeMap::new()));
    }
}
