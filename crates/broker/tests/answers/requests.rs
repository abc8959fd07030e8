//! Requests in few words.

use chronik_wire::messages::*;
use chronik_wire::{Bytes, StrBytes, Uuid, message};

/// A record batch of one record without a key, value "value-one", timestamp 1,700,000,000,000; written by Apache Kafka.
pub(crate) const BATCH: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\x41\xff\xff\xff\xff\x02\xf1\x2e\x38\x65\0\0\0\0\0\0\0\0\x01\x8b\xcf\xe5\x68\0\
    \0\0\x01\x8b\xcf\xe5\x68\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\x1e\0\0\0\x01\x12value-one\0";
pub(crate) const BATCH_TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// The same of producer 700 in epoch 3, sequence 4.
pub(crate) fn batch_of_producer() -> Vec<u8> {
    let mut batch = BATCH.to_vec();
    batch[17..21].copy_from_slice(b"\xca\x25\xe5\x89");
    batch[43..57].copy_from_slice(b"\0\0\0\0\0\0\x02\xbc\0\x03\0\0\0\x04");
    batch
}

pub(crate) fn topic_named(name: Option<&str>) -> metadata_request::MetadataRequestTopic {
    message!(metadata_request::MetadataRequestTopic { name: name.map(StrBytes::from) })
}

pub(crate) fn topic_with_id(topic_id: Uuid) -> metadata_request::MetadataRequestTopic {
    message!(metadata_request::MetadataRequestTopic { topic_id })
}

pub(crate) fn metadata_of(topics: Vec<metadata_request::MetadataRequestTopic>) -> MetadataRequest {
    message!(MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false })
}

pub(crate) fn topic(
    name: &str,
    num_partitions: i32,
    replication_factor: i16,
    configs: &[(&str, Option<&str>)],
) -> create_topics_request::CreatableTopic {
    let configs = configs.iter().map(|(name, value)| {
        message!(create_topics_request::CreatableTopicConfig { name: (*name).into(), value: value.map(StrBytes::from) })
    });
    message!(create_topics_request::CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor,
        configs: configs.collect(),
    })
}

pub(crate) fn assigned_topic(
    name: &str,
    num_partitions: i32,
    replication_factor: i16,
    assignments: &[(i32, &[i32])],
) -> create_topics_request::CreatableTopic {
    let assignments = assignments.iter().map(|(partition_index, broker_ids)| {
        message!(create_topics_request::CreatableReplicaAssignment {
            partition_index: *partition_index,
            broker_ids: broker_ids.to_vec(),
        })
    });
    message!(create_topics_request::CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor,
        assignments: assignments.collect(),
    })
}

pub(crate) fn create(topics: Vec<create_topics_request::CreatableTopic>) -> CreateTopicsRequest {
    message!(CreateTopicsRequest { topics, timeout_ms: 5000 })
}

pub(crate) fn delete(names: &[&str]) -> DeleteTopicsRequest {
    let topic_names = names.iter().map(|name| StrBytes::from(*name)).collect();
    message!(DeleteTopicsRequest { topic_names, timeout_ms: 5000 })
}

pub(crate) fn delete_named_or_by_id(topics: &[(Option<&str>, Uuid)]) -> DeleteTopicsRequest {
    let topics = topics.iter().map(|(name, topic_id)| {
        message!(delete_topics_request::DeleteTopicState { name: name.map(StrBytes::from), topic_id: *topic_id })
    });
    message!(DeleteTopicsRequest { topics: topics.collect(), timeout_ms: 5000 })
}

/// A topic, how many partitions it is to have, who gets the new ones.
pub(crate) type Growth<'a> = (&'a str, i32, Option<&'a [&'a [i32]]>);

pub(crate) fn grow(topics: &[Growth<'_>], validate_only: bool) -> CreatePartitionsRequest {
    let topics = topics.iter().map(|(name, count, assignments)| {
        let assignments = assignments.map(|assignments| {
            let assignments = assignments.iter().map(|broker_ids| {
                message!(create_partitions_request::CreatePartitionsAssignment { broker_ids: broker_ids.to_vec() })
            });
            assignments.collect()
        });
        message!(create_partitions_request::CreatePartitionsTopic { name: (*name).into(), count: *count, assignments })
    });
    message!(CreatePartitionsRequest { topics: topics.collect(), timeout_ms: 5000, validate_only })
}

/// Appends `records` to partition 0.
pub(crate) fn produce(topic: &str, records: &[u8]) -> ProduceRequest {
    let partition =
        message!(produce_request::PartitionProduceData { index: 0, records: Some(Bytes::copy_from_slice(records)) });
    let topic = message!(produce_request::TopicProduceData { name: topic.into(), partition_data: vec![partition] });
    message!(ProduceRequest { acks: 1, timeout_ms: 5000, topic_data: vec![topic] })
}

/// Partition, leader epoch, timestamp.
pub(crate) fn list_offsets(topic: &str, partitions: &[(i32, i32, i64)]) -> ListOffsetsRequest {
    let partitions = partitions.iter().map(|(partition_index, current_leader_epoch, timestamp)| {
        message!(list_offsets_request::ListOffsetsPartition {
            partition_index: *partition_index,
            current_leader_epoch: *current_leader_epoch,
            timestamp: *timestamp,
        })
    });
    let topic =
        message!(list_offsets_request::ListOffsetsTopic { name: topic.into(), partitions: partitions.collect() });
    message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] })
}

/// Partition, the leader epoch the client believes in, the epoch it asks for.
pub(crate) fn epoch_ends(topic: &str, partitions: &[(i32, i32, i32)]) -> OffsetForLeaderEpochRequest {
    let partitions = partitions.iter().map(|(partition, current_leader_epoch, leader_epoch)| {
        message!(offset_for_leader_epoch_request::OffsetForLeaderPartition {
            partition: *partition,
            current_leader_epoch: *current_leader_epoch,
            leader_epoch: *leader_epoch,
        })
    });
    let partitions = partitions.collect();
    let topic = message!(offset_for_leader_epoch_request::OffsetForLeaderTopic { topic: topic.into(), partitions });
    message!(OffsetForLeaderEpochRequest { replica_id: -2, topics: vec![topic] })
}

/// Partition, offset.
pub(crate) fn delete_records(topic: &str, partitions: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = partitions.iter().map(|(partition_index, offset)| {
        message!(delete_records_request::DeleteRecordsPartition { partition_index: *partition_index, offset: *offset })
    });
    let partitions = partitions.collect();
    let topic = message!(delete_records_request::DeleteRecordsTopic { name: topic.into(), partitions });
    message!(DeleteRecordsRequest { timeout_ms: 5000, topics: vec![topic] })
}

pub(crate) fn describe_configs(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let resource = message!(describe_configs_request::DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| StrBytes::from(*key)).collect()),
    });
    message!(DescribeConfigsRequest { resources: vec![resource] })
}

pub(crate) fn alter_configs(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsRequest {
    let configs = configs.iter().map(|(name, value)| {
        message!(alter_configs_request::AlterableConfig { name: (*name).into(), value: value.map(StrBytes::from) })
    });
    let resource = message!(alter_configs_request::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: configs.collect(),
    });
    message!(AlterConfigsRequest { resources: vec![resource] })
}

/// Name, operation, value.
pub(crate) fn change_configs(
    kind: i8,
    name: &str,
    configs: &[(&str, i8, Option<&str>)],
) -> IncrementalAlterConfigsRequest {
    let configs = configs.iter().map(|(name, config_operation, value)| {
        message!(incremental_alter_configs_request::AlterableConfig {
            name: (*name).into(),
            config_operation: *config_operation,
            value: value.map(StrBytes::from),
        })
    });
    let resource = message!(incremental_alter_configs_request::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: configs.collect(),
    });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
}

pub(crate) fn describe_partitions(
    topics: &[&str],
    response_partition_limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsRequest {
    let topics =
        topics.iter().map(|name| message!(describe_topic_partitions_request::TopicRequest { name: (*name).into() }));
    let cursor = cursor.map(|(topic, partition_index)| {
        message!(describe_topic_partitions_request::Cursor { topic_name: topic.into(), partition_index })
    });
    message!(DescribeTopicPartitionsRequest { topics: topics.collect(), response_partition_limit, cursor })
}

pub(crate) fn describe_log_dirs(topics: Option<&[(&str, &[i32])]>) -> DescribeLogDirsRequest {
    let topics = topics.map(|topics| {
        let topics = topics.iter().map(|(topic, partitions)| {
            message!(describe_log_dirs_request::DescribableLogDirTopic {
                topic: (*topic).into(),
                partitions: partitions.to_vec(),
            })
        });
        topics.collect()
    });
    message!(DescribeLogDirsRequest { topics })
}

pub(crate) fn init_producer_id(
    transactional_id: Option<&str>,
    producer_id: i64,
    producer_epoch: i16,
) -> InitProducerIdRequest {
    message!(InitProducerIdRequest {
        transactional_id: transactional_id.map(StrBytes::from),
        transaction_timeout_ms: 1000,
        producer_id,
        producer_epoch,
    })
}

pub(crate) fn elect(election_type: i8, topics: Option<&[(&str, &[i32])]>) -> ElectLeadersRequest {
    let topic_partitions = topics.map(|topics| {
        let topics = topics.iter().map(|(topic, partitions)| {
            message!(elect_leaders_request::TopicPartitions { topic: (*topic).into(), partitions: partitions.to_vec() })
        });
        topics.collect()
    });
    message!(ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 5000 })
}

/// Topic, partition, its replicas to be; none to call off what is under way.
pub(crate) fn reassign(partitions: &[(&str, i32, Option<&[i32]>)]) -> AlterPartitionReassignmentsRequest {
    let topics = partitions.iter().map(|(name, partition_index, replicas)| {
        let partition = message!(alter_partition_reassignments_request::ReassignablePartition {
            partition_index: *partition_index,
            replicas: replicas.map(<[i32]>::to_vec),
        });
        message!(alter_partition_reassignments_request::ReassignableTopic {
            name: (*name).into(),
            partitions: vec![partition],
        })
    });
    message!(AlterPartitionReassignmentsRequest { timeout_ms: 5000, topics: topics.collect() })
}

pub(crate) fn list_reassignments(topics: Option<&[(&str, &[i32])]>) -> ListPartitionReassignmentsRequest {
    let topics = topics.map(|topics| {
        let topics = topics.iter().map(|(name, partitions)| {
            message!(list_partition_reassignments_request::ListPartitionReassignmentsTopics {
                name: (*name).into(),
                partition_indexes: partitions.to_vec(),
            })
        });
        topics.collect()
    });
    message!(ListPartitionReassignmentsRequest { timeout_ms: 5000, topics })
}

/// Directory, topic, partitions to be there.
pub(crate) fn move_to_log_dir(moves: &[(&str, &str, &[i32])]) -> AlterReplicaLogDirsRequest {
    let dirs = moves.iter().map(|(path, topic, partitions)| {
        let topic = message!(alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
            name: (*topic).into(),
            partitions: partitions.to_vec(),
        });
        message!(alter_replica_log_dirs_request::AlterReplicaLogDir { path: (*path).into(), topics: vec![topic] })
    });
    message!(AlterReplicaLogDirsRequest { dirs: dirs.collect() })
}

pub(crate) fn describe_quorum(topics: &[(&str, &[i32])]) -> DescribeQuorumRequest {
    let topics = topics.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|partition_index| {
            message!(describe_quorum_request::PartitionData { partition_index: *partition_index })
        });
        message!(describe_quorum_request::TopicData { topic_name: (*topic).into(), partitions: partitions.collect() })
    });
    message!(DescribeQuorumRequest { topics: topics.collect() })
}

pub(crate) fn describe_producers(topic: &str, partition_indexes: &[i32]) -> DescribeProducersRequest {
    let partition_indexes = partition_indexes.to_vec();
    let topic = message!(describe_producers_request::TopicRequest { name: topic.into(), partition_indexes });
    message!(DescribeProducersRequest { topics: vec![topic] })
}
