//! The connections to other members: one task for each, which connects, sends what the council says, and begins anew when the
//! connection breaks. What cannot be sent is dropped: the Raft group says it again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use chronik_consensus::Message;
use chronik_state::ids::BrokerId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tracing::{debug, info};

use super::control::Event;
use super::messages::{RaftRequest, RaftResponse, SnapshotRequest, VERSION};
use super::service::{KEEPALIVE, MESSAGE_BYTES_MAX, PeerClient};
use super::{Cluster, Member};
use crate::config::HostPort;

/// Messages that wait for a member; one that does not take them has to be told again anyway.
const MESSAGES_MAX: usize = 256;
/// Messages that leave together.
const BATCH_MAX: usize = 64;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

/// All connections of this node to others.
#[derive(Default)]
pub(super) struct Links {
    by_member: BTreeMap<u64, Link>,
}

struct Link {
    member: Member,
    messages: mpsc::Sender<Message>,
    /// For requests; connects when it is first used, and again when it broke.
    channel: Rc<RefCell<Channel>>,
    is_up: Rc<Cell<bool>>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// Connects to members that are new or have moved, and lets go of those that are gone.
    pub(super) fn update(&mut self, cluster: &Cluster, cluster_id: &str, rpc_timeout: Duration) {
        let members = cluster.members.read().clone();
        self.by_member.retain(|id, link| members.get(id) == Some(&link.member));
        for (id, member) in members {
            if id == cluster.raft_id || self.by_member.contains_key(&id) {
                continue;
            }
            let endpoints: Vec<_> = std::iter::once(&member.raft).chain(&member.also).filter_map(endpoint).collect();
            let Some(first) = endpoints.first() else { continue };
            let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
            let channel = Rc::new(RefCell::new(first.clone().timeout(rpc_timeout).connect_lazy()));
            let is_up = Rc::new(Cell::new(false));
            let way = Rc::new(Way {
                is_up: Rc::clone(&is_up),
                channel: Rc::clone(&channel),
                rpc_timeout,
                id,
                node_id: member.node_id,
                endpoints,
                events: cluster.events.clone(),
                cluster_id: cluster_id.to_owned(),
            });
            let task = tokio::task::spawn_local(keep_connected(way, receiver));
            self.by_member.insert(id, Link { member, messages, channel, is_up, task });
        }
    }

    /// Hands a message to its member's connection, or gives it back if there is none, or it is behind.
    pub(super) fn send(&self, message: Message) -> Result<(), Box<Message>> {
        let Some(link) = self.by_member.get(&message.to) else { return Err(Box::new(message)) };
        link.messages.try_send(message).map_err(|refused| Box::new(refused.into_inner()))
    }

    /// Members to which there is no connection now.
    pub(super) fn away(&self) -> Vec<BrokerId> {
        let mut away: Vec<_> = self.by_member.values().filter(|link| !link.is_up.get()).map(|link| link.member.node_id).collect();
        away.sort_unstable();
        away
    }

    /// A client for requests to a member.
    pub(super) fn client(&self, id: u64) -> Option<PeerClient<Channel>> {
        self.by_member.get(&id).map(|link| client(link.channel.borrow().clone()))
    }
}

pub(super) fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// How to reach a node; nothing for a name that is no name.
pub(super) fn endpoint(address: &HostPort) -> Option<Endpoint> {
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{}", address.port)).ok()?;
    Some(
        endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true),
    )
}

struct Way {
    id: u64,
    is_up: Rc<Cell<bool>>,
    /// For requests: it goes where the messages go.
    channel: Rc<RefCell<Channel>>,
    rpc_timeout: Duration,
    node_id: i32,
    /// Where it may be; at least one.
    endpoints: Vec<Endpoint>,
    events: mpsc::UnboundedSender<Event>,
    cluster_id: String,
}

async fn keep_connected(way: Rc<Way>, messages: mpsc::Receiver<Message>) {
    let mut queue = Queue { way: Rc::clone(&way), messages };
    let mut pause = PAUSE_MIN;
    let mut was_connected = true;
    let (mut at, mut refused_in_turn) = (0, 0);
    loop {
        let endpoint = &way.endpoints[at % way.endpoints.len()];
        match endpoint.connect().await {
            Ok(channel) => {
                if !std::mem::replace(&mut was_connected, true) {
                    info!(node = way.node_id, "connected");
                }
                pause = PAUSE_MIN;
                refused_in_turn = 0;
                way.channel.replace(endpoint.clone().timeout(way.rpc_timeout).connect_lazy());
                way.is_up.set(true);
                if pump(&way, channel, &mut queue.messages).await == Pumped::Elsewhere {
                    at += 1;
                }
                way.is_up.set(false);
                way.tell(Event::LinkDown { id: way.id, refused: false });
                if way.endpoints.len() > 1 {
                    // Two addresses, neither of which it is at, must not keep this thread busy.
                    tokio::time::sleep(PAUSE_MIN).await;
                }
            }
            Err(error) => {
                at += 1;
                refused_in_turn = if is_refused(&error) { refused_in_turn + 1 } else { 0 };
                if std::mem::take(&mut was_connected) {
                    info!(node = way.node_id, address = %endpoint.uri(), "not connected: {}", root(&error));
                }
                // Its process has ended only if it is refused wherever it may be.
                way.tell(Event::LinkDown { id: way.id, refused: refused_in_turn >= way.endpoints.len() });
                // Half of it by chance, so that nodes do not keep step.
                let chance = u64::from(crate::node::random_id()[0]);
                tokio::time::sleep(pause / 2 + pause / 2 * chance as u32 / 255).await;
                pause = (pause * 2).min(PAUSE_MAX);
                // They are old by now.
                while let Ok(message) = queue.messages.try_recv() {
                    way.drop_message(&message);
                }
            }
        }
    }
}

impl Way {
    fn tell(&self, event: Event) {
        // Nobody listens on a node that stops.
        let _ = self.events.send(event);
    }

    fn ended(&self, ended: Result<Response<RaftResponse>, Status>) -> Pumped {
        match ended {
            Err(status) if status.code() == Code::NotFound => return Pumped::Elsewhere,
            // Of a second address that need not be this member's.
            Err(status) if status.code() == Code::PermissionDenied && self.endpoints.len() > 1 => return Pumped::Elsewhere,
            Err(status) if status.code() == Code::PermissionDenied => {
                self.tell(Event::Denied { id: self.id, why: status.message().to_owned() });
            }
            other => debug!(node = self.node_id, ended = ?other, "the stream of messages ended"),
        }
        Pumped::Broken
    }

    /// A message will not be sent. Of a snapshot the Raft group has to hear: it sends that member nothing else until then.
    fn drop_message(&self, message: &Message) {
        if carries_snapshot(message) {
            self.tell(Event::SnapshotSent { id: self.id, arrived: false });
        }
    }
}

/// Messages that were still waiting when their link was replaced.
struct Queue {
    way: Rc<Way>,
    messages: mpsc::Receiver<Message>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.messages.close();
        while let Ok(message) = self.messages.try_recv() {
            self.way.drop_message(&message);
        }
    }
}

/// Whether it is about a snapshot.
pub(super) fn carries_snapshot(message: &Message) -> bool {
    message.snapshot.as_ref().is_some_and(|snapshot| snapshot.metadata.is_some())
}

/// How a connection ended.
#[derive(PartialEq)]
enum Pumped {
    Broken,
    /// Somebody else is there.
    Elsewhere,
}

/// Sends messages until the connection breaks.
async fn pump(way: &Rc<Way>, channel: Channel, messages: &mut mpsc::Receiver<Message>) -> Pumped {
    let (batches, stream) = mpsc::channel(4);
    let mut stream_client = client(channel.clone());
    let mut stream = std::pin::pin!(stream_client.raft(ReceiverStream::new(stream)));
    loop {
        let first = tokio::select! {
            ended = &mut stream => return way.ended(ended),
            first = messages.recv() => first,
        };
        // The sender is gone when the link is.
        let Some(first) = first else { return Pumped::Broken };
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            if carries_snapshot(&message) {
                tokio::task::spawn_local(send_snapshot(Rc::clone(way), channel.clone(), message));
            } else {
                batch.push(message);
            }
            next = if batch.len() < BATCH_MAX { messages.try_recv().ok() } else { None };
        }
        let request = RaftRequest { version: VERSION, messages: batch, cluster_id: way.cluster_id.clone() };
        tokio::select! {
            ended = &mut stream => return way.ended(ended),
            sent = batches.send(request) => if sent.is_err() { return Pumped::Broken },
        }
    }
}

async fn send_snapshot(way: Rc<Way>, channel: Channel, message: Message) {
    let request = SnapshotRequest { version: VERSION, message: Some(message), cluster_id: way.cluster_id.clone() };
    let arrived = client(channel).snapshot(request).await.is_ok();
    info!(node = way.node_id, arrived, "metadata snapshot sent");
    way.tell(Event::SnapshotSent { id: way.id, arrived });
}

/// Nobody listens at the address: the process is gone, not the way to it.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// raft-rs sends a member to which a snapshot is on its way nothing else until it hears what became of it.
    #[tokio::test]
    async fn of_a_snapshot_that_is_dropped_the_group_hears() {
        let (events, mut told) = mpsc::unbounded_channel();
        let way = Rc::new(way(events, &[1]));
        let (sender, messages) = mpsc::channel(2);
        let snapshot = Message { snapshot: Some(snapshot()), ..Message::default() };
        sender.try_send(Message::default()).unwrap();
        sender.try_send(snapshot).unwrap();
        drop(Queue { way, messages });
        assert!(matches!(told.try_recv(), Ok(Event::SnapshotSent { id: 7, arrived: false })));
        assert!(told.try_recv().is_err(), "of other messages nobody has to hear");
    }

    /// It said where it was, has moved, and this node hears of what it said only now: it is looked for where the operator says as well.
    #[tokio::test]
    async fn a_member_is_looked_for_wherever_it_may_be() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (events, mut told) = mpsc::unbounded_channel();
        let way = Rc::new(way(events, &[nobody, listener.local_addr().unwrap().port()]));
        let (_sender, messages) = mpsc::channel(2);
        let local = tokio::task::LocalSet::new();
        let link = local.spawn_local(keep_connected(Rc::clone(&way), messages));
        let (_peer, _) = local.run_until(listener.accept()).await.unwrap();
        local.run_until(async { while !way.is_up.get() { tokio::task::yield_now().await } }).await;
        assert!(matches!(told.try_recv(), Ok(Event::LinkDown { id: 7, refused: false })), "refused at one of two places is not gone");
        link.abort();
    }

    fn way(events: mpsc::UnboundedSender<Event>, ports: &[u16]) -> Way {
        let address = |port: &u16| endpoint(&HostPort { host: "127.0.0.1".to_owned(), port: *port }).unwrap();
        let endpoints: Vec<_> = ports.iter().map(address).collect();
        let channel = Rc::new(RefCell::new(endpoints[0].connect_lazy()));
        let rpc_timeout = Duration::from_secs(1);
        Way { id: 7, is_up: Rc::default(), channel, rpc_timeout, node_id: 2, endpoints, events, cluster_id: String::new() }
    }

    fn snapshot() -> chronik_consensus::Snapshot {
        chronik_consensus::Snapshot { metadata: Some(Default::default()), ..Default::default() }
    }
}
