//! The one table of metrics: what is emitted, the reference page, and what dashboards and alerts may speak of. A metric that is not
//! here does not exist.

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as scrapers see it.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// The names of its labels; a summary has `quantile` besides, a histogram `le`.
    pub labels: &'static [&'static str],
    /// What it is counted in; empty for things.
    pub unit: &'static str,
    /// Below this level it is not emitted.
    pub detail: Detail,
    /// Whether it stays as it is.
    pub stability: Stability,
    /// What it says.
    pub help: &'static str,
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Quantiles since the process began.
    Summary,
}

/// How much is told: each level tells what those above it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// The node as a whole.
    Node,
    /// Topics and groups.
    Topic,
    /// Partitions.
    Partition,
}

/// Whether a metric stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Name, labels and meaning stay within a major version.
    Stable,
    /// May change with a minor version, with a word in the changelog.
    Evolving,
}

impl Kind {
    /// As the text format names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

impl Detail {
    /// As the configuration names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Detail::Node => "node",
            Detail::Topic => "topic",
            Detail::Partition => "partition",
        }
    }
}

impl Stability {
    /// In the reference page's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Stability::Stable => "stable",
            Stability::Evolving => "evolving",
        }
    }
}

const SECONDS: &str = "seconds";
const MS: &str = "milliseconds";
const BYTES: &str = "bytes";
const RECORDS: &str = "records";

pub(crate) const HEALTH_STATUS: Metric = Metric {
    help: "The verdict of this node on the cluster: 0 healthy, 1 degraded, 2 unavailable.",
    ..gauge("chronik_cluster_health_status")
};
pub(crate) const NODES: Metric = Metric {
    labels: &["state"],
    help: "Nodes of the cluster by what this node knows of them.",
    ..gauge("chronik_cluster_nodes")
};
pub(crate) const TOPICS: Metric = Metric { help: "Topics of the cluster.", ..gauge("chronik_cluster_topics") };
pub(crate) const PARTITIONS: Metric = Metric { help: "Partitions of the cluster.", ..gauge("chronik_cluster_partitions") };
pub(crate) const OFFLINE_PARTITIONS: Metric = Metric {
    help: "Partitions of the cluster that nobody leads.",
    ..gauge("chronik_cluster_offline_partitions")
};
pub(crate) const UNDER_REPLICATED: Metric = Metric {
    help: "Partitions of the cluster with fewer replicas in sync than they have.",
    ..gauge("chronik_cluster_under_replicated_partitions")
};
pub(crate) const UNDER_MIN_ISR: Metric = Metric {
    help: "Partitions of the cluster with fewer replicas in sync than min.insync.replicas asks for.",
    ..gauge("chronik_cluster_under_min_isr_partitions")
};

pub(crate) const REQUEST_DURATION: Metric = Metric {
    labels: &["api", "result"],
    unit: SECONDS,
    help: "From the moment a request is taken up to the moment its answer may leave; fetches and joins wait on purpose. \
           Result `ok`; `error`, of produce and fetch, if a partition was refused; `closed` if it ended its connection.",
    ..histogram("chronik_kafka_request_duration_seconds")
};
pub(crate) const NODE_BYTES: Metric = Metric {
    labels: &["direction"],
    unit: BYTES,
    help: "Record batches taken from producers (in) and given to consumers (out) by this node.",
    ..counter("chronik_kafka_node_bytes_total")
};
pub(crate) const NODE_RECORDS: Metric = Metric {
    unit: RECORDS,
    help: "Records taken from producers by this node.",
    ..counter("chronik_kafka_node_records_total")
};
pub(crate) const TOPIC_BYTES: Metric = Metric {
    labels: &["direction", "topic"],
    unit: BYTES,
    detail: Detail::Topic,
    help: "Record batches taken from producers (in) and given to consumers (out) by this node, by topic; topics without any are left out.",
    ..counter("chronik_kafka_bytes_total")
};
pub(crate) const TOPIC_RECORDS: Metric = Metric {
    labels: &["topic"],
    unit: RECORDS,
    detail: Detail::Topic,
    help: "Records taken from producers by this node, by topic; topics without any are left out.",
    ..counter("chronik_kafka_records_total")
};
pub(crate) const CONNECTIONS: Metric = Metric {
    labels: &["listener"],
    help: "Connections of Kafka clients that are open now.",
    ..gauge("chronik_kafka_connections")
};

pub(crate) const GROUP_MEMBERS: Metric = Metric {
    labels: &["group"],
    detail: Detail::Topic,
    help: "Members of a consumer group that this node coordinates; of groups that somebody has asked about since the node coordinates them.",
    ..gauge("chronik_group_members")
};
pub(crate) const GROUP_REBALANCES: Metric = Metric {
    labels: &["group"],
    detail: Detail::Topic,
    help: "Rebalances that the group has completed since it was made.",
    ..counter("chronik_group_rebalances_total")
};
pub(crate) const GROUP_LAG: Metric = Metric {
    labels: &["group", "topic", "partition"],
    unit: RECORDS,
    detail: Detail::Partition,
    help: "Records between what the group has committed and the high watermark; of partitions that its coordinator holds a replica of.",
    ..gauge("chronik_group_lag_records")
};

pub(crate) const FSYNC_DURATION: Metric = Metric {
    unit: SECONDS,
    help: "One group commit of the write-ahead log: its write, and its sync where one was asked for.",
    ..histogram("chronik_wal_fsync_duration_seconds")
};
pub(crate) const REPLICA_LAG: Metric = Metric {
    labels: &["topic", "partition", "follower"],
    unit: SECONDS,
    detail: Detail::Partition,
    help: "Since when a follower has not had everything that its leader has; of partitions that this node leads.",
    ..gauge("chronik_replica_lag_seconds")
};
pub(crate) const ISR_SHRINKS: Metric = Metric {
    help: "In-sync sets of partitions led by this node that have lost a replica.",
    ..counter("chronik_isr_shrinks_total")
};
pub(crate) const ISR_EXPANDS: Metric = Metric {
    help: "In-sync sets of partitions led by this node that have gained a replica.",
    ..counter("chronik_isr_expands_total")
};
pub(crate) const LEADER_CHANGES: Metric = Metric {
    help: "Leaderships of partitions that this node has taken on since it knows the cluster: over all nodes, the changes of leaders.",
    ..counter("leader_changes_total")
};
pub(crate) const DISCOVERY_DURATION: Metric = Metric {
    unit: SECONDS,
    help: "From the moment this node leads a partition up to the moment an in-sync follower is fed by it.",
    ..histogram("chronik_follower_discovery_duration_seconds")
};
pub(crate) const DISCOVERY_TIME: Metric = Metric {
    unit: SECONDS,
    help: "Quantiles of chronik_follower_discovery_duration_seconds.",
    ..summary("follower_discovery_time")
};

pub(crate) const LEADER_COUNT: Metric = Metric {
    labels: &["node_id"],
    help: "Partitions that this node leads.",
    ..gauge("chronik_raft_leader_count")
};
pub(crate) const FOLLOWER_COUNT: Metric = Metric {
    labels: &["node_id"],
    help: "Partitions that this node follows.",
    ..gauge("chronik_raft_follower_count")
};
pub(crate) const ISR_SIZE: Metric = Metric {
    labels: &["topic", "partition"],
    detail: Detail::Partition,
    help: "Replicas in sync of a partition that this node leads.",
    ..gauge("chronik_raft_isr_size")
};
pub(crate) const ELECTION_COUNT: Metric = Metric {
    labels: &["topic", "partition"],
    detail: Detail::Partition,
    help: "Elections of a leader since the partition was made: its leader epoch; of partitions that this node leads.",
    ..gauge("chronik_raft_election_count")
};
pub(crate) const FOLLOWER_LAG_ENTRIES: Metric = Metric {
    labels: &["topic", "partition", "follower"],
    unit: RECORDS,
    detail: Detail::Partition,
    help: "Records that a follower lacks; of partitions that this node leads.",
    ..gauge("chronik_raft_follower_lag_entries")
};
pub(crate) const FOLLOWER_LAG_MS: Metric = Metric {
    labels: &["topic", "partition", "follower"],
    unit: MS,
    detail: Detail::Partition,
    help: "chronik_replica_lag_seconds in milliseconds.",
    ..gauge("chronik_raft_follower_lag_ms")
};
pub(crate) const LEADER_ID: Metric = Metric {
    help: "The node that leads the metadata, as far as this node knows; -1 for nobody.",
    ..gauge("chronik_raft_leader_id")
};
pub(crate) const TERM: Metric =
    Metric { help: "The newest term of the metadata's Raft group that this node knows.", ..gauge("chronik_raft_term") };
pub(crate) const APPLIED_INDEX: Metric = Metric {
    help: "The last entry of the metadata log that this node has applied.",
    ..gauge("chronik_raft_applied_index")
};
pub(crate) const ELECTIONS: Metric = Metric {
    help: "Leaders of the metadata that this node has come to know, one after the other.",
    ..counter("chronik_raft_elections_total")
};
pub(crate) const ELECTION_DURATION: Metric = Metric {
    unit: SECONDS,
    help: "How long this node knew of nobody who leads the metadata.",
    ..histogram("chronik_raft_election_duration_seconds")
};
pub(crate) const ELECTION_LATENCY: Metric = Metric {
    unit: MS,
    help: "Quantiles of chronik_raft_election_duration_seconds.",
    ..summary("chronik_raft_election_latency_ms")
};
pub(crate) const COMMIT_DURATION: Metric = Metric {
    unit: SECONDS,
    help: "From the proposal of a metadata change on this node, which leads, up to its being applied here.",
    ..histogram("chronik_raft_commit_duration_seconds")
};
pub(crate) const COMMIT_LATENCY: Metric = Metric {
    unit: MS,
    help: "Quantiles of chronik_raft_commit_duration_seconds.",
    ..summary("chronik_raft_commit_latency_ms")
};
pub(crate) const SNAPSHOT_COUNT: Metric = Metric {
    labels: &["source"],
    help: "Snapshots of the metadata: taken by this node itself (own), or sent by the leader (leader).",
    ..counter("chronik_raft_snapshot_count")
};
pub(crate) const SNAPSHOT_SIZE: Metric = Metric {
    unit: BYTES,
    help: "Size of the last snapshot of the metadata that this process took, before compression; 0 for none.",
    ..gauge("chronik_raft_snapshot_size_bytes")
};
pub(crate) const SNAPSHOT_APPLY_DURATION: Metric = Metric {
    unit: SECONDS,
    help: "How long it took to take on a leader's snapshot of the metadata.",
    ..histogram("chronik_raft_snapshot_apply_duration_seconds")
};
pub(crate) const SNAPSHOT_APPLY_LATENCY: Metric = Metric {
    unit: MS,
    help: "Quantiles of chronik_raft_snapshot_apply_duration_seconds.",
    ..summary("chronik_raft_snapshot_apply_latency_ms")
};
pub(crate) const RPC_DURATION: Metric = Metric {
    labels: &["rpc"],
    unit: SECONDS,
    help: "Requests of this node to others, answered ones.",
    ..histogram("chronik_raft_rpc_duration_seconds")
};
pub(crate) const RPC_LATENCY: Metric = Metric {
    labels: &["rpc"],
    unit: MS,
    help: "Quantiles of chronik_raft_rpc_duration_seconds.",
    ..summary("chronik_raft_rpc_latency_ms")
};
pub(crate) const RPC_ERRORS: Metric = Metric {
    labels: &["rpc", "error"],
    help: "Requests of this node to others that had no answer, by gRPC's name of the failure.",
    ..counter("chronik_raft_rpc_errors_total")
};

pub(crate) const DISK_FREE: Metric = Metric {
    unit: BYTES,
    help: "What this process can still write on the file system of the data directory.",
    ..gauge("chronik_disk_free_bytes")
};
pub(crate) const DISK_TOTAL: Metric = Metric {
    unit: BYTES,
    help: "Size of the file system of the data directory.",
    ..gauge("chronik_disk_total_bytes")
};

pub(crate) const BUILD_INFO: Metric =
    Metric { labels: &["version"], help: "Always 1; the labels say what runs.", ..gauge("chronik_build_info") };
pub(crate) const UPTIME: Metric =
    Metric { unit: SECONDS, help: "Since the node opened its log.", ..gauge("chronik_uptime_seconds") };
pub(crate) const SERIES: Metric =
    Metric { help: "Lines of this answer, these two apart.", ..gauge("chronik_metrics_series") };
pub(crate) const SERIES_DROPPED: Metric = Metric {
    help: "Lines about topics, groups and partitions that were left out of this answer, because metrics.max_series was reached.",
    ..gauge("chronik_metrics_series_dropped")
};

/// Every metric, in the order in which they are emitted.
pub static METRICS: &[&Metric] = &[
    &HEALTH_STATUS,
    &NODES,
    &TOPICS,
    &PARTITIONS,
    &OFFLINE_PARTITIONS,
    &UNDER_REPLICATED,
    &UNDER_MIN_ISR,
    &REQUEST_DURATION,
    &NODE_BYTES,
    &NODE_RECORDS,
    &CONNECTIONS,
    &FSYNC_DURATION,
    &ISR_SHRINKS,
    &ISR_EXPANDS,
    &LEADER_CHANGES,
    &DISCOVERY_DURATION,
    &DISCOVERY_TIME,
    &LEADER_COUNT,
    &FOLLOWER_COUNT,
    &LEADER_ID,
    &TERM,
    &APPLIED_INDEX,
    &ELECTIONS,
    &ELECTION_DURATION,
    &ELECTION_LATENCY,
    &COMMIT_DURATION,
    &COMMIT_LATENCY,
    &SNAPSHOT_COUNT,
    &SNAPSHOT_SIZE,
    &SNAPSHOT_APPLY_DURATION,
    &SNAPSHOT_APPLY_LATENCY,
    &RPC_DURATION,
    &RPC_LATENCY,
    &RPC_ERRORS,
    &DISK_FREE,
    &DISK_TOTAL,
    &BUILD_INFO,
    &UPTIME,
    &TOPIC_BYTES,
    &TOPIC_RECORDS,
    &GROUP_MEMBERS,
    &GROUP_REBALANCES,
    &GROUP_LAG,
    &ISR_SIZE,
    &ELECTION_COUNT,
    &REPLICA_LAG,
    &FOLLOWER_LAG_ENTRIES,
    &FOLLOWER_LAG_MS,
    &SERIES,
    &SERIES_DROPPED,
];

const fn metric(name: &'static str, kind: Kind) -> Metric {
    Metric { name, kind, labels: &[], unit: "", detail: Detail::Node, stability: Stability::Stable, help: "" }
}

const fn counter(name: &'static str) -> Metric {
    metric(name, Kind::Counter)
}

const fn gauge(name: &'static str) -> Metric {
    metric(name, Kind::Gauge)
}

const fn histogram(name: &'static str) -> Metric {
    metric(name, Kind::Histogram)
}

const fn summary(name: &'static str) -> Metric {
    metric(name, Kind::Summary)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;
    use std::path::Path;

    use super::*;

    const BEGIN: &str = "<!-- metrics: generated -->\n";
    const END: &str = "<!-- metrics: end -->\n";

    #[test]
    fn the_reference_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/metrics.md");
        let page = std::fs::read_to_string(&path).expect("the page is there");
        let (before, rest) = page.split_once(BEGIN).expect("a mark for the table");
        let (_, after) = rest.split_once(END).expect("an end mark for the table");
        let current = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            return std::fs::write(&path, &current).expect("the page can be written");
        }
        assert!(page == current, "docs/operate/metrics.md is behind the table: UPDATE_DOCS=1 cargo test -p chronik-broker reference");
    }

    fn table() -> String {
        let mut table = "| name | kind | labels | unit | detail | stability | what it says |\n|---|---|---|---|---|---|---|\n".to_owned();
        for metric in METRICS {
            let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            let (kind, detail, stability) = (metric.kind.as_str(), metric.detail.as_str(), metric.stability.as_str());
            let _ = writeln!(table, "| `{}` | {kind} | {labels} | {} | {detail} | {stability} | {} |", metric.name, metric.unit, metric.help);
        }
        table
    }

    #[test]
    fn names_say_what_they_count() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} stands for two metrics");
            assert!(metric.help.ends_with('.'), "{name}: help is sentences");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
            assert!(metric.kind != Kind::Histogram || name.ends_with("_seconds"), "{name}: the unit comes last");
            // The promised names that go against the rule.
            let is_promised = ["chronik_raft_snapshot_count"].contains(&name);
            assert_eq!(metric.kind == Kind::Counter && !is_promised, name.ends_with("_total"), "{name}: counters end in _total");
            let allowed = ["node_id", "topic", "partition", "group", "listener", "api", "result", "direction", "state"];
            let allowed = [&allowed[..], &["follower", "source", "rpc", "error", "version"]].concat();
            assert!(metric.labels.iter().all(|label| allowed.contains(label)), "{name}: a label of unknown cardinality");
            let names_many = metric.labels.iter().any(|label| ["topic", "group", "partition", "follower"].contains(label));
            assert_eq!(metric.detail > Detail::Node, names_many, "{name}: its detail level");
        }
    }
}
