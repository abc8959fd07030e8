//! What the metadata log holds. Records are results, not commands: whoever replays them decides nothing, so that nodes
//! of different versions cannot come to different images.
//!
//! Each variant is one message in the log's encoding. Fields that a later version adds must have a meaning when absent.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};

/// No broker leads the partition.
pub const NO_LEADER: BrokerId = -1;

/// One change of the image. The records of one decision are one batch of the log: all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Names the cluster; the first record there is.
    Cluster(ClusterRecord),
    /// A finalized feature (KIP-584), for example `metadata.version`.
    FeatureLevel(FeatureLevelRecord),
    /// A broker registered (KIP-631), or is given whole in a snapshot.
    Broker(BrokerRecord),
    /// A topic was created; its partitions and configs follow.
    Topic(TopicRecord),
    /// A partition was created, or is given whole in a snapshot.
    Partition(PartitionRecord),
    /// A partition got another leader or in-sync set.
    PartitionChange(PartitionChangeRecord),
    /// A topic was deleted, with its partitions and configs.
    RemoveTopic(RemoveTopicRecord),
    /// One config of a resource was set or removed.
    Config(ConfigRecord),
    /// Producer ids below `next` have been handed out.
    ProducerIds(ProducerIdsRecord),
}

/// See [`Record::Cluster`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRecord {
    /// As clients see it, 22 characters of base64.
    pub cluster_id: String,
}

/// See [`Record::FeatureLevel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureLevelRecord {
    /// Kafka's name of the feature.
    pub name: String,
    /// The finalized level; 0 removes it.
    pub level: i16,
}

/// See [`Record::Broker`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRecord {
    /// The node's number.
    pub id: BrokerId,
    /// Fresh at every start of the process.
    pub incarnation_id: [u8; 16],
    /// Fences what an earlier incarnation says (KIP-903): the metadata log's offset of its registration.
    pub epoch: i64,
    /// Identity of the disk under it (KIP-858).
    pub directory_id: [u8; 16],
    /// Where clients and nodes reach it.
    pub endpoints: Vec<Endpoint>,
    /// Where it stands (KIP-36).
    pub rack: Option<String>,
    /// A fenced broker leads nothing and is in no in-sync set.
    pub fenced: bool,
    /// Nor is one that is on its way out (KIP-841).
    pub shutting_down: bool,
}

impl BrokerRecord {
    /// May it lead, and be in sync?
    pub fn may_lead(&self) -> bool {
        !self.fenced && !self.shutting_down
    }
}

/// One listener of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name, for example `PLAINTEXT`.
    pub name: String,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: u16,
    /// Kafka's number of the security protocol; 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// See [`Record::Topic`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Identity of this creation (KIP-516).
    pub topic_id: TopicId,
    /// Its name.
    pub name: String,
}

/// See [`Record::Partition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Of which topic.
    pub topic_id: TopicId,
    /// Its index.
    pub partition: PartitionIndex,
    /// Assigned brokers, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// In-sync replicas.
    pub in_sync: Vec<BrokerId>,
    /// Who leads, or [`NO_LEADER`].
    pub leader: BrokerId,
    /// Bumped with every change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Bumped with every change of this record.
    pub partition_epoch: i32,
    /// See [`PartitionChangeRecord`].
    pub eligible_leaders: Vec<BrokerId>,
    /// See [`PartitionChangeRecord`].
    pub last_known_leader: BrokerId,
    /// See [`PartitionChangeRecord`].
    pub recovering: bool,
    /// See [`PartitionChangeRecord`].
    pub min_in_sync_replicas: i32,
}

/// See [`Record::PartitionChange`]. Applies only on top of `partition_epoch` − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChangeRecord {
    /// Of which topic.
    pub topic_id: TopicId,
    /// Which partition.
    pub partition: PartitionIndex,
    /// In-sync replicas from now on.
    pub in_sync: Vec<BrokerId>,
    /// Who leads from now on, or [`NO_LEADER`].
    pub leader: BrokerId,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// One more than before.
    pub partition_epoch: i32,
    /// Not in sync, but certain to hold all that is committed: they may lead when nobody in sync is left (KIP-966).
    pub eligible_leaders: Vec<BrokerId>,
    /// Who led last, where nobody leads now; else [`NO_LEADER`].
    pub last_known_leader: BrokerId,
    /// The leader was elected from outside the in-sync set and has not said yet that it is through with it (KIP-704).
    pub recovering: bool,
    /// `min.insync.replicas` of the topic, here so that leader and controller never disagree upon it.
    pub min_in_sync_replicas: i32,
}

/// See [`Record::RemoveTopic`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveTopicRecord {
    /// Which creation.
    pub topic_id: TopicId,
}

/// See [`Record::Config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRecord {
    /// Whose config.
    pub resource: ConfigResource,
    /// Kafka's name of the config.
    pub name: String,
    /// Its value, or none where it was removed.
    pub value: Option<String>,
}

/// What a config belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    /// The kind of resource.
    pub kind: ConfigResourceKind,
    /// A topic's or group's name, a broker's number, or empty for all brokers.
    pub name: String,
}

/// Kinds of resource that carry configs; the numbers are those of Kafka's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResourceKind {
    /// 2
    Topic,
    /// 4
    Broker,
}

impl ConfigResourceKind {
    /// The number in Kafka's requests.
    pub fn code(self) -> i8 {
        match self {
            ConfigResourceKind::Topic => 2,
            ConfigResourceKind::Broker => 4,
        }
    }

    /// The kind of that number, if configs of it are kept here.
    pub fn from_code(code: i8) -> Option<Self> {
        [ConfigResourceKind::Topic, ConfigResourceKind::Broker].into_iter().find(|kind| kind.code() == code)
    }
}

/// See [`Record::ProducerIds`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerIdsRecord {
    /// Who got the block; −1 in a snapshot.
    pub broker_id: BrokerId,
    /// The first id that nobody has.
    pub next: ProducerId,
}
