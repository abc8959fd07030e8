//! The control thread: what happens in the cluster comes here as events, one after the other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use chronik_consensus::{Message, Role, Standing};
use chronik_council::Council;
use chronik_state::ids::BrokerId;
use chronik_state::metadata::{Image, ProducerIdBlock};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::MissedTickBehavior;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use super::links::{Links, carries_snapshot};
use super::messages::*;
use super::service::{self, Call, PeerClient, Service};
use super::{Cluster, Inbox, controller, lifecycle, rpc_timeout};
use crate::config::ClusterConfig;
use crate::metadata::TICK_MS;
use crate::net::reactor::Reactor;
use crate::node::Node;

/// Messages of the Raft group that are taken in before what comes of them is carried out.
const MESSAGES_TOGETHER: usize = 64;
/// Batches of messages that wait to be taken in.
const BATCHES_MAX: usize = 64;
/// How much later each member stands for election than the one before it, when all know at once that there is no leader.
const STAGGER: Duration = Duration::from_millis(150);

/// What may happen.
pub(crate) enum Event {
    Introduce(Call<IntroduceRequest, IntroduceResponse>),
    Register(Call<RegisterRequest, RegisterResponse>),
    Heartbeat(Call<HeartbeatRequest, HeartbeatResponse>),
    AlterPartitions(Call<AlterPartitionsRequest, AlterPartitionsResponse>),
    AllocateProducerIds(Call<AllocateProducerIdsRequest, AllocateProducerIdsResponse>),
    /// A client's request that came from another node.
    Forwarded(Call<ForwardRequest, ForwardResponse>),
    /// A connection broke, or could not be made; refused: no process listens there.
    LinkDown { id: u64, refused: bool },
    SnapshotSent { id: u64, arrived: bool },
    /// A member takes this node for one of another cluster.
    Denied { id: u64, why: String },
    /// The metadata knows other brokers, or others of their addresses.
    BrokersChanged,
    /// A client's request of this node.
    Forward { frame: Bytes, tell: oneshot::Sender<ForwardResponse> },
    /// This node needs producer ids.
    Allocate { tell: oneshot::Sender<ProducerIdBlock> },
    /// This node wants to stop.
    Leave { tell: oneshot::Sender<()> },
}

/// What the tasks of the control thread share.
pub(super) struct Control {
    pub(super) reactor: Rc<Reactor>,
    pub(super) config: ClusterConfig,
    links: RefCell<Links>,
    /// Members that take this node for one of another cluster.
    denied: RefCell<BTreeSet<u64>>,
}

/// Who leads the metadata.
pub(super) enum Leader {
    Me,
    Other(PeerClient<Channel>),
    Nobody,
}

/// Starts the thread, on a node that is one of several. It ends when the node stops.
pub(crate) fn spawn(node: &Arc<Node>) -> io::Result<Option<JoinHandle<()>>> {
    let Some(inbox) = node.cluster.as_ref().and_then(|cluster| cluster.inbox.lock().take()) else { return Ok(None) };
    let node = Arc::clone(node);
    let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| match crate::start::runtime() {
            Ok(runtime) => runtime.block_on(run(Arc::clone(&node), inbox)),
            Err(error) => node.fail(&format_args!("the control thread got no event queue: {error}")),
        }));
        if ended.is_err() {
            node.fail(&"the control thread panicked; this is a bug, and the lines above show where");
        }
    })?;
    Ok(Some(thread))
}

async fn run(node: Arc<Node>, inbox: Inbox) {
    let config = node.config.cluster.clone().expect("a node that is one of several");
    let reactor = Reactor::new(Arc::clone(&node), node.signals.len() - 1);
    // It serves no connection of its own, but commits, and waits for commits, as others do.
    let (dealt, accepted) = mpsc::unbounded_channel();
    let running = spawn_local(Rc::clone(&reactor).run(accepted));
    let control = Rc::new(Control { reactor, config, links: RefCell::default(), denied: RefCell::default() });
    let Inbox { events, outbox, listener } = inbox;
    let (raft, messages) = mpsc::channel(BATCHES_MAX);
    let (cluster, cluster_id) = (control.cluster(), control.node().cluster_id.clone());
    let service = Service { events: cluster.events.clone(), raft, cluster_id, raft_id: cluster.raft_id };
    let mut stopping = node.stopping();
    let stopped = async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let serving = spawn_local(async move {
        if let Err(error) = service::serve(service, listener, stopped).await {
            node.fail(&format_args!("the service for other nodes ended: {error}"));
        }
    });
    control.update_links();
    let living = spawn_local(lifecycle::live(Rc::clone(&control)));
    let watching = spawn_local(controller::watch_sessions(Rc::clone(&control)));
    let proposing = spawn_local(lifecycle::propose_in_sync(Rc::clone(&control)));
    let balancing = spawn_local(controller::balance(Rc::clone(&control)));
    let looking = spawn_local(look_for_what_was_missed(Rc::clone(&control)));
    let standing = spawn_local(stand_at_start(Rc::clone(&control)));
    control.attend_all(events, messages, outbox).await;
    // A round of the Raft group that has begun ends first, and no other begins: the tasks that are dropped below may be in one.
    let metadata = &control.node().metadata;
    let _quiet = metadata.quiet().await;
    for task in [living, watching, proposing, balancing, looking, standing] {
        task.abort();
    }
    serving.abort();
    drop(dealt);
    // A panic in there was told by whoever panicked.
    let _ = running.await;
}

/// Where the brokers are arrives as an event; this is only a net under it.
async fn look_for_what_was_missed(control: Rc<Control>) {
    loop {
        tokio::time::sleep(Duration::from_millis(control.config.discovery_interval_ms)).await;
        control.update_links();
        let node = control.node();
        node.replication.on_brokers(node.config.node_id, &node.metadata.image());
    }
}

/// All members come up at about the same time: one of them stands for election at once, so that nobody waits for a time-out.
async fn stand_at_start(control: Rc<Control>) {
    tokio::time::sleep(Duration::from_millis(50) + control.rank(None) * STAGGER).await;
    if control.cluster().leader.borrow().is_none() {
        control.attend(|council| council.member.campaign()).await;
    }
}

impl Control {
    pub(super) fn node(&self) -> &Arc<Node> {
        &self.reactor.node
    }

    pub(super) fn cluster(&self) -> &Cluster {
        self.node().cluster.as_ref().expect("a node that is one of several")
    }

    pub(super) fn leader(&self) -> Leader {
        let leader = *self.cluster().leader.borrow();
        match leader {
            Some(id) if id == self.cluster().raft_id => Leader::Me,
            Some(id) => self.links.borrow().client(id).map_or(Leader::Nobody, Leader::Other),
            None => Leader::Nobody,
        }
    }

    /// An event of the Raft group, with all that comes of it.
    pub(super) async fn attend<R>(&self, event: impl FnOnce(&mut Council) -> R) -> Option<R> {
        self.node().metadata.attend(&self.reactor, event).await.ok()
    }

    async fn attend_all(
        self: &Rc<Self>,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut messages: mpsc::Receiver<Vec<Message>>,
        mut outbox: mpsc::UnboundedReceiver<Message>,
    ) {
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
        // After a pause of the whole process it is not as if all that time had been waited for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = self.node().stopping();
        while !*stopping.borrow_and_update() {
            tokio::select! {
                biased;
                _ = stopping.changed() => {}
                Some(message) = outbox.recv() => self.send(message).await,
                Some(event) = events.recv() => self.on_event(event).await,
                _ = ticks.tick() => {
                    self.attend(|council| council.member.tick()).await;
                }
                Some(first) = messages.recv() => self.on_messages(first, &mut messages).await,
            }
        }
    }

    async fn send(&self, message: Message) {
        let sent = self.links.borrow().send(message);
        if let Err(message) = sent {
            self.attend(|council| match carries_snapshot(&message) {
                // It would wait for ever to hear what became of it.
                true => council.member.snapshot_sent(message.to, false),
                false => council.member.unreachable(message.to),
            })
            .await;
        }
    }

    async fn on_event(self: &Rc<Self>, event: Event) {
        match event {
            Event::LinkDown { id, refused } => self.on_link_down(id, refused).await,
            Event::SnapshotSent { id, arrived } => {
                self.attend(|council| council.member.snapshot_sent(id, arrived)).await;
            }
            Event::BrokersChanged => self.update_links(),
            Event::Denied { id, why } => self.on_denied(id, &why),
            other => self.serve(other),
        }
    }

    /// Whatever waits for more than the council gets a task of its own.
    fn serve(self: &Rc<Self>, event: Event) {
        let control = Rc::clone(self);
        spawn_local(async move {
            match event {
                Event::Introduce(call) => answer(call, |request| controller::introduce(&control, request)).await,
                Event::Register(call) => answer(call, |request| controller::register(&control, request)).await,
                Event::Heartbeat(call) => answer(call, |request| controller::heartbeat(&control, request)).await,
                Event::AlterPartitions(call) => answer(call, |request| controller::alter_partitions(&control, request)).await,
                Event::AllocateProducerIds(call) => {
                    answer(call, |request| controller::allocate_producer_ids(&control, request)).await;
                }
                Event::Forwarded(call) => answer(call, |request| controller::forwarded(&control, request)).await,
                Event::Forward { frame, tell } => {
                    let request = ForwardRequest { version: VERSION, frame };
                    // The client has gone if nobody listens; here as below.
                    if let Some(response) = lifecycle::forward(&control, request).await {
                        let _ = tell.send(response);
                    }
                }
                Event::Allocate { tell } => {
                    if let Some(block) = lifecycle::allocate_producer_ids(&control).await {
                        let _ = tell.send(block);
                    }
                }
                Event::Leave { tell } => {
                    lifecycle::leave(&control).await;
                    let _ = tell.send(());
                }
                Event::LinkDown { .. } | Event::SnapshotSent { .. } | Event::BrokersChanged | Event::Denied { .. } => {}
            }
        });
    }

    /// Takes in what else has come already, so that one sync does for all of it.
    async fn on_messages(&self, first: Vec<Message>, more: &mut mpsc::Receiver<Vec<Message>>) {
        let mut messages = first;
        while messages.len() < MESSAGES_TOGETHER
            && let Ok(batch) = more.try_recv()
        {
            messages.extend(batch);
        }
        self.attend(|council| {
            for message in messages {
                let from = message.from;
                if let Err(error) = council.step(message) {
                    debug!(from, "a message of the Raft group was not taken: {error}");
                }
            }
        })
        .await;
    }

    /// If most of the nodes say so, it is this one that has the wrong data.
    fn on_denied(&self, id: u64, why: &str) {
        let mut denied = self.denied.borrow_mut();
        if denied.insert(id) {
            let node_id = self.cluster().node_of(id);
            warn!(node = node_id, "the node refuses this one: {why}");
        }
        if denied.len() * 2 > self.cluster().members.read().len() {
            self.node().fail(&format_args!(
                "the other nodes belong to another cluster than this data directory: {why}\n\n\
                 Fix: give this node the data directory of that cluster, or correct the addresses in its [[peers]]"
            ));
        }
    }

    async fn on_link_down(self: &Rc<Self>, id: u64, refused: bool) {
        self.attend(|council| council.member.unreachable(id)).await;
        if !refused {
            return;
        }
        let Some(node_id) = self.cluster().node_of(id) else { return };
        if self.cluster().leads() {
            // Waits for the others' word, which comes in here.
            let control = Rc::clone(self);
            spawn_local(async move { controller::process_ended(&control, node_id).await });
        } else if *self.cluster().leader.borrow() == Some(id) {
            info!(node = node_id, "the metadata leader has ended");
            self.attend(|council| council.member.leader_gone()).await;
            let control = Rc::clone(self);
            let delay = self.rank(Some(id)) * STAGGER;
            spawn_local(async move {
                tokio::time::sleep(delay).await;
                if control.cluster().leader.borrow().is_none() {
                    control.attend(|council| council.member.campaign()).await;
                }
            });
        }
    }

    /// How many members stand before this one, by their nodes' numbers, one left out.
    fn rank(&self, without: Option<u64>) -> u32 {
        let own = self.node().config.node_id;
        let members = self.cluster().members.read();
        let before = members.iter().filter(|(id, member)| Some(**id) != without && member.node_id < own);
        before.count() as u32
    }

    /// Other nodes to which there is no connection now.
    pub(super) fn away(&self) -> Vec<BrokerId> {
        self.links.borrow().away()
    }

    fn update_links(&self) {
        self.links.borrow_mut().update(self.cluster(), &self.node().cluster_id, rpc_timeout(&self.config));
    }

    /// When a session that begins now ends.
    pub(super) fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.config.session_timeout_ms)
    }
}

async fn answer<Q, A, F: Future<Output = A>>(call: Call<Q, A>, serve: impl FnOnce(Q) -> F) {
    let answer = serve(call.request).await;
    // The asker has gone if nobody listens.
    let _ = call.answer.send(answer);
}

impl Cluster {
    /// What the council has come to, after each of its events.
    ///
    /// A leader that has not yet applied what came before it counts as none: it would tell brokers that it does not know them.
    pub(crate) fn observe(&self, standing: Standing, decides: bool, applied_index: u64) {
        let leader = if standing.role == Role::Leader { decides.then_some(self.raft_id) } else { standing.leader };
        let changed = self.leader.send_if_modified(|known| {
            let changed = *known != leader;
            *known = leader;
            changed
        });
        if changed {
            self.elections.changed(leader.is_some());
            match leader.map(|id| (id, self.node_of(id))) {
                Some((id, _)) if id == self.raft_id => info!(term = standing.term, "this node leads the metadata"),
                Some((_, Some(node))) => info!(term = standing.term, node, "another node leads the metadata"),
                Some((id, None)) => info!(term = standing.term, id, "another node leads the metadata"),
                None => info!(term = standing.term, "nobody leads the metadata"),
            }
        }
        if standing.role == Role::Leader {
            self.sessions.lock().begin(standing.term);
        }
        self.has_applied(applied_index);
    }

    /// More is known; `brokers_changed`: of brokers too.
    pub(crate) fn on_image(&self, image: &Image, brokers_changed: bool) {
        self.known.store(Arc::new(image.clone()));
        if !brokers_changed {
            return;
        }
        self.on_brokers(image);
        // Nobody listens on a node that stops.
        let _ = self.events.send(Event::BrokersChanged);
    }
}
