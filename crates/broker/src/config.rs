//! What a node is told at its start. Parsed and checked by the command line; plain data here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{PathBuf, absolute};

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
    /// Settings by Kafka's own names, checked: what DescribeConfigs answers and topics inherit.
    pub kafka: BTreeMap<String, String>,
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
            kafka: BTreeMap::new(),
        }
    }
}
