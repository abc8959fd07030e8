//! ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments, AlterReplicaLogDirs, DescribeQuorum: what is
//! asked of replicas, where each partition has one.

use chronik_wire::messages::DescribeQuorumResponse;

use crate::ask::{Asker, transcript};
use crate::requests::*;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

#[test]
fn leaders_are_elected() {
    transcript("elect_leaders", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("ea", 2, 1, &[])]), 7).await;
        asker.ask("of two partitions", &elect(PREFERRED, Some(&[("ea", &[0, 1])])), 0..=2).await;
        asker.ask("unclean", &elect(UNCLEAN, Some(&[("ea", &[0])])), 1..=2).await;
        asker.ask("a kind that is none", &elect(7, Some(&[("ea", &[0])])), 1..=2).await;
        asker.ask("a kind that is none, of all", &elect(7, None), 1..=2).await;
        asker.ask("what does not exist", &elect(PREFERRED, Some(&[("ea", &[9]), ("nope", &[0])])), 0..=2).await;
        asker.ask("a topic twice", &elect(PREFERRED, Some(&[("ea", &[0]), ("ea", &[0])])), 0..=2).await;
        asker.ask("of no partition", &elect(PREFERRED, Some(&[])), 0..=2).await;
        asker.ask("of all", &elect(PREFERRED, None), 0..=2).await;
    });
}

#[test]
fn reassignments() {
    transcript("reassignments", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("ra", 2, 1, &[])]), 7).await;
        asker.ask("to where it is", &reassign(&[("ra", 0, Some(&[1]))]), 0..=1).await;
        asker.ask("to a broker that does not exist", &reassign(&[("ra", 0, Some(&[2]))]), 0..=1).await;
        asker.ask("to more of them", &reassign(&[("ra", 0, Some(&[1, 2]))]), 0..=1).await;
        let mut same_count = reassign(&[("ra", 0, Some(&[1, 2]))]);
        same_count.allow_replication_factor_change = false;
        asker.ask("to more than may be", &same_count, [1]).await;
        asker.ask("to nobody", &reassign(&[("ra", 0, Some(&[]))]), 0..=1).await;
        asker.ask("to one twice", &reassign(&[("ra", 0, Some(&[1, 1]))]), 0..=1).await;
        asker.ask("called off", &reassign(&[("ra", 0, None)]), 0..=1).await;
        let unknown = reassign(&[("ra", 9, Some(&[1])), ("nope", 0, Some(&[1])), ("ra", 9, None), ("nope", 0, None)]);
        asker.ask("what does not exist", &unknown, 0..=1).await;
        asker.ask("what is under way", &list_reassignments(None), [0]).await;
        asker.ask("for partitions", &list_reassignments(Some(&[("ra", &[0, 9]), ("nope", &[0])])), [0]).await;
        asker.ask("for none", &list_reassignments(Some(&[])), [0]).await;
    });
}

#[test]
fn log_dirs_of_replicas() {
    transcript("move_to_log_dir", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("lm", 2, 1, &[])]), 7).await;
        let directory = asker.ask_silently(&describe_log_dirs(Some(&[])), 4).await.results[0].log_dir.to_string();
        let within = format!("{directory}/within");
        asker.ask("to where they are", &move_to_log_dir(&[(&directory, "lm", &[0, 1])]), 1..=2).await;
        let unknown = move_to_log_dir(&[(&directory, "lm", &[9]), (&directory, "nope", &[0])]);
        asker.ask("what does not exist", &unknown, 1..=2).await;
        asker.ask("to where nobody keeps anything", &move_to_log_dir(&[(&within, "lm", &[0])]), 1..=2).await;
        asker.ask("and what does not exist", &move_to_log_dir(&[(&within, "nope", &[0])]), 1..=2).await;
        asker.ask("to a relative path", &move_to_log_dir(&[("data", "lm", &[0])]), 1..=2).await;
        let twice = move_to_log_dir(&[(&within, "lm", &[0, 1]), (&directory, "nope", &[0]), (&directory, "lm", &[9, 1])]);
        asker.ask("a topic twice, of which a partition to two places", &twice, 1..=2).await;
        let long = [213, 214].map(|length| "x".repeat(length));
        let names = move_to_log_dir(&[(&directory, &long[0], &[0]), (&within, &long[1], &[0]), (&within, &long[0], &[10])]);
        asker.ask("names as long as can be, and longer", &names, 1..=2).await;
        asker.ask("no partition", &move_to_log_dir(&[(&within, "lm", &[])]), 1..=2).await;
        asker.ask("nothing", &move_to_log_dir(&[]), 1..=2).await;
    });
}

#[test]
fn quorum() {
    transcript("quorum", async |asker: &mut Asker| {
        for version in 0..=2 {
            let said = asker.ask_silently(&describe_quorum(&[("__cluster_metadata", &[0])]), version).await;
            check_quorum(&said, version);
        }
        asker.ask("of another partition", &describe_quorum(&[("__cluster_metadata", &[1])]), 0..=2).await;
        asker.ask("of two", &describe_quorum(&[("__cluster_metadata", &[0, 1])]), 0..=2).await;
        asker.ask("of another topic", &describe_quorum(&[("nope", &[0])]), 0..=2).await;
        asker.ask("of nothing", &describe_quorum(&[]), 0..=2).await;
    });
}

/// One voter, which has all there is. Where Apache Kafka was told its voters, it gives no directory.
fn check_quorum(said: &DescribeQuorumResponse, version: i16) {
    let [topic] = &said.topics[..] else { panic!("{said:?}") };
    let [partition] = &topic.partitions[..] else { panic!("{said:?}") };
    let [voter] = &partition.current_voters[..] else { panic!("{said:?}") };
    assert_eq!((said.error_code, partition.error_code, partition.leader_id, voter.replica_id), (0, 0, 1, 1));
    assert_eq!((&*topic.topic_name, partition.partition_index), ("__cluster_metadata", 0));
    assert!(partition.leader_epoch >= 1 && partition.high_watermark > 0, "{said:?}");
    assert!(voter.log_end_offset >= partition.high_watermark && partition.observers.is_empty(), "{said:?}");
    assert_eq!(voter.last_caught_up_timestamp > 0 && voter.last_fetch_timestamp > 0, version >= 1, "{said:?}");
    let nodes: Vec<_> = said.nodes.iter().map(|node| (node.node_id, node.listeners.len())).collect();
    assert_eq!(nodes, if version >= 2 { vec![(1, 1)] } else { Vec::new() });
}
