//! Clusters as they can be found, and what is said of them.

use super::*;

fn nodes(states: &[NodeState]) -> Vec<NodeFacts> {
    let node = |(at, state): (usize, &NodeState)| NodeFacts { id: at as BrokerId + 1, state: *state, silent_ms: None };
    states.iter().enumerate().map(node).collect()
}

fn partition<'a>(partition: i32, leader: Option<BrokerId>, in_sync: &'a [BrokerId]) -> PartitionFacts<'a> {
    const REPLICAS: [[BrokerId; 3]; 3] = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    let replicas = &REPLICAS[partition as usize % 3];
    PartitionFacts { topic: "orders", partition, leader, replicas, in_sync, min_in_sync: Some(2) }
}

fn examined(leader: Option<BrokerId>, states: &[NodeState], partitions: &[PartitionFacts<'_>]) -> Health {
    let mut examination = Examination::new(leader, nodes(states));
    partitions.iter().for_each(|partition| examination.partition(partition));
    examination.finish()
}

#[track_caller]
fn codes(health: &Health, expected: &[&str]) {
    let found: Vec<_> = health.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(found, expected, "{:#?}", health.problems);
    assert!(found.iter().all(|code| CODES.contains(code)), "{found:?}");
}

use NodeState::{Absent, Down, Fenced, Stopping, Unreachable, Up, Waiting};

const ALL: &[BrokerId] = &[1, 2, 3];

#[test]
fn three_nodes_that_are_well() {
    let partitions = [partition(0, Some(1), ALL), partition(1, Some(2), ALL), partition(2, Some(3), ALL)];
    let health = examined(Some(2), &[Up, Up, Up], &partitions);
    assert_eq!(health.verdict, Verdict::Healthy);
    assert_eq!(health.problems, []);
    assert_eq!(health.affected, []);
    assert_eq!((health.counts.topics, health.counts.partitions), (1, 3));
    for node in &health.nodes {
        assert_eq!((node.leaders, node.preferred, node.replicas, node.in_sync), (1, 1, 3, 3), "{node:?}");
    }
}

#[test]
fn one_node_is_down_and_everything_is_served() {
    let partitions = [partition(0, Some(1), &[1, 2]), partition(1, Some(2), &[1, 2]), partition(2, Some(1), &[1, 2])];
    let mut facts = nodes(&[Up, Up, Down]);
    facts[2].silent_ms = Some(240_000);
    let mut examination = Examination::new(Some(1), facts);
    partitions.iter().for_each(|partition| examination.partition(partition));
    let health = examination.finish();
    assert_eq!(health.verdict, Verdict::Degraded);
    codes(&health, &["NODE_DOWN", "UNDER_REPLICATED"]);
    assert_eq!(health.problems[0].title, "node 3 is down, not heard for 4 min");
    assert_eq!(
        health.problems[1].title,
        "3 partitions (orders-0, …): 2 of 3 copies in sync; writes continue (min.insync.replicas=2)"
    );
    assert_eq!(health.problems[1].fix, "start node 3");
    assert_eq!(health.nodes[2].in_sync, 0);
    // The preferred leader of the third is away: that another leads is as it should be.
    assert_eq!(health.counts.not_preferred, 0);
}

#[test]
fn writes_are_refused_below_the_minimum() {
    let health = examined(Some(1), &[Up, Down, Down], &[partition(0, Some(1), &[1])]);
    assert_eq!(health.verdict, Verdict::Unavailable);
    codes(&health, &["UNDER_MIN_ISR", "NODE_DOWN", "NODE_DOWN"]);
    assert_eq!(health.problems[0].fix, "start nodes 2, 3");
    assert_eq!(health.affected[0].condition, Condition::UnderMinInSync);
    // What is not known is not guessed at.
    let unknown = PartitionFacts { min_in_sync: None, ..partition(0, Some(1), &[1]) };
    assert_eq!(examined(Some(1), &[Up, Down, Down], &[unknown]).verdict, Verdict::Degraded);
    // Nobody waits for more replicas than there are.
    let alone = PartitionFacts { replicas: &[1], ..partition(0, Some(1), &[1]) };
    assert_eq!(examined(Some(1), &[Up], &[alone]).verdict, Verdict::Healthy);
}

#[test]
fn a_partition_that_nobody_leads_is_offline() {
    let health = examined(Some(1), &[Up, Up, Down], &[partition(2, None, &[3]), partition(0, Some(1), ALL)]);
    assert_eq!(health.verdict, Verdict::Unavailable);
    assert_eq!((health.counts.offline, health.counts.under_min_in_sync, health.counts.under_replicated), (1, 0, 2));
    assert_eq!(health.problems[0].title, "1 partition (orders-2): nobody serves it");
    assert_eq!(health.problems[0].fix, "start node 3: the records are there");
}

#[test]
fn without_a_metadata_leader_what_the_metadata_says_of_silent_nodes_is_not_believed() {
    let partitions = [partition(0, Some(1), ALL), partition(1, Some(2), ALL)];
    let health = examined(None, &[Up, Unreachable, Unreachable], &partitions);
    assert_eq!(health.verdict, Verdict::Unavailable);
    codes(&health, &["NO_METADATA_LEADER", "OFFLINE_PARTITIONS", "UNDER_MIN_ISR", "NODE_DOWN", "NODE_DOWN"]);
    assert_eq!(health.problems[0].fix, "start nodes 2, 3; 2 of 3 have to be up");
    // With one, it may be the network between who asks and the node.
    let health = examined(Some(1), &[Up, Unreachable, Up], &partitions);
    assert_eq!(health.verdict, Verdict::Degraded);
    codes(&health, &["NODE_UNREACHABLE"]);
}

#[test]
fn all_are_there_and_elect() {
    let health = examined(None, &[Up, Up, Up], &[]);
    assert!(health.problems[0].fix.starts_with("an election takes a second or two"), "{:?}", health.problems);
}

#[test]
fn each_state_of_a_node_has_its_problem() {
    for (state, code) in [
        (Fenced, "NODE_FENCED"),
        (Stopping, "NODE_STOPPING"),
        (Waiting, "NODE_WAITING"),
        (Absent, "NODE_ABSENT"),
        (Down, "NODE_DOWN"),
        (Unreachable, "NODE_UNREACHABLE"),
    ] {
        let health = examined(Some(1), &[Up, state], &[]);
        assert_eq!(health.verdict, Verdict::Degraded);
        codes(&health, &[code]);
        assert!(health.problems[0].title.starts_with("node 2 "), "{:?}", health.problems);
    }
}

#[test]
fn replicas_of_living_nodes_that_are_behind_are_waited_for() {
    let health = examined(Some(1), &[Up, Up, Up], &[partition(0, Some(1), &[1, 2])]);
    assert_eq!(health.verdict, Verdict::Degraded);
    assert_eq!(health.problems[0].fix, "node 3 is catching up; if that lasts, look at disk and network there");
}

#[test]
fn a_leader_that_was_not_meant_to_lead_is_worth_a_note() {
    let health = examined(Some(1), &[Up, Up, Up], &[partition(1, Some(3), ALL)]);
    assert_eq!(health.verdict, Verdict::Healthy);
    codes(&health, &["NOT_PREFERRED_LEADERS"]);
    assert_eq!(health.counts.not_preferred, 1);
}
