//! Asks the nodes, and puts together what they said.
//!
//! One node tells who is registered, who leads what, and who is in sync: the metadata leader where it can be reached, as nobody
//! knows earlier. Each node tells of its own disk, and how far its replicas are.

use std::collections::BTreeMap;

use chronik_client::messages::describe_cluster_response::DescribeClusterBroker;
use chronik_client::messages::describe_configs_request::DescribeConfigsResource;
use chronik_client::messages::describe_quorum_request::{PartitionData, TopicData};
use chronik_client::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use chronik_client::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeQuorumRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
};
use chronik_client::{ApiKey, message};
use tokio::task::JoinSet;

use super::speaker::{Silence, Speaker};
use super::targets::Target;

/// Kafka's name for the log of the metadata.
const METADATA_LOG: &str = "__cluster_metadata";
/// Who asks for a replica's end, whoever leads (Kafka's `ListOffsetsRequest.DEBUGGING_REPLICA_ID`).
const ANY_REPLICA: i32 = -2;
const LATEST: i64 = -1;
/// Nodes to which there are connections at one time.
const ASKED_TOGETHER: usize = 64;
/// A topic, among the resources that have configs (KIP-133).
const TOPIC: i8 = 2;
const MIN_IN_SYNC: &str = "min.insync.replicas";

/// What was found.
pub(super) struct Found {
    /// Who answered the questions about all.
    pub(super) answered_by: String,
    pub(super) cluster: DescribeClusterResponse,
    pub(super) metadata: MetadataResponse,
    /// None while nobody leads.
    pub(super) quorum: Option<Quorum>,
    /// `min.insync.replicas` of the topics that lack copies.
    pub(super) minima: BTreeMap<String, i32>,
    /// By broker: what it said itself, or why it said nothing.
    pub(super) own: BTreeMap<i32, Result<Own, Silence>>,
    /// Addresses of the list that did not answer.
    pub(super) silent: Vec<(Target, Silence)>,
}

/// The metadata's Raft group.
pub(super) struct Quorum {
    pub(super) leader: i32,
    pub(super) term: i32,
    pub(super) voters: BTreeMap<i32, Voter>,
}

pub(super) struct Voter {
    /// Entries that it has not acknowledged yet.
    pub(super) lag_entries: i64,
    /// Since the leader heard it.
    pub(super) heard_ms_ago: Option<u64>,
}

/// What a node says of itself.
#[derive(Default)]
pub(super) struct Own {
    pub(super) disk_total_bytes: Option<u64>,
    pub(super) disk_free_bytes: Option<u64>,
    /// All partitions together.
    pub(super) log_bytes: u64,
    /// The end of each replica that it keeps, where it told.
    pub(super) ends: BTreeMap<(String, i32), i64>,
}

/// Asks the targets; if none answers, why.
pub(super) async fn gather(targets: &[Target]) -> Result<Found, Vec<(Target, Silence)>> {
    let (mut speakers, silent) = greet(targets).await;
    if speakers.is_empty() {
        return Err(silent);
    }
    let quorum = quorum(&speakers).await;
    let ways = Ways(speakers.iter().filter_map(|(target, _)| Some((target.id?, target.address.clone()))).collect());
    let mut silent = silent;
    loop {
        let Some((target, mut speaker)) = speakers.pop_front() else { return Err(silent) };
        let Some((cluster, metadata)) = ask_for_all(&mut speaker).await else {
            // It was there a moment ago: the next one may know why.
            silent.push((target, Silence::NoAnswer));
            continue;
        };
        let leader =
            quorum.as_ref().and_then(|quorum| cluster.brokers.iter().find(|broker| broker.broker_id == quorum.leader));
        let at_leader = match leader {
            Some(leader) => ask_leader(&ways.to(leader)).await,
            None => None,
        };
        let (answered_by, mut speaker, cluster, metadata) = match at_leader {
            Some((address, speaker, cluster, metadata)) => (address, speaker, cluster, metadata),
            None => (target.address, speaker, cluster, metadata),
        };
        let minima = minima(&mut speaker, &metadata, quorum.is_some()).await;
        let own = ask_each(&cluster, &metadata, &ways).await;
        return Ok(Found { answered_by, cluster, metadata, quorum, minima, own, silent });
    }
}

/// Where each node is reached: the address of the list if it answered there, as what clients are told may hold elsewhere only; else
/// what clients are told.
struct Ways(BTreeMap<i32, String>);

impl Ways {
    fn to(&self, broker: &DescribeClusterBroker) -> String {
        self.0.get(&broker.broker_id).cloned().unwrap_or_else(|| address(&broker.host, broker.port))
    }
}

type Speakers = std::collections::VecDeque<(Target, Speaker)>;

/// All at once; those that answer, in the order of the list.
async fn greet(targets: &[Target]) -> (Speakers, Vec<(Target, Silence)>) {
    let mut greetings = JoinSet::new();
    for (at, target) in targets.iter().cloned().enumerate() {
        greetings.spawn(async move { (at, Speaker::greet(&target.address).await, target) });
    }
    let mut heard: Vec<_> = greetings.join_all().await;
    heard.sort_by_key(|(at, ..)| *at);
    let (mut speakers, mut silent) = (Speakers::new(), Vec::new());
    for (_, greeting, target) in heard {
        match greeting {
            Ok(speaker) => speakers.push_back((target, speaker)),
            Err(silence) => silent.push((target, silence)),
        }
    }
    (speakers, silent)
}

/// Asks all of them at once, over connections of its own: a node that hears no leader looks for one for seconds.
async fn quorum(speakers: &Speakers) -> Option<Quorum> {
    let mut questions = JoinSet::new();
    for (target, _) in speakers {
        let address = target.address.clone();
        questions.spawn(async move { ask_quorum(&address).await });
    }
    let answers = questions.join_all().await;
    // Of two that say they lead, the one of the later term does.
    answers.into_iter().flatten().max_by_key(|quorum| quorum.term)
}

async fn ask_quorum(address: &str) -> Option<Quorum> {
    let mut speaker = Speaker::greet(address).await.ok()?;
    let topic = message!(TopicData {
        topic_name: METADATA_LOG.into(),
        partitions: vec![message!(PartitionData { partition_index: 0 })]
    });
    let request = message!(DescribeQuorumRequest { topics: vec![topic] });
    let response = speaker.ask(ApiKey::DescribeQuorum, 2, &request).await.ok()?;
    let partition = response.topics.first()?.partitions.first()?;
    if response.error_code != 0 || partition.error_code != 0 || partition.leader_id < 0 {
        return None;
    }
    let leader = partition.current_voters.iter().find(|voter| voter.replica_id == partition.leader_id);
    let (end, now_ms) = leader.map(|leader| (leader.log_end_offset, leader.last_fetch_timestamp)).unwrap_or_default();
    let voters = partition.current_voters.iter().map(|voter| {
        // Both times are of the leader's clock.
        let heard_ms_ago = (voter.last_fetch_timestamp >= 0 && now_ms > 0)
            .then(|| u64::try_from(now_ms.saturating_sub(voter.last_fetch_timestamp)).unwrap_or(0));
        (voter.replica_id, Voter { lag_entries: end.saturating_sub(voter.log_end_offset).max(0), heard_ms_ago })
    });
    Some(Quorum { leader: partition.leader_id, term: partition.leader_epoch, voters: voters.collect() })
}

async fn ask_leader(address: &str) -> Option<(String, Speaker, DescribeClusterResponse, MetadataResponse)> {
    let mut speaker = Speaker::greet(address).await.ok()?;
    let (cluster, metadata) = ask_for_all(&mut speaker).await?;
    Some((address.to_owned(), speaker, cluster, metadata))
}

async fn ask_for_all(speaker: &mut Speaker) -> Option<(DescribeClusterResponse, MetadataResponse)> {
    let request = message!(DescribeClusterRequest { endpoint_type: 1, include_fenced_brokers: true });
    let cluster = speaker.ask(ApiKey::DescribeCluster, 2, &request).await.ok()?;
    let request = message!(MetadataRequest { topics: None, allow_auto_topic_creation: false });
    let metadata = speaker.ask(ApiKey::Metadata, 12, &request).await.ok()?;
    (cluster.error_code == 0 && metadata.error_code == 0).then_some((cluster, metadata))
}

/// Of topics that lack copies: of the others nobody asks how many they may lack. While nobody leads the metadata it does not say
/// which ones do.
async fn minima(speaker: &mut Speaker, metadata: &MetadataResponse, is_led: bool) -> BTreeMap<String, i32> {
    let lacking = metadata.topics.iter().filter(|topic| {
        !is_led
            || topic.partitions.iter().any(|partition| {
                partition.isr_nodes.len() < partition.replica_nodes.len() || !partition.offline_replicas.is_empty()
            })
    });
    let resources: Vec<_> = lacking
        .filter_map(|topic| {
            let configuration_keys = Some(vec![MIN_IN_SYNC.into()]);
            Some(message!(DescribeConfigsResource {
                resource_type: TOPIC,
                resource_name: topic.name.clone()?,
                configuration_keys
            }))
        })
        .collect();
    if resources.is_empty() {
        return BTreeMap::new();
    }
    let Ok(response) = speaker.ask(ApiKey::DescribeConfigs, 4, &message!(DescribeConfigsRequest { resources })).await
    else {
        return BTreeMap::new();
    };
    let minimum = |result: &chronik_client::messages::describe_configs_response::DescribeConfigsResult| {
        let config = result.configs.iter().find(|config| config.name.as_str() == MIN_IN_SYNC)?;
        Some((result.resource_name.to_string(), config.value.as_ref()?.parse().ok()?))
    };
    response.results.iter().filter_map(minimum).collect()
}

/// Every broker for itself. Leaders first: what a follower has by then is not missing.
async fn ask_each(
    cluster: &DescribeClusterResponse,
    metadata: &MetadataResponse,
    ways: &Ways,
) -> BTreeMap<i32, Result<Own, Silence>> {
    let mut own = BTreeMap::new();
    for together in cluster.brokers.chunks(ASKED_TOGETHER) {
        own.extend(ask_some(together, metadata, ways).await);
    }
    own
}

async fn ask_some(
    brokers: &[DescribeClusterBroker],
    metadata: &MetadataResponse,
    ways: &Ways,
) -> BTreeMap<i32, Result<Own, Silence>> {
    let mut questions = JoinSet::new();
    for broker in brokers {
        let (id, address) = (broker.broker_id, ways.to(broker));
        let led = kept(metadata, |partition| partition.leader_id == id);
        questions.spawn(async move { (id, ask_own(&address, led).await) });
    }
    let mut own = BTreeMap::new();
    let mut followers = JoinSet::new();
    for (id, answer) in questions.join_all().await {
        let (mut speaker, mut said) = match answer {
            Ok(answer) => answer,
            Err(silence) => {
                own.insert(id, Err(silence));
                continue;
            }
        };
        let followed = kept(metadata, |partition| partition.leader_id != id && partition.replica_nodes.contains(&id));
        followers.spawn(async move {
            said.ends.extend(ends(&mut speaker, followed).await);
            (id, said)
        });
    }
    own.extend(followers.join_all().await.into_iter().map(|(id, said)| (id, Ok(said))));
    own
}

type Partitions = BTreeMap<String, Vec<i32>>;

fn kept(
    metadata: &MetadataResponse,
    is_meant: impl Fn(&chronik_client::messages::metadata_response::MetadataResponsePartition) -> bool,
) -> Partitions {
    let topics = metadata.topics.iter().filter_map(|topic| {
        let partitions =
            topic.partitions.iter().filter(|partition| is_meant(partition)).map(|partition| partition.partition_index);
        Some((topic.name.as_ref()?.to_string(), partitions.collect::<Vec<_>>()))
    });
    topics.filter(|(_, partitions)| !partitions.is_empty()).collect()
}

async fn ask_own(address: &str, led: Partitions) -> Result<(Speaker, Own), Silence> {
    let mut speaker = Speaker::greet(address).await?;
    let mut own = Own::default();
    let request = message!(DescribeLogDirsRequest { topics: None });
    if let Ok(response) = speaker.ask(ApiKey::DescribeLogDirs, 4, &request).await {
        let known = |bytes: i64| u64::try_from(bytes).ok();
        let first = response.results.iter().find(|result| result.error_code == 0);
        own.disk_total_bytes = first.and_then(|first| known(first.total_bytes));
        own.disk_free_bytes = first.and_then(|first| known(first.usable_bytes));
        let partitions = response.results.iter().flat_map(|result| &result.topics).flat_map(|topic| &topic.partitions);
        own.log_bytes = partitions.filter_map(|partition| known(partition.partition_size)).fold(0, u64::saturating_add);
    }
    own.ends = ends(&mut speaker, led).await;
    Ok((speaker, own))
}

/// Where these replicas end on the node; what it does not tell is left out.
async fn ends(speaker: &mut Speaker, partitions: Partitions) -> BTreeMap<(String, i32), i64> {
    if partitions.is_empty() {
        return BTreeMap::new();
    }
    let topics = partitions.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|partition_index| {
            message!(ListOffsetsPartition { partition_index, current_leader_epoch: -1, timestamp: LATEST })
        });
        message!(ListOffsetsTopic { name: name.into(), partitions: partitions.collect() })
    });
    let request = message!(ListOffsetsRequest { replica_id: ANY_REPLICA, topics: topics.collect() });
    let Ok(response) = speaker.ask(ApiKey::ListOffsets, 7, &request).await else { return BTreeMap::new() };
    let told = response
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.to_string(), partition)));
    told.filter(|(_, partition)| partition.error_code == 0)
        .map(|(topic, partition)| ((topic, partition.partition_index), partition.offset))
        .collect()
}

/// `host:port`, an IPv6 host in brackets.
pub(super) fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
