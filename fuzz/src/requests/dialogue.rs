//! Honest requests: what the node has lived through before a stranger comes, and what the stranger may say to begin with.

use chronik_log::records::BatchBuilder;
use chronik_wire::messages::*;
use chronik_wire::{ApiKey, Bytes, StrBytes, Uuid, decode_response, message};

use super::{frame, frames, known, template};

/// The topics that there are, and one that is not.
const TOPICS: [&str; 3] = ["t", "compacted", "absent"];

/// Creates topics and fills them, begins an idempotent producer, commits offsets of a group.
pub(super) fn first_day() -> Vec<u8> {
    let compact = message!(create_topics_request::CreatableTopicConfig { name: "cleanup.policy".into(), value: Some("compact".into()) });
    let topics = vec![
        message!(create_topics_request::CreatableTopic { name: "t".into(), num_partitions: 2, replication_factor: 1 }),
        message!(create_topics_request::CreatableTopic {
            name: "compacted".into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![compact],
        }),
    ];
    let mut day = frame(&message!(CreateTopicsRequest { topics, timeout_ms: 1000 }), 7);
    for (partition, key) in [(0, None), (1, Some(&b"k"[..]))] {
        day.extend(frame(&produce("t", partition, 1, &batch(key, None)), 9));
    }
    day.extend(frame(&produce("compacted", 0, -1, &batch(Some(b"k"), None)), 12));
    day.extend(frame(&message!(InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 1000, producer_id: -1, producer_epoch: -1 }), 4));
    day.extend(frame(&produce("t", 0, -1, &batch(None, Some(0))), 11));
    day.extend(frame(&find("g"), 4));
    day.extend(frame(&commit("g", -1, ""), 8));
    day
}

/// Asks for everything that must outlive a restart.
pub(super) fn what_there_is() -> Vec<u8> {
    let mut asked = frame(&message!(MetadataRequest { topics: None }), 12);
    asked.extend(frame(&list_offsets(-1), 3));
    asked.extend(frame(&list_offsets(-2), 3));
    asked.extend(frame(&fetch_offsets(true), 8));
    asked.extend(frame(&describe_configs(), 4));
    asked
}

/// Whether the first day did what it says, in the answers to [`what_there_is`].
pub(super) fn went_well(answers: &[&[u8]]) {
    let answer = |index: usize| Bytes::copy_from_slice(answers[index]);
    let metadata = topics_of(answers[0]);
    let topics = metadata.topics.iter().map(|topic| (topic.name.as_deref().unwrap_or(""), topic.partitions.len()));
    assert_eq!(topics.collect::<Vec<_>>(), [("__consumer_offsets", 2), ("compacted", 1), ("t", 2)]);
    let (_, ends) = decode_response::<ListOffsetsResponse>(answer(1), 3).expect("an honest answer");
    assert_eq!(ends.topics.iter().map(|topic| topic.partitions[0].offset).collect::<Vec<_>>(), [6, 3]);
    let (_, offsets) = decode_response::<OffsetFetchResponse>(answer(3), 8).expect("an honest answer");
    assert_eq!(offsets.groups[0].topics[0].partitions[0].committed_offset, 2);
}

/// The same topics in two answers about all of them; leader epochs may only grow.
pub(super) fn same_topics(before: &[u8], after: &[u8]) {
    let (mut before, mut after) = (topics_of(before), topics_of(after));
    let epochs = |metadata: &mut MetadataResponse| {
        let partitions = metadata.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.map(|partition| std::mem::take(&mut partition.leader_epoch)).collect::<Vec<_>>()
    };
    let (earlier, later) = (epochs(&mut before), epochs(&mut after));
    assert_eq!(before, after, "after a restart there are other topics");
    assert!(earlier.iter().zip(&later).all(|(earlier, later)| earlier < later), "{earlier:?} became {later:?}");
}

fn topics_of(answer: &[u8]) -> MetadataResponse {
    decode_response(Bytes::copy_from_slice(answer), 12).expect("an honest answer").1
}

/// A member joins, gets its assignment, commits and leaves.
pub(super) fn a_group() -> Vec<u8> {
    let protocol = message!(join_group_request::JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01t\0\0\0\0") });
    let join = message!(JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: "m".into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
    });
    let mut asked = frame(&find("g"), 4);
    let mut oldest = JoinGroupRequest::clone(&join);
    oldest.rebalance_timeout_ms = -1;
    asked.extend(frame(&oldest, ApiKey::JoinGroup.served().min));
    asked.extend(frame(&join, 5));
    let assignment = message!(sync_group_request::SyncGroupRequestAssignment { member_id: "m".into(), assignment: Bytes::from_static(b"a") });
    asked.extend(frame(&message!(SyncGroupRequest { group_id: "g".into(), generation_id: 1, member_id: "m".into(), assignments: vec![assignment] }), 3));
    asked.extend(frame(&message!(HeartbeatRequest { group_id: "g".into(), generation_id: 1, member_id: "m".into() }), 3));
    asked.extend(frame(&commit("g", 1, "m"), 8));
    asked.extend(frame(&message!(LeaveGroupRequest { group_id: "g".into(), member_id: "m".into() }), 1));
    asked
}

/// Each served API with something in it, in its first and its last version.
pub(super) fn everything() -> Vec<u8> {
    let mut all = Vec::new();
    for newest in [false, true] {
        let version = |api: ApiKey| if newest { api.served().max } else { api.served().min };
        macro_rules! ask {
            ($($api:ident: $request:expr;)*) => { $(all.extend(frame(&$request, version(ApiKey::$api)));)* };
        }
        ask! {
            ApiVersions: message!(ApiVersionsRequest { client_software_name: "fuzz".into(), client_software_version: "1".into() });
            Metadata: metadata(newest);
            CreateTopics: create();
            CreatePartitions: grow();
            Produce: produce_to(newest);
            Fetch: fetch(newest);
            ListOffsets: list_offsets(5);
            OffsetForLeaderEpoch: epochs();
            DescribeConfigs: describe_configs();
            AlterConfigs: alter_configs();
            IncrementalAlterConfigs: change_configs();
            DescribeTopicPartitions: describe_partitions();
            DescribeLogDirs: message!(DescribeLogDirsRequest { topics: None });
            DescribeCluster: message!(DescribeClusterRequest {});
            ListConfigResources: message!(ListConfigResourcesRequest {});
            InitProducerId: message!(InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 1000, producer_id: -1, producer_epoch: -1 });
            DescribeProducers: describe_producers();
            DescribeQuorum: describe_quorum();
            ElectLeaders: elect();
            AlterPartitionReassignments: reassign();
            ListPartitionReassignments: message!(ListPartitionReassignmentsRequest { topics: None });
            AlterReplicaLogDirs: move_replicas();
            UpdateFeatures: update_features();
            OffsetCommit: commit_of(newest);
            OffsetFetch: fetch_offsets(newest);
            ListGroups: message!(ListGroupsRequest {});
            DescribeGroups: message!(DescribeGroupsRequest { groups: vec!["g".into(), "other".into()] });
            OffsetDelete: delete_offsets();
            DeleteGroups: message!(DeleteGroupsRequest { groups_names: vec!["g".into()] });
            DeleteRecords: delete_records();
            DeleteTopics: delete(newest);
        }
    }
    all.extend(a_group());
    all
}

/// Three records, the second of which no compacted topic takes.
fn batch(key: Option<&[u8]>, sequence: Option<i32>) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    if let Some(sequence) = sequence {
        builder = builder.producer(0, 0, sequence);
    }
    for record in 0..3_u8 {
        builder.record(1_700_000_000_000 + i64::from(record), key, Some(&[record; 20]), &[]);
    }
    builder.build().bytes().to_vec()
}

fn produce(topic: &str, index: i32, acks: i16, records: &[u8]) -> ProduceRequest {
    let partition = message!(produce_request::PartitionProduceData { index, records: Some(Bytes::copy_from_slice(records)) });
    let topic = message!(produce_request::TopicProduceData { name: topic.into(), partition_data: vec![partition] });
    message!(ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic] })
}

fn produce_to(by_id: bool) -> ProduceRequest {
    let mut request = produce(if by_id { "" } else { "t" }, 1, 1, &batch(Some(b"k"), Some(0)));
    request.topic_data[0].topic_id = topic_id(by_id);
    request
}

/// The id of the first topic, from the node itself; none where names are used.
fn topic_id(by_id: bool) -> Uuid {
    if !by_id {
        return Uuid::ZERO;
    }
    let disk = template().duplicate();
    let answered = chronik_broker::harness::converse(std::sync::Arc::new(disk), 1, super::config(), &[known()]).expect("an honest node");
    topics_of(frames(&answered[0])[0]).topics.iter().find(|topic| topic.name.as_deref() == Some("t")).expect("it was created").topic_id
}

fn metadata(newest: bool) -> MetadataRequest {
    let topics = TOPICS.iter().map(|name| message!(metadata_request::MetadataRequestTopic { name: Some((*name).into()) }));
    message!(MetadataRequest { topics: Some(topics.collect()), allow_auto_topic_creation: !newest })
}

fn create() -> CreateTopicsRequest {
    let config = message!(create_topics_request::CreatableTopicConfig { name: "retention.ms".into(), value: Some("1000".into()) });
    let assignment = message!(create_topics_request::CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1] });
    let topics = vec![
        message!(create_topics_request::CreatableTopic { name: "new".into(), num_partitions: 3, replication_factor: 1, configs: vec![config] }),
        message!(create_topics_request::CreatableTopic {
            name: "assigned".into(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![assignment],
        }),
    ];
    message!(CreateTopicsRequest { topics, timeout_ms: 1000 })
}

fn grow() -> CreatePartitionsRequest {
    let topic = message!(create_partitions_request::CreatePartitionsTopic { name: "t".into(), count: 4, assignments: None });
    message!(CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1000 })
}

fn fetch(by_id: bool) -> FetchRequest {
    let partitions = [(0, 0), (1, 1), (0, 99)].map(|(partition, fetch_offset)| {
        message!(fetch_request::FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, current_leader_epoch: -1 })
    });
    let topic = message!(fetch_request::FetchTopic {
        topic: if by_id { "".into() } else { "t".into() },
        topic_id: topic_id(by_id),
        partitions: partitions.to_vec(),
    });
    message!(FetchRequest { max_wait_ms: 100, min_bytes: 1, max_bytes: 1 << 20, session_epoch: 0, topics: vec![topic] })
}

fn list_offsets(timestamp: i64) -> ListOffsetsRequest {
    let topics = TOPICS[..2].iter().map(|name| {
        let partition = message!(list_offsets_request::ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp });
        message!(list_offsets_request::ListOffsetsTopic { name: (*name).into(), partitions: vec![partition] })
    });
    message!(ListOffsetsRequest { replica_id: -1, topics: topics.collect() })
}

fn epochs() -> OffsetForLeaderEpochRequest {
    let partition = message!(offset_for_leader_epoch_request::OffsetForLeaderPartition { partition: 0, current_leader_epoch: -1, leader_epoch: 0 });
    let topic = message!(offset_for_leader_epoch_request::OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition] });
    message!(OffsetForLeaderEpochRequest { replica_id: -2, topics: vec![topic] })
}

fn describe_configs() -> DescribeConfigsRequest {
    let resources = [(2, "t"), (2, "compacted"), (4, "1")].map(|(resource_type, name)| {
        message!(describe_configs_request::DescribeConfigsResource { resource_type, resource_name: name.into(), configuration_keys: None })
    });
    message!(DescribeConfigsRequest { resources: resources.to_vec(), include_synonyms: true })
}

fn alter_configs() -> AlterConfigsRequest {
    let config = message!(alter_configs_request::AlterableConfig { name: "retention.ms".into(), value: Some("5000".into()) });
    let resource = message!(alter_configs_request::AlterConfigsResource { resource_type: 2, resource_name: "t".into(), configs: vec![config] });
    message!(AlterConfigsRequest { resources: vec![resource] })
}

fn change_configs() -> IncrementalAlterConfigsRequest {
    let configs = [("segment.bytes", 0, "1048576"), ("cleanup.policy", 2, "compact"), ("message.timestamp.type", 0, "LogAppendTime")];
    let configs = configs.map(|(name, config_operation, value)| {
        message!(incremental_alter_configs_request::AlterableConfig { name: name.into(), config_operation, value: Some(value.into()) })
    });
    let resource = message!(incremental_alter_configs_request::AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: configs.to_vec(),
    });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
}

fn describe_partitions() -> DescribeTopicPartitionsRequest {
    let topics = TOPICS.map(|name| message!(describe_topic_partitions_request::TopicRequest { name: name.into() }));
    message!(DescribeTopicPartitionsRequest { topics: topics.to_vec(), response_partition_limit: 2 })
}

fn find(group: &'static str) -> FindCoordinatorRequest {
    message!(FindCoordinatorRequest { coordinator_keys: vec![group.into()] })
}

fn commit(group: &str, generation: i32, member: &str) -> OffsetCommitRequest {
    let partition = message!(offset_commit_request::OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: 2,
        committed_metadata: Some("m".into()),
    });
    let topic = message!(offset_commit_request::OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition] });
    message!(OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![topic],
    })
}

fn commit_of(by_id: bool) -> OffsetCommitRequest {
    let mut request = commit("other", -1, "");
    if by_id {
        request.topics[0].name = StrBytes::from("");
        request.topics[0].topic_id = topic_id(true);
    }
    request
}

fn fetch_offsets(newest: bool) -> OffsetFetchRequest {
    if newest {
        let group = message!(offset_fetch_request::OffsetFetchRequestGroup { group_id: "g".into(), topics: None });
        return message!(OffsetFetchRequest { groups: vec![group] });
    }
    let topic = message!(offset_fetch_request::OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 1, 9] });
    message!(OffsetFetchRequest { group_id: "g".into(), topics: Some(vec![topic]) })
}

fn delete_offsets() -> OffsetDeleteRequest {
    let partition = message!(offset_delete_request::OffsetDeleteRequestPartition { partition_index: 0 });
    let topic = message!(offset_delete_request::OffsetDeleteRequestTopic { name: "t".into(), partitions: vec![partition] });
    message!(OffsetDeleteRequest { group_id: "g".into(), topics: vec![topic] })
}

fn delete_records() -> DeleteRecordsRequest {
    let partition = message!(delete_records_request::DeleteRecordsPartition { partition_index: 0, offset: 1 });
    let topic = message!(delete_records_request::DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] });
    message!(DeleteRecordsRequest { timeout_ms: 1000, topics: vec![topic] })
}

fn describe_producers() -> DescribeProducersRequest {
    let topics = TOPICS.map(|name| message!(describe_producers_request::TopicRequest { name: name.into(), partition_indexes: vec![0, 7] }));
    message!(DescribeProducersRequest { topics: topics.to_vec() })
}

fn describe_quorum() -> DescribeQuorumRequest {
    let partition = message!(describe_quorum_request::PartitionData { partition_index: 0 });
    let topic = message!(describe_quorum_request::TopicData { topic_name: "__cluster_metadata".into(), partitions: vec![partition] });
    message!(DescribeQuorumRequest { topics: vec![topic] })
}

fn update_features() -> UpdateFeaturesRequest {
    let update = message!(update_features_request::FeatureUpdateKey { feature: "metadata.version".into(), max_version_level: 20 });
    message!(UpdateFeaturesRequest { timeout_ms: 1000, feature_updates: vec![update] })
}

fn elect() -> ElectLeadersRequest {
    let topic = message!(elect_leaders_request::TopicPartitions { topic: "t".into(), partitions: vec![0, 9] });
    message!(ElectLeadersRequest { topic_partitions: Some(vec![topic]), timeout_ms: 1000 })
}

fn reassign() -> AlterPartitionReassignmentsRequest {
    let partitions = [(0, Some(vec![1.into()])), (1, None)].map(|(partition_index, replicas)| {
        message!(alter_partition_reassignments_request::ReassignablePartition { partition_index, replicas })
    });
    let topic = message!(alter_partition_reassignments_request::ReassignableTopic { name: "t".into(), partitions: partitions.to_vec() });
    message!(AlterPartitionReassignmentsRequest { topics: vec![topic], timeout_ms: 1000 })
}

fn move_replicas() -> AlterReplicaLogDirsRequest {
    let topic = message!(alter_replica_log_dirs_request::AlterReplicaLogDirTopic { name: "t".into(), partitions: vec![0] });
    let dir = message!(alter_replica_log_dirs_request::AlterReplicaLogDir { path: "/data".into(), topics: vec![topic] });
    message!(AlterReplicaLogDirsRequest { dirs: vec![dir] })
}

fn delete(newest: bool) -> DeleteTopicsRequest {
    if newest {
        let topic = message!(delete_topics_request::DeleteTopicState { name: Some("compacted".into()) });
        return message!(DeleteTopicsRequest { topics: vec![topic], timeout_ms: 1000 });
    }
    message!(DeleteTopicsRequest { topic_names: vec!["assigned".into()], timeout_ms: 1000 })
}
