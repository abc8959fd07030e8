//! The cluster's metadata: a log-backed machine. Commands are decided upon an image and become records; only records
//! change the image.
//!
//! ```text
//!   command ──decide──▶ records + reply ──append──▶ metadata log ──committed──▶ apply ──▶ image (published)
//! ```
//! A decision reads the image that holds everything decided so far. Its records are one batch of the log, and the reply
//! is given when that batch is committed and applied.

mod alter_configs;
pub mod alter_partition;
mod brokers;
pub mod configs;
pub mod elect;
mod features;
mod image;
mod placement;
mod producer_ids;
pub mod record;
mod replicas;
mod shared_map;
pub mod topic_name;
mod topics;

use alloc::string::String;
use alloc::vec::Vec;

pub use alter_configs::{
    AlterConfigs, ConfigChange, ConfigOperation, IncrementalAlterConfigs, ResourceChanges, ResourceConfigs,
};
pub use brokers::{BrokerRegistration, ClusterStart, Restart};
pub use features::{FeatureDirection, FeatureUpdate, SUPPORTED_FEATURES, SupportedFeature, UpdateFeatures};
pub use image::{Image, Partition, Topic};
pub use producer_ids::{PRODUCER_IDS_PER_BLOCK, ProducerIdBlock};
pub use replicas::{ElectionType, Reassignment};
pub use shared_map::SharedMap;
pub use topics::{
    CreatableTopic, CreatePartitions, CreateTopics, CreatedTopic, PartitionAssignment, TopicKey, TopicPartitions,
};

use configs::{BrokerLayers, ConfigMap, TopicSettings};
use record::Record;

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<R> {
    /// To be appended as one batch; none where nothing changes.
    pub records: Vec<Record>,
    /// What the asker hears once the records are committed.
    pub reply: R,
}

/// Why a command, or one item of it, is refused. The text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// INVALID_TOPIC_EXCEPTION
    #[error("{0}")]
    InvalidTopic(String),
    /// TOPIC_ALREADY_EXISTS
    #[error("{0}")]
    TopicAlreadyExists(String),
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("{0}")]
    UnknownTopicOrPartition(String),
    /// UNKNOWN_TOPIC_ID
    #[error("{0}")]
    UnknownTopicId(String),
    /// INVALID_PARTITIONS
    #[error("{0}")]
    InvalidPartitions(String),
    /// INVALID_REPLICATION_FACTOR
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// INVALID_REPLICA_ASSIGNMENT
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// INVALID_CONFIG
    #[error("{0}")]
    InvalidConfig(String),
    /// INVALID_REQUEST
    #[error("{0}")]
    InvalidRequest(String),
    /// POLICY_VIOLATION
    #[error("{0}")]
    PolicyViolation(String),
    /// INVALID_UPDATE_VERSION: a feature cannot go where it shall.
    #[error("{0}")]
    InvalidUpdateVersion(String),
    /// BROKER_ID_NOT_REGISTERED
    #[error("{0}")]
    BrokerIdNotRegistered(String),
    /// STALE_BROKER_EPOCH: an earlier incarnation of the broker asks.
    #[error("{0}")]
    StaleBrokerEpoch(String),
    /// INCONSISTENT_CLUSTER_ID: the data belongs to another cluster.
    #[error("{0}")]
    InconsistentClusterId(String),
    /// ELECTION_NOT_NEEDED: who should lead does.
    #[error("Leader election not needed for topic partition.")]
    ElectionNotNeeded,
    /// PREFERRED_LEADER_NOT_AVAILABLE
    #[error("The preferred leader was not available.")]
    PreferredLeaderNotAvailable,
    /// ELIGIBLE_LEADERS_NOT_AVAILABLE
    #[error("Eligible topic partition leaders are not available.")]
    EligibleLeadersNotAvailable,
    /// NO_REASSIGNMENT_IN_PROGRESS
    #[error("No partition reassignment is in progress.")]
    NoReassignmentInProgress,
}

impl MetadataError {
    /// In Kafka's words, which name neither.
    pub fn unknown_topic() -> Self {
        MetadataError::UnknownTopicOrPartition("This server does not host this topic-partition.".into())
    }
}

/// What the node that decides was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerSettings {
    /// Partitions of a topic that is created without saying how many: `num.partitions`.
    pub default_partitions: i32,
    /// Replicas of a topic that is created without saying how many: `default.replication.factor`.
    pub default_replication_factor: i16,
    /// Kafka's configs from its file and environment: the layer below what the cluster agrees on.
    pub configs: ConfigMap,
}

impl Default for ControllerSettings {
    fn default() -> Self {
        ControllerSettings { default_partitions: 1, default_replication_factor: 1, configs: ConfigMap::new() }
    }
}

/// Decides upon the metadata.
#[derive(Debug, Clone, Default)]
pub struct Controller {
    settings: ControllerSettings,
    image: Image,
}

impl Controller {
    /// A controller that goes on from `image`.
    pub fn new(settings: ControllerSettings, image: Image) -> Self {
        Controller { settings, image }
    }

    /// Everything decided so far; a clone of it is cheap and never changes.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What holds for a topic with these configs, on any broker: nothing that one broker is given for itself counts here.
    pub(crate) fn topic_settings(&self, configs: &ConfigMap) -> TopicSettings {
        resolve(&self.settings, &self.image, configs)
    }

    /// Carries out a record of a decision or of the log.
    pub fn apply(&mut self, record: &Record) {
        self.image.apply(record);
    }
}

fn resolve(settings: &ControllerSettings, image: &Image, configs: &ConfigMap) -> TopicSettings {
    let layers = BrokerLayers { cluster: image.broker_configs(""), ..BrokerLayers::of_node(&settings.configs) };
    TopicSettings::resolve(configs, layers)
}

/// `min.insync.replicas` as a partition's record holds it.
fn min_in_sync_replicas(settings: &TopicSettings) -> i32 {
    i32::try_from(settings.min_in_sync_replicas).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
