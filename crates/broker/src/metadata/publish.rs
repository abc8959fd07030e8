//! What the rest of the node does when the metadata has changed, in a fixed order: replicas, then the image, then who waits.
//!
//! Replicas come first: whoever sees a partition in the image finds its log, and who leads it by the image leads it. When a topic
//! goes, the image goes first for the same reason.

use std::sync::Arc;

use chronik_state::ids::{LogId, PartitionIndex, TopicId};
use chronik_state::metadata::{self as state, Image, Topic};
use chronik_state::metadata::configs::{BrokerLayers, ConfigMap, TopicSettings};
use chronik_state::metadata::record::{ConfigResource, ConfigResourceKind, Record};
use chronik_state::partition::leader::AgreedPartition;
use tracing::{error, info};

use super::{LoadError, Metadata, OFFSETS_TOPIC};
use crate::node::Node;
use crate::partition::{Assignment, Partition};
use crate::partition::append::log_config;

impl Metadata {
    /// At a start, once this process is registered: opens what this node holds, each in its role, and lets go of what the metadata no
    /// longer knows.
    pub(crate) fn take_lead(&self, node: &Node) -> Result<(), LoadError> {
        let image = self.image();
        node.replication.on_brokers(node.config.node_id, &image);
        let is_held = |id: &LogId| image.partition(id.topic, id.partition).is_some_and(|partition| partition.replicas.contains(&node.config.node_id));
        node.partitions.ids().iter().filter(|id| !is_held(id)).for_each(|id| remove_partition(node, id.topic, id.partition));
        // Only now: what has a role here would meet a log that is gone.
        node.storage
            .retain(|id| id == LogId::METADATA || image.partition(id.topic, id.partition).is_some())?;
        for topic in image.topics() {
            let settings = Arc::new(topic_settings(node, &image, &topic.configs));
            for (index, partition) in topic.partitions.iter() {
                if partition.replicas.contains(&node.config.node_id) {
                    let id = LogId { topic: topic.id, partition: *index };
                    // Held already, where a snapshot took the place of what was known: its settings may be others now.
                    node.partitions.partition(id).into_iter().for_each(|held| held.configure(Arc::clone(&settings)));
                    assign(node, &image, id, partition, &settings)?;
                    if *topic.name == *OFFSETS_TOPIC {
                        node.coordinator.on_role(id);
                    }
                }
            }
        }
        Ok(())
    }

    /// A snapshot took the place of all that was known.
    pub(super) fn publish_whole(&self, node: &Node, image: Image) {
        let image = Arc::new(image);
        let before = self.image.swap(Arc::clone(&image));
        if let Err(error) = self.take_lead(node) {
            return node.fail(&error);
        }
        let gone = before.topics().filter(|topic| image.topic_by_id(topic.id).is_none());
        gone.for_each(|topic| node.coordinator.on_topic_deleted(topic));
    }

    pub(crate) fn publish(&self, node: &Node, image: Image, records: &[Record]) {
        let mut settings = LastSettings::default();
        for record in records {
            if let Err(fatal) = replica_changed(node, &image, record, &mut settings) {
                return node.fail(&fatal);
            }
        }
        let before = self.image.swap(Arc::new(image));
        count_changes(node, &before, records);
        for record in records {
            if let Record::RemoveTopic(removed) = record {
                before.topic_by_id(removed.topic_id).iter().for_each(|topic| remove_topic(node, topic));
            }
        }
        node.upkeep.ring();
    }
}

/// What became of partitions that this node leads by now.
fn count_changes(node: &Node, before: &Image, records: &[Record]) {
    for record in records {
        let Record::PartitionChange(change) = record else { continue };
        let Some(known) = before.partition(change.topic_id, change.partition) else { continue };
        if change.leader != node.config.node_id {
            continue;
        }
        let metrics = &node.metrics;
        metrics.leader_changes.add(u64::from(known.leader_epoch != change.leader_epoch));
        metrics.isr_shrinks.add(u64::from(change.in_sync.len() < known.in_sync.len()));
        metrics.isr_expands.add(u64::from(change.in_sync.len() > known.in_sync.len()));
    }
}

/// The settings of the topic that was asked for last: all partitions of a new topic share them.
#[derive(Default)]
struct LastSettings(Option<(TopicId, Arc<TopicSettings>)>);

impl LastSettings {
    fn of(&mut self, topic: &Topic, resolve: impl FnOnce() -> TopicSettings) -> &Arc<TopicSettings> {
        if self.0.as_ref().is_none_or(|(id, _)| *id != topic.id) {
            self.0 = Some((topic.id, Arc::new(resolve())));
        }
        &self.0.as_ref().expect("just set").1
    }
}

fn replica_changed(
    node: &Node,
    image: &Image,
    record: &Record,
    last: &mut LastSettings,
) -> Result<(), LoadError> {
    let (topic_id, index) = match record {
        Record::Partition(record) => (record.topic_id, record.partition),
        Record::PartitionChange(record) => (record.topic_id, record.partition),
        Record::Config(record) => {
            configure(node, image, &record.resource);
            return Ok(());
        }
        Record::Broker(_) => {
            node.replication.on_brokers(node.config.node_id, image);
            return Ok(());
        }
        _ => return Ok(()),
    };
    let Some((topic, partition)) = image.topic_by_id(topic_id).zip(image.partition(topic_id, index)) else {
        // Created and removed in one decision.
        return Ok(());
    };
    if partition.replicas.contains(&node.config.node_id) {
        let settings = last.of(topic, || topic_settings(node, image, &topic.configs));
        let id = LogId { topic: topic_id, partition: index };
        assign(node, image, id, partition, settings)?;
        if *topic.name == *OFFSETS_TOPIC {
            node.coordinator.on_role(id);
        }
    } else {
        remove_partition(node, topic_id, index);
    }
    Ok(())
}

/// Takes the role that the metadata says, or goes on in it by what is agreed now.
fn assign(
    node: &Node,
    image: &Image,
    id: LogId,
    partition: &state::Partition,
    settings: &Arc<TopicSettings>,
) -> Result<(), LoadError> {
    let held = match node.partitions.partition(id) {
        Some(held) => held,
        None => {
            let log = node.storage.create(id, log_config(settings))?;
            let held = Partition::open(id, log, Arc::clone(settings));
            node.partitions.insert(Arc::clone(&held));
            held
        }
    };
    if partition.replicas.len() > 1 {
        node.replication.add(&held);
    }
    let broker_id = node.config.node_id;
    held.assign(Assignment {
        broker_id,
        broker_epoch: image.broker(broker_id).map_or(-1, |broker| broker.epoch),
        leader: partition.leader,
        agreed: AgreedPartition::of(partition, image),
        shared: &node.replication.shared,
    });
    Ok(())
}

/// What a broker's configs say holds for every topic that does not say otherwise.
fn configure(node: &Node, image: &Image, resource: &ConfigResource) {
    match resource.kind {
        ConfigResourceKind::Topic => configure_topic(node, image, &resource.name),
        ConfigResourceKind::Broker => image.topics().for_each(|topic| configure_topic(node, image, &topic.name)),
    }
}

fn configure_topic(node: &Node, image: &Image, name: &str) {
    let Some(topic) = image.topic(name) else { return };
    let settings = Arc::new(topic_settings(node, image, &topic.configs));
    for index in topic.partitions.iter().map(|(index, _)| *index) {
        if let Some(partition) = node.partitions.partition(LogId { topic: topic.id, partition: index }) {
            partition.configure(Arc::clone(&settings));
        }
    }
}

fn remove_topic(node: &Node, topic: &Topic) {
    topic.partitions.iter().for_each(|(index, _)| remove_partition(node, topic.id, *index));
    node.coordinator.on_topic_deleted(topic);
    info!(name = %topic.name, id = %topic.id, "topic deleted");
}

/// This node holds no replica of the partition any more.
fn remove_partition(node: &Node, topic: TopicId, partition: PartitionIndex) {
    let Some(partition) = node.partitions.remove(LogId { topic, partition }) else { return };
    node.replication.remove(partition.id);
    partition.retire();
    node.coordinator.on_role(partition.id);
    if let Err(error) = node.storage.delete(partition.id) {
        error!(partition = %partition.id, "the files of a deleted partition could not be removed: {error}");
    }
}

/// What holds for a topic: its own configs, then the brokers' dynamic ones, then the node's, then the defaults.
fn topic_settings(node: &Node, image: &Image, configs: &ConfigMap) -> TopicSettings {
    let broker = node.config.node_id.to_string();
    let layers = BrokerLayers {
        broker: image.broker_configs(&broker),
        cluster: image.broker_configs(""),
        node: &node.config.kafka,
    };
    TopicSettings::resolve(configs, layers)
}
