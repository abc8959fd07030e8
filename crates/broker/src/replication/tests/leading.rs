//! What producers hear when there are several replicas.

use std::time::{Duration, Instant};

use chronik_state::ids::LogId;
use chronik_state::metadata::Partition;
use chronik_state::metadata::record::{PartitionChangeRecord, Record};
use chronik_wire::ErrorCode;
use chronik_wire::messages::ProduceResponse;

use super::cluster::{ALL, Cluster, ONE, PATIENCE, PRODUCE_VERSION, Produce, answer_of, ask};
use super::code;

#[test]
fn too_few_in_sync_replicas_refuse_a_write_before_it_is_taken() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    cluster.kill(2);
    assert_eq!(cluster.produce(1, log, ALL).error_code, code(ErrorCode::NotEnoughReplicas));
    assert_eq!(cluster.ends(1, log), (0, 0));
    assert_eq!(cluster.produce(1, log, ONE).error_code, 0, "acks=1 does not ask for others");
    // But it is not shown either: a leader that is elected without this one need not have it (KIP-966).
    assert_eq!(cluster.ends(1, log), (1, 0));
    cluster.start(2);
    cluster.wait("both are in sync, and what was taken is committed", |cluster| {
        cluster.in_sync(log) == [1, 2] && cluster.ends(1, log) == (1, 1)
    });
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
}

/// A write waits for its second replica, which does not answer until something `happens`: what the writer hears then.
fn parked(happens: impl FnOnce(&mut Cluster, LogId)) -> (Cluster, ProduceResponse) {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.proxy(2).hold_back(true);
    let address = cluster.kafka(1);
    let parked = std::thread::spawn(move || ask(address, &ALL.request(log), PRODUCE_VERSION));
    cluster.wait("both have it", |cluster| cluster.ends(2, log).0 == 2);
    assert!(!parked.is_finished());
    happens(&mut cluster, log);
    let deadline = Instant::now() + PATIENCE / 2;
    while !parked.is_finished() {
        assert!(Instant::now() < deadline, "the write is not answered");
        std::thread::sleep(Duration::from_millis(2));
    }
    let response = parked.join().unwrap();
    (cluster, response)
}

#[test]
fn a_write_that_waits_hears_that_its_leader_is_deposed_and_who_leads() {
    let (cluster, response) = parked(|cluster, _| cluster.fence(1));
    let answer = answer_of(response.clone());
    assert_eq!(answer.error_code, code(ErrorCode::NotLeaderOrFollower));
    assert_eq!((answer.current_leader.leader_id, answer.current_leader.leader_epoch), (2, 1));
    let endpoints: Vec<_> = response.node_endpoints.iter().map(|node| (node.node_id, node.port)).collect();
    assert_eq!(endpoints, [(2, i32::from(cluster.kafka(2).port()))]);
}

#[test]
fn a_write_whose_topic_asks_for_more_replicas_by_then_says_so() {
    let (cluster, response) = parked(|cluster, log| {
        let mut change = cluster.image().partition(log.topic, 0).unwrap().clone();
        change.min_in_sync_replicas = 3;
        change.partition_epoch += 1;
        cluster.decide(vec![Record::PartitionChange(record(log, &change))]);
        cluster.proxy(2).hold_back(false);
    });
    assert_eq!(answer_of(response).error_code, code(ErrorCode::NotEnoughReplicasAfterAppend));
    let log = LogId { topic: cluster.image().topic("t").unwrap().id, partition: 0 };
    assert_eq!(cluster.ends(1, log), (2, 2), "it is committed all the same");
}

fn record(log: LogId, partition: &Partition) -> PartitionChangeRecord {
    PartitionChangeRecord {
        topic_id: log.topic,
        partition: log.partition,
        in_sync: partition.in_sync.to_vec(),
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        eligible_leaders: Vec::new(),
        last_known_leader: partition.last_known_leader,
        recovering: false,
        min_in_sync_replicas: partition.min_in_sync_replicas,
    }
}

#[test]
fn a_follower_takes_no_writes_and_says_who_does() {
    let mut cluster = Cluster::of(3);
    let log = cluster.create("t", &[1, 2], &[]);
    for other in [2, 3] {
        let answer = cluster.produce(other, log, Produce { acks: 1, ..ALL });
        assert_eq!(answer.error_code, code(ErrorCode::NotLeaderOrFollower), "node {other}");
        assert_eq!((answer.current_leader.leader_id, answer.current_leader.leader_epoch), (1, 0));
    }
    assert_eq!(cluster.ends(2, log), (0, 0));
}

/// A follower that stops taking records leaves the set, and its leader goes on without it.
#[test]
fn a_follower_that_lags_leaves_the_set_and_comes_back() {
    let mut cluster = Cluster::of(2);
    let log = cluster.create("t", &[1, 2], &[]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
    cluster.proxy(2).hold_there(true);
    assert_eq!(cluster.produce(1, log, ONE).error_code, 0);
    cluster.wait("it leaves", |cluster| cluster.in_sync(log) == [1]);
    cluster.wait("what it lacks is committed without it", |cluster| cluster.ends(1, log) == (2, 2));
    cluster.proxy(2).hold_there(false);
    cluster.wait("it comes back", |cluster| cluster.in_sync(log) == [1, 2]);
    assert_eq!(cluster.ends(2, log).0, 2);
}
