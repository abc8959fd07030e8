//! What a node does as one of several: the metadata's Raft group, who lives, and requests that only the metadata leader serves.
//!
//! ```text
//!   reactors ──submit──▶ council ──messages──▶ links ──gRPC──▶ other nodes
//!                           ▲                                       │
//!                           └── control thread ◀── service ◀────────┘
//! ```
//! One thread, [`control`], owns it all: the clock of the Raft group, the connections to other nodes, the service for them. A node
//! that is alone has none of this.

pub(crate) mod control;
pub(crate) mod controller;
pub(crate) mod forward;
pub(crate) mod founding;
mod lifecycle;
mod links;
pub(crate) mod messages;
mod service;
mod sessions;
mod waiting;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chronik_consensus::Message;
use chronik_state::ids::{BrokerId, Offset};
use chronik_state::metadata::Image;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::config::{ClusterConfig, HostPort};
use crate::metadata::raft_id;
use crate::metrics::Elections;
use messages::ForwardResponse;
use sessions::Sessions;

/// The name of a broker's listener for the Raft group, in the metadata.
pub(crate) const RAFT_ENDPOINT: &str = "RAFT";

/// What the node's threads share of its cluster.
pub(crate) struct Cluster {
    /// Fresh at every start of the process.
    pub(crate) incarnation_id: [u8; 16],
    pub(crate) raft_id: u64,
    /// What its directory is called.
    pub(crate) directory_id: [u8; 16],
    /// The broker epoch of the process before, if that was stopped in good order.
    stopped_epoch: Option<i64>,
    /// The first offset of the metadata log that was not there when this process began.
    first_offset: Offset,
    /// Where the configuration says that nodes are.
    peers: BTreeMap<BrokerId, HostPort>,
    events: mpsc::UnboundedSender<control::Event>,
    inbox: Mutex<Option<Inbox>>,
    /// Where the others are, by their ids in the Raft group.
    members: RwLock<BTreeMap<u64, Member>>,
    /// All that is committed and applied, also before this node shows it to anyone: what it decides for others upon.
    known: ArcSwap<Image>,
    /// Who leads the metadata, as far as this node knows: an id in the Raft group.
    leader: watch::Sender<Option<u64>>,
    /// True once the node is registered and knows what the cluster knows.
    joined: watch::Sender<bool>,
    /// Who is heard of, on the metadata leader.
    sessions: Mutex<Sessions>,
    /// A heartbeat came.
    heard: Notify,
    /// More of the metadata has been applied here.
    applied: watch::Sender<u64>,
    /// Who led the metadata, and for how long nobody did.
    pub(crate) elections: Elections,
}

/// What the control thread begins with.
struct Inbox {
    events: mpsc::UnboundedReceiver<control::Event>,
    outbox: mpsc::UnboundedReceiver<Message>,
    listener: TcpListener,
}

/// Another member of the Raft group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node_id: BrokerId,
    pub(crate) raft: HostPort,
    /// Where it may be as well: what it said of itself and what the operator says can differ, and either may be the older.
    pub(crate) also: Option<HostPort>,
}

/// A request to the metadata leader has no answer.
#[derive(Debug)]
pub(crate) struct Unanswered;

impl Cluster {
    /// `first_offset`: where the metadata log ends as it was found. `outbox`: what the council says to others. `listener`: where they say it to this node.
    pub(crate) fn new(
        directory_id: [u8; 16],
        stopped_epoch: Option<i64>,
        first_offset: Offset,
        peers: BTreeMap<BrokerId, HostPort>,
        members: BTreeMap<u64, Member>,
        outbox: mpsc::UnboundedReceiver<Message>,
        listener: TcpListener,
    ) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        Cluster {
            incarnation_id: crate::node::random_id(),
            raft_id: raft_id(directory_id),
            directory_id,
            stopped_epoch,
            first_offset,
            peers,
            events,
            inbox: Mutex::new(Some(Inbox { events: receiver, outbox, listener })),
            members: RwLock::new(members),
            known: ArcSwap::default(),
            leader: watch::Sender::new(None),
            joined: watch::Sender::new(false),
            sessions: Mutex::default(),
            heard: Notify::new(),
            applied: watch::Sender::new(0),
            elections: Elections::default(),
        }
    }

    /// The brokers that the metadata knows, as members of the Raft group.
    fn on_brokers(&self, image: &Image) {
        let members = image.brokers().filter_map(|broker| {
            let endpoint = broker.endpoints.iter().find(|endpoint| endpoint.name == RAFT_ENDPOINT)?;
            let recorded = HostPort { host: endpoint.host.clone(), port: endpoint.port };
            // What a node says when it registers holds; but of one that has not registered since this process began, what the
            // operator says now: nodes that have all moved would look for each other where nobody is.
            // What was in the log at the start is of an earlier run, also where it is applied only now: an epoch is an offset there.
            let is_old = broker.epoch < self.first_offset;
            let said = self.peers.get(&broker.id).filter(|said| **said != recorded).cloned();
            // Which is newer cannot always be told: of what others knew at the start, and this node hears only now, both are tried.
            let (raft, also) = match said {
                Some(said) if is_old => (said, Some(recorded)),
                said => (recorded, said),
            };
            Some((raft_id(broker.directory_id), Member { node_id: broker.id, raft, also }))
        });
        let members: BTreeMap<_, _> = members.collect();
        // Nobody is known before the first word of the others; then what was heard at the founding holds.
        if !members.is_empty() {
            *self.members.write() = members;
        }
    }

    /// All that is committed and applied, also before this node shows it to anyone: what it decides for others upon.
    pub(crate) fn known(&self) -> Arc<Image> {
        self.known.load_full()
    }

    /// The node's number of a member.
    pub(crate) fn node_of(&self, raft_id: u64) -> Option<BrokerId> {
        self.members.read().get(&raft_id).map(|member| member.node_id)
    }

    /// How long ago a broker was heard of, on the metadata leader.
    pub(crate) fn heard_ms_ago(&self, broker: BrokerId) -> Option<i64> {
        let heard = self.sessions.lock().heard_at(broker)?;
        i64::try_from(heard.elapsed().as_millis()).ok()
    }

    /// Whether this node leads the metadata, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        *self.leader.borrow() == Some(self.raft_id)
    }

    /// The node that leads the metadata, as far as this one knows.
    pub(crate) fn metadata_leader(&self, own_id: BrokerId) -> Option<BrokerId> {
        let leader = (*self.leader.borrow())?;
        if leader == self.raft_id { Some(own_id) } else { self.node_of(leader) }
    }

    /// Changes to true once the node is registered and knows what the cluster knows.
    pub(crate) fn joined(&self) -> watch::Receiver<bool> {
        self.joined.subscribe()
    }

    pub(crate) fn has_joined(&self) {
        self.joined.send_replace(true);
    }

    /// More has been applied.
    pub(crate) fn has_applied(&self, index: u64) {
        self.applied.send_if_modified(|known| {
            let more = index > *known;
            *known = index.max(*known);
            more
        });
    }

    /// Returns once this node has applied `index`, or it takes too long.
    pub(crate) async fn until_applied(&self, index: u64, patience: std::time::Duration) {
        let mut applied = self.applied.subscribe();
        // Late is not wrong: the answer that waits for this is true already.
        let _ = tokio::time::timeout(patience, applied.wait_for(|known| *known >= index)).await;
    }

    /// The node wants to stop: returns once others lead in its place, or it takes too long.
    pub(crate) async fn leave(&self) {
        let (tell, told) = oneshot::channel();
        if self.events.send(control::Event::Leave { tell }).is_ok() {
            // The control thread has ended if there is no answer.
            let _ = told.await;
        }
    }

    /// Sends a client's request to the metadata leader, from any thread.
    pub(crate) async fn forward(&self, frame: Bytes) -> Result<ForwardResponse, Unanswered> {
        let (tell, told) = oneshot::channel();
        self.events.send(control::Event::Forward { frame, tell }).map_err(|_| Unanswered)?;
        told.await.map_err(|_| Unanswered)
    }

    /// A block of producer ids from the metadata leader, from any thread.
    pub(crate) async fn allocate_producer_ids(&self) -> Result<chronik_state::metadata::ProducerIdBlock, Unanswered> {
        let (tell, told) = oneshot::channel();
        self.events.send(control::Event::Allocate { tell }).map_err(|_| Unanswered)?;
        told.await.map_err(|_| Unanswered)
    }
}

/// How long a request between nodes may take.
fn rpc_timeout(config: &ClusterConfig) -> std::time::Duration {
    std::time::Duration::from_millis(config.rpc_timeout_ms)
}
