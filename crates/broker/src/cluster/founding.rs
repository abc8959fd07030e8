//! How a cluster begins: once, when every node that the file names has answered and none of them belongs to a cluster yet.
//!
//! All of them, because the Raft group begins with members that have promised nothing: if some could found it without the others,
//! a node that lost its disk could found it a second time, and what was acknowledged before would be gone. A member is a
//! directory, not a node: whoever comes back with an empty one is not known, and has to be added.
//!
//! And all of them have to mean the same nodes. One whose file names fewer would found a smaller cluster with those, into which the
//! others would follow: an answer of a node with other [[peers]] counts for nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use chronik_consensus::{Membership, SavedSnapshot};
use chronik_council::snapshot::{has_founded, write_founding};
use chronik_log::disk::Disk;
use chronik_log::snapshot::SnapshotError;
use chronik_log::vote::{self, Vote, VoteError};
use chronik_log::{Identity, IdentityError, Storage};
use chronik_state::metadata::record::{BrokerRecord, ClusterRecord, Endpoint, Record};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, Streaming, async_trait};
use tracing::{info, warn};

use super::links::{client, endpoint};
use super::messages::*;
use super::service::{self, Peer};
use super::waiting::Waiting;
use super::{Member, RAFT_ENDPOINT};
use crate::replication::ENDPOINT as WAL_ENDPOINT;
use crate::config::{ClusterConfig, Config, HostPort};
use crate::metadata::{directory_id, raft_id};
use crate::node::format_id;

/// Between rounds of questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a node has to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_millis(1000);

/// Why a cluster was not founded.
#[derive(Debug, Error)]
pub enum FoundingError {
    /// What the disk said.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// What the disk said.
    #[error("{0}")]
    Vote(#[from] VoteError),
    /// What the disk said.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The system gave no socket.
    #[error("the service for other nodes could not begin: {0}")]
    Service(io::Error),
    /// This directory is a member, or the data, of something else.
    #[error("{0}")]
    Foreign(String),
}

/// What a node of a cluster knows of it before it opens its log.
pub(crate) struct Founded {
    pub(crate) cluster_id: String,
    /// The others, where the metadata does not tell yet.
    pub(crate) members: BTreeMap<u64, Member>,
}

/// Who this node is.
pub(super) fn introduction(config: &Config, directory_id: [u8; 16]) -> Introduction {
    let own = config.cluster.as_ref().and_then(|cluster| cluster.peers.iter().find(|peer| peer.id == config.node_id));
    let address = |host_port: &HostPort| Address { host: host_port.host.clone(), port: host_port.port.into() };
    let mut peers: Vec<i32> = config.cluster.iter().flat_map(|cluster| &cluster.peers).map(|peer| peer.id).collect();
    peers.sort_unstable();
    Introduction {
        node_id: config.node_id,
        directory_id: directory_id.to_vec(),
        kafka: own.map(|peer| address(&peer.kafka)),
        wal: own.map(|peer| address(&peer.wal)),
        raft: own.map(|peer| address(&peer.raft)),
        peers,
    }
}

/// Founds the cluster, or finds that it has been founded with this directory as a member. Returns at once where that was done
/// at an earlier start.
pub(crate) async fn found(
    storage: &Storage,
    config: &Config,
    cluster: &ClusterConfig,
    identity: &Identity,
    listener: &TcpListener,
) -> Result<Founded, FoundingError> {
    let disk = storage.disk();
    if has_founded(disk, &config.data_dir)? {
        return Ok(Founded { cluster_id: identity.cluster_id.clone(), members: BTreeMap::new() });
    }
    let own = introduction(config, directory_id(&identity.directory_id));
    check_empty(storage, config)?;
    let listener = listener.try_clone().map_err(FoundingError::Service)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let greeter = Greeter { own: own.clone() };
    let serving = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        service::serve(greeter, listener, stopped).await
    });
    let introduced = gather(cluster, &own).await;
    let founded = match introduced.iter().find(|answer| !answer.cluster_id.is_empty()) {
        Some(member) => join(disk, config, identity, &introduced, member),
        None => begin(disk, config, identity, &introduced),
    };
    // Nobody listens if the service has ended by itself.
    let _ = stop.send(());
    serving.abort();
    founded
}

/// A cluster begins with empty directories: what is in one already would be shadowed by what the others say.
fn check_empty(storage: &Storage, config: &Config) -> Result<(), FoundingError> {
    if storage.log_ids().is_empty() {
        return Ok(());
    }
    Err(FoundingError::Foreign(format!(
        "{} holds a log, and no snapshot of a cluster's metadata: it belongs to a node on its own, or its directory `metadata` is gone\n\n\
         A cluster begins with empty directories, and a member without its snapshot does not know what it has promised to the others. \
         Nothing was touched.\n\n\
         Fix: start a node on its own without peers; restore the directory `metadata` of a member; or give this node an empty data directory",
        config.data_dir.display()
    )))
}

/// Asks everybody until all have answered, or one knows that this directory belongs to its cluster.
async fn gather(cluster: &ClusterConfig, own: &Introduction) -> Vec<IntroduceResponse> {
    let mut answers: BTreeMap<i32, IntroduceResponse> = BTreeMap::new();
    let mut waiting = Waiting::since(Instant::now());
    // Each by the number that the configuration gives it.
    let mut misled: BTreeMap<i32, Waiting> = BTreeMap::new();
    let begun = Instant::now();
    loop {
        for peer in &cluster.peers {
            let answer = if peer.id == own.node_id {
                Some(IntroduceResponse { version: VERSION, from: Some(own.clone()), ..IntroduceResponse::default() })
            } else {
                ask(&peer.raft, own).await
            };
            let said = answer.as_ref().and_then(|answer| answer.from.as_ref()).map(|from| from.node_id);
            let (host, port, id) = (&peer.raft.host, peer.raft.port, peer.id);
            let stranger = said.filter(|said| *said != id).map(|other| {
                format!("the node at {host}:{port} says that it is node {other}, and the configuration says node {id}: correct the [[peers]] of one of them")
            });
            let differs = answer.as_ref().and_then(|answer| disagreement(answer, own)).map(<[i32]>::to_vec);
            let other_list = differs.as_ref().map(|theirs| {
                format!(
                    "node {id} at {host}:{port} has [[peers]] {theirs:?} in its configuration, and this node {:?}: a cluster is founded by nodes that \
                     name the same; correct the file of one of them, and start that node again",
                    own.peers
                )
            });
            let mut is_due = |text: &String| misled.entry(id).or_insert_with(|| Waiting::since(begun)).is_due(text, Instant::now());
            if let Some(text) = stranger.or(other_list).filter(|text| is_due(text)) {
                warn!("{text}");
            }
            match answer.filter(|_| said == Some(peer.id) && differs.is_none()) {
                Some(answer) => answers.insert(peer.id, answer),
                None => answers.remove(&peer.id),
            };
        }
        let founded = answers.values().any(|answer| !answer.cluster_id.is_empty());
        let known = answers.values().any(|answer| answer.knows_you);
        if known || (!founded && answers.len() == cluster.peers.len()) {
            return answers.into_values().collect();
        }
        let missing: Vec<_> = cluster.peers.iter().map(|peer| peer.id).filter(|id| !answers.contains_key(id)).collect();
        if waiting.is_due(&format!("{founded} {missing:?}"), Instant::now()) {
            match founded {
                true => warn!(
                    "the cluster exists and does not know this data directory: a node with a new disk has to be removed and added again"
                ),
                false => info!("waiting for nodes {missing:?}: a cluster is founded when all of its nodes are up for the first time"),
            }
        }
        sleep(PAUSE).await;
    }
}

/// The nodes of somebody who belongs to no cluster yet, and means others than this node does.
fn disagreement<'a>(answer: &'a IntroduceResponse, own: &Introduction) -> Option<&'a [i32]> {
    let theirs = &answer.from.as_ref()?.peers;
    (answer.cluster_id.is_empty() && !theirs.is_empty() && *theirs != own.peers).then_some(theirs)
}

async fn ask(address: &HostPort, own: &Introduction) -> Option<IntroduceResponse> {
    let channel = endpoint(address)?.timeout(ANSWER_WITHIN).connect().await.ok()?;
    let request = IntroduceRequest { version: VERSION, from: Some(own.clone()) };
    client(channel).introduce(request).await.ok().map(Response::into_inner)
}

/// The first start of everybody. Each node comes to the same founding state by itself.
fn begin(disk: &dyn Disk, config: &Config, identity: &Identity, introduced: &[IntroduceResponse]) -> Result<Founded, FoundingError> {
    let nodes: Vec<(&Introduction, [u8; 16])> = introductions(introduced).collect();
    // Ids that nobody chose make one that nobody chose.
    let mixed = nodes.iter().fold([0; 16], |mixed: [u8; 16], (_, id)| std::array::from_fn(|at| mixed[at] ^ id[at]));
    let mut cluster_id = format_id(mixed);
    if cluster_id.starts_with('-') {
        // Tools would take it for an option.
        cluster_id.replace_range(..1, "A");
    }
    let brokers = nodes.iter().map(|(node, directory_id)| Record::Broker(broker(node, *directory_id)));
    let records: Vec<Record> = [Record::Cluster(ClusterRecord { cluster_id: cluster_id.clone() })].into_iter().chain(brokers).collect();
    let membership = Membership::of(nodes.iter().map(|(_, directory_id)| raft_id(*directory_id)));
    let founding = |data| SavedSnapshot::founding(membership, data);
    identity.join(disk, &config.data_dir, &cluster_id)?;
    // The snapshot last: it says that the rest is there.
    vote::write(disk, &config.data_dir, Vote { term: 1, voted_for: 0 })?;
    write_founding(disk, &config.data_dir, &records, founding)?;
    let ids: Vec<_> = nodes.iter().map(|(node, _)| node.node_id).collect();
    info!(cluster_id, nodes = ?ids, "cluster founded");
    Ok(Founded { cluster_id, members: members(introduced) })
}

/// The others have founded it with this directory among its members: what has happened since comes from them.
fn join(
    disk: &dyn Disk,
    config: &Config,
    identity: &Identity,
    introduced: &[IntroduceResponse],
    member: &IntroduceResponse,
) -> Result<Founded, FoundingError> {
    let cluster_id = member.cluster_id.clone();
    identity.join(disk, &config.data_dir, &cluster_id)?;
    vote::write(disk, &config.data_dir, Vote::default())?;
    write_founding(disk, &config.data_dir, &[], |_| SavedSnapshot::default())?;
    info!(cluster_id, "joined a cluster that was founded a moment ago");
    Ok(Founded { cluster_id, members: members(introduced) })
}

fn introductions(introduced: &[IntroduceResponse]) -> impl Iterator<Item = (&Introduction, [u8; 16])> {
    introduced.iter().filter_map(|answer| {
        let node = answer.from.as_ref()?;
        Some((node, node.directory_id.as_slice().try_into().ok()?))
    })
}

fn members(introduced: &[IntroduceResponse]) -> BTreeMap<u64, Member> {
    let member = |(node, directory_id): (&Introduction, [u8; 16])| {
        let raft = node.raft.as_ref()?;
        let raft = HostPort { host: raft.host.clone(), port: u16::try_from(raft.port).ok()? };
        Some((raft_id(directory_id), Member { node_id: node.node_id, raft, also: None }))
    };
    introductions(introduced).filter_map(member).collect()
}

/// Where a node is, as the metadata has it; nothing if it did not say so.
pub(super) fn endpoints(node: &Introduction) -> Option<Vec<Endpoint>> {
    let named = [("PLAINTEXT", &node.kafka), (WAL_ENDPOINT, &node.wal), (RAFT_ENDPOINT, &node.raft)];
    let endpoint = |(name, address): (&str, &Option<Address>)| {
        let address = address.as_ref()?;
        let port = u16::try_from(address.port).ok()?;
        Some(Endpoint { name: name.to_owned(), host: address.host.clone(), port, security_protocol: 0 })
    };
    named.into_iter().map(endpoint).collect()
}

/// A broker that has not registered yet: where it will be.
fn broker(node: &Introduction, directory_id: [u8; 16]) -> BrokerRecord {
    BrokerRecord {
        id: node.node_id,
        incarnation_id: [0; 16],
        epoch: -1,
        directory_id,
        endpoints: endpoints(node).unwrap_or_default(),
        rack: None,
        fenced: true,
        shutting_down: false,
    }
}

/// Answers who this node is, before it belongs to a cluster.
struct Greeter {
    own: Introduction,
}

#[async_trait]
impl Peer for Greeter {
    async fn introduce(&self, _: Request<IntroduceRequest>) -> Result<Response<IntroduceResponse>, Status> {
        Ok(Response::new(IntroduceResponse { version: VERSION, from: Some(self.own.clone()), ..IntroduceResponse::default() }))
    }

    async fn raft(&self, _: Request<Streaming<RaftRequest>>) -> Result<Response<RaftResponse>, Status> {
        Err(too_early())
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<SnapshotResponse>, Status> {
        Err(too_early())
    }

    async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        Err(too_early())
    }

    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        Err(too_early())
    }

    async fn alter_partitions(&self, _: Request<AlterPartitionsRequest>) -> Result<Response<AlterPartitionsResponse>, Status> {
        Err(too_early())
    }

    async fn allocate_producer_ids(
        &self,
        _: Request<AllocateProducerIdsRequest>,
    ) -> Result<Response<AllocateProducerIdsResponse>, Status> {
        Err(too_early())
    }

    async fn forward(&self, _: Request<ForwardRequest>) -> Result<Response<ForwardResponse>, Status> {
        Err(too_early())
    }
}

fn too_early() -> Status {
    Status::unavailable("this node is being founded")
}
