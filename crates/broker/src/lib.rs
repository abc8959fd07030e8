//! Accepts Kafka connections and runs the tasks of a node.
//!
//! The way of a record reads through the folders in order: `net` (the socket), `dispatch` (which API,
//! which version), `api` (one file per Kafka API), `partition` (append, read, who waits), `replication`
//! (records on their way between nodes), `metadata` (what topics there are), `cluster` (the other nodes), `coordinator` (groups),
//! `upkeep` (what happens when nobody asks). What others see of it: `metrics` (what it counts), `observe` (whether it lives, is ready, is well).

mod api;
mod cluster;
pub mod config;
mod coordinator;
mod dispatch;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(test)]
mod instructions;
mod metadata;
mod metrics;
mod net;
mod node;
mod observe;
mod partition;
mod replication;
pub mod settings;
mod start;
#[cfg(test)]
mod testing;
mod upkeep;

pub use config::{Advertise, ClusterConfig, Config, HostPort, MetricsConfig, Peer, SnapshotCompression, SyncPolicy};
pub use chronik_state::health;
pub use metadata::LoadError;
pub use metrics::{Detail, Kind, METRICS, Metric, Stability};
pub use observe::{ClusterReport, NodeReport, Observer, OwnReport, Reason};
pub use start::{Ready, RunError, StartError, run};
