//! A node for tests that need thousands of them: one thread, any disk, no network. Its clock jumps to whatever is waited
//! for, and its ids are the same each time.

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chronik_log::disk::Disk;
use chronik_wire::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::dispatch::table;
use crate::net::reactor::{Accepted, Reactor};
use crate::node::Node;
use crate::start;

/// When a node's first life begins; every later one begins an hour after the one before.
const FIRST_LIFE_MS: i64 = 1_700_000_000_000;
const LIFE_MS: i64 = 3_600_000;
/// Where everybody comes from, and goes to.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 9092);
/// By the node's clock: longer than anything that is waited for on behalf of a client who has ended its side.
const PATIENCE: Duration = Duration::from_secs(3000);

thread_local! {
    static LIFE: Cell<Option<Life>> = const { Cell::new(None) };
}

/// The clock and the ids of the node that this thread runs.
#[derive(Clone, Copy)]
struct Life {
    number: u64,
    began: Instant,
    ids: u64,
}

/// Milliseconds since the Unix epoch, if this thread runs such a node.
pub(crate) fn now_ms() -> Option<i64> {
    let life = LIFE.get()?;
    Some(FIRST_LIFE_MS + life.number as i64 * LIFE_MS + life.began.elapsed().as_millis() as i64)
}

/// An id that no other one of this node's lives is, if this thread runs such a node.
pub(crate) fn next_id() -> Option<[u8; 16]> {
    let mut life = LIFE.get()?;
    life.ids += 1;
    LIFE.set(Some(life));
    Some((u128::from(life.number + 1) << 64 | u128::from(life.ids)).to_be_bytes())
}

/// The APIs that a node serves.
pub fn served() -> Vec<ApiKey> {
    table::keys().collect()
}

/// Brings a node up on `disk`, for the `life`th time; then connection after connection sends what is in `connections`,
/// ends its side, and takes all that is answered; upkeep is done between them. What was answered to each is returned,
/// after the node has stopped in good order.
///
/// # Errors
/// The node did not come up, or had to stop: why.
pub fn converse(disk: Arc<dyn Disk>, life: u64, config: Config, connections: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build_local(LocalOptions::default());
    let conversation = runtime.map_err(|error| error.to_string())?.block_on(async {
        LIFE.set(Some(Life { number: life, began: Instant::now(), ids: 0 }));
        live(disk, config, connections).await
    });
    LIFE.set(None);
    conversation
}

async fn live(disk: Arc<dyn Disk>, config: Config, connections: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
    let config = Config { listen: Vec::new(), reactors: 1, ..config };
    let (node, _, _) = start::bring_up_on(disk, config).map_err(|error| error.to_string())?;
    let reactor = Reactor::new(Arc::clone(&node), 0);
    let (dealt, accepted) = mpsc::unbounded_channel();
    let running = tokio::task::spawn_local(Rc::clone(&reactor).run(accepted));
    let mut answers = Vec::new();
    for (index, requests) in connections.iter().enumerate() {
        if index > 0 {
            tidy_up(&node)?;
        }
        let answer = timeout(PATIENCE, talk(&node, &dealt, requests)).await;
        answers.push(answer.map_err(|_| "a connection whose client has ended its side does not end")?);
    }
    drop(dealt);
    running.await.map_err(|error| error.to_string())?;
    node.stop();
    node.storage.close(crate::node::now_ms()).map_err(|error| error.to_string())?;
    match node.failure.get() {
        Some(why) => Err(why.clone()),
        None => Ok(answers),
    }
}

/// One connection from its first byte to its last.
async fn talk(node: &Node, dealt: &UnboundedSender<Accepted>, requests: &[u8]) -> Vec<u8> {
    let (ours, theirs) = UnixStream::pair().expect("the system gives a pair of sockets");
    theirs.set_nonblocking(true).expect("sockets can be told not to block");
    ours.set_nonblocking(true).expect("sockets can be told not to block");
    // What the reactor does with a stream it does with any.
    let stream = TcpStream::from(OwnedFd::from(theirs));
    assert!(node.connection_begins(), "every connection before it has ended");
    let address = SocketAddr::from(ADDRESS);
    assert!(dealt.send(Accepted { stream, peer: address, local: address }).is_ok(), "the reactor runs");
    let (mut reading, mut writing) = tokio::net::UnixStream::from_std(ours).expect("a runtime").into_split();
    let mut answers = Vec::new();
    let asking = async {
        // A server that closes the connection need not have read everything.
        let _ = writing.write_all(requests).await;
        let _ = writing.shutdown().await;
        yield_now().await;
    };
    // One that is closed with bytes unread ends in an error, behind the answers.
    let (_, _) = tokio::join!(asking, reading.read_to_end(&mut answers));
    answers
}

/// What upkeep does from time to time.
fn tidy_up(node: &Node) -> Result<(), String> {
    let now_ms = crate::node::now_ms();
    node.storage.retention(now_ms).map_err(|error| error.to_string())?;
    node.storage.upkeep(now_ms, true).map_err(|error| error.to_string())
}
