//! The cluster's metadata at one offset of its log. Only [`Image::apply`] changes it.
//!
//! A clone is a handful of counts and shares everything with its origin: the broker publishes one after each decision,
//! and readers keep theirs as long as they like.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};
use crate::metadata::configs::ConfigMap;
use crate::metadata::record::*;
use crate::metadata::shared_map::SharedMap;
use crate::metadata::topic_name::{may_collide, unified};

/// Everything the cluster has agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    cluster_id: Option<Arc<str>>,
    features: Arc<BTreeMap<String, i16>>,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerRecord>>>,
    broker_configs: Arc<BTreeMap<String, ConfigMap>>,
    topics: SharedMap<TopicId, Arc<Topic>>,
    topic_ids: SharedMap<Arc<str>, TopicId>,
    /// Names that hold '.' or '_', by the form in which they could collide in a metric's name.
    collisions: SharedMap<Arc<str>, Arc<BTreeSet<Arc<str>>>>,
    partition_count: usize,
    next_producer_id: ProducerId,
}

/// One creation of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// By index, without gaps.
    pub partitions: SharedMap<PartitionIndex, Partition>,
    /// Configs set on the topic itself.
    pub configs: Arc<ConfigMap>,
}

/// One partition, as agreed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Assigned brokers, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// In-sync replicas.
    pub in_sync: Arc<[BrokerId]>,
    /// Who leads, or [`NO_LEADER`].
    pub leader: BrokerId,
    /// Bumped with every change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Bumped with every change.
    pub partition_epoch: i32,
    /// Not in sync, but certain to hold all that is committed (KIP-966).
    pub eligible_leaders: Arc<[BrokerId]>,
    /// Who led last, where nobody leads now; else [`NO_LEADER`].
    pub last_known_leader: BrokerId,
    /// Elected from outside the in-sync set, and not yet through with it (KIP-704).
    pub recovering: bool,
    /// `min.insync.replicas` of the topic.
    pub min_in_sync_replicas: i32,
}

impl Image {
    /// The cluster's name for itself; none before the first record.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// Finalized features by name (KIP-584).
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// A registered broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerRecord>> {
        self.brokers.get(&id)
    }

    /// All registered brokers by ascending number.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRecord>> {
        self.brokers.values()
    }

    /// Registered brokers that may lead.
    pub fn active_brokers(&self) -> impl Iterator<Item = &Arc<BrokerRecord>> {
        self.brokers().filter(|broker| broker.may_lead())
    }

    /// True if the broker may lead.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|broker| broker.may_lead())
    }

    /// The topic that has this identity.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// The topic that has this name now.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// All topics by ascending name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// The topics from `name` on by ascending name: where a listing in pages goes on.
    pub fn topics_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<Topic>> {
        self.topic_ids.iter_from(name).filter_map(|(_, id)| self.topics.get(id))
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// A partition by its topic's identity.
    pub fn partition(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<&Partition> {
        self.topics.get(&topic_id)?.partitions.get(&partition)
    }

    /// Dynamic configs of one broker, or of all brokers if `name` is empty.
    pub fn broker_configs(&self, name: &str) -> &ConfigMap {
        static NONE: ConfigMap = ConfigMap::new();
        self.broker_configs.get(name).unwrap_or(&NONE)
    }

    /// The first producer id that nobody has.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// An existing name that differs from `name` at most in '.' for '_' (metric names cannot tell them apart).
    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        let names = self.collisions.get(unified(name).as_str())?;
        names.first().map(AsRef::as_ref)
    }

    /// Carries out one record. One that does not fit (a topic that is gone, a partition epoch that is not next) changes
    /// nothing, on every node alike.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Cluster(record) => self.cluster_id = Some(record.cluster_id.as_str().into()),
            Record::FeatureLevel(record) => self.apply_feature(record),
            Record::Broker(record) => self.apply_broker(record),
            Record::Topic(record) => self.apply_topic(record),
            Record::Partition(record) => self.apply_partition(record),
            Record::PartitionChange(record) => self.apply_partition_change(record),
            Record::RemoveTopic(record) => self.apply_remove_topic(record),
            Record::Config(record) => self.apply_config(record),
            Record::ProducerIds(record) => self.next_producer_id = self.next_producer_id.max(record.next),
        }
    }

    /// The image as records that, applied to an empty image, give an equal one.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.topics.len() + self.partition_count + self.brokers.len() + 8);
        if let Some(cluster_id) = self.cluster_id() {
            records.push(Record::Cluster(ClusterRecord { cluster_id: cluster_id.to_string() }));
        }
        for (name, level) in self.features.iter() {
            records.push(Record::FeatureLevel(FeatureLevelRecord { name: name.clone(), level: *level }));
        }
        records.extend(self.brokers().map(|broker| Record::Broker(BrokerRecord::clone(broker))));
        for (name, configs) in self.broker_configs.iter() {
            let resource = ConfigResource { kind: ConfigResourceKind::Broker, name: name.clone() };
            push_configs(&mut records, &resource, configs);
        }
        self.topics().for_each(|topic| topic.push_records(&mut records));
        if self.next_producer_id > 0 {
            records.push(Record::ProducerIds(ProducerIdsRecord { broker_id: -1, next: self.next_producer_id }));
        }
        records
    }

    fn apply_feature(&mut self, record: &FeatureLevelRecord) {
        let features = Arc::make_mut(&mut self.features);
        match record.level {
            0 => features.remove(&record.name),
            level => features.insert(record.name.clone(), level),
        };
    }

    fn apply_broker(&mut self, record: &BrokerRecord) {
        if self.broker(record.id).is_none_or(|known| known.epoch <= record.epoch) {
            Arc::make_mut(&mut self.brokers).insert(record.id, Arc::new(record.clone()));
        }
    }

    fn apply_topic(&mut self, record: &TopicRecord) {
        let name: Arc<str> = record.name.as_str().into();
        if self.topics.contains_key(&record.topic_id) || self.topic_ids.contains_key(&name) {
            return;
        }
        let topic = Topic {
            id: record.topic_id,
            name: name.clone(),
            partitions: SharedMap::default(),
            configs: Arc::default(),
        };
        self.topics.insert(record.topic_id, Arc::new(topic));
        self.topic_ids.insert(name.clone(), record.topic_id);
        if may_collide(&name) {
            self.insert_collision(name);
        }
    }

    fn apply_partition(&mut self, record: &PartitionRecord) {
        let Some(topic) = self.topics.get_mut(&record.topic_id) else { return };
        let replicas: Arc<[BrokerId]> = record.replicas.as_slice().into();
        // They are the same nearly always, and partitions are many.
        let same = record.in_sync == record.replicas;
        let partition = Partition {
            in_sync: if same { Arc::clone(&replicas) } else { record.in_sync.as_slice().into() },
            replicas,
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            eligible_leaders: shared(&record.eligible_leaders),
            last_known_leader: record.last_known_leader,
            recovering: record.recovering,
            min_in_sync_replicas: record.min_in_sync_replicas,
        };
        if Arc::make_mut(topic).partitions.insert(record.partition, partition).is_none() {
            self.partition_count += 1;
        }
    }

    fn apply_partition_change(&mut self, record: &PartitionChangeRecord) {
        let follows = |partition: &Partition| partition.partition_epoch + 1 == record.partition_epoch;
        if !self.partition(record.topic_id, record.partition).is_some_and(follows) {
            return;
        }
        let Some(topic) = self.topics.get_mut(&record.topic_id) else { return };
        let Some(partition) = Arc::make_mut(topic).partitions.get_mut(&record.partition) else { return };
        partition.in_sync = record.in_sync.as_slice().into();
        partition.leader = record.leader;
        partition.leader_epoch = record.leader_epoch;
        partition.partition_epoch = record.partition_epoch;
        partition.eligible_leaders = shared(&record.eligible_leaders);
        partition.last_known_leader = record.last_known_leader;
        partition.recovering = record.recovering;
        partition.min_in_sync_replicas = record.min_in_sync_replicas;
    }

    fn apply_remove_topic(&mut self, record: &RemoveTopicRecord) {
        let Some(topic) = self.topics.remove(&record.topic_id) else { return };
        self.topic_ids.remove(&topic.name);
        self.partition_count -= topic.partitions.len();
        if may_collide(&topic.name) {
            self.remove_collision(&topic.name);
        }
    }

    fn apply_config(&mut self, record: &ConfigRecord) {
        let name = &record.resource.name;
        match record.resource.kind {
            ConfigResourceKind::Topic => {
                let Some(id) = self.topic_ids.get(name.as_str()) else { return };
                let Some(topic) = self.topics.get_mut(id) else { return };
                set_config(Arc::make_mut(&mut Arc::make_mut(topic).configs), record);
            }
            ConfigResourceKind::Broker => {
                let configs = Arc::make_mut(&mut self.broker_configs);
                set_config(configs.entry(name.clone()).or_default(), record);
                configs.retain(|_, configs| !configs.is_empty());
            }
        }
    }

    fn insert_collision(&mut self, name: Arc<str>) {
        let form: Arc<str> = unified(&name).into();
        match self.collisions.get_mut(&form) {
            Some(names) => Arc::make_mut(names).insert(name),
            None => self.collisions.insert(form, Arc::new(BTreeSet::from([name]))).is_none(),
        };
    }

    fn remove_collision(&mut self, name: &str) {
        let form = unified(name);
        let Some(names) = self.collisions.get_mut(form.as_str()) else { return };
        Arc::make_mut(names).remove(name);
        if names.is_empty() {
            self.collisions.remove(form.as_str());
        }
    }
}

impl Topic {
    /// How many replicas its partitions have.
    pub fn replication_factor(&self) -> usize {
        self.partitions.values().next().map_or(0, |partition| partition.replicas.len())
    }

    fn push_records(&self, records: &mut Vec<Record>) {
        records.push(Record::Topic(TopicRecord { topic_id: self.id, name: self.name.to_string() }));
        let resource = ConfigResource { kind: ConfigResourceKind::Topic, name: self.name.to_string() };
        push_configs(records, &resource, &self.configs);
        for (index, partition) in self.partitions.iter() {
            records.push(Record::Partition(partition.to_record(self.id, *index)));
        }
    }
}

impl Partition {
    fn to_record(&self, topic_id: TopicId, partition: PartitionIndex) -> PartitionRecord {
        PartitionRecord {
            topic_id,
            partition,
            replicas: self.replicas.to_vec(),
            in_sync: self.in_sync.to_vec(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            eligible_leaders: self.eligible_leaders.to_vec(),
            last_known_leader: self.last_known_leader,
            recovering: self.recovering,
            min_in_sync_replicas: self.min_in_sync_replicas,
        }
    }

    /// The record that makes a partition what this one is.
    pub(crate) fn to_change(&self, topic_id: TopicId, partition: PartitionIndex) -> PartitionChangeRecord {
        PartitionChangeRecord {
            topic_id,
            partition,
            in_sync: self.in_sync.to_vec(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            eligible_leaders: self.eligible_leaders.to_vec(),
            last_known_leader: self.last_known_leader,
            recovering: self.recovering,
            min_in_sync_replicas: self.min_in_sync_replicas,
        }
    }
}

/// Nearly always empty, and then it costs nothing.
fn shared(brokers: &[BrokerId]) -> Arc<[BrokerId]> {
    if brokers.is_empty() { Arc::default() } else { brokers.into() }
}

fn set_config(configs: &mut ConfigMap, record: &ConfigRecord) {
    match &record.value {
        Some(value) => configs.insert(record.name.clone(), value.clone()),
        None => configs.remove(&record.name),
    };
}

fn push_configs(records: &mut Vec<Record>, resource: &ConfigResource, configs: &ConfigMap) {
    for (name, value) in configs {
        let (resource, name, value) = (resource.clone(), name.clone(), Some(value.clone()));
        records.push(Record::Config(ConfigRecord { resource, name, value }));
    }
}
