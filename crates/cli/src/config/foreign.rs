//! Names that are not keys of this build but that people will write: parts of a cluster's configuration, names of
//! earlier servers, and Kafka's names for things that are called otherwise here. Each is answered with the right name.

/// A variable or flag of an earlier server.
pub(crate) struct OldName {
    pub(crate) name: &'static str,
    pub(crate) fate: Fate,
}

/// What becomes of an old name.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// Honoured with a warning: sets the key with this path; the text shows the replacement.
    Sets(&'static str, Part, &'static str),
    /// Honoured with a warning: names the configuration file.
    NamesFile(&'static str),
    /// Honoured with a warning: lists the other nodes by their Raft addresses; the text shows the replacement.
    RaftPeers(&'static str),
    /// Of no use any more, with a warning: the text says why.
    Needless(&'static str),
    /// Cannot be honoured; the text is the fix.
    Refused(&'static str),
}

/// Which part of an address an old name set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Port,
}

use Fate::{NamesFile, Needless, RaftPeers, Refused, Sets};

const PEERS_HERE: &str = "[[peers]] in the file, the same on all nodes, each with kafka, wal and raft, or CHRONIK_CLUSTER_PEERS=host:kafka:wal:raft,…";
const NO_MANUAL: &str = "leave it out: the nodes of a cluster ([[peers]]) find whom to replicate to by themselves";
const BY_THEMSELVES: &str = "the node whose votes suffice becomes leader, at the first start as at any other";

const LISTEN_WAL: &str = "node.addresses.wal";
const LISTEN_RAFT: &str = "node.addresses.raft";
const LISTEN_HTTP: &str = "node.addresses.search";
const LISTEN_METRICS: &str = "node.addresses.metrics";
const LISTEN: &str = "node.addresses.kafka";
const ADVERTISE: &str = "node.advertise.kafka";

pub(crate) static OLD_FLAGS: &[OldName] = &[
    old("--kafka-port", Sets(LISTEN, Part::Port, "--bind HOST:PORT")),
    old("--bind-addr", Sets(LISTEN, Part::Whole, "--bind")),
    old("--advertised-addr", Sets(ADVERTISE, Part::Whole, "--advertise")),
    old("--advertised-port", Sets(ADVERTISE, Part::Port, "--advertise HOST:PORT")),
    old("--node-id", Sets("node_id", Part::Whole, "CHRONIK_NODE_ID, or node_id in the file,")),
    old("--cluster-config", NamesFile("--config")),
    old("--raft-addr", Sets(LISTEN_RAFT, Part::Whole, "`raft` in [node.addresses] of the file")),
    old("--peers", RaftPeers(PEERS_HERE)),
    old("--bootstrap", Needless(BY_THEMSELVES)),
    old("--wal-followers", Refused(NO_MANUAL)),
    old("--wal-receiver", Refused(NO_MANUAL)),
    old("--metrics-port", Sets(LISTEN_METRICS, Part::Port, "`metrics` in [node.addresses] of the file")),
    old("--admin-port", Sets(LISTEN_HTTP, Part::Port, "`search` in [node.addresses] of the file")),
    old("--search-port", Sets(LISTEN_HTTP, Part::Port, "`search` in [node.addresses] of the file")),
];

pub(crate) static OLD_VARIABLES: &[OldName] = &[
    old("CHRONIK_KAFKA_PORT", Sets(LISTEN, Part::Port, "CHRONIK_BIND=HOST:PORT")),
    old("CHRONIK_REPLICATION_FOLLOWERS", Refused(NO_MANUAL)),
    old("CHRONIK_WAL_RECEIVER_ADDR", Sets(LISTEN_WAL, Part::Whole, "CHRONIK_NODE__ADDRESSES__WAL=HOST:PORT")),
    old("CHRONIK_WAL_RECEIVER_PORT", Sets(LISTEN_WAL, Part::Port, "CHRONIK_NODE__ADDRESSES__WAL=HOST:PORT")),
    old("CHRONIK_RAFT_ADDR", Sets(LISTEN_RAFT, Part::Whole, "CHRONIK_NODE__ADDRESSES__RAFT=HOST:PORT")),
    old("CHRONIK_RAFT_PEERS", RaftPeers(PEERS_HERE)),
    old("CHRONIK_RAFT_ELECTION_TIMEOUT_MS", Sets("raft.election_timeout_ms", Part::Whole, "CHRONIK_RAFT__ELECTION_TIMEOUT_MS")),
    old("CHRONIK_RAFT_SNAPSHOT_SIZE_MB", Sets("raft.snapshot_max_log_size_mb", Part::Whole, "CHRONIK_RAFT__SNAPSHOT_MAX_LOG_SIZE_MB")),
    old(
        "CHRONIK_FOLLOWER_DISCOVERY_INTERVAL_SECS",
        Sets("replication.discovery_interval_secs", Part::Whole, "CHRONIK_REPLICATION__DISCOVERY_INTERVAL_SECS"),
    ),
    old("CHRONIK_CLUSTER_ENABLED", Refused("unset it: a node is in a cluster when its peers are listed, and only then")),
    old("CHRONIK_CLUSTER_DNS_SERVICE", Refused("unset it: this build finds the nodes by their list, CHRONIK_CLUSTER_PEERS")),
    old("CHRONIK_BIND_ADDR", Refused("set CHRONIK_BIND instead (host or host:port)")),
    old("CHRONIK_ADVERTISED_ADDR", Refused("set CHRONIK_ADVERTISE instead (host or host:port)")),
    old("CHRONIK_ADVERTISED_ADDRESS", Refused("set CHRONIK_ADVERTISE instead (host or host:port)")),
    old("CHRONIK_ADVERTISED_HOST", Refused("set CHRONIK_ADVERTISE instead (host or host:port)")),
    old("CHRONIK_ADVERTISED_PORT", Refused("set CHRONIK_ADVERTISE=HOST:PORT instead")),
    old("CHRONIK_ADVERTISED_LISTENERS", Refused("set CHRONIK_ADVERTISE instead (host or host:port)")),
    old("CHRONIK_LISTENERS", Refused("set CHRONIK_BIND instead (host or host:port)")),
    old("CHRONIK_BROKER_ID", Refused("set CHRONIK_NODE_ID instead")),
    old("CHRONIK_METRICS_PORT", Sets(LISTEN_METRICS, Part::Port, "CHRONIK_NODE__ADDRESSES__METRICS=HOST:PORT")),
    old("CHRONIK_ADMIN_PORT", Sets(LISTEN_HTTP, Part::Port, "CHRONIK_NODE__ADDRESSES__SEARCH=HOST:PORT")),
    old("CHRONIK_SEARCH_PORT", Sets(LISTEN_HTTP, Part::Port, "CHRONIK_NODE__ADDRESSES__SEARCH=HOST:PORT")),
];

const fn old(name: &'static str, fate: Fate) -> OldName {
    OldName { name, fate }
}

/// Paths of the file that ask for what this build does not have.
pub(crate) static OTHER_BUILDS: &[(&str, OtherBuild)] = &[
    ("cluster.discovery.dns_service", OtherBuild::Dns),
];

/// Which missing feature a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherBuild {
    Dns,
}

impl OtherBuild {
    pub(crate) const ALL: [OtherBuild; 1] = [OtherBuild::Dns];

    pub(crate) fn what(self) -> &'static str {
        match self {
            OtherBuild::Dns => "this build does not ask DNS for the nodes of a cluster",
        }
    }

    pub(crate) fn fix(self) -> &'static str {
        match self {
            OtherBuild::Dns => "remove it, and list the nodes as [[peers]]",
        }
    }
}

/// Kafka's names for what is set under another name here.
static KAFKA_ELSEWHERE: &[(&str, &str)] = &[
    ("broker.id", "set `node_id` at the top of the file"),
    ("node.id", "set `node_id` at the top of the file"),
    ("listeners", "set `kafka` in [node.addresses]"),
    ("advertised.listeners", "set `kafka` in [node.advertise]"),
    ("advertised.host.name", "set `kafka` in [node.advertise]"),
    ("advertised.port", "set `kafka` in [node.advertise]"),
    ("host.name", "set `kafka` in [node.addresses]"),
    ("port", "set `kafka` in [node.addresses]"),
    ("log.dir", "set `data_dir` at the top of the file"),
    ("log.dirs", "set `data_dir` at the top of the file; there is one"),
    ("max.connections", "set `max_connections` in [limits]"),
    ("queued.max.request.bytes", "set `request_memory` in [limits]"),
    ("num.network.threads", "set `threads` in [limits]"),
    ("num.io.threads", "set `threads` in [limits]"),
    ("log.flush.interval.ms", "set `sync` and `sync_interval` in [storage]"),
    ("log.flush.interval.messages", "set `sync` and `sync_interval` in [storage]"),
    ("log.flush.scheduler.interval.ms", "set `sync` and `sync_interval` in [storage]"),
    ("zookeeper.connect", "remove it: there is no ZooKeeper"),
    ("process.roles", "remove it: a node has every role"),
    ("default.replication.factor", "set `replication_factor` at the top of the file"),
    ("min.insync.replicas", "set `min_insync_replicas` at the top of the file"),
    ("offsets.topic.replication.factor", "remove it: `replication_factor` at the top of the file holds for that topic, too"),
    ("broker.rack", "set `rack` at the top of the file"),
    ("replica.lag.time.max.ms", "set `replica_lag_max_ms` in [replication]"),
    ("broker.session.timeout.ms", "set `session_timeout_ms` in [replication]"),
    ("controlled.shutdown.enable", "set `enable_leadership_transfer` in [replication]"),
    ("controller.quorum.election.timeout.ms", "set `election_timeout_ms` in [raft]"),
    ("controller.quorum.voters", "list the nodes as [[peers]]"),
    ("controller.quorum.bootstrap.servers", "list the nodes as [[peers]]"),
    ("compression.type", "remove it: records keep the compression of their producer"),
];

/// What to do instead of a Kafka setting that has another name here.
pub(crate) fn kafka_elsewhere(name: &str) -> Option<&'static str> {
    KAFKA_ELSEWHERE.iter().find(|(kafka, _)| *kafka == name).map(|(_, fix)| *fix)
}

/// Whether a variable was put there by Kubernetes for a service whose name begins with `chronik`.
pub(crate) fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT") {
        return value.starts_with("tcp://") || value.starts_with("udp://");
    }
    let Some((_, link)) = name.rsplit_once("_PORT_") else { return false };
    let mut words = link.split('_');
    let numbered = words.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let protocol = matches!(words.next(), Some("TCP" | "UDP" | "SCTP"));
    numbered && protocol && matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_told_from_settings() {
        for (name, value) in [
            ("CHRONIK_SERVICE_HOST", "10.0.0.1"),
            ("CHRONIK_HEADLESS_SERVICE_PORT_KAFKA", "9092"),
            ("CHRONIK_PORT", "tcp://10.0.0.1:9092"),
            ("CHRONIK_KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("CHRONIK_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("CHRONIK_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for (name, value) in [("CHRONIK_KAFKA_PORT", "9092"), ("CHRONIK_NODE_ID", "1"), ("CHRONIK_PORT_X", "1")] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }
}
