//! The connections to other members: one task for each, which connects, sends what the council says, and begins anew when the
//! connection breaks. What cannot be sent is dropped: the Raft group says it again.

use std::cell::Cell;
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
    channel: Channel,
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
            let Some(endpoint) = endpoint(&member.raft) else { continue };
            let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
            let channel = endpoint.clone().timeout(rpc_timeout).connect_lazy();
            let is_up = Rc::new(Cell::new(false));
            let link = Rc::new(Way { is_up: Rc::clone(&is_up), id, node_id: member.node_id, endpoint, events: cluster.events.clone(), cluster_id: cluster_id.to_owned() });
            let task = tokio::task::spawn_local(keep_connected(link, receiver));
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
        self.by_member.get(&id).map(|link| client(link.channel.clone()))
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
    node_id: i32,
    endpoint: Endpoint,
    events: mpsc::UnboundedSender<Event>,
    cluster_id: String,
}

async fn keep_connected(way: Rc<Way>, messages: mpsc::Receiver<Message>) {
    let mut queue = Queue { way: Rc::clone(&way), messages };
    let mut pause = PAUSE_MIN;
    let mut was_connected = true;
    loop {
        match way.endpoint.connect().await {
            Ok(channel) => {
                if !std::mem::replace(&mut was_connected, true) {
                    info!(node = way.node_id, "connected");
                }
                pause = PAUSE_MIN;
                way.is_up.set(true);
                pump(&way, channel, &mut queue.messages).await;
                way.is_up.set(false);
                way.tell(Event::LinkDown { id: way.id, refused: false });
            }
            Err(error) => {
                if std::mem::take(&mut was_connected) {
                    info!(node = way.node_id, address = %way.endpoint.uri(), "not connected: {}", root(&error));
                }
                way.tell(Event::LinkDown { id: way.id, refused: is_refused(&error) });
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

    fn ended(&self, ended: Result<Response<RaftResponse>, Status>) {
        match ended {
            Err(status) if status.code() == Code::PermissionDenied => {
                self.tell(Event::Denied { id: self.id, why: status.message().to_owned() });
            }
            other => debug!(node = self.node_id, ended = ?other, "the stream of messages ended"),
        }
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

/// Sends messages until the connection breaks.
async fn pump(way: &Rc<Way>, channel: Channel, messages: &mut mpsc::Receiver<Message>) {
    let (batches, stream) = mpsc::channel(4);
    let mut stream_client = client(channel.clone());
    let mut stream = std::pin::pin!(stream_client.raft(ReceiverStream::new(stream)));
    loop {
        let first = tokio::select! {
            ended = &mut stream => {
                way.ended(ended);
                return;
            }
            first = messages.recv() => first,
        };
        // The sender is gone when the link is.
        let Some(first) = first else { return };
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
            ended = &mut stream => {
                way.ended(ended);
                return;
            }
            sent = batches.send(request) => if sent.is_err() { return },
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
    #[test]
    fn of_a_snapshot_that_is_dropped_the_group_hears() {
        let (events, mut told) = mpsc::unbounded_channel();
        let endpoint = Endpoint::from_static("http://127.0.0.1:1");
        let way = Rc::new(Way { id: 7, is_up: Rc::default(), node_id: 2, endpoint, events, cluster_id: String::new() });
        let (sender, messages) = mpsc::channel(2);
        let snapshot = Message { snapshot: Some(snapshot()), ..Message::default() };
        sender.try_send(Message::default()).unwrap();
        sender.try_send(snapshot).unwrap();
        drop(Queue { way, messages });
        assert!(matches!(told.try_recv(), Ok(Event::SnapshotSent { id: 7, arrived: false })));
        assert!(told.try_recv().is_err(), "of other messages nobody has to hear");
    }

    fn snapshot() -> chronik_consensus::Snapshot {
        chronik_consensus::Snapshot { metadata: Some(Default::default()), ..Default::default() }
    }
}
