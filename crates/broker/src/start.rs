//! How a node comes up, serves, and goes down.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use chronik_log::disk::{Disk, RealDisk};
use chronik_log::{Identity, Recovered, Storage, StorageOptions, clean};
use thiserror::Error;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{Notify, oneshot, watch};
use tracing::{info, warn};

use crate::api::fetch::sessions::FetchSessions;
use crate::cluster::founding::{self, Founded};
use crate::cluster::{Cluster, control};
use crate::config::{Advertise, Config, SyncPolicy};
#[cfg(test)]
use crate::config::ClusterConfig;
use crate::coordinator::Coordinator;
use crate::metadata::{Metadata, directory_id};
use crate::metrics::Metrics;
use crate::net::committer::{self, Committer};
use crate::net::listener;
use crate::net::memory::RequestMemory;
use crate::net::reactor::{Accepted, Reactor, Signal as ReactorSignal};
use crate::node::{Node, format_id, now_ms, random_id};
use crate::observe::{Observer, Phase};
use crate::partition::registry::Registry;
use crate::replication::{self, Replication};
use crate::settings::{InvalidSetting, Settings};
use crate::upkeep::{self, Bell};

/// Why a node did not come up.
#[derive(Debug, Error)]
pub enum StartError {
    /// Settings that do not fit.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<InvalidSetting>),
    /// A port that cannot be had.
    #[error("cannot listen on {address}: {source}\n\n{}", hint(.source, .address))]
    Listen { address: SocketAddr, source: io::Error },
    /// The data directory belongs to someone else.
    #[error("{0}")]
    Identity(#[from] chronik_log::IdentityError),
    /// The data directory cannot be read, or is not whole.
    #[error("{0}")]
    Storage(#[from] chronik_log::StorageError),
    /// How the last run ended could not be read, or its mark not be taken away.
    #[error("the mark of how the last run ended cannot be read or taken away: {0}")]
    CleanMark(io::Error),
    /// The cluster could not begin.
    #[error("{0}")]
    Founding(#[from] crate::cluster::founding::FoundingError),
    /// The metadata log says what cannot be.
    #[error("{0}")]
    Metadata(#[from] crate::metadata::LoadError),
    /// The system gave no thread, or no event queue.
    #[error("the system refused a thread or its event queue: {0}")]
    System(io::Error),
}

/// A node that is up: what its user wants to know.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it listens, with the ports that the system gave.
    pub listening: Vec<SocketAddr>,
    /// The cluster this data directory belongs to.
    pub cluster_id: String,
    /// Entries that had to be replayed from the write-ahead log.
    pub recovered_entries: u64,
    /// A write was cut short by a crash; nothing of it had been acknowledged.
    pub torn_tail: bool,
}

/// Why a node ended that was up.
#[derive(Debug, Error)]
pub enum RunError {
    /// It never came up.
    #[error("{0}")]
    Start(#[from] StartError),
    /// It could no longer keep its promises.
    #[error("{0}")]
    Failed(String),
}

/// Runs a node until SIGTERM, SIGINT or a failure. `on_ready` is called once, when clients can connect; `observer` sees the node from
/// the first moment on.
///
/// # Errors
/// [`RunError`]: what happened, why, and what to do.
pub fn run(config: Config, observer: &Observer, on_ready: impl FnOnce(&Ready)) -> Result<(), RunError> {
    let runtime = runtime().map_err(StartError::System)?;
    // Before anything is written: a signal that arrives during the start ends it in good order.
    let (mut terminate, mut interrupt) = runtime.block_on(async { signals() }).map_err(StartError::System)?;
    observer.enter(Phase::Recovering);
    let prepared = Prepared::of(Arc::new(RealDisk), config)?;
    observer.enter(Phase::Founding);
    let founded = runtime.block_on(async {
        tokio::select! {
            founded = prepared.found() => founded.map(Some),
            _ = terminate.recv() => Ok(None),
            _ = interrupt.recv() => Ok(None),
        }
    })?;
    let Some(founded) = founded else {
        info!("stopped while waiting for other nodes");
        return Ok(());
    };
    // The metadata is read, which lies in the log too.
    observer.enter(Phase::Recovering);
    let (node, listeners, ready) = prepared.bring_up(founded)?;
    observer.watch(&node);
    let (reactors, dealt) = spawn_reactors(&node).map_err(StartError::System)?;
    let upkeep = upkeep::spawn(&node).map_err(StartError::System)?;
    let committer = committer::spawn(&node).map_err(StartError::System)?;
    let replication = replication::spawn(&node).map_err(StartError::System)?;
    let control = control::spawn(&node).map_err(StartError::System)?;
    observer.enter(Phase::Joining);
    runtime.block_on(async {
        let mut stopping = node.stopping();
        tokio::select! {
            () = joined(&node) => {}
            _ = terminate.recv() => node.stop(),
            _ = interrupt.recv() => node.stop(),
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| runtime.spawn_local(listener::accept_loop(Arc::clone(&node), listener, dealt.clone())))
        .collect();
    drop(dealt);
    observer.enter(Phase::Serving);
    if !*node.stopping.borrow() {
        on_ready(&ready);
    }
    runtime.block_on(async {
        let mut stopping = node.stopping();
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("interrupted: stopping"),
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        if let Some(cluster) = &node.cluster {
            tokio::select! {
                () = cluster.leave() => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
        node.stop();
        for task in accepting {
            // A task of ours that panicked has said so; the node goes down either way.
            let _ = task.await;
        }
    });
    let threads_failed = runtime.block_on(async {
        tokio::select! {
            failed = close(&node, reactors.into_iter().chain([upkeep]).chain(control).chain(replication).collect(), committer) => failed,
            _ = terminate.recv() => Err(RunError::Failed(INTERRUPTED.to_owned())),
            _ = interrupt.recv() => Err(RunError::Failed(INTERRUPTED.to_owned())),
        }
    })?;
    match node.failure.get() {
        Some(why) => Err(RunError::Failed(why.clone())),
        None if threads_failed => Err(RunError::Failed("a thread of the node panicked; see the log above".to_owned())),
        None => Ok(()),
    }
}

/// What a second signal leaves behind is what a crash does, and the next start puts it right.
const INTERRUPTED: &str = "a second signal came while the node was stopping, and it ended at once\n\n\
    Nothing that was acknowledged is lost: the next start replays it from the write-ahead log.\n\n\
    Fix: start it again";

/// Waits for the threads of a node that stops, then puts its storage in order. True if one of them panicked.
async fn close(node: &Arc<Node>, threads: Threads, committer: JoinHandle<()>) -> Result<bool, RunError> {
    let node = Arc::clone(node);
    let (tell, told) = oneshot::channel();
    // A thread of its own, so that signals are heard meanwhile.
    let closer = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
        let failed = threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count() > 0;
        // Only now: reactors end when nobody waits for a commit any more.
        node.committer.stop();
        let failed = committer.join().is_err() || failed;
        if !failed && !node.has_failed() {
            // Nobody appends any more: what is left goes to segments, so that the next start replays nothing.
            if let Err(error) = node.storage.close(now_ms()) {
                node.fail(&error);
            } else if let Err(error) = leave_mark(&node) {
                warn!("the next start will take this stop for a crash: {error}");
            }
        }
        let _ = tell.send(failed);
    });
    closer.map_err(StartError::System)?;
    // The sender is gone without a word if closing panicked.
    Ok(told.await.unwrap_or(true))
}

/// Last of all: says that everything is on disk.
fn leave_mark(node: &Node) -> io::Result<()> {
    let epoch = node.metadata.broker_epoch();
    if node.cluster.is_none() || epoch < 0 {
        return Ok(());
    }
    clean::leave(node.storage.disk(), &node.config.data_dir, epoch)
}

fn signals() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

/// Returns once the node may serve: at once where it is alone, else when the cluster knows it.
async fn joined(node: &Node) {
    let Some(cluster) = &node.cluster else { return };
    // The sender lives as long as the node.
    let _ = cluster.joined().wait_for(|joined| *joined).await;
}

#[cfg(test)]
pub(crate) fn bring_up(config: Config) -> Result<(Arc<Node>, Vec<TcpListener>, Ready), StartError> {
    bring_up_on(Arc::new(RealDisk), config)
}

#[cfg(any(test, feature = "harness"))]
pub(crate) fn bring_up_on(disk: Arc<dyn Disk>, config: Config) -> Result<(Arc<Node>, Vec<TcpListener>, Ready), StartError> {
    Prepared::of(disk, config)?.bring_up(None)
}

/// A node that replicates, and is told by its test what it holds: its own metadata is that of a node on its own, and not looked at.
#[cfg(test)]
pub(crate) fn bring_up_told(config: Config, cluster: &ClusterConfig) -> Result<(Arc<Node>, Vec<TcpListener>, Ready), StartError> {
    let mut prepared = Prepared::of(Arc::new(RealDisk), config)?;
    prepared.replication = Replication::new(Some(cluster))?;
    prepared.assemble(None)
}

/// A node with its ports and its log, which does not know yet of which cluster it is.
struct Prepared {
    storage: Arc<Storage>,
    recovered: Recovered,
    config: Config,
    settings: Settings,
    identity: Identity,
    listeners: Vec<TcpListener>,
    listening: Vec<SocketAddr>,
    /// For other nodes.
    peers: Option<TcpListener>,
    replication: Replication,
}

impl Prepared {
    fn of(disk: Arc<dyn Disk>, config: Config) -> Result<Self, StartError> {
        let settings = Settings::parse(&config.kafka).map_err(StartError::Settings)?;
        // Ports first: one that is taken must not leave a half-made data directory behind.
        let bind = |address: SocketAddr| listener::bind(address).map_err(|source| StartError::Listen { address, source });
        let listeners = config.listen.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
        let listening: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let peers = config.cluster.as_ref().map(|cluster| bind(cluster.raft_listen)).transpose()?;
        let replication = Replication::new(config.cluster.as_ref())?;
        let (identity, storage, recovered) = open_directory(disk, &config, &settings)?;
        Ok(Prepared { storage, recovered, config, settings, identity, listeners, listening, peers, replication })
    }

    /// Waits until there is a cluster to be part of. At once where this was so before, or the node is alone.
    async fn found(&self) -> Result<Option<Founded>, StartError> {
        let Some((cluster, listener)) = self.config.cluster.as_ref().zip(self.peers.as_ref()) else { return Ok(None) };
        let founded = founding::found(&self.storage, &self.config, cluster, &self.identity, listener).await?;
        Ok(Some(founded))
    }

    fn bring_up(self, founded: Option<Founded>) -> Result<(Arc<Node>, Vec<TcpListener>, Ready), StartError> {
        let (node, listeners, ready) = self.assemble(founded)?;
        match &node.cluster {
            None => node.metadata.take_lead(&node)?,
            Some(cluster) => node.metadata.introduce_brokers(cluster),
        }
        Ok((node, listeners, ready))
    }

    fn assemble(self, founded: Option<Founded>) -> Result<(Arc<Node>, Vec<TcpListener>, Ready), StartError> {
        let Prepared { storage, recovered, mut config, settings, identity, listeners, listening, peers, replication } = self;
        let sync = if config.sync == SyncPolicy::Commit { "commit" } else { "interval" };
        config.kafka.entry("chronik.sync".to_owned()).or_insert_with(|| sync.to_owned());
        let told = told_at_start(&config, &listening);
        config.kafka.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value)));
        // Before anything else is written.
        let stopped_epoch = match config.cluster {
            Some(_) => clean::take(storage.disk(), &config.data_dir).map_err(StartError::CleanMark)?,
            None => None,
        };
        let (outbox, sent) = mpsc::unbounded_channel();
        let (cluster_id, members) = match founded {
            Some(founded) => (founded.cluster_id, founded.members),
            None => (identity.cluster_id.clone(), BTreeMap::new()),
        };
        let metadata = Metadata::load(&storage, &config, &settings, &identity, &cluster_id, outbox)?;
        let addresses = config.cluster.iter().flat_map(|cluster| &cluster.peers);
        let addresses = addresses.map(|peer| (peer.id, peer.raft.clone())).collect();
        let cluster =
            peers.map(|listener| Cluster::new(directory_id(&identity.directory_id), stopped_epoch, metadata.reached().log_end_offset, addresses, members, sent, listener));
        let ready = Ready {
            listening,
            cluster_id: cluster_id.clone(),
            recovered_entries: recovered.entries,
            torn_tail: recovered.torn_tail,
        };
        // Every thread that appends: those that serve connections, then the one that replicates, last the one that keeps the metadata.
        let threads = reactor_count(&config) + usize::from(replication.listening().is_some()) + usize::from(cluster.is_some());
        let node = Arc::new(Node {
            partitions: Registry::default(),
            replication,
            coordinator: Coordinator::new(&settings),
            fetch_sessions: FetchSessions::new(settings.fetch_session_slots),
            request_memory: RequestMemory::new(config.request_memory_bytes),
            signals: (0..threads).map(|_| ReactorSignal::default()).collect(),
            committer: Committer::default(),
            upkeep: Bell::default(),
            connections: AtomicUsize::new(0),
            metrics: Metrics::new(threads),
            room: Notify::new(),
            stopping: watch::Sender::new(false),
            failure: OnceLock::new(),
            config,
            settings,
            storage,
            metadata,
            cluster_id,
            cluster,
        });
        let weak = Arc::downgrade(&node);
        node.storage.wake_committers_with(move || {
            if let Some(node) = weak.upgrade() {
                node.wake_reactors(None);
            }
        });
        Ok((node, listeners, ready))
    }
}

/// Whose directory it is, and its log. In a new one the log comes first: where it says whose it is, there must be a log.
fn open_directory(disk: Arc<dyn Disk>, config: &Config, settings: &Settings) -> Result<(Identity, Arc<Storage>, Recovered), StartError> {
    let found = Identity::read(disk.as_ref(), &config.data_dir, config.node_id)?;
    let options = StorageOptions { must_exist: found.is_some(), ..storage_options(config, settings) };
    let (storage, recovered) = Storage::open(disk, options, now_ms())?;
    let identity = match found {
        Some(found) => found,
        None => {
            // A cluster of several gets its id when it is founded.
            let cluster_id = if config.cluster.is_some() { String::new() } else { readable_id() };
            let fresh = Identity { cluster_id, node_id: config.node_id, directory_id: readable_id() };
            fresh.format(storage.disk(), &config.data_dir, storage.log_ids().is_empty())?;
            fresh
        }
    };
    Ok((identity, storage, recovered))
}

/// By Kafka's names, what the node was told by our own: who asks for its configs finds it there.
fn told_at_start(config: &Config, listening: &[SocketAddr]) -> Vec<(&'static str, String)> {
    let listeners: Vec<_> = listening.iter().map(|address| format!("PLAINTEXT://{address}")).collect();
    let mut told = vec![
        ("broker.id", config.node_id.to_string()),
        ("listeners", listeners.join(",")),
        ("log.dirs", config.absolute_data_dir().to_string_lossy().into_owned()),
        ("node.id", config.node_id.to_string()),
        ("process.roles", "broker,controller".to_owned()),
    ];
    if let Advertise::Fixed { host, port } = &config.advertise {
        told.push(("advertised.listeners", format!("PLAINTEXT://{host}:{port}")));
    }
    told
}

fn storage_options(config: &Config, settings: &Settings) -> StorageOptions {
    let defaults = StorageOptions::new(&config.data_dir);
    StorageOptions {
        // Appends must not wait for a checkpoint that is not due yet.
        wal_bytes_max: defaults.wal_bytes_max.max(config.checkpoint_distance_bytes.saturating_mul(2)),
        wal_file_bytes: config.wal_file_bytes,
        checkpoint_distance_bytes: config.checkpoint_distance_bytes,
        disk_reserve_bytes: config.disk_reserve_bytes,
        producer_id_expiration_ms: settings.producer_id_expiration_ms,
        seed: u64::from_le_bytes(*random_id().first_chunk().expect("an id has 16 bytes")),
        ..defaults
    }
}

pub(crate) fn reactor_count(config: &Config) -> usize {
    match config.reactors {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

pub(crate) type Threads = Vec<JoinHandle<()>>;

/// Starts the threads that serve connections, and the ways to deal connections to them.
pub(crate) fn spawn_reactors(node: &Arc<Node>) -> io::Result<(Threads, Vec<UnboundedSender<Accepted>>)> {
    let mut threads = Vec::new();
    let mut dealt = Vec::new();
    for index in 0..reactor_count(&node.config) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let node = Arc::clone(node);
        let thread = std::thread::Builder::new().name(format!("reactor-{index}")).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| match runtime() {
                Ok(runtime) => runtime.block_on(Reactor::new(Arc::clone(&node), index).run(receiver)),
                Err(error) => node.fail(&format_args!("a thread got no event queue: {error}")),
            }));
            if ended.is_err() {
                node.fail(&"a thread that serves connections panicked; this is a bug, and the lines above show where");
            }
        })?;
        threads.push(thread);
        dealt.push(sender);
    }
    Ok((threads, dealt))
}

pub(crate) fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// A random id as Kafka writes it. Like Kafka's, it never begins with a dash, which tools would take for an option.
fn readable_id() -> String {
    loop {
        let id = format_id(random_id());
        if !id.starts_with('-') {
            return id;
        }
    }
}

fn hint(error: &io::Error, address: &SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Another process listens there.\n\nFix: stop it, or choose another port with --bind {}:PORT",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need privileges.\n\nFix: choose a port above 1023 with --bind".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "No interface of this machine has this address.\n\nFix: bind to 0.0.0.0, or to an address of this machine"
                .to_owned()
        }
        _ => "Fix: choose another address with --bind".to_owned(),
    }
}
