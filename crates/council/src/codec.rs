//! The metadata log's records as bytes: one protobuf message each, so that later versions can add fields.
//!
//! The first byte of a record's value is the version of this encoding. A message has exactly one of the kinds below; one
//! with a kind that this version does not know stops the node, as it could not follow what comes after.

use chronik_state::ids::TopicId;
use chronik_state::metadata::record as state;
use chronik_state::metadata::record::Record;
use prost::Message;
use thiserror::Error;

/// The first byte of every record.
const VERSION: u8 = 1;

/// A record of the metadata log that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CodecError {
    /// Nothing there.
    #[error("the record is empty")]
    Empty,
    /// Written by a later version.
    #[error("the record has version {0}; this program reads version {VERSION}")]
    Version(u8),
    /// Not a message.
    #[error("the record is no message of ours: {0}")]
    Malformed(String),
    /// Written by a later version, or nothing in it.
    #[error("the record is of no kind that this program knows")]
    UnknownKind,
}

/// Appends `record` to `bytes`.
pub fn encode(record: &Record, bytes: &mut Vec<u8>) {
    bytes.push(VERSION);
    let message = Stored { kind: Some(Kind::from(record)) };
    message.encode(bytes).expect("a vector takes whatever is put into it");
}

/// Reads what [`encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<Record, CodecError> {
    let (version, message) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != VERSION {
        return Err(CodecError::Version(*version));
    }
    let message = Stored::decode(message).map_err(|error| CodecError::Malformed(error.to_string()))?;
    message.kind.ok_or(CodecError::UnknownKind)?.try_into()
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Cluster(Cluster),
    #[prost(message, tag = "2")]
    FeatureLevel(FeatureLevel),
    #[prost(message, tag = "3")]
    Broker(Broker),
    #[prost(message, tag = "4")]
    Topic(Topic),
    #[prost(message, tag = "5")]
    Partition(Partition),
    #[prost(message, tag = "6")]
    PartitionChange(PartitionChange),
    #[prost(message, tag = "7")]
    RemoveTopic(RemoveTopic),
    #[prost(message, tag = "8")]
    Config(Config),
    #[prost(message, tag = "9")]
    ProducerIds(ProducerIds),
}

#[derive(Clone, PartialEq, Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    cluster_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct FeatureLevel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(sint32, tag = "2")]
    level: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Broker {
    #[prost(sint32, tag = "1")]
    id: i32,
    #[prost(bytes = "vec", tag = "2")]
    incarnation_id: Vec<u8>,
    #[prost(sint64, tag = "3")]
    epoch: i64,
    #[prost(bytes = "vec", tag = "4")]
    directory_id: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    endpoints: Vec<Endpoint>,
    #[prost(string, optional, tag = "6")]
    rack: Option<String>,
    #[prost(bool, tag = "7")]
    fenced: bool,
    #[prost(bool, tag = "8")]
    shutting_down: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Endpoint {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    host: String,
    #[prost(uint32, tag = "3")]
    port: u32,
    #[prost(sint32, tag = "4")]
    security_protocol: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Topic {
    #[prost(bytes = "vec", tag = "1")]
    topic_id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Partition {
    #[prost(bytes = "vec", tag = "1")]
    topic_id: Vec<u8>,
    #[prost(sint32, tag = "2")]
    partition: i32,
    #[prost(sint32, repeated, tag = "3")]
    replicas: Vec<i32>,
    #[prost(sint32, repeated, tag = "4")]
    in_sync: Vec<i32>,
    #[prost(sint32, tag = "5")]
    leader: i32,
    #[prost(sint32, tag = "6")]
    leader_epoch: i32,
    #[prost(sint32, tag = "7")]
    partition_epoch: i32,
    #[prost(message, optional, tag = "8")]
    certainty: Option<Certainty>,
}

#[derive(Clone, PartialEq, Message)]
struct PartitionChange {
    #[prost(bytes = "vec", tag = "1")]
    topic_id: Vec<u8>,
    #[prost(sint32, tag = "2")]
    partition: i32,
    #[prost(sint32, repeated, tag = "3")]
    in_sync: Vec<i32>,
    #[prost(sint32, tag = "4")]
    leader: i32,
    #[prost(sint32, tag = "5")]
    leader_epoch: i32,
    #[prost(sint32, tag = "6")]
    partition_epoch: i32,
    #[prost(message, optional, tag = "7")]
    certainty: Option<Certainty>,
}

/// What both say of who is certain to have everything.
#[derive(Clone, PartialEq, Message)]
struct Certainty {
    #[prost(sint32, repeated, tag = "1")]
    eligible_leaders: Vec<i32>,
    #[prost(sint32, optional, tag = "2")]
    last_known_leader: Option<i32>,
    #[prost(bool, tag = "3")]
    recovering: bool,
    #[prost(sint32, tag = "4")]
    min_in_sync_replicas: i32,
}

#[derive(Clone, PartialEq, Message)]
struct RemoveTopic {
    #[prost(bytes = "vec", tag = "1")]
    topic_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Config {
    #[prost(sint32, tag = "1")]
    resource_kind: i32,
    #[prost(string, tag = "2")]
    resource_name: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, optional, tag = "4")]
    value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ProducerIds {
    #[prost(sint32, tag = "1")]
    broker_id: i32,
    #[prost(sint64, tag = "2")]
    next: i64,
}

impl From<&Record> for Kind {
    fn from(record: &Record) -> Self {
        match record {
            Record::Cluster(record) => Kind::Cluster(Cluster { cluster_id: record.cluster_id.clone() }),
            Record::FeatureLevel(record) => {
                Kind::FeatureLevel(FeatureLevel { name: record.name.clone(), level: record.level.into() })
            }
            Record::Broker(record) => Kind::Broker(broker(record)),
            Record::Topic(record) => {
                Kind::Topic(Topic { topic_id: record.topic_id.0.to_vec(), name: record.name.clone() })
            }
            Record::Partition(record) => Kind::Partition(Partition {
                topic_id: record.topic_id.0.to_vec(),
                partition: record.partition,
                replicas: record.replicas.clone(),
                in_sync: record.in_sync.clone(),
                leader: record.leader,
                leader_epoch: record.leader_epoch,
                partition_epoch: record.partition_epoch,
                certainty: Some(Certainty {
                    eligible_leaders: record.eligible_leaders.clone(),
                    last_known_leader: Some(record.last_known_leader).filter(|id| *id != state::NO_LEADER),
                    recovering: record.recovering,
                    min_in_sync_replicas: record.min_in_sync_replicas,
                }),
            }),
            Record::PartitionChange(record) => Kind::PartitionChange(PartitionChange {
                topic_id: record.topic_id.0.to_vec(),
                partition: record.partition,
                in_sync: record.in_sync.clone(),
                leader: record.leader,
                leader_epoch: record.leader_epoch,
                partition_epoch: record.partition_epoch,
                certainty: Some(Certainty {
                    eligible_leaders: record.eligible_leaders.clone(),
                    last_known_leader: Some(record.last_known_leader).filter(|id| *id != state::NO_LEADER),
                    recovering: record.recovering,
                    min_in_sync_replicas: record.min_in_sync_replicas,
                }),
            }),
            Record::RemoveTopic(record) => Kind::RemoveTopic(RemoveTopic { topic_id: record.topic_id.0.to_vec() }),
            Record::Config(record) => Kind::Config(Config {
                resource_kind: record.resource.kind.code().into(),
                resource_name: record.resource.name.clone(),
                name: record.name.clone(),
                value: record.value.clone(),
            }),
            Record::ProducerIds(record) => {
                Kind::ProducerIds(ProducerIds { broker_id: record.broker_id, next: record.next })
            }
        }
    }
}

fn broker(record: &state::BrokerRecord) -> Broker {
    let endpoint = |endpoint: &state::Endpoint| Endpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port.into(),
        security_protocol: endpoint.security_protocol.into(),
    };
    Broker {
        id: record.id,
        incarnation_id: record.incarnation_id.to_vec(),
        epoch: record.epoch,
        directory_id: record.directory_id.to_vec(),
        endpoints: record.endpoints.iter().map(endpoint).collect(),
        rack: record.rack.clone(),
        fenced: record.fenced,
        shutting_down: record.shutting_down,
    }
}

impl TryFrom<Kind> for Record {
    type Error = CodecError;

    fn try_from(kind: Kind) -> Result<Self, CodecError> {
        Ok(match kind {
            Kind::Cluster(Cluster { cluster_id }) => Record::Cluster(state::ClusterRecord { cluster_id }),
            Kind::FeatureLevel(FeatureLevel { name, level }) => {
                Record::FeatureLevel(state::FeatureLevelRecord { name, level: narrow(level)? })
            }
            Kind::Broker(message) => Record::Broker(message.try_into()?),
            Kind::Topic(Topic { topic_id, name }) => {
                Record::Topic(state::TopicRecord { topic_id: topic(&topic_id)?, name })
            }
            Kind::Partition(message) => {
                let certainty = message.certainty.unwrap_or_default();
                Record::Partition(state::PartitionRecord {
                    topic_id: topic(&message.topic_id)?,
                    partition: message.partition,
                    replicas: message.replicas,
                    in_sync: message.in_sync,
                    leader: message.leader,
                    leader_epoch: message.leader_epoch,
                    partition_epoch: message.partition_epoch,
                    eligible_leaders: certainty.eligible_leaders,
                    last_known_leader: certainty.last_known_leader.unwrap_or(state::NO_LEADER),
                    recovering: certainty.recovering,
                    min_in_sync_replicas: certainty.min_in_sync_replicas,
                })
            }
            Kind::PartitionChange(message) => {
                let certainty = message.certainty.unwrap_or_default();
                Record::PartitionChange(state::PartitionChangeRecord {
                    topic_id: topic(&message.topic_id)?,
                    partition: message.partition,
                    in_sync: message.in_sync,
                    leader: message.leader,
                    leader_epoch: message.leader_epoch,
                    partition_epoch: message.partition_epoch,
                    eligible_leaders: certainty.eligible_leaders,
                    last_known_leader: certainty.last_known_leader.unwrap_or(state::NO_LEADER),
                    recovering: certainty.recovering,
                    min_in_sync_replicas: certainty.min_in_sync_replicas,
                })
            }
            Kind::RemoveTopic(RemoveTopic { topic_id }) => {
                Record::RemoveTopic(state::RemoveTopicRecord { topic_id: topic(&topic_id)? })
            }
            Kind::Config(Config { resource_kind, resource_name, name, value }) => {
                let kind = state::ConfigResourceKind::from_code(narrow(resource_kind)?).ok_or(CodecError::UnknownKind)?;
                let resource = state::ConfigResource { kind, name: resource_name };
                Record::Config(state::ConfigRecord { resource, name, value })
            }
            Kind::ProducerIds(ProducerIds { broker_id, next }) => {
                Record::ProducerIds(state::ProducerIdsRecord { broker_id, next })
            }
        })
    }
}

impl TryFrom<Broker> for state::BrokerRecord {
    type Error = CodecError;

    fn try_from(message: Broker) -> Result<Self, CodecError> {
        let endpoints = message.endpoints.into_iter().map(|endpoint| {
            Ok(state::Endpoint {
                name: endpoint.name,
                host: endpoint.host,
                port: narrow(endpoint.port)?,
                security_protocol: narrow(endpoint.security_protocol)?,
            })
        });
        Ok(state::BrokerRecord {
            id: message.id,
            incarnation_id: id(&message.incarnation_id)?,
            epoch: message.epoch,
            directory_id: id(&message.directory_id)?,
            endpoints: endpoints.collect::<Result<_, CodecError>>()?,
            rack: message.rack,
            fenced: message.fenced,
            shutting_down: message.shutting_down,
        })
    }
}

fn topic(bytes: &[u8]) -> Result<TopicId, CodecError> {
    id(bytes).map(TopicId)
}

fn id(bytes: &[u8]) -> Result<[u8; 16], CodecError> {
    bytes.try_into().map_err(|_| CodecError::Malformed(format!("an id has {} bytes instead of 16", bytes.len())))
}

fn narrow<Wide: Copy + std::fmt::Display, Narrow: TryFrom<Wide>>(value: Wide) -> Result<Narrow, CodecError> {
    value.try_into().map_err(|_| CodecError::Malformed(format!("{value} is out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let topic_id = TopicId([7; 16]);
        let resource = state::ConfigResource { kind: state::ConfigResourceKind::Topic, name: "t".into() };
        vec![
            Record::Cluster(state::ClusterRecord { cluster_id: "c".into() }),
            Record::FeatureLevel(state::FeatureLevelRecord { name: "f".into(), level: -3 }),
            Record::Broker(state::BrokerRecord {
                id: 1,
                incarnation_id: [1; 16],
                epoch: i64::MAX,
                directory_id: [2; 16],
                endpoints: vec![state::Endpoint {
                    name: "PLAINTEXT".into(),
                    host: "h".into(),
                    port: u16::MAX,
                    security_protocol: 0,
                }],
                rack: Some(String::new()),
                fenced: true,
                shutting_down: true,
            }),
            Record::Topic(state::TopicRecord { topic_id, name: "t".into() }),
            Record::Partition(state::PartitionRecord {
                topic_id,
                partition: 3,
                replicas: vec![0, 2],
                in_sync: vec![2],
                leader: state::NO_LEADER,
                leader_epoch: 4,
                partition_epoch: 5,
                eligible_leaders: vec![0],
                last_known_leader: 0,
                recovering: true,
                min_in_sync_replicas: 2,
            }),
            Record::PartitionChange(state::PartitionChangeRecord {
                topic_id,
                partition: 3,
                in_sync: vec![],
                leader: 0,
                leader_epoch: 6,
                partition_epoch: 7,
                eligible_leaders: vec![],
                last_known_leader: state::NO_LEADER,
                recovering: false,
                min_in_sync_replicas: 1,
            }),
            Record::RemoveTopic(state::RemoveTopicRecord { topic_id }),
            Record::Config(state::ConfigRecord { resource: resource.clone(), name: "n".into(), value: None }),
            Record::Config(state::ConfigRecord { resource, name: "n".into(), value: Some(String::new()) }),
            Record::ProducerIds(state::ProducerIdsRecord { broker_id: -1, next: 1000 }),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for record in samples() {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            assert_eq!(decode(&bytes), Ok(record));
        }
    }

    #[test]
    fn what_a_later_version_wrote_is_refused_by_name() {
        assert_eq!(decode(&[]), Err(CodecError::Empty));
        assert_eq!(decode(&[2, 0]), Err(CodecError::Version(2)));
        // Field 99 with no content: a kind that is not there yet.
        assert_eq!(decode(&[VERSION, 0x9a, 0x06, 0]), Err(CodecError::UnknownKind));
        assert!(matches!(decode(&[VERSION, 0x22, 2, 0x0a, 0]), Err(CodecError::Malformed(_))));
    }
}
