//! Connections and their bounds. Whoever is slow, or says what is not HTTP, loses the one connection and nothing else.
//!
//! A connection carries one request: who scrapes every few seconds does not mind, and nothing has to be kept, or be timed, in between.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use chronik_broker::Observer;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::routes::{self, Shelf};
use crate::{Port, Surface};

/// Connections at one time. When one more comes, the oldest ends that has not asked anything yet, or else the oldest: whoever holds
/// connections open keeps nobody out.
const CONNECTIONS_MAX: usize = 64;
/// Within this a request has to be there, to the end of its headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// Within this all is over, the answer taken.
const CONNECTION_MAX: Duration = Duration::from_secs(15);
/// Bytes of a request's headers.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// And how many of them.
const HEADERS_MAX: usize = 64;
/// How long accepting rests after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Of the thread.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// As the standard library binds: a port that a process before this one has just let go can be had at once.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

pub(crate) fn run(ports: Vec<Port>, observer: Observer) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let shelf = Arc::new(Shelf::default());
        let mut accepting = Vec::new();
        for port in ports {
            let listener = tokio::net::TcpListener::from_std(port.listener)?;
            accepting.push(tokio::spawn(accept(listener, port.surface, observer.clone(), Arc::clone(&shelf))));
        }
        for task in accepting {
            // It ends only by a panic, which has said so itself.
            let _ = task.await;
        }
        Ok(())
    })
}

/// A connection that is served.
struct Open {
    task: AbortHandle,
    has_asked: Arc<AtomicBool>,
}

async fn accept(listener: tokio::net::TcpListener, surface: Surface, observer: Observer, shelf: Arc<Shelf>) {
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                open.retain(|connection| !connection.task.is_finished());
                if open.len() >= CONNECTIONS_MAX {
                    let silent = open.iter().position(|connection| !connection.has_asked.load(Ordering::Relaxed));
                    if let Some(ends) = open.remove(silent.unwrap_or(0)) {
                        ends.task.abort();
                    }
                }
                let has_asked = Arc::new(AtomicBool::new(false));
                let serving = serve(stream, peer, surface, observer.clone(), Arc::clone(&shelf), Arc::clone(&has_asked));
                open.push_back(Open { task: tokio::spawn(serving).abort_handle(), has_asked });
            }
            Err(error) => {
                warn!(%error, "an HTTP connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    surface: Surface,
    observer: Observer,
    shelf: Arc<Shelf>,
    has_asked: Arc<AtomicBool>,
) {
    let service = service_fn(move |request| {
        has_asked.store(true, Ordering::Relaxed);
        routes::answer(request, surface, observer.clone(), Arc::clone(&shelf))
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEADERS_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%peer, %error, "HTTP connection closed"),
        Err(_) => debug!(%peer, "HTTP connection closed: it took too long"),
    }
}
