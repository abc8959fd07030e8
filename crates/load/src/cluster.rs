//! What a load asks and tells a broker before and after: which versions it speaks, topics, offsets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use chronik_client::Connection;
use chronik_wire::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
    RequestResponsePair, create_topics_request, list_offsets_request, metadata_request,
};
use chronik_wire::{ApiKey, ErrorCode, Versions, message};
use tokio::runtime::{Builder, Runtime};

use crate::LoadError;
use crate::consume::Offsets;
use crate::frames;
use crate::target::{Target, refused};

const ANSWER: Duration = Duration::from_secs(30);
/// How long a new topic may take until every partition has a leader that answers.
const READY: Duration = Duration::from_secs(60);
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// A Kafka-compatible broker or cluster.
pub struct Cluster {
    runtime: Runtime,
    bootstrap: String,
    connection: Connection,
    versions: BTreeMap<ApiKey, Versions>,
}

impl Cluster {
    /// Connects to `host:port` and asks which versions are spoken there.
    pub fn connect(bootstrap: &str) -> Result<Cluster, LoadError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(LoadError::Machine)?;
        let (connection, versions) = runtime.block_on(greet(bootstrap))?;
        Ok(Cluster { runtime, bootstrap: bootstrap.to_owned(), connection, versions })
    }

    /// Creates a topic with the broker's default replication and these settings, and waits until it can be used.
    pub fn create_topic(
        &mut self,
        topic: &str,
        partitions: usize,
        settings: &[(&str, &str)],
    ) -> Result<Target, LoadError> {
        self.ask_for_topic(topic, partitions, settings)?;
        self.wait_for_topic(topic, partitions)
    }

    /// The first half of it: the broker has taken the topic on.
    pub fn ask_for_topic(
        &mut self,
        topic: &str,
        partitions: usize,
        settings: &[(&str, &str)],
    ) -> Result<(), LoadError> {
        let version = self.version(ApiKey::CreateTopics, (2, 7))?;
        let configs = settings.iter().map(|(name, value)| {
            message!(create_topics_request::CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) })
        });
        let wanted = message!(create_topics_request::CreatableTopic {
            configs: configs.collect(),
            name: topic.into(),
            num_partitions: partitions as i32,
            // Before version 4 there was no way to leave it to the broker (KIP-464).
            replication_factor: if version >= 4 { -1 } else { 1 },
        });
        let request = message!(CreateTopicsRequest { topics: vec![wanted], timeout_ms: ANSWER.as_millis() as i32 });
        let response = self.ask(ApiKey::CreateTopics, &request, version)?;
        match response.topics.iter().find(|result| result.error_code != 0) {
            Some(result) => Err(refused(ApiKey::CreateTopics, result.error_code)),
            None => Ok(()),
        }
    }

    /// The partitions of a topic that is there.
    pub fn describe_topic(&mut self, topic: &str) -> Result<Target, LoadError> {
        match self.metadata(topic)? {
            Found::Topic(target) => Ok(target),
            Found::Nothing => Err(LoadError::NoTopic(topic.to_owned())),
            Found::NoLeader(code) => Err(refused(ApiKey::Metadata, code)),
        }
    }

    pub fn delete_topic(&mut self, topic: &str) -> Result<(), LoadError> {
        // From version 6 on topics may also be named by their ids; five versions suffice for a name.
        let version = self.version(ApiKey::DeleteTopics, (1, 5))?;
        let request =
            message!(DeleteTopicsRequest { topic_names: vec![topic.into()], timeout_ms: ANSWER.as_millis() as i32 });
        let response = self.ask(ApiKey::DeleteTopics, &request, version)?;
        match response.responses.iter().find(|result| result.error_code != 0) {
            Some(result) => Err(refused(ApiKey::DeleteTopics, result.error_code)),
            None => Ok(()),
        }
    }

    /// First and last offsets of all partitions.
    pub fn offsets(&mut self, target: &Target) -> Result<Offsets, LoadError> {
        let first = self.offsets_at(target, EARLIEST)?;
        let end = self.offsets_at(target, LATEST)?;
        Ok(Offsets(first.into_iter().zip(end).map(|(first, end)| first..end).collect()))
    }

    /// The second half: its leaders are known and answer for it.
    pub fn wait_for_topic(&mut self, topic: &str, partitions: usize) -> Result<Target, LoadError> {
        let deadline = Instant::now() + READY;
        loop {
            let last = match self.metadata(topic)? {
                Found::Topic(target) if target.partitions() == partitions => match self.offsets(&target) {
                    Ok(_) => return Ok(target),
                    Err(LoadError::Refused { code, .. }) => code,
                    Err(error) => return Err(error),
                },
                Found::Topic(_) | Found::Nothing => ErrorCode::UnknownTopicOrPartition.code(),
                Found::NoLeader(code) => code,
            };
            if Instant::now() > deadline {
                return Err(refused(ApiKey::Metadata, last));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn metadata(&mut self, topic: &str) -> Result<Found, LoadError> {
        // Version 4 brought `allow_auto_topic_creation`: a question must not make a topic.
        let version = self.version(ApiKey::Metadata, (4, 12))?;
        let wanted = message!(metadata_request::MetadataRequestTopic { name: Some(topic.into()) });
        let request = message!(MetadataRequest { topics: Some(vec![wanted]), allow_auto_topic_creation: false });
        let response = self.ask(ApiKey::Metadata, &request, version)?;
        let produce_version = self.version(ApiKey::Produce, frames::PRODUCE)?;
        let fetch_version = self.version(ApiKey::Fetch, frames::FETCH)?;
        found(&response, topic, produce_version, fetch_version)
    }

    fn offsets_at(&mut self, target: &Target, timestamp: i64) -> Result<Vec<u64>, LoadError> {
        let version = self.version(ApiKey::ListOffsets, (1, 7))?;
        let mut offsets = vec![0; target.partitions()];
        for (leader, partitions) in target.by_leader(|_| true) {
            let wanted = partitions.iter().map(|&partition| {
                message!(list_offsets_request::ListOffsetsPartition {
                    partition_index: partition as i32,
                    current_leader_epoch: -1,
                    timestamp: timestamp,
                })
            });
            let topic = message!(list_offsets_request::ListOffsetsTopic {
                name: target.topic().into(),
                partitions: wanted.collect(),
            });
            let request = message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] });
            let response = self.ask_at(leader, ApiKey::ListOffsets, &request, version)?;
            for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
                if partition.error_code != 0 {
                    return Err(refused(ApiKey::ListOffsets, partition.error_code));
                }
                if let Some(offset) = offsets.get_mut(partition.partition_index as usize) {
                    *offset = partition.offset.max(0) as u64;
                }
            }
        }
        Ok(offsets)
    }

    /// The highest version that is spoken here and there.
    fn version(&self, api: ApiKey, (lowest, highest): (i16, i16)) -> Result<i16, LoadError> {
        let theirs = self.versions.get(&api);
        let common = theirs.map(|theirs| (theirs.min.max(lowest), theirs.max.min(highest)));
        match common {
            Some((min, max)) if min <= max => Ok(max),
            _ => Err(LoadError::Unsupported {
                address: self.bootstrap.clone(),
                api,
                versions: format!("{lowest} to {highest}"),
            }),
        }
    }

    fn ask<R: RequestResponsePair>(
        &mut self,
        api: ApiKey,
        request: &R,
        version: i16,
    ) -> Result<R::Response, LoadError> {
        let answer = self.runtime.block_on(self.connection.send(request, version));
        answer.map_err(|source| LoadError::Asked { api, source })
    }

    /// Asks another broker of the cluster.
    fn ask_at<R: RequestResponsePair>(
        &mut self,
        address: SocketAddr,
        api: ApiKey,
        request: &R,
        version: i16,
    ) -> Result<R::Response, LoadError> {
        let answer = self.runtime.block_on(async {
            let mut connection = Connection::connect(address, ANSWER).await?;
            connection.send(request, version).await
        });
        answer.map_err(|source| LoadError::Asked { api, source })
    }
}

async fn greet(bootstrap: &str) -> Result<(Connection, BTreeMap<ApiKey, Versions>), LoadError> {
    let connected = Connection::connect(bootstrap, ANSWER).await;
    let mut connection = connected.map_err(|source| LoadError::Connect { address: bootstrap.to_owned(), source })?;
    let versions = connection.api_versions().await;
    let versions = versions.map_err(|source| LoadError::Asked { api: ApiKey::ApiVersions, source })?;
    Ok((connection, versions))
}

enum Found {
    Topic(Target),
    Nothing,
    /// A partition has no leader yet.
    NoLeader(i16),
}

fn found(
    response: &MetadataResponse,
    topic: &str,
    produce_version: i16,
    fetch_version: i16,
) -> Result<Found, LoadError> {
    let Some(described) =
        response.topics.iter().find(|found| found.name.as_ref().is_some_and(|name| name.as_str() == topic))
    else {
        return Ok(Found::Nothing);
    };
    match ErrorCode::from_code(described.error_code) {
        Some(ErrorCode::None) => {}
        Some(ErrorCode::UnknownTopicOrPartition) => return Ok(Found::Nothing),
        Some(code) if code.is_retriable() => return Ok(Found::NoLeader(described.error_code)),
        _ => return Err(refused(ApiKey::Metadata, described.error_code)),
    }
    let mut addresses = BTreeMap::new();
    let mut leaders = vec![None; described.partitions.len()];
    for partition in &described.partitions {
        let leader = partition.leader_id;
        let Some(broker) = response.brokers.iter().find(|broker| broker.node_id == leader) else {
            return Ok(Found::NoLeader(ErrorCode::LeaderNotAvailable.code()));
        };
        let address = match addresses.get(&leader) {
            Some(address) => *address,
            None => *addresses.entry(leader).or_insert(resolve(broker.host.as_str(), broker.port)?),
        };
        if let Some(slot) = leaders.get_mut(partition.partition_index as usize) {
            *slot = Some(address);
        }
    }
    Ok(match leaders.into_iter().collect::<Option<Vec<_>>>() {
        Some(leaders) => Found::Topic(Target { topic: topic.to_owned(), leaders, produce_version, fetch_version }),
        None => Found::NoLeader(ErrorCode::LeaderNotAvailable.code()),
    })
}

fn resolve(host: &str, port: i32) -> Result<SocketAddr, LoadError> {
    let address = format!("{host}:{port}");
    let unknown = |source: std::io::Error| LoadError::Connect { address: address.clone(), source: source.into() };
    let port = u16::try_from(port).map_err(|_| unknown(std::io::ErrorKind::InvalidInput.into()))?;
    let mut found = (host, port).to_socket_addrs().map_err(unknown)?;
    found.next().ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))
}
