//! The one table of keys. It drives the reading of files and variables, `config show`, `config env` and the
//! reference page; a key that is not here does not exist.

use super::value::Kind;

/// A key of the configuration.
#[derive(Debug)]
pub(crate) struct Key {
    /// The table it stands in; empty for the top level.
    pub(crate) table: &'static str,
    /// Its name within the table. Kafka's own names hold dots and stand in quotes in the file.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// In the form of the file; `None` where being unset has a meaning, told by `unset`.
    pub(crate) default: Option<&'static str>,
    /// What happens while the key has no value; empty when it always has one.
    pub(crate) unset: &'static str,
    /// The short variable of the design, where it differs from the generated name.
    pub(crate) short_variable: Option<&'static str>,
    /// The flag of `start`.
    pub(crate) flag: Option<&'static str>,
    /// What it does; sentences.
    pub(crate) about: &'static str,
}

/// The table of settings that carry Kafka's names.
pub(crate) const KAFKA: &str = "kafka";

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const NO_UNIT: &str = "";
const MS: &str = "milliseconds";
const BYTES: &str = "bytes";

pub(crate) const NODE_ID: Key = Key {
    kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: NO_UNIT },
    default: Some("1"),
    about: "This node's number: the broker id that clients see. It is written into the data directory at the first \
            start and cannot change after that.",
    ..key("", "node_id")
};
pub(crate) const DATA_DIR: Key = Key {
    kind: Kind::Path,
    default: Some("./data"),
    flag: Some("--data-dir"),
    about: "Where everything is stored. Created when absent. One process at a time may use it.",
    ..key("", "data_dir")
};
pub(crate) const LOG_LEVEL: Key = Key {
    kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
    default: Some("info"),
    flag: Some("--log-level"),
    about: "The least severe lines that are written to standard error. `RUST_LOG` is honoured for developers where \
            neither the flag nor the variable is given.",
    ..key("", "log_level")
};
pub(crate) const LOG_FORMAT: Key = Key {
    kind: Kind::Choice(&["human", "json"]),
    default: Some("human"),
    about: "How log lines look: for people, or one JSON object per line.",
    ..key("", "log_format")
};
pub(crate) const LISTEN_KAFKA: Key = Key {
    kind: Kind::Address,
    default: Some("0.0.0.0:9092"),
    short_variable: Some("CHRONIK_BIND"),
    flag: Some("--bind"),
    about: "Where this node listens for Kafka clients. Port 0 lets the system choose; the start card tells which it \
            chose. The flag and the short variable may leave out the port.",
    ..key("node.addresses", "kafka")
};
pub(crate) const ADVERTISE_KAFKA: Key = Key {
    kind: Kind::Address,
    default: None,
    unset: "each client is told the address its own connection arrived at",
    short_variable: Some("CHRONIK_ADVERTISE"),
    flag: Some("--advertise"),
    about: "What clients are told to connect to. Needed when clients reach this node under another address than the \
            one it has itself: behind a port mapping, a load balancer or NAT. The flag and the short variable may \
            leave out the port; it is then the port listened on.",
    ..key("node.advertise", "kafka")
};
pub(crate) const SYNC: Key = Key {
    kind: Kind::Choice(&["commit", "interval"]),
    default: Some("commit"),
    about: "When a record counts as acknowledged. `commit`: after it is on disk, one sync for all that waits. \
            `interval`: after it is written; the sync follows within `sync_interval`, and a power cut may take what \
            was acknowledged in between (a crash of the process may not). Topics override it with `chronik.sync`.",
    ..key("storage", "sync")
};
pub(crate) const SYNC_INTERVAL: Key = Key {
    kind: Kind::Duration { min_ms: 1, max_ms: 60_000 },
    default: Some("200ms"),
    about: "With `sync = \"interval\"`: the longest time an acknowledged record stays unsynced.",
    ..key("storage", "sync_interval")
};
pub(crate) const WAL_FILE_SIZE: Key = Key {
    kind: Kind::Bytes { min: 4 * MIB, max: GIB },
    default: Some("64MiB"),
    about: "Size of one file of the write-ahead log. Files are written ahead and used again.",
    ..key("storage", "wal_file_size")
};
pub(crate) const CHECKPOINT_DISTANCE: Key = Key {
    kind: Kind::Bytes { min: 4 * MIB, max: 64 * GIB },
    default: Some("64MiB"),
    about: "How much write-ahead log may lie behind the last checkpoint: what a start after a crash has to replay.",
    ..key("storage", "checkpoint_distance")
};
pub(crate) const DISK_RESERVE: Key = Key {
    kind: Kind::Bytes { min: 0, max: 1024 * 1024 * GIB },
    default: Some("256MiB"),
    about: "Produce is refused with a retriable error while the file system of the data directory has less than this \
            left; everything else goes on.",
    ..key("storage", "disk_reserve")
};
pub(crate) const MAX_CONNECTIONS: Key = Key {
    kind: Kind::Integer { min: 1, max: 10_000_000, unit: NO_UNIT },
    default: Some("20000"),
    about: "Connections at one time; a further one is closed at once.",
    ..key("limits", "max_connections")
};
pub(crate) const REQUEST_MEMORY: Key = Key {
    kind: Kind::Bytes { min: 16 * MIB, max: 1024 * GIB },
    default: Some("512MiB"),
    about: "Memory that requests may hold while they arrive, over all connections.",
    ..key("limits", "request_memory")
};
pub(crate) const THREADS: Key = Key {
    kind: Kind::Integer { min: 0, max: 1024, unit: NO_UNIT },
    default: Some("0"),
    about: "Threads that serve connections; 0 for one per core.",
    ..key("limits", "threads")
};

/// Every key, in the order in which a file is written and shown.
pub(crate) static KEYS: &[&Key] = &[
    &NODE_ID,
    &DATA_DIR,
    &LOG_LEVEL,
    &LOG_FORMAT,
    &LISTEN_KAFKA,
    &ADVERTISE_KAFKA,
    &SYNC,
    &SYNC_INTERVAL,
    &WAL_FILE_SIZE,
    &CHECKPOINT_DISTANCE,
    &DISK_RESERVE,
    &MAX_CONNECTIONS,
    &REQUEST_MEMORY,
    &THREADS,
    &kafka_boolean(
        "auto.create.topics.enable",
        "true",
        "A topic that a client names and that does not exist is created.",
    ),
    &kafka_boolean("delete.topic.enable", "true", "Topics may be deleted."),
    &kafka_integer(
        "num.partitions",
        1,
        i32::MAX as i64,
        NO_UNIT,
        Some("1"),
        "Partitions of a topic that is created without saying how many.",
    ),
    &kafka_integer(
        "message.max.bytes",
        0,
        i32::MAX as i64,
        BYTES,
        Some("1048588"),
        "Largest record batch a topic takes, as the producer compressed it. Topics override it with `max.message.bytes`.",
    ),
    &kafka_integer(
        "log.retention.ms",
        -1,
        i64::MAX,
        MS,
        None,
        "How long records are kept; -1 for ever. Wins over the two names below. Topics override it with `retention.ms`.",
    ),
    &kafka_integer(
        "log.retention.minutes",
        -1,
        i32::MAX as i64,
        "minutes",
        None,
        "The same in minutes; wins over hours.",
    ),
    &kafka_integer("log.retention.hours", -1, i32::MAX as i64, "hours", Some("168"), "The same in hours."),
    &kafka_integer(
        "log.retention.bytes",
        -1,
        i64::MAX,
        BYTES,
        Some("-1"),
        "How much of a partition is kept; -1 for no bound. Topics override it with `retention.bytes`.",
    ),
    &kafka_integer(
        "log.retention.check.interval.ms",
        1,
        i64::MAX,
        MS,
        Some("300000"),
        "How often it is looked for records that may go.",
    ),
    &kafka_integer(
        "log.segment.bytes",
        MIB as i64,
        i32::MAX as i64,
        BYTES,
        Some("1073741824"),
        "Size at which a partition begins a new segment file. Topics override it with `segment.bytes`.",
    ),
    &kafka_integer(
        "log.roll.ms",
        1,
        i64::MAX,
        MS,
        None,
        "Age at which a partition begins a new segment file. Wins over hours. Topics override it with `segment.ms`.",
    ),
    &kafka_integer("log.roll.hours", 1, i32::MAX as i64, "hours", Some("168"), "The same in hours."),
    &kafka_choice(
        "log.message.timestamp.type",
        &["CreateTime", "LogAppendTime"],
        "CreateTime",
        "Whether a record keeps its producer's time or gets the time of its arrival. Topics override it with `message.timestamp.type`.",
    ),
    &kafka_integer(
        "log.message.timestamp.before.max.ms",
        0,
        i64::MAX,
        MS,
        Some("9223372036854775807"),
        "How far in the past a record's own time may lie. Topics override it with `message.timestamp.before.max.ms`.",
    ),
    &kafka_integer(
        "log.message.timestamp.after.max.ms",
        0,
        i64::MAX,
        MS,
        Some("3600000"),
        "How far in the future a record's own time may lie. Topics override it with `message.timestamp.after.max.ms`.",
    ),
    &kafka_integer(
        "fetch.max.bytes",
        1024,
        i32::MAX as i64,
        BYTES,
        Some("57671680"),
        "The most one fetch response carries, whatever the client asks for.",
    ),
    &kafka_integer(
        "max.incremental.fetch.session.cache.slots",
        0,
        i32::MAX as i64,
        NO_UNIT,
        Some("1000"),
        "Fetch sessions kept at one time.",
    ),
    &kafka_integer(
        "socket.request.max.bytes",
        1024,
        i32::MAX as i64,
        BYTES,
        Some("104857600"),
        "Largest request; a larger one closes its connection.",
    ),
    &kafka_integer(
        "connections.max.idle.ms",
        -1,
        i64::MAX,
        MS,
        Some("600000"),
        "A connection that is silent for this long is closed; -1 for never.",
    ),
    &kafka_integer(
        "producer.id.expiration.ms",
        1,
        i32::MAX as i64,
        MS,
        Some("86400000"),
        "How long an idempotent producer that is silent is remembered by a partition.",
    ),
    &kafka_integer(
        "producer.id.expiration.check.interval.ms",
        1,
        i32::MAX as i64,
        MS,
        Some("600000"),
        "How often it is looked for idempotent producers that may be forgotten.",
    ),
    &kafka_integer(
        "offsets.topic.num.partitions",
        1,
        10_000,
        NO_UNIT,
        Some("50"),
        "Partitions of `__consumer_offsets`. Fixed when that topic is created.",
    ),
    &kafka_integer(
        "offsets.retention.minutes",
        1,
        i32::MAX as i64,
        "minutes",
        Some("10080"),
        "How long the offsets of a group without members are kept.",
    ),
    &kafka_integer(
        "offsets.retention.check.interval.ms",
        1,
        i64::MAX,
        MS,
        Some("600000"),
        "How often it is looked for offsets that may go.",
    ),
    &kafka_integer(
        "offset.metadata.max.bytes",
        0,
        i32::MAX as i64,
        BYTES,
        Some("4096"),
        "Longest note a client may store with an offset.",
    ),
    &kafka_integer(
        "group.min.session.timeout.ms",
        1,
        i32::MAX as i64,
        MS,
        Some("6000"),
        "Shortest session time a member of a group may ask for.",
    ),
    &kafka_integer(
        "group.max.session.timeout.ms",
        1,
        i32::MAX as i64,
        MS,
        Some("1800000"),
        "Longest session time a member of a group may ask for.",
    ),
    &kafka_integer(
        "group.initial.rebalance.delay.ms",
        0,
        i32::MAX as i64,
        MS,
        Some("3000"),
        "How long a new group waits for more members before its first rebalance.",
    ),
    &kafka_integer(
        "group.max.size",
        1,
        i32::MAX as i64,
        NO_UNIT,
        Some("2147483647"),
        "Most members one group may have.",
    ),
];

impl Key {
    /// Table and name in one word: how the key is spoken of in variables and errors.
    pub(crate) fn path(&self) -> String {
        match self.table {
            "" => self.name.to_owned(),
            table => format!("{table}.{}", self.name),
        }
    }

    /// The key as it is written in a file, with quotes where TOML needs them.
    pub(crate) fn toml_path(&self) -> String {
        if self.is_kafka() { format!("{KAFKA}.\"{}\"", self.name) } else { self.path() }
    }

    /// The generated variable: every key has exactly one.
    pub(crate) fn variable(&self) -> String {
        format!("CHRONIK_{}", self.path().replace('.', "__").to_ascii_uppercase())
    }

    /// Whether the key carries Kafka's name and unit.
    pub(crate) fn is_kafka(&self) -> bool {
        self.table == KAFKA
    }
}

/// The key with this path, if there is one.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().copied().find(|key| key.path() == path)
}

/// Whether `path` is a table of the file, or leads to one.
pub(crate) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| key.table == path || key.table.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

const fn key(table: &'static str, name: &'static str) -> Key {
    Key { table, name, kind: Kind::Boolean, default: None, unset: "", short_variable: None, flag: None, about: "" }
}

const fn kafka_boolean(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { default: Some(default), about, ..key(KAFKA, name) }
}

const fn kafka_choice(
    name: &'static str,
    choices: &'static [&'static str],
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { kind: Kind::Choice(choices), default: Some(default), about, ..key(KAFKA, name) }
}

const fn kafka_integer(
    name: &'static str,
    min: i64,
    max: i64,
    unit: &'static str,
    default: Option<&'static str>,
    about: &'static str,
) -> Key {
    // Kafka has several names for one time, from the finest unit to the coarsest; only the last has a default.
    let unset = if default.is_none() { "the coarser name below decides" } else { "" };
    Key { kind: Kind::Integer { min, max, unit }, default, unset, about, ..key(KAFKA, name) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chronik_broker::settings;
    use chronik_state::metadata::configs::{TOPIC_CONFIGS, broker_config};

    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS {
            if let Some(default) = key.default {
                let value = key.kind.parse(default, false);
                assert!(value.is_ok(), "{}: {value:?}", key.path());
            }
            assert!(
                key.default.is_some() == key.unset.is_empty(),
                "{}: a default or what being unset means",
                key.path()
            );
            assert!(!key.about.is_empty(), "{} says what it does", key.path());
        }
    }

    /// Settings that Kafka calls internal: it hears them, and DescribeConfigs does not tell of them.
    const INTERNAL: &[&str] = &["producer.id.expiration.check.interval.ms"];

    #[test]
    fn every_kafka_setting_is_heard_by_the_broker_and_has_its_default() {
        let of_topics: Vec<&str> = TOPIC_CONFIGS
            .iter()
            .filter(|topic| topic.effective)
            .flat_map(|topic| topic.broker_names.iter().map(|broker| broker.name))
            .collect();
        for key in KEYS.iter().filter(|key| key.is_kafka()) {
            let heard = settings::NAMES.contains(&key.name) || of_topics.contains(&key.name);
            assert!(heard, "nobody reads {}", key.name);
            match broker_config(key.name) {
                Some(described) => assert_eq!(key.default, described.default, "{}", key.name),
                None => assert!(INTERNAL.contains(&key.name), "{} is not described", key.name),
            }
        }
    }

    #[test]
    fn every_setting_of_the_broker_can_be_set() {
        // One node has one replica of everything, so its number is not to be chosen.
        let fixed = ["default.replication.factor"];
        for name in settings::NAMES.iter().filter(|name| !fixed.contains(name)) {
            assert!(KEYS.iter().any(|key| key.is_kafka() && key.name == *name), "{name} cannot be set");
        }
    }

    #[test]
    fn every_name_is_unique() {
        let variables = KEYS.iter().flat_map(|key| [Some(key.variable()), key.short_variable.map(str::to_owned)]);
        let mut seen = BTreeSet::new();
        for name in variables.flatten() {
            assert!(seen.insert(name.clone()), "{name} stands for two keys");
        }
    }
}
