//! Records on their way between nodes: leaders push, followers confirm ([`docs/replication.md`]).
//!
//! One thread owns all connections of a node, in both directions; a node on its own has none. Other threads tell it two things:
//! that a partition has something to say or to send ([`Shared::note_ready`]), and where the other nodes are.
//!
//! ```text
//!   partition ── ready ──▶ thread ──▶ channel to each of its peers ──▶ socket
//!       ▲                                                                │
//!       └────────────── answers, frames, confirmations ◀─────────────────┘
//! ```
//! Nothing waits in a queue but the names of partitions: what is sent is asked for when the socket takes it.
//!
//! [`docs/replication.md`]: ../../../../docs/replication.md

mod channel;
mod connect;
mod frame;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use chronik_state::ids::{BrokerId, LogId};
use chronik_state::metadata::Image;
use chronik_state::partition::leader::{Proposal, Standing};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::config::{ClusterConfig, HostPort};
use crate::metrics::Histogram;
use crate::net::listener;
use crate::node::Node;
use crate::partition::{LAG_MAX_MS, Partition};
use crate::start::{self, StartError};
use thread::Times;

/// The name of the endpoint at which a broker takes records of leaders.
pub(crate) const ENDPOINT: &str = "WAL";

/// The node's part in replication.
pub(crate) struct Replication {
    pub(crate) shared: Arc<Shared>,
    /// Those with several replicas.
    partitions: RwLock<FxHashMap<LogId, Arc<Partition>>>,
    times: Option<Times>,
    proposals: Mutex<Option<UnboundedReceiver<(LogId, Proposal)>>>,
    listener: Mutex<Option<TcpListener>>,
    listening: Option<SocketAddr>,
}

/// What other threads may touch.
pub(crate) struct Shared {
    /// `replica_lag_max_ms`
    pub(crate) lag_max_ms: i64,
    /// How long it takes until a leader feeds those who follow it.
    pub(crate) discovery: Histogram,
    ready: Mutex<Vec<Arc<Partition>>>,
    peers: Mutex<Peers>,
    /// Something above has changed.
    wake: Notify,
    proposals: UnboundedSender<(LogId, Proposal)>,
}

/// The cluster as the metadata has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Peers {
    cluster_id: String,
    /// This node's incarnation; none before it is registered.
    own_epoch: Option<i64>,
    /// All other brokers, with their incarnations.
    others: BTreeMap<BrokerId, Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    broker_epoch: i64,
    address: Option<HostPort>,
}

impl Replication {
    /// Takes the port, if the node has one for this; everything else waits for [`spawn`].
    pub(crate) fn new(cluster: Option<&ClusterConfig>) -> Result<Self, StartError> {
        let (proposals, receiver) = mpsc::unbounded_channel();
        let listener = match cluster {
            Some(cluster) => {
                let address = cluster.wal_listen;
                Some(listener::bind(address).map_err(|source| StartError::Listen { address, source })?)
            }
            None => None,
        };
        let lag_max_ms = cluster.map_or(LAG_MAX_MS, |cluster| cluster.replica_lag_max_ms as i64);
        Ok(Replication {
            shared: Arc::new(Shared {
                lag_max_ms,
                discovery: Histogram::default(),
                ready: Mutex::default(),
                peers: Mutex::default(),
                wake: Notify::new(),
                proposals,
            }),
            partitions: RwLock::default(),
            times: cluster.map(Times::of),
            proposals: Mutex::new(Some(receiver)),
            listening: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
            listener: Mutex::new(listener),
        })
    }

    /// Where the node listens for leaders.
    pub(crate) fn listening(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// What leaders on this node ask of the controller. Once: there is one who sends them.
    pub(crate) fn proposals(&self) -> Option<UnboundedReceiver<(LogId, Proposal)>> {
        self.proposals.lock().take()
    }

    /// A partition with several replicas has got one here.
    pub(crate) fn add(&self, partition: &Arc<Partition>) {
        self.partitions.write().insert(partition.id, Arc::clone(partition));
    }

    /// It is gone.
    pub(crate) fn remove(&self, id: LogId) {
        self.partitions.write().remove(&id);
    }

    /// Brokers came, went, moved, or were fenced.
    pub(crate) fn on_brokers(&self, own_id: BrokerId, image: &Image) {
        let peers = Peers::of(own_id, image);
        {
            let mut known = self.shared.peers.lock();
            if *known != peers {
                *known = peers;
                self.shared.wake.notify_one();
            }
        }
        for partition in self.all() {
            partition.on_brokers(|id| Some(Standing::of(id, image)));
        }
    }

    fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().map(Arc::clone).collect()
    }
}

impl Shared {
    /// The partition has something to send.
    pub(crate) fn note_ready(&self, partition: Arc<Partition>) {
        self.ready.lock().push(partition);
        self.wake.notify_one();
    }

    /// A leader's proposal leaves for the controller.
    pub(crate) fn propose(&self, id: LogId, proposal: Proposal) {
        // Nobody listens any more: the node stops.
        let _ = self.proposals.send((id, proposal));
    }
}

impl Peers {
    fn of(own_id: BrokerId, image: &Image) -> Self {
        let others = image.brokers().filter(|broker| broker.id != own_id).map(|broker| {
            let endpoint = broker.endpoints.iter().find(|endpoint| endpoint.name == ENDPOINT);
            let address = endpoint.map(|endpoint| HostPort { host: endpoint.host.clone(), port: endpoint.port });
            (broker.id, Peer { broker_epoch: broker.epoch, address })
        });
        Peers {
            cluster_id: image.cluster_id().unwrap_or_default().to_owned(),
            own_epoch: image.broker(own_id).map(|broker| broker.epoch),
            others: others.collect(),
        }
    }
}

/// Starts the thread that replicates, if the node is one of a cluster. It ends when the node stops.
pub(crate) fn spawn(node: &Arc<Node>) -> io::Result<Option<JoinHandle<()>>> {
    let listener = node.replication.listener.lock().take();
    let Some((listener, times)) = listener.zip(node.replication.times) else { return Ok(None) };
    tracing::info!(address = ?node.replication.listening(), "listening for the records of other nodes");
    let node = Arc::clone(node);
    let thread = std::thread::Builder::new().name("replication".to_owned()).spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| match start::runtime() {
            Ok(runtime) => runtime.block_on(thread::run(Arc::clone(&node), listener, times)),
            Err(error) => node.fail(&format_args!("the thread that replicates got no event queue: {error}")),
        }));
        if ended.is_err() {
            node.fail(&"the thread that replicates panicked; this is a bug, and the lines above show where");
        }
    });
    thread.map(Some)
}
