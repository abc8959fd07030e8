//! The socket: who listens, which thread owns a connection, and how bytes come in and go out.

pub(crate) mod buffer;
pub(crate) mod committer;
pub(crate) mod connection;
pub(crate) mod listener;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod reactor;
