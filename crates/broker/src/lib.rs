//! Accepts Kafka connections and runs the tasks of a node.
//!
//! The way of a record reads through the folders in order: `net` (the socket), `dispatch` (which API,
//! which version), `api` (one file per Kafka API), `partition` (append, read, who waits), `replication`
//! (records on their way between nodes), `metadata` (what topics there are), `cluster` (the other nodes), `coordinator` (groups),
//! `upkeep` (what happens when nobody asks).

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
mod net;
mod node;
mod partition;
mod replication;
pub mod settings;
mod start;
#[cfg(test)]
mod testing;
mod upkeep;

pub use config::{Advertise, ClusterConfig, Config, HostPort, Peer, SnapshotCompression, SyncPolicy};
pub use metadata::LoadError;
pub use start::{Ready, RunError, StartError, run};
