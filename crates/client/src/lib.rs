//! Outgoing Kafka connections, for the command line and the tests.
//!
//! One connection, one request at a time: what a tool needs to ask a node something, and what a test needs to say exactly
//! the bytes it means. Clients that produce and consume in earnest exist; this is none of them.

mod connection;

pub use chronik_wire::{ApiKey, ErrorCode, Versions, message, messages};
pub use connection::{ClientError, Connection};
