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
    /// Means nothing to a node without peers, and so may not be set there.
    pub(crate) only_in_cluster: bool,
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
            start and cannot change after that. In a cluster it has no default, and says which of the peers this node is.",
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
pub(crate) const REPLICATION_FACTOR: Key = Key {
    kind: Kind::Integer { min: 1, max: i16::MAX as i64, unit: NO_UNIT },
    unset: "3, or the number of nodes where there are fewer",
    about: "On how many nodes a partition is kept, of topics that are created without saying so and of those that the \
            server makes for itself. Kafka's `default.replication.factor`.",
    ..key("", "replication_factor")
};
pub(crate) const MIN_INSYNC_REPLICAS: Key = Key {
    kind: Kind::Integer { min: 1, max: i16::MAX as i64, unit: NO_UNIT },
    unset: "2 with a `replication_factor` of 3 or more, else 1",
    about: "How many of them must have a record before a producer with `acks=all` is answered; with fewer in sync it is \
            refused. Topics override it with `min.insync.replicas`, which is Kafka's name for it.",
    ..key("", "min_insync_replicas")
};
pub(crate) const RACK: Key = Key {
    kind: Kind::Text,
    unset: "replicas are spread over nodes alone",
    only_in_cluster: true,
    about: "Where this node stands, in words of your own: replicas are spread over racks, and a consumer that names its \
            rack may read from a replica there (KIP-36, KIP-392). Kafka's `broker.rack`.",
    ..key("", "rack")
};
pub(crate) const LISTEN_KAFKA: Key = Key {
    kind: Kind::Address,
    default: Some("0.0.0.0:9092"),
    short_variable: Some("CHRONIK_BIND"),
    flag: Some("--bind"),
    about: "Where this node listens for Kafka clients. Port 0 lets the system choose; the start card tells which it \
            chose. The flag and the short variable may leave out the port. In a cluster the default port is the one of \
            this node's `kafka` among the peers.",
    ..key("node.addresses", "kafka")
};
pub(crate) const LISTEN_WAL: Key = Key {
    kind: Kind::Address,
    unset: "in a cluster: on all addresses, the port of this node's `wal` among the peers",
    only_in_cluster: true,
    about: "Where this node listens for the records of other nodes.",
    ..key("node.addresses", "wal")
};
pub(crate) const LISTEN_RAFT: Key = Key {
    kind: Kind::Address,
    unset: "in a cluster: on all addresses, the port of this node's `raft` among the peers",
    only_in_cluster: true,
    about: "Where this node listens for the Raft group that keeps the metadata, and for other nodes' requests.",
    ..key("node.addresses", "raft")
};
pub(crate) const LISTEN_HTTP: Key = Key {
    kind: Kind::Address,
    default: Some("0.0.0.0:6092"),
    about: "Where this node listens for HTTP: health, metrics, what it knows of its cluster. Nothing can be changed there, and nobody is \
            asked who they are. Port 0 lets the system choose. If the key is not set, it is the interface that `kafka` has, and the node runs \
            without where the port is taken.",
    ..key("node.addresses", "search")
};
pub(crate) const LISTEN_METRICS: Key = Key {
    kind: Kind::Address,
    unset: "`/metrics` is served with the rest of HTTP alone",
    about: "A further port that serves `/metrics` and nothing else, for scrapers that are not to see the rest.",
    ..key("node.addresses", "metrics")
};
pub(crate) const HTTP_ENABLED: Key = Key {
    kind: Kind::Boolean,
    default: Some("true"),
    about: "Whether this node listens for HTTP at `node.addresses.search`.",
    ..key("http", "enabled")
};
pub(crate) const METRICS_DETAIL: Key = Key {
    kind: Kind::Choice(&["node", "topic", "partition"]),
    default: Some("partition"),
    about: "How far down `/metrics` goes: the node as a whole; also topics and groups; also partitions.",
    ..key("metrics", "detail")
};
pub(crate) const METRICS_SERIES: Key = Key {
    kind: Kind::Integer { min: 0, max: 10_000_000, unit: "lines" },
    default: Some("50000"),
    about: "Lines of one answer of `/metrics`. Beyond it lines about topics, groups and partitions are left out, and counted in \
            `chronik_metrics_series_dropped`.",
    ..key("metrics", "max_series")
};
pub(crate) const ADVERTISE_KAFKA: Key = Key {
    kind: Kind::Address,
    default: None,
    unset: "each client is told the address its own connection arrived at; in a cluster, this node's `kafka` among the peers",
    short_variable: Some("CHRONIK_ADVERTISE"),
    flag: Some("--advertise"),
    about: "What clients are told to connect to. Needed when clients reach this node under another address than the \
            one it has itself: behind a port mapping, a load balancer or NAT. The flag and the short variable may \
            leave out the port; it is then the port listened on.",
    ..key("node.advertise", "kafka")
};
pub(crate) const ADVERTISE_WAL: Key = Key {
    kind: Kind::Address,
    unset: "in a cluster: this node's `wal` among the peers",
    only_in_cluster: true,
    about: "What other nodes are told to send records to. The same as this node's `wal` among the peers.",
    ..key("node.advertise", "wal")
};
pub(crate) const ADVERTISE_RAFT: Key = Key {
    kind: Kind::Address,
    unset: "in a cluster: this node's `raft` among the peers",
    only_in_cluster: true,
    about: "What other nodes are told to connect to for metadata. The same as this node's `raft` among the peers.",
    ..key("node.advertise", "raft")
};
pub(crate) const ELECTION_TIMEOUT: Key = Key {
    kind: Kind::Integer { min: 50, max: 60_000, unit: MS },
    default: Some("1000"),
    about: "A node that hears nothing of the metadata's leader for one to two times this would be leader itself. At least \
            twice `heartbeat_interval_ms`.",
    ..cluster_key("raft", "election_timeout_ms")
};
pub(crate) const HEARTBEAT_INTERVAL: Key = Key {
    kind: Kind::Integer { min: 10, max: 10_000, unit: MS },
    default: Some("100"),
    about: "The metadata's leader is heard at least this often.",
    ..cluster_key("raft", "heartbeat_interval_ms")
};
pub(crate) const SNAPSHOT_LOG_SIZE: Key = Key {
    kind: Kind::Integer { min: 1, max: 65_536, unit: "MiB" },
    default: Some("64"),
    about: "A snapshot of the metadata is due when its log has grown by this much since the last one.",
    ..cluster_key("raft", "snapshot_max_log_size_mb")
};
pub(crate) const SNAPSHOT_INTERVAL: Key = Key {
    kind: Kind::Integer { min: 1, max: 1_000_000_000, unit: NO_UNIT },
    default: Some("10000"),
    about: "But not before it has grown by this many entries.",
    ..cluster_key("raft", "snapshot_min_interval_entries")
};
pub(crate) const SNAPSHOT_COMPRESSION: Key = Key {
    kind: Kind::Choice(&["none", "zstd"]),
    default: Some("zstd"),
    about: "How a snapshot of the metadata is compressed.",
    ..cluster_key("raft", "snapshot_compression")
};
pub(crate) const MAX_INFLIGHT_MESSAGES: Key = Key {
    kind: Kind::Integer { min: 1, max: 65_536, unit: NO_UNIT },
    default: Some("256"),
    about: "Messages to one follower of the metadata that may be on their way unanswered.",
    ..cluster_key("raft", "max_inflight_messages")
};
pub(crate) const MAX_APPEND_ENTRIES_SIZE: Key = Key {
    kind: Kind::Integer { min: 1024, max: 1 << 30, unit: BYTES },
    default: Some("1048576"),
    about: "Entries in one of them, unless one entry alone is larger.",
    ..cluster_key("raft", "max_append_entries_size")
};
pub(crate) const RPC_TIMEOUT: Key = Key {
    kind: Kind::Integer { min: 10, max: 600_000, unit: MS },
    default: Some("5000"),
    about: "A request to another node that takes longer has failed.",
    ..cluster_key("raft", "rpc_timeout_ms")
};
pub(crate) const SESSION_TIMEOUT: Key = Key {
    kind: Kind::Integer { min: 100, max: 3_600_000, unit: MS },
    default: Some("3000"),
    about: "A node that the metadata's leader has not heard for this long is taken for dead: others lead its partitions. \
            Kafka's `broker.session.timeout.ms`.",
    ..cluster_key("replication", "session_timeout_ms")
};
pub(crate) const REPLICA_LAG: Key = Key {
    kind: Kind::Integer { min: 100, max: 3_600_000, unit: MS },
    default: Some("10000"),
    about: "A follower that has not had everything for this long leaves the in-sync set. Kafka's `replica.lag.time.max.ms`.",
    ..cluster_key("replication", "replica_lag_max_ms")
};
pub(crate) const LEADERSHIP_TRANSFER: Key = Key {
    kind: Kind::Boolean,
    default: Some("true"),
    about: "A node that is asked to stop hands on what it leads first.",
    ..cluster_key("replication", "enable_leadership_transfer")
};
pub(crate) const LEADERSHIP_TRANSFER_TIMEOUT: Key = Key {
    kind: Kind::Integer { min: 100, max: 600_000, unit: MS },
    default: Some("5000"),
    about: "And waits this long for it.",
    ..cluster_key("replication", "leadership_transfer_timeout_ms")
};
pub(crate) const DISCOVERY_INTERVAL: Key = Key {
    kind: Kind::Integer { min: 1, max: 86_400, unit: "seconds" },
    default: Some("10"),
    about: "What a leader's followers are arrives as events; this often it is looked whether one was missed.",
    ..cluster_key("replication", "discovery_interval_secs")
};
pub(crate) const DISCOVERY_MODE: Key = Key {
    kind: Kind::Choice(&["static"]),
    default: Some("static"),
    short_variable: Some("CHRONIK_CLUSTER_DISCOVERY_MODE"),
    about: "How a node finds the others: `static`, they are the peers of this file.",
    ..cluster_key("cluster.discovery", "mode")
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
    &REPLICATION_FACTOR,
    &MIN_INSYNC_REPLICAS,
    &RACK,
    &LISTEN_KAFKA,
    &LISTEN_WAL,
    &LISTEN_RAFT,
    &LISTEN_HTTP,
    &LISTEN_METRICS,
    &ADVERTISE_KAFKA,
    &ADVERTISE_WAL,
    &ADVERTISE_RAFT,
    &ELECTION_TIMEOUT,
    &HEARTBEAT_INTERVAL,
    &SNAPSHOT_LOG_SIZE,
    &SNAPSHOT_INTERVAL,
    &SNAPSHOT_COMPRESSION,
    &RPC_TIMEOUT,
    &MAX_INFLIGHT_MESSAGES,
    &MAX_APPEND_ENTRIES_SIZE,
    &SESSION_TIMEOUT,
    &REPLICA_LAG,
    &LEADERSHIP_TRANSFER,
    &LEADERSHIP_TRANSFER_TIMEOUT,
    &DISCOVERY_INTERVAL,
    &DISCOVERY_MODE,
    &SYNC,
    &SYNC_INTERVAL,
    &WAL_FILE_SIZE,
    &CHECKPOINT_DISTANCE,
    &DISK_RESERVE,
    &MAX_CONNECTIONS,
    &REQUEST_MEMORY,
    &THREADS,
    &HTTP_ENABLED,
    &METRICS_DETAIL,
    &METRICS_SERIES,
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
    Key {
        table,
        name,
        kind: Kind::Boolean,
        default: None,
        unset: "",
        short_variable: None,
        flag: None,
        only_in_cluster: false,
        about: "",
    }
}

const fn cluster_key(table: &'static str, name: &'static str) -> Key {
    Key { only_in_cluster: true, ..key(table, name) }
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
        // It has a name of its own here: `replication_factor`.
        let renamed = ["default.replication.factor"];
        for name in settings::NAMES.iter().filter(|name| !renamed.contains(name)) {
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
