//! Connections between nodes are made and remade: every node dials every other one, and proves who it is by a hello.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use chronik_state::ids::BrokerId;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::channel::{Channel, Direction};
use super::frame::{self, Damaged, Hello, Message, Speaker};
use super::thread::Hub;
use crate::config::HostPort;
use crate::node::random_id;

/// How long a connection may take to be made, and then to say who it is.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Connections that have not said yet who they are, at one time; a further one is closed at once.
const UNKNOWN_MAX: usize = 64;
/// Between two attempts: doubled after each, and never the same for two nodes.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The pauses before this attempt come to about a second.
const FAILED_WORTH_A_WORD: u32 = 5;

/// Why nothing came of a connection.
#[derive(Debug, Error)]
enum Refused {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("nothing came of it within {HANDSHAKE_MAX:?}")]
    Slow,
    #[error("{0}")]
    Damaged(#[from] Damaged),
    #[error("it did not begin with a hello")]
    NoHello,
    #[error("it is of cluster {0:?}")]
    OtherCluster(String),
    #[error("it is of node {from}, and looks for node {to}")]
    OtherNode { from: BrokerId, to: BrokerId },
    #[error("it is of incarnation {said} of node {id}, {known} is known")]
    Incarnation { id: BrokerId, said: i64, known: i64 },
    #[error("node {0} is not known here")]
    Unknown(BrokerId),
    #[error("this node is not registered yet")]
    Unregistered,
}

impl Refused {
    /// The metadata has not come to one of the two yet.
    fn passes(&self) -> bool {
        matches!(self, Refused::Incarnation { .. } | Refused::Unregistered)
    }
}

/// The task that keeps a connection to one node. Dropped, it ends, and the connection with it.
pub(super) struct Dialling {
    address: HostPort,
    hurry: Rc<Notify>,
    task: JoinHandle<()>,
}

impl Dialling {
    pub(super) fn begin(hub: &Rc<Hub>, id: BrokerId, address: HostPort) -> Self {
        let hurry = Rc::new(Notify::new());
        let task = tokio::task::spawn_local(dial_for_ever(Rc::clone(hub), id, address.clone(), Rc::clone(&hurry)));
        Dialling { address, hurry, task }
    }

    pub(super) fn address(&self) -> &HostPort {
        &self.address
    }

    /// Something is new of that node: it may be there again.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn dial_for_ever(hub: Rc<Hub>, id: BrokerId, address: HostPort, hurry: Rc<Notify>) {
    let mut pause = Pause::new();
    loop {
        match timeout(HANDSHAKE_MAX, dial(&hub, id, &address)).await.unwrap_or(Err(Refused::Slow)) {
            Ok((stream, peer_epoch)) => {
                info!(node = id, "records of this node's partitions go to node {id}");
                pause = Pause::new();
                let channel = Channel::new(id, peer_epoch, Direction::Leads);
                hub.dialled(&channel);
                serve(&hub, &channel, stream).await;
            }
            Err(refused) if pause.is_worth_a_word() => {
                info!(node = id, host = %address.host, port = address.port, "node {id} cannot be reached: {refused}")
            }
            Err(refused) => debug!(node = id, "node {id} cannot be reached: {refused}"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause.next()) => {}
            () = hurry.notified() => {}
        }
    }
}

async fn dial(hub: &Hub, id: BrokerId, address: &HostPort) -> Result<(TcpStream, i64), Refused> {
    let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    say_hello(hub, id, &mut stream).await?;
    let hello = hear_hello(&mut stream).await?;
    check(hub, &hello)?;
    if hello.from != id {
        return Err(Refused::OtherNode { from: hello.from, to: hello.to });
    }
    Ok((stream, hello.broker_epoch))
}

/// Takes connections of other nodes until the task is ended.
pub(super) async fn accept(hub: Rc<Hub>, listener: std::net::TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return hub
                .node
                .fail(&format_args!("the listener for other nodes could not be registered with its thread: {error}"));
        }
    };
    let unknown = Rc::new(Cell::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) if unknown.get() < UNKNOWN_MAX => {
                unknown.set(unknown.get() + 1);
                tokio::task::spawn_local(welcome(Rc::clone(&hub), stream, peer, Rc::clone(&unknown)));
            }
            Ok((_, peer)) => {
                warn!(%peer, limit = UNKNOWN_MAX, "connection closed: too many others have not said yet who they are")
            }
            Err(error) => {
                warn!(%error, "a connection of another node could not be accepted");
                tokio::time::sleep(PAUSE_MIN).await;
            }
        }
    }
}

async fn welcome(hub: Rc<Hub>, mut stream: TcpStream, peer: SocketAddr, unknown: Rc<Cell<usize>>) {
    let known = timeout(HANDSHAKE_MAX, answer_hello(&hub, &mut stream)).await.unwrap_or(Err(Refused::Slow));
    unknown.set(unknown.get() - 1);
    match known {
        Ok(hello) => {
            let channel = Channel::new(hello.from, hello.broker_epoch, Direction::Follows);
            debug!(%peer, node = hello.from, "node {} sends records of its partitions", hello.from);
            hub.accepted(&channel);
            serve(&hub, &channel, stream).await;
        }
        // Everybody comes up at once, and each hears of the others a moment later.
        Err(refused) if refused.passes() => debug!(%peer, "connection refused: {refused}"),
        Err(refused) => info!(%peer, "connection refused: {refused}"),
    }
}

async fn serve(hub: &Rc<Hub>, channel: &Rc<Channel>, stream: TcpStream) {
    /// However it ends: the task may be dropped.
    struct Serving<'a>(&'a Rc<Hub>, &'a Rc<Channel>);
    impl Drop for Serving<'_> {
        fn drop(&mut self) {
            self.0.ended(self.1);
        }
    }
    let _serving = Serving(hub, channel);
    let ended = channel.serve(hub, stream).await;
    let peer = channel.peer;
    match ended.is_expected() {
        true => debug!(node = peer, "the connection with node {peer} ended: {ended}"),
        false => warn!(node = peer, "the connection with node {peer} is closed: {ended}"),
    }
}

async fn answer_hello(hub: &Hub, stream: &mut TcpStream) -> Result<Hello, Refused> {
    stream.set_nodelay(true)?;
    let hello = hear_hello(stream).await?;
    check(hub, &hello)?;
    say_hello(hub, hello.from, stream).await?;
    Ok(hello)
}

async fn say_hello(hub: &Hub, to: BrokerId, stream: &mut TcpStream) -> Result<(), Refused> {
    let mut bytes = BytesMut::new();
    let hello = {
        let peers = hub.peers();
        let broker_epoch = peers.own_epoch.ok_or(Refused::Unregistered)?;
        Hello { cluster_id: peers.cluster_id.clone(), from: hub.node.config.node_id, to, broker_epoch }
    };
    frame::encode(&Message::Hello(hello), &mut bytes);
    Ok(stream.write_all(&bytes).await?)
}

async fn hear_hello(stream: &mut TcpStream) -> Result<Hello, Refused> {
    let nobody = Speaker { broker_id: -1, broker_epoch: -1 };
    let mut bytes = vec![0; frame::HEADER_BYTES];
    stream.read_exact(&mut bytes).await?;
    // Of a stranger nothing long is read.
    let length = frame::frame_bytes(&bytes, 0)?.ok_or(Refused::NoHello)?;
    bytes.resize(length, 0);
    stream.read_exact(&mut bytes[frame::HEADER_BYTES..]).await?;
    match frame::decode(&bytes, nobody)? {
        Message::Hello(hello) => Ok(hello),
        _ => Err(Refused::NoHello),
    }
}

/// Is the other side who it says it is, as far as is known here, and does it mean this node? An incarnation that is not known here yet
/// is refused like one that is over: it comes again, and by then the metadata will have it.
fn check(hub: &Hub, hello: &Hello) -> Result<(), Refused> {
    let peers = hub.peers();
    if peers.own_epoch.is_none() {
        return Err(Refused::Unregistered);
    }
    if hello.cluster_id != peers.cluster_id {
        return Err(Refused::OtherCluster(hello.cluster_id.clone()));
    }
    if hello.to != hub.node.config.node_id {
        return Err(Refused::OtherNode { from: hello.from, to: hello.to });
    }
    let known = peers.others.get(&hello.from).ok_or(Refused::Unknown(hello.from))?.broker_epoch;
    if hello.broker_epoch != known {
        return Err(Refused::Incarnation { id: hello.from, said: hello.broker_epoch, known });
    }
    Ok(())
}

/// The time between two attempts.
struct Pause {
    next: Duration,
    failed: u32,
}

impl Pause {
    fn new() -> Self {
        Pause { next: PAUSE_MIN, failed: 0 }
    }

    /// Once, after about a second: nodes that come up together refuse each other for a moment.
    fn is_worth_a_word(&self) -> bool {
        self.failed == FAILED_WORTH_A_WORD
    }

    /// Between half of it and all of it.
    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.failed = self.failed.saturating_add(1);
        self.next = (pause * 2).min(PAUSE_MAX);
        let chance = f64::from(random_id()[0]) / 255.0;
        pause.mul_f64(0.5 + chance / 2.0)
    }
}
