//! Topics are created, grown and deleted (CreateTopics, CreatePartitions, DeleteTopics), refused in Kafka's words.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::{BrokerId, PartitionIndex, TopicId};
use crate::metadata::configs::validate_topic_configs;
use crate::metadata::image::Topic;
use crate::metadata::placement::place;
use crate::metadata::record::{
    ConfigRecord, ConfigResource, ConfigResourceKind, NO_LEADER, PartitionRecord, Record, RemoveTopicRecord, TopicRecord,
};
use crate::metadata::topic_name::{self, METADATA_TOPIC, may_collide, unified};
use crate::metadata::{ConfigMap, Controller, Decision, MetadataError, min_in_sync_replicas};

/// Partitions that one request may create, so that its records stay one batch of reasonable size.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// Create these topics, each for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTopics {
    /// In the order of the request.
    pub topics: Vec<CreatableTopic>,
    /// Say what would happen, and change nothing.
    pub validate_only: bool,
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatableTopic {
    /// The name asked for.
    pub name: String,
    /// A fresh random identity.
    pub topic_id: TopicId,
    /// How many partitions; −1 for the default, and with `assignments`.
    pub partitions: i32,
    /// How many replicas of each; −1 for the default, and with `assignments`.
    pub replication_factor: i16,
    /// Who gets which partition; empty to leave it to the controller.
    pub assignments: Vec<PartitionAssignment>,
    /// Configs in the order of the request.
    pub configs: Vec<(String, Option<String>)>,
}

/// The replicas of one partition, as a client wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAssignment {
    /// Which partition.
    pub partition: PartitionIndex,
    /// Its brokers, the preferred leader first.
    pub replicas: Vec<BrokerId>,
}

/// A topic as it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its identity.
    pub topic_id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each of them has.
    pub replication_factor: i16,
    /// Its own configs.
    pub configs: ConfigMap,
}

/// Grow these topics, each for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePartitions {
    /// In the order of the request.
    pub topics: Vec<TopicPartitions>,
    /// Say what would happen, and change nothing.
    pub validate_only: bool,
}

/// A topic to be grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartitions {
    /// Its name.
    pub name: String,
    /// How many partitions it is to have.
    pub count: i32,
    /// The replicas of each new partition; none to leave it to the controller.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// By its name.
    Name(String),
    /// By its identity.
    Id(TopicId),
}

impl Controller {
    /// Creates topics. Answers stand in the order of the request.
    pub fn create_topics(&self, command: &CreateTopics) -> Decision<Vec<Result<CreatedTopic, MetadataError>>> {
        let mut creation = Creation::new(self, command);
        let reply = command.topics.iter().map(|topic| creation.add(topic)).collect();
        let records = if command.validate_only { Vec::new() } else { creation.records };
        Decision { records, reply }
    }

    /// Grows topics. Answers stand in the order of the request.
    pub fn create_partitions(&self, command: &CreatePartitions) -> Decision<Vec<Result<(), MetadataError>>> {
        let names = Repeated::of(command.topics.iter().map(|topic| topic.name.as_str()));
        let (mut records, mut placed) = (Vec::new(), 0);
        let mut grow = |topic: &TopicPartitions| {
            names.refuse(topic.name.as_str(), "Duplicate topic name.")?;
            let added = self.grow(topic, placed)?;
            placed += added.len();
            records.extend(added.into_iter().map(Record::Partition));
            Ok(())
        };
        let reply = command.topics.iter().map(&mut grow).collect();
        let records = if command.validate_only { Vec::new() } else { records };
        Decision { records, reply }
    }

    /// Deletes topics and answers with the identity of each. Answers stand in the order of the request.
    pub fn delete_topics(&self, topics: &[TopicKey]) -> Decision<Vec<Result<Arc<Topic>, MetadataError>>> {
        let keys = Repeated::of(topics.iter());
        let mut deleted = BTreeSet::new();
        let mut delete = |key: &TopicKey| {
            keys.refuse(
                key,
                match key {
                    TopicKey::Name(_) => "Duplicate topic name.",
                    TopicKey::Id(_) => "Duplicate topic id.",
                },
            )?;
            let topic = self.find_topic(key)?;
            match deleted.insert(topic.id) {
                true => Ok(topic),
                false => Err(MetadataError::InvalidRequest(
                    "The provided topic name maps to an ID that was already supplied.".into(),
                )),
            }
        };
        let reply: Vec<_> = topics.iter().map(&mut delete).collect();
        let removed = reply.iter().flatten().map(|topic| RemoveTopicRecord { topic_id: topic.id });
        Decision { records: removed.map(Record::RemoveTopic).collect(), reply }
    }

    fn find_topic(&self, key: &TopicKey) -> Result<Arc<Topic>, MetadataError> {
        let found = match key {
            TopicKey::Name(name) => self.image.topic(name).ok_or_else(MetadataError::unknown_topic),
            TopicKey::Id(id) => self
                .image
                .topic_by_id(*id)
                .ok_or_else(|| MetadataError::UnknownTopicId("This server does not host this topic ID.".into())),
        };
        found.cloned()
    }

    fn grow(&self, wanted: &TopicPartitions, placed: usize) -> Result<Vec<PartitionRecord>, MetadataError> {
        let topic = self.image.topic(&wanted.name).ok_or_else(MetadataError::unknown_topic)?;
        let first = topic.partitions.len() as i32;
        let count = additional_partitions(wanted, first)?;
        check_request_size(placed + count, " additional")?;
        let replication_factor = topic.replication_factor();
        let replicas = match &wanted.assignments {
            Some(assignments) => self.assigned(assignments, count, first, replication_factor)?,
            None => place(&self.image, self.image.partition_count() + placed, count, replication_factor)
                .map_err(MetadataError::InvalidReplicationFactor)?,
        };
        let indexed = replicas.into_iter().zip(first..);
        Ok(indexed.map(|(replicas, index)| self.new_partition(topic.id, index, replicas, &topic.configs)).collect())
    }

    fn assigned(
        &self,
        assignments: &[Vec<BrokerId>],
        count: usize,
        first: PartitionIndex,
        replication_factor: usize,
    ) -> Result<Vec<Vec<BrokerId>>, MetadataError> {
        if assignments.len() != count {
            return Err(MetadataError::InvalidReplicaAssignment(format!(
                "Attempted to add {count} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            )));
        }
        for (replicas, index) in assignments.iter().zip(first..) {
            self.check_assignment(index, replicas, Some(replication_factor))?;
        }
        Ok(assignments.to_vec())
    }

    /// May a partition have these replicas?
    pub(crate) fn check_assignment(
        &self,
        partition: PartitionIndex,
        replicas: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<(), MetadataError> {
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        let unknown = sorted.iter().find(|id| self.image.broker(**id).is_none());
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        let text = match (unknown, twice) {
            _ if sorted.is_empty() => "The manual partition assignment includes an empty replica list.".into(),
            (Some(id), _) => {
                format!("The manual partition assignment includes broker {id}, but no such broker is registered.")
            }
            (_, Some(id)) => format!("The manual partition assignment includes the broker {id} more than once."),
            _ if replication_factor.is_some_and(|factor| factor != sorted.len()) => format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {} replica(s).",
                sorted.len(),
                replication_factor.unwrap_or_default()
            ),
            _ if !sorted.iter().any(|id| self.image.is_active(*id)) => format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            ),
            _ => return Ok(()),
        };
        Err(MetadataError::InvalidReplicaAssignment(text))
    }

    fn new_partition(
        &self,
        topic_id: TopicId,
        partition: PartitionIndex,
        replicas: Vec<BrokerId>,
        configs: &ConfigMap,
    ) -> PartitionRecord {
        let (in_sync, others): (Vec<BrokerId>, Vec<BrokerId>) = replicas.iter().copied().partition(|id| self.image.is_active(*id));
        let leader = in_sync[0];
        let min_in_sync_replicas = min_in_sync_replicas(&self.topic_settings(configs));
        // Nothing is committed before the set reaches its minimum: until then whoever has nothing lacks nothing (KIP-966).
        let minimum = usize::try_from(min_in_sync_replicas).unwrap_or(0).min(replicas.len());
        let eligible_leaders = if in_sync.len() < minimum { others } else { Vec::new() };
        PartitionRecord {
            topic_id,
            partition,
            replicas,
            in_sync,
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
            eligible_leaders,
            last_known_leader: NO_LEADER,
            recovering: false,
            min_in_sync_replicas,
        }
    }
}

/// The topics of one request as they are accepted, one after the other.
struct Creation<'a> {
    controller: &'a Controller,
    names: Repeated<&'a str>,
    /// Accepted names that could collide, in the form in which they would.
    forms: BTreeMap<String, String>,
    placed: usize,
    records: Vec<Record>,
}

impl<'a> Creation<'a> {
    fn new(controller: &'a Controller, command: &'a CreateTopics) -> Self {
        let names = Repeated::of(command.topics.iter().map(|topic| topic.name.as_str()));
        Creation { controller, names, forms: BTreeMap::new(), placed: 0, records: Vec::new() }
    }

    fn add(&mut self, topic: &CreatableTopic) -> Result<CreatedTopic, MetadataError> {
        self.check_name(&topic.name)?;
        let configs = creation_configs(topic)?;
        let replicas = self.replicas(topic)?;
        check_request_size(self.placed + replicas.len(), "")?;
        let created = CreatedTopic {
            topic_id: topic.topic_id,
            partitions: replicas.len() as i32,
            replication_factor: replicas[0].len() as i16,
            configs,
        };
        self.accept(topic, &created.configs, replicas);
        Ok(created)
    }

    fn check_name(&self, name: &str) -> Result<(), MetadataError> {
        self.names.refuse(name, "Duplicate topic name.")?;
        if name == METADATA_TOPIC {
            let text = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return Err(MetadataError::InvalidRequest(text));
        }
        if self.controller.image.topic(name).is_some() {
            return Err(MetadataError::TopicAlreadyExists(format!("Topic '{name}' already exists.")));
        }
        topic_name::validate(name)?;
        let pending = self.forms.get(&unified(name)).map(String::as_str);
        match self.controller.image.colliding_topic(name).or(pending).filter(|_| may_collide(name)) {
            Some(other) => {
                let text = format!("Topic '{name}' collides with existing topic: {other}");
                Err(MetadataError::InvalidTopic(text))
            }
            None => Ok(()),
        }
    }

    fn replicas(&self, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, MetadataError> {
        match topic.assignments.is_empty() {
            true => self.placed_replicas(topic),
            false => self.assigned_replicas(topic),
        }
    }

    fn placed_replicas(&self, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, MetadataError> {
        let settings = &self.controller.settings;
        let replication_factor = match topic.replication_factor {
            -1 => settings.default_replication_factor,
            given @ 1.. => given,
            _ => {
                let text = "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err(MetadataError::InvalidReplicationFactor(text.into()));
            }
        };
        let partitions = match topic.partitions {
            -1 => settings.default_partitions,
            given @ 1.. => given,
            _ => {
                let text = "Number of partitions was set to an invalid non-positive value.";
                return Err(MetadataError::InvalidPartitions(text.into()));
            }
        };
        check_request_size(self.placed + partitions as usize, "")?;
        let image = &self.controller.image;
        let start = image.partition_count() + self.placed;
        place(image, start, partitions as usize, replication_factor as usize).map_err(|why| {
            let text = format!("Unable to replicate the partition {replication_factor} time(s): {why}");
            MetadataError::InvalidReplicationFactor(text)
        })
    }

    fn assigned_replicas(&self, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, MetadataError> {
        if topic.replication_factor != -1 {
            return Err(MetadataError::InvalidRequest(
                "A manual partition assignment was specified, but replication factor was not set to -1.".into(),
            ));
        }
        if topic.partitions != -1 {
            return Err(MetadataError::InvalidRequest(
                "A manual partition assignment was specified, but numPartitions was not set to -1.".into(),
            ));
        }
        let mut by_index = BTreeMap::new();
        let mut replication_factor = None;
        for PartitionAssignment { partition, replicas } in &topic.assignments {
            if by_index.insert(*partition, replicas.clone()).is_some() {
                let text = format!("Found multiple manual partition assignments for partition {partition}");
                return Err(MetadataError::InvalidReplicaAssignment(text));
            }
            self.controller.check_assignment(*partition, replicas, replication_factor)?;
            replication_factor = Some(replicas.len());
        }
        if !by_index.keys().copied().eq(0..by_index.len() as i32) {
            return Err(MetadataError::InvalidReplicaAssignment(
                "partitions should be a consecutive 0-based integer sequence".into(),
            ));
        }
        Ok(by_index.into_values().collect())
    }

    /// The topic first, then its configs, then its partitions: whoever follows the log knows the configs of a partition
    /// before it exists.
    fn accept(&mut self, topic: &CreatableTopic, configs: &ConfigMap, replicas: Vec<Vec<BrokerId>>) {
        let (topic_id, name) = (topic.topic_id, topic.name.clone());
        if may_collide(&name) {
            self.forms.insert(unified(&name), name.clone());
        }
        self.placed += replicas.len();
        let resource = ConfigResource { kind: ConfigResourceKind::Topic, name: name.clone() };
        self.records.push(Record::Topic(TopicRecord { topic_id, name }));
        self.records.extend(configs.iter().map(|(name, value)| {
            Record::Config(ConfigRecord { resource: resource.clone(), name: name.clone(), value: Some(value.clone()) })
        }));
        let controller = self.controller;
        let partitions = replicas.into_iter().zip(0..);
        self.records.extend(
            partitions.map(|(replicas, index)| Record::Partition(controller.new_partition(topic_id, index, replicas, configs))),
        );
    }
}

/// What a request names more than once, which Kafka refuses wherever it stands.
struct Repeated<K>(BTreeSet<K>);

impl<K: Ord + Clone> Repeated<K> {
    fn of(keys: impl Iterator<Item = K>) -> Self {
        let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
        for key in keys {
            if !seen.insert(key.clone()) {
                repeated.insert(key);
            }
        }
        Repeated(repeated)
    }

    fn refuse<Q: Ord + ?Sized>(&self, key: &Q, text: &str) -> Result<(), MetadataError>
    where
        K: core::borrow::Borrow<Q>,
    {
        match self.0.contains(key) {
            true => Err(MetadataError::InvalidRequest(text.to_string())),
            false => Ok(()),
        }
    }
}

fn creation_configs(topic: &CreatableTopic) -> Result<ConfigMap, MetadataError> {
    let without_value: Vec<&str> =
        topic.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    if !without_value.is_empty() {
        let text = format!("Null value not supported for topic configs: {}", without_value.join(","));
        return Err(MetadataError::InvalidConfig(text));
    }
    let pairs = topic.configs.iter().cloned();
    let configs: ConfigMap = pairs.filter_map(|(name, value)| Some((name, value?))).collect();
    validate_topic_configs(&configs).map_err(MetadataError::InvalidConfig)?;
    Ok(configs)
}

fn additional_partitions(wanted: &TopicPartitions, current: i32) -> Result<usize, MetadataError> {
    let (name, count) = (&wanted.name, wanted.count);
    let text = match count {
        _ if count == current => format!("Topic already has {current} partition(s)."),
        _ if count < current => {
            format!("The topic {name} currently has {current} partition(s); {count} would not be an increase.")
        }
        _ => return Ok((count - current) as usize),
    };
    Err(MetadataError::InvalidPartitions(text))
}

fn check_request_size(partitions: usize, additional: &str) -> Result<(), MetadataError> {
    match partitions <= PARTITIONS_PER_REQUEST_MAX {
        true => Ok(()),
        false => Err(MetadataError::PolicyViolation(format!(
            "Excessively large number of{additional} partitions per request."
        ))),
    }
}
