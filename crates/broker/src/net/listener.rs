//! Opens the ports and deals connections out to the reactors.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, warn};

use super::reactor::Accepted;
use crate::node::Node;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
/// How long accepting rests after the process ran out of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;
/// The kernel's buffer for what leaves to a client of this machine. The kernel would let it grow to megabytes, for networks whose
/// answers take long; here nothing is on its way for long, and what lies in between has left the processor's caches before the
/// client reads it: a fetch then costs both sides more (docs/adr/0012-what-waits-in-sockets.md).
const LOCAL_SEND_BUFFER_BYTES: usize = 100 << 10;

/// Binds `address`. An IPv6 wildcard takes IPv4 too.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts until the node stops; every connection goes to the next reactor in turn.
pub(crate) async fn accept_loop(node: Arc<Node>, listener: TcpListener, reactors: Vec<UnboundedSender<Accepted>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return node.fail(&"a listener could not be registered with its thread");
    };
    let mut stopping = node.stopping();
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Not `changed`: the node may have been told to stop before this task began.
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                turn = (turn + 1) % reactors.len();
                deal(&node, &reactors[turn], stream, peer);
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

fn deal(node: &Node, reactor: &UnboundedSender<Accepted>, stream: tokio::net::TcpStream, peer: SocketAddr) {
    if !node.connection_begins() {
        warn!(%peer, limit = node.config.connections_max, "connection closed: the limit of connections is reached");
        return;
    }
    let prepared = prepare(&stream, peer).and_then(|()| stream.local_addr()).and_then(|local| Ok((stream.into_std()?, local)));
    if let Err(error) = prepared.map(|(stream, local)| {
        if reactor.send(Accepted { stream, peer, local }).is_err() {
            node.connection_ended();
        }
    }) {
        debug!(%peer, %error, "connection closed before it was served");
        node.connection_ended();
    }
}

/// Answers leave at once; a peer that is gone for hours is noticed.
fn prepare(stream: &tokio::net::TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if peer.ip() == stream.local_addr()?.ip() {
        socket.set_send_buffer_size(LOCAL_SEND_BUFFER_BYTES)?;
    }
    socket.set_keepalive(true)
}
