//! How a node comes up, serves, and goes down.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use thiserror::Error;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::net::reactor::{Accepted, Reactor};
use crate::net::listener;
use crate::node::Node;
use crate::settings::{InvalidSetting, Settings};

/// Why a node did not come up.
#[derive(Debug, Error)]
pub enum StartError {
    /// Settings that do not fit.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<InvalidSetting>),
    /// A port that cannot be had.
    #[error("cannot listen on {address}: {source}\n\n{}", hint(.source, .address))]
    Listen { address: SocketAddr, source: io::Error },
    /// The data directory belongs to someone else.
    #[error("{0}")]
    Identity(#[from] chronik_log::IdentityError),
    /// The data directory cannot be read, or is not whole.
    #[error("{0}")]
    Storage(#[from] chronik_log::StorageError),
    /// The metadata log says what cannot be.
    #[error("{0}")]
    Metadata(#[from] crate::metadata::LoadError),
    /// The system gave no thread, or no event queue.
    #[error("the system refused a thread or its event queue: {0}")]
    System(io::Error),
}

fn hint(error: &io::Error, address: &SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Another process listens there.\n\nFix: stop it, or choose another port with --bind {}:PORT",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need privileges.\n\nFix: choose a port above 1023 with --bind".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "No interface of this machine has this address.\n\nFix: bind to 0.0.0.0, or to an address of this machine".to_owned()
        }
        _ => "Fix: choose another address with --bind".to_owned(),
    }
}
