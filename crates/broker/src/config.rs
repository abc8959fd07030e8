//! What a node is told at its start. Parsed and checked by the command line; plain data here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{PathBuf, absolute};

use crate::metrics::Detail;

/// Everything that a node needs to know before it opens its files and ports.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's number: what clients see as the broker id.
    pub node_id: i32,
    /// Where the log, the metadata and the identity of this node live. Created when absent.
    pub data_dir: PathBuf,
    /// The addresses to listen on for Kafka clients; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// What clients are told to connect to.
    pub advertise: Advertise,
    /// When an acknowledged record is on disk.
    pub sync: SyncPolicy,
    /// With [`SyncPolicy::Interval`]: the longest time an acknowledged record stays unsynced.
    pub sync_interval_ms: u64,
    /// Size of one file of the write-ahead log.
    pub wal_file_bytes: u64,
    /// How much write-ahead log may lie behind the last checkpoint: what a restart has to replay.
    pub checkpoint_distance_bytes: u64,
    /// Produce is refused while the data directory's file system has less than this left.
    pub disk_reserve_bytes: u64,
    /// Connections at one time; a further one is closed at once. Kafka's `max.connections`.
    pub connections_max: usize,
    /// Memory that requests may hold while they arrive, over all connections.
    pub request_memory_bytes: usize,
    /// Threads that serve sockets; 0 for one per core.
    pub reactors: usize,
    /// The cluster that this node is part of; none for a node on its own.
    pub cluster: Option<ClusterConfig>,
    /// What it tells of itself in numbers.
    pub metrics: MetricsConfig,
    /// Settings by Kafka's own names, checked: what DescribeConfigs answers and topics inherit.
    pub kafka: BTreeMap<String, String>,
}

/// How much a node tells of itself in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Down to what.
    pub detail: Detail,
    /// Lines of one answer; what tells of topics, groups and partitions is left out beyond it.
    pub series_max: usize,
}

/// A cluster, as the file of one of its nodes describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Every node that the cluster is founded with, this one among them, by ascending number.
    pub peers: Vec<Peer>,
    /// Where this node listens for the records of leaders.
    pub wal_listen: SocketAddr,
    /// Where this node listens for the metadata's Raft group and for other nodes' requests.
    pub raft_listen: SocketAddr,
    /// Where this node stands, by the operator's own names (KIP-36).
    pub rack: Option<String>,
    /// A follower of the metadata that hears nothing of its leader for one to two times this would be leader.
    pub election_timeout_ms: u64,
    /// The metadata leader's words come at least this often.
    pub heartbeat_interval_ms: u64,
    /// A broker that the metadata leader has not heard for this long is fenced: others lead its partitions.
    pub session_timeout_ms: u64,
    /// A snapshot of the metadata is due when its log has grown by this many bytes.
    pub snapshot_max_log_bytes: u64,
    /// But not before it has grown by this many entries.
    pub snapshot_min_interval_entries: u64,
    /// How a snapshot of the metadata is compressed.
    pub snapshot_compression: SnapshotCompression,
    /// Messages to one follower of the metadata that may be on their way unanswered.
    pub max_inflight_messages: usize,
    /// Bytes of entries in one of them, unless one entry alone has more.
    pub max_append_entries_bytes: u64,
    /// A request to another node that takes longer has failed.
    pub rpc_timeout_ms: u64,
    /// A follower that has not had everything for this long leaves the in-sync set.
    pub replica_lag_max_ms: u64,
    /// Whether a node that stops hands the metadata's leadership over first.
    pub enable_leadership_transfer: bool,
    /// How long it waits for that.
    pub leadership_transfer_timeout_ms: u64,
    /// Changes arrive as events; this often it is looked whether one was missed.
    pub discovery_interval_ms: u64,
    /// Nodes that have no records for each other say so at least this often.
    pub wal_heartbeat_interval_ms: u64,
    /// A connection over which nothing came for this long is closed, and made anew.
    pub wal_silence_max_ms: u64,
}

/// How a snapshot of the metadata is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotCompression {
    /// Not at all.
    None,
    /// Zstandard.
    Zstd,
}

/// A node of the cluster, as others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub id: i32,
    /// For Kafka clients.
    pub kafka: HostPort,
    /// For the records of leaders.
    pub wal: HostPort,
    /// For the metadata's Raft group and requests between nodes.
    pub raft: HostPort,
}

/// An address by name; resolved whenever it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl ClusterConfig {
    /// With everything that a file may leave out.
    pub fn new(peers: Vec<Peer>, wal_listen: SocketAddr, raft_listen: SocketAddr) -> Self {
        ClusterConfig {
            peers,
            wal_listen,
            raft_listen,
            rack: None,
            election_timeout_ms: 1000,
            heartbeat_interval_ms: 100,
            session_timeout_ms: 3000,
            snapshot_max_log_bytes: 64 << 20,
            snapshot_min_interval_entries: 10_000,
            snapshot_compression: SnapshotCompression::Zstd,
            max_inflight_messages: 256,
            max_append_entries_bytes: 1 << 20,
            rpc_timeout_ms: 5000,
            replica_lag_max_ms: 10_000,
            enable_leadership_transfer: true,
            leadership_transfer_timeout_ms: 5000,
            discovery_interval_ms: 10_000,
            wal_heartbeat_interval_ms: 10_000,
            wal_silence_max_ms: 30_000,
        }
    }
}

/// How a client learns where this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertise {
    /// The local address on which the client's own connection arrived: right for loopback, for every
    /// interface of a multi-homed host, and inside a container network.
    FollowConnection,
    /// This host and port, for everyone.
    Fixed { host: String, port: u16 },
}

/// When a record counts as acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After it is on disk: one sync for all that waits.
    Commit,
    /// After it is written; the sync follows within `sync_interval_ms`. Kafka's own habit.
    Interval,
}

impl Config {
    /// The data directory from the root on, as clients are told of it.
    pub(crate) fn absolute_data_dir(&self) -> PathBuf {
        absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node_id: 1,
            data_dir: PathBuf::from("./data"),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 9092))],
            advertise: Advertise::FollowConnection,
            sync: SyncPolicy::Commit,
            sync_interval_ms: 200,
            wal_file_bytes: 64 << 20,
            checkpoint_distance_bytes: 64 << 20,
            disk_reserve_bytes: 256 << 20,
            connections_max: 20_000,
            request_memory_bytes: 512 << 20,
            reactors: 0,
            cluster: None,
            metrics: MetricsConfig { detail: Detail::Partition, series_max: 50_000 },
            kafka: BTreeMap::new(),
        }
    }
}
