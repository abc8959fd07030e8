//! The cluster as one of its nodes sees it.

use std::collections::BTreeMap;

use chronik_state::health::{Examination, Health, NodeFacts, NodeHealth, NodeState, PartitionFacts};
use chronik_state::ids::BrokerId;
use chronik_state::metadata::Image;
use chronik_state::metadata::record::{BrokerRecord, NO_LEADER};

use crate::node::Node;

/// What a node knows of its cluster.
#[derive(Clone, Debug)]
pub struct ClusterReport {
    /// The cluster's name for itself.
    pub cluster_id: String,
    /// The node that says all this.
    pub answered_by: i32,
    /// The newest term of the metadata's Raft group that it knows.
    pub term: i32,
    /// The verdict, with its reasons.
    pub health: Health,
    /// Every node, in the order of [`Health::nodes`].
    pub nodes: Vec<NodeReport>,
}

/// What is known of a node.
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// How it stands, and its share.
    pub health: NodeHealth,
    /// Where it stands.
    pub rack: Option<String>,
    /// Where clients, leaders and the Raft group find it.
    pub kafka: Option<String>,
    /// See there.
    pub wal: Option<String>,
    /// See there.
    pub raft: Option<String>,
    /// Records that it lacks of partitions that the answering node leads; none if there are none.
    pub lag_records: Option<i64>,
    /// What only the node itself knows.
    pub own: Option<OwnReport>,
}

/// What a node knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnReport {
    /// Since it opened its log.
    pub uptime_ms: u64,
    /// Size of the file system of its data directory, and what is left of it; none if that does not tell.
    pub disk: Option<(u64, u64)>,
}

/// Who leads the metadata, as far as the node knows.
pub(crate) fn metadata_leader(node: &Node) -> Option<BrokerId> {
    match &node.cluster {
        None => Some(node.config.node_id),
        Some(cluster) => cluster.metadata_leader(node.config.node_id),
    }
}

/// The verdict upon what the node knows.
pub(crate) fn health(node: &Node, image: &Image) -> Health {
    let mut examination = Examination::new(metadata_leader(node), nodes(node, image));
    for topic in image.topics() {
        for (index, partition) in topic.partitions.iter() {
            examination.partition(&PartitionFacts {
                topic: &topic.name,
                partition: *index,
                leader: (partition.leader != NO_LEADER).then_some(partition.leader),
                replicas: &partition.replicas,
                in_sync: &partition.in_sync,
                min_in_sync: Some(partition.min_in_sync_replicas),
            });
        }
    }
    examination.finish()
}

/// Those that are registered, and those that the configuration lists.
fn nodes(node: &Node, image: &Image) -> Vec<NodeFacts> {
    let leads = node.cluster.as_ref().filter(|cluster| cluster.leads());
    let heard_ms = |id| match leads {
        Some(_) if id == node.config.node_id => Some(0),
        Some(cluster) => cluster.heard_ms_ago(id).map(i64::unsigned_abs),
        None => None,
    };
    let registered = image.brokers().map(|broker| NodeFacts { id: broker.id, state: state(broker), silent_ms: heard_ms(broker.id) });
    let mut facts: BTreeMap<BrokerId, NodeFacts> = registered.map(|facts| (facts.id, facts)).collect();
    for peer in node.config.cluster.iter().flat_map(|cluster| &cluster.peers) {
        facts.entry(peer.id).or_insert(NodeFacts { id: peer.id, state: NodeState::Absent, silent_ms: None });
    }
    facts.into_values().collect()
}

fn state(broker: &BrokerRecord) -> NodeState {
    match broker {
        BrokerRecord { fenced: true, .. } => NodeState::Down,
        BrokerRecord { shutting_down: true, .. } => NodeState::Stopping,
        _ => NodeState::Up,
    }
}

/// All that the node knows.
pub(crate) fn report(node: &Node) -> ClusterReport {
    let image = node.metadata.image();
    let health = health(node, &image);
    let lags = lags(node);
    let nodes = health.nodes.iter().map(|health| {
        let broker = image.broker(health.id);
        let endpoint = |name: &str| {
            let endpoint = broker?.endpoints.iter().find(|endpoint| endpoint.name == name)?;
            Some(host_port(&endpoint.host, endpoint.port))
        };
        NodeReport {
            health: *health,
            rack: broker.and_then(|broker| broker.rack.clone()),
            kafka: endpoint("PLAINTEXT"),
            wal: endpoint(crate::replication::ENDPOINT),
            raft: endpoint(crate::cluster::RAFT_ENDPOINT),
            lag_records: lags.get(&health.id).copied(),
            own: (health.id == node.config.node_id).then(|| own(node)),
        }
    });
    ClusterReport {
        cluster_id: node.cluster_id.clone(),
        answered_by: node.config.node_id,
        term: node.metadata.reached().term,
        nodes: nodes.collect(),
        health,
    }
}

fn own(node: &Node) -> OwnReport {
    OwnReport {
        uptime_ms: u64::try_from(node.metrics.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        disk: node.storage.disk_space().ok().map(|space| (space.total_bytes, space.usable_bytes)),
    }
}

/// What followers lack of the partitions that this node leads.
fn lags(node: &Node) -> BTreeMap<BrokerId, i64> {
    let mut lags = BTreeMap::new();
    for partition in node.partitions.ids().into_iter().filter_map(|id| node.partitions.partition(id)) {
        for (follower, lag) in partition.lags() {
            *lags.entry(follower).or_default() += lag.records;
        }
    }
    lags
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
