//! The connections to other members: one task for each, which connects, sends what the council says, and begins anew when the
//! connection breaks. What cannot be sent is dropped: the Raft group says it again.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use chronik_consensus::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tracing::{debug, info};

use super::control::Event;
use super::messages::{RaftRequest, SnapshotRequest, VERSION};
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
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// Connects to members that are new or have moved, and lets go of those that are gone.
    pub(super) fn update(&mut self, cluster: &Cluster, rpc_timeout: Duration) {
        let members = cluster.members.read().clone();
        self.by_member.retain(|id, link| members.get(id) == Some(&link.member));
        for (id, member) in members {
            if id == cluster.raft_id || self.by_member.contains_key(&id) {
                continue;
            }
            let Some(endpoint) = endpoint(&member.raft) else { continue };
            let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
            let channel = endpoint.clone().timeout(rpc_timeout).connect_lazy();
            let link = Rc::new(Way { id, node_id: member.node_id, endpoint, events: cluster.events.clone() });
            let task = tokio::task::spawn_local(keep_connected(link, receiver));
            self.by_member.insert(id, Link { member, messages, channel, task });
        }
    }

    /// Hands a message to its member's connection; false if there is none, or it is behind.
    pub(super) fn send(&self, message: Message) -> bool {
        self.by_member.get(&message.to).is_some_and(|link| link.messages.try_send(message).is_ok())
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
    node_id: i32,
    endpoint: Endpoint,
    events: mpsc::UnboundedSender<Event>,
}

async fn keep_connected(way: Rc<Way>, mut messages: mpsc::Receiver<Message>) {
    let mut pause = PAUSE_MIN;
    let mut was_connected = true;
    loop {
        match way.endpoint.connect().await {
            Ok(channel) => {
                if !std::mem::replace(&mut was_connected, true) {
                    info!(node = way.node_id, "connected");
                }
                pause = PAUSE_MIN;
                pump(&way, channel, &mut messages).await;
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
                while messages.try_recv().is_ok() {}
            }
        }
    }
}

impl Way {
    fn tell(&self, event: Event) {
        // Nobody listens on a node that stops.
        let _ = self.events.send(event);
    }
}

/// Sends messages until the connection breaks.
async fn pump(way: &Rc<Way>, channel: Channel, messages: &mut mpsc::Receiver<Message>) {
    let (batches, stream) = mpsc::channel(4);
    let mut stream_client = client(channel.clone());
    let mut stream = std::pin::pin!(stream_client.raft(ReceiverStream::new(stream)));
    loop {
        let first = tokio::select! {
            ended = &mut stream => {
                debug!(node = way.node_id, ?ended, "the stream of messages ended");
                return;
            }
            first = messages.recv() => first,
        };
        // The sender is gone when the link is.
        let Some(first) = first else { return };
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            if message.snapshot.as_ref().is_some_and(|snapshot| !snapshot.data.is_empty() || snapshot.metadata.is_some()) {
                tokio::task::spawn_local(send_snapshot(Rc::clone(way), channel.clone(), message));
            } else {
                batch.push(message);
            }
            next = if batch.len() < BATCH_MAX { messages.try_recv().ok() } else { None };
        }
        let request = RaftRequest { version: VERSION, messages: batch };
        tokio::select! {
            ended = &mut stream => {
                debug!(node = way.node_id, ?ended, "the stream of messages ended");
                return;
            }
            sent = batches.send(request) => if sent.is_err() { return },
        }
    }
}

async fn send_snapshot(way: Rc<Way>, channel: Channel, message: Message) {
    let request = SnapshotRequest { version: VERSION, message: Some(message) };
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
