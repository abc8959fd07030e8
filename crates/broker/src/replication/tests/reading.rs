//! What consumers get when there are several replicas.

use chronik_state::ids::LogId;
use chronik_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use chronik_wire::messages::fetch_response::PartitionData;
use chronik_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use chronik_wire::messages::{FetchRequest, FetchResponse, ListOffsetsRequest};
use chronik_wire::{ErrorCode, Uuid, message};

use super::cluster::{ALL, Cluster, ONE, Produce};
use super::code;

fn fetch(cluster: &Cluster, id: i32, log: LogId, offset: i64, rack: &str) -> FetchResponse {
    let partition =
        message!(FetchPartition { partition: log.partition, fetch_offset: offset, partition_max_bytes: 1 << 20 });
    let topic = message!(FetchTopic { topic_id: Uuid::from_bytes(log.topic.0), partitions: vec![partition] });
    let request = message!(FetchRequest { topics: vec![topic], rack_id: rack.into(), max_bytes: 1 << 20 });
    cluster.ask(id, &request, 17)
}

fn only(response: &FetchResponse) -> &PartitionData {
    &response.responses[0].partitions[0]
}

fn bytes(response: &FetchResponse) -> usize {
    only(response).records.as_ref().map_or(0, |records| records.len())
}

#[test]
fn followers_give_what_is_committed_and_nobody_more() {
    let mut cluster = Cluster::of(3);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.wait("the follower knows", |cluster| cluster.ends(2, log) == (1, 1));
    cluster.proxy(2).hold_back(true);
    assert_eq!(cluster.produce(1, log, Produce { bytes: 500, ..ONE }).error_code, 0);
    cluster.wait("the follower has it", |cluster| cluster.ends(2, log).0 == 2);
    let committed = cluster.bytes(2, log).len() - 500;
    for id in [1, 2] {
        let response = fetch(&cluster, id, log, 0, "");
        assert_eq!((only(&response).error_code, only(&response).high_watermark), (0, 1), "node {id}");
        assert!((1..committed).contains(&bytes(&response)), "node {id} gives {} bytes", bytes(&response));
        // Between high watermark and log end: nothing yet, and no error.
        let response = fetch(&cluster, id, log, 1, "");
        assert_eq!((only(&response).error_code, bytes(&response)), (0, 0), "node {id}");
    }
    let behind = fetch(&cluster, 2, log, 9, "");
    assert_eq!(only(&behind).error_code, code(ErrorCode::OffsetNotAvailable), "a follower may be behind");
    let beyond = fetch(&cluster, 1, log, 9, "");
    assert_eq!(only(&beyond).error_code, code(ErrorCode::OffsetOutOfRange), "the leader is not");
    let elsewhere = fetch(&cluster, 3, log, 0, "");
    assert_eq!(only(&elsewhere).error_code, code(ErrorCode::NotLeaderOrFollower));
    assert_eq!(only(&elsewhere).current_leader.leader_id, 1);
    assert_eq!(elsewhere.node_endpoints[0].port, i32::from(cluster.kafka(1).port()));
    cluster.proxy(2).hold_back(false);
    cluster.wait("it is shown", |cluster| cluster.ends(1, log) == (2, 2));
}

#[test]
fn a_reader_is_sent_to_the_replica_in_its_rack() {
    let mut cluster = Cluster::of(3);
    let log = cluster.create("t", &[1, 2, 3], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.wait("all have it", |cluster| (1..=3).all(|id| cluster.ends(id, log) == (1, 1)));
    for (rack, preferred) in [("rack-1", -1), ("rack-2", 2), ("rack-3", 3), ("rack-4", -1), ("", -1)] {
        let response = fetch(&cluster, 1, log, 0, rack);
        assert_eq!((only(&response).error_code, only(&response).preferred_read_replica), (0, preferred), "{rack:?}");
        assert_eq!(bytes(&response) > 0, preferred < 0, "{rack:?}");
    }
    assert!(bytes(&fetch(&cluster, 3, log, 0, "rack-3")) > 0);
    // One that is not in sync is not recommended.
    cluster.kill(2);
    assert_eq!(only(&fetch(&cluster, 1, log, 0, "rack-2")).preferred_read_replica, -1);
}

/// KIP-207: more may have been shown than a new leader knows of.
#[test]
fn a_new_leader_does_not_say_where_the_end_is_before_it_knows() {
    let mut cluster = Cluster::of(3);
    let log = cluster.create("t", &[1, 2, 3], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.wait("all have it", |cluster| (2..=3).all(|id| cluster.ends(id, log) == (1, 1)));
    // What is committed next is on both followers, and they do not hear that it is.
    cluster.proxy(2).hold_back(true);
    assert_eq!(cluster.produce(1, log, ONE).error_code, 0);
    cluster.wait("all have it", |cluster| (2..=3).all(|id| cluster.ends(id, log).0 == 2));
    // The next leader is cut off from the other one as well.
    cluster.proxy(3).hold_back(true);
    cluster.fence(1);
    let latest = |cluster: &Cluster, version| {
        let partition = message!(ListOffsetsPartition { partition_index: 0, timestamp: -1 });
        let topic = message!(ListOffsetsTopic { name: "t".into(), partitions: vec![partition] });
        let response = cluster.ask(2, &message!(ListOffsetsRequest { topics: vec![topic] }), version);
        let partition = &response.topics[0].partitions[0];
        (partition.error_code, partition.offset)
    };
    assert_eq!(latest(&cluster, 5), (code(ErrorCode::OffsetNotAvailable), -1));
    assert_eq!(latest(&cluster, 4), (code(ErrorCode::LeaderNotAvailable), -1));
    cluster.proxy(2).hold_back(false);
    cluster.proxy(3).hold_back(false);
    cluster.wait("it knows", |cluster| cluster.ends(2, log) == (2, 2));
    assert_eq!(latest(&cluster, 5), (0, 2));
}
