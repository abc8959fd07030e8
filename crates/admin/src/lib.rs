//! Speaks HTTP: health, metrics, and what a node knows of its cluster.
//!
//! One thread, which sleeps until somebody asks. It looks at the node through [`chronik_broker::Observer`] and changes nothing.

mod answers;
mod routes;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};

use chronik_broker::Observer;
use tracing::warn;

/// What a port serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Everything.
    Whole,
    /// `/metrics`, and nothing else.
    Metrics,
}

/// A port that is taken, and what it is for.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    surface: Surface,
}

impl Port {
    /// Takes a port. Who connects waits until [`spawn`].
    ///
    /// # Errors
    /// As the system gives them.
    pub fn bind(address: SocketAddr, surface: Surface) -> io::Result<Port> {
        Ok(Port { listener: server::bind(address)?, surface })
    }

    /// Where it is, with the port that the system gave.
    ///
    /// # Errors
    /// As the system gives them.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves `ports` from here to the end of the process, on a thread of its own.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn(ports: Vec<Port>, observer: Observer) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("http".to_owned()).stack_size(server::STACK_BYTES);
    thread.spawn(move || {
        if let Err(error) = server::run(ports, observer) {
            // The node goes on without: it is what it is there for.
            warn!("the HTTP port is closed: {error}");
        }
    })?;
    Ok(())
}
