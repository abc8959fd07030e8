//! The thread that replicates: it knows which channel leads to whom, and hands each the partitions that have something for it.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chronik_state::ids::{BrokerId, LogId};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::channel::Channel;
use super::{Peers, connect};
use crate::config::ClusterConfig;
use crate::net::reactor::Reactor;
use crate::node::Node;
use crate::partition::Partition;

/// How often followers that wait ask their leader again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Who leads is looked at so many times within `replica_lag_max_ms`.
const TICKS_PER_LAG: u64 = 5;

/// What the tasks of the thread share.
pub(super) struct Hub {
    pub(super) node: Arc<Node>,
    pub(super) reactor: Rc<Reactor>,
    pub(super) times: Times,
    peers: RefCell<Peers>,
    /// To those who follow this node.
    dialled: RefCell<FxHashMap<BrokerId, Rc<Channel>>>,
    /// From those whom this node follows.
    accepted: RefCell<FxHashMap<BrokerId, Rc<Channel>>>,
    /// Who is to ask again, and when.
    waiting: RefCell<FxHashMap<LogId, Arc<Partition>>>,
    ask_again_at: Cell<Option<Instant>>,
    dialling: RefCell<FxHashMap<BrokerId, connect::Dialling>>,
}

/// How long something may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// After so long without anything else, a heartbeat is sent.
    pub(super) heartbeat: Duration,
    /// After so long without a word, the other side is taken to be gone.
    pub(super) silence_max: Duration,
    tick: Duration,
}

impl Times {
    pub(super) fn of(cluster: &ClusterConfig) -> Self {
        let tick_ms = (cluster.replica_lag_max_ms / TICKS_PER_LAG).clamp(10, 1000);
        Times {
            heartbeat: Duration::from_millis(cluster.wal_heartbeat_interval_ms),
            silence_max: Duration::from_millis(cluster.wal_silence_max_ms),
            tick: Duration::from_millis(tick_ms),
        }
    }
}

/// Replicates until the node stops.
pub(super) async fn run(node: Arc<Node>, listener: TcpListener, times: Times) {
    let reactor = Reactor::new(Arc::clone(&node), node.replication_index());
    // Kafka's clients go elsewhere: this thread only commits what it appends.
    let (dealt, accepted) = mpsc::unbounded_channel();
    let committing = tokio::task::spawn_local(Rc::clone(&reactor).run(accepted));
    let hub = Rc::new(Hub {
        node: Arc::clone(&node),
        reactor,
        times,
        peers: RefCell::default(),
        dialled: RefCell::default(),
        accepted: RefCell::default(),
        waiting: RefCell::default(),
        ask_again_at: Cell::new(None),
        dialling: RefCell::default(),
    });
    let accepting = tokio::task::spawn_local(connect::accept(Rc::clone(&hub), listener));
    hub.serve().await;
    accepting.abort();
    hub.dialling.borrow_mut().clear();
    hub.close_all();
    drop(dealt);
    if committing.await.is_err_and(|error| error.is_panic()) {
        node.fail(&"the thread that replicates panicked; this is a bug, and the lines above show where");
    }
}

impl Hub {
    async fn serve(self: &Rc<Self>) {
        let mut stopping = self.node.stopping();
        let mut ticks = tokio::time::interval_at(Instant::now() + self.times.tick, self.times.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ask_again_at = self.ask_again_at.get();
            let ask_again = async {
                match ask_again_at {
                    None => std::future::pending().await,
                    Some(at) => tokio::time::sleep_until(at).await,
                }
            };
            // Time first: there may always be something to look at.
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                _ = ticks.tick() => self.node.replication.all().iter().for_each(Partition::on_tick),
                () = ask_again => self.ask_again(),
                () = self.node.replication.shared.wake.notified() => self.look(),
            }
        }
    }

    /// What other threads have to tell.
    fn look(self: &Rc<Self>) {
        let shared = &self.node.replication.shared;
        let peers = shared.peers.lock().clone();
        if *self.peers.borrow() != peers {
            self.take_peers(peers);
        }
        let ready = std::mem::take(&mut *shared.ready.lock());
        for partition in ready {
            partition.is_looked_at();
            self.dispatch(&partition);
        }
    }

    fn dispatch(&self, partition: &Arc<Partition>) {
        if let Some(leader) = partition.follows() {
            let channel = self.accepted.borrow().get(&leader).map(Rc::clone);
            if let Some(channel) = channel {
                partition.on_connected(leader, false);
                channel.note_ready(partition.id);
            }
            return;
        }
        let dialled = self.dialled.borrow();
        for channel in partition.followers().iter().filter_map(|id| dialled.get(id)) {
            channel.note_ready(partition.id);
        }
    }

    fn ask_again(&self) {
        self.ask_again_at.set(None);
        for partition in self.waiting.take().into_values() {
            let Some(leader) = partition.follows() else { continue };
            if self.accepted.borrow().contains_key(&leader) {
                partition.on_connected(leader, true);
            }
        }
    }

    /// The partition's leader is to be asked again after a while.
    pub(super) fn waits(&self, partition: &Arc<Partition>) {
        self.waiting.borrow_mut().insert(partition.id, Arc::clone(partition));
        if self.ask_again_at.get().is_none() {
            self.ask_again_at.set(Some(Instant::now() + ASK_AGAIN));
            // The loop that sleeps does not know yet.
            self.node.replication.shared.wake.notify_one();
        }
    }

    pub(super) fn partition(&self, id: LogId) -> Option<Arc<Partition>> {
        self.node.replication.partitions.read().get(&id).map(Arc::clone)
    }

    pub(super) fn peers(&self) -> std::cell::Ref<'_, Peers> {
        self.peers.borrow()
    }

    fn take_peers(self: &Rc<Self>, peers: Peers) {
        let registered = peers.own_epoch.is_some();
        let gone = |channel: &Rc<Channel>| {
            peers.others.get(&channel.peer).is_none_or(|peer| peer.broker_epoch > channel.peer_epoch)
        };
        let channels: Vec<_> =
            self.dialled.borrow().values().chain(self.accepted.borrow().values()).map(Rc::clone).collect();
        channels
            .iter()
            .filter(|channel| gone(channel))
            .for_each(|channel| channel.close("its node has been started anew, or is gone"));
        let mut dialling = self.dialling.borrow_mut();
        dialling.retain(|id, dialling| {
            peers.others.get(id).and_then(|peer| peer.address.as_ref()) == Some(dialling.address())
        });
        for (id, peer) in peers.others.iter().filter(|_| registered) {
            if let Some(address) = &peer.address {
                dialling.entry(*id).or_insert_with(|| connect::Dialling::begin(self, *id, address.clone())).hurry();
            }
        }
        drop(dialling);
        *self.peers.borrow_mut() = peers;
    }

    /// This node leads towards `channel`'s peer from now on, over this connection and no other.
    pub(super) fn dialled(&self, channel: &Rc<Channel>) {
        if let Some(earlier) = self.dialled.borrow_mut().insert(channel.peer, Rc::clone(channel)) {
            earlier.close("there is a later connection");
        }
    }

    /// Those partitions that `channel`'s peer leads are fed by it from now on.
    pub(super) fn accepted(&self, channel: &Rc<Channel>) {
        let earlier = self.accepted.borrow_mut().insert(channel.peer, Rc::clone(channel));
        let partitions = self.node.replication.all();
        if let Some(earlier) = earlier {
            earlier.close("there is a later connection");
            partitions.iter().for_each(|partition| partition.on_disconnected(channel.peer));
        }
        partitions.iter().for_each(|partition| partition.on_connected(channel.peer, true));
    }

    /// The connection of `channel` is gone.
    pub(super) fn ended(&self, channel: &Rc<Channel>) {
        if channel.leads() {
            let mut dialled = self.dialled.borrow_mut();
            if dialled.get(&channel.peer).is_some_and(|current| Rc::ptr_eq(current, channel)) {
                dialled.remove(&channel.peer);
            }
            drop(dialled);
            channel.lose_sessions(self);
            return;
        }
        let mut accepted = self.accepted.borrow_mut();
        if accepted.get(&channel.peer).is_some_and(|current| Rc::ptr_eq(current, channel)) {
            accepted.remove(&channel.peer);
            drop(accepted);
            self.node.replication.all().iter().for_each(|partition| partition.on_disconnected(channel.peer));
        }
    }

    fn close_all(&self) {
        let channels = self.dialled.take().into_values().chain(self.accepted.take().into_values());
        channels.for_each(|channel| channel.close("the node stops"));
    }
}
