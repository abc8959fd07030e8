//! The coordinator on a node of its own, without sockets.

use std::rc::Rc;
use std::sync::Arc;

use chronik_state::group::{
    CommitPartition, CommitRequest, FetchedOffset, GroupConfig, JoinRequest, NO_GENERATION, Protocol, Reply,
};
use chronik_state::ids::LogId;
use chronik_state::metadata::record::{ConfigResource, ConfigResourceKind};
use chronik_state::metadata::{ConfigChange, ConfigOperation, IncrementalAlterConfigs, ResourceChanges};
use chronik_state::partition::leader::AgreedPartition;
use chronik_wire::ErrorCode;

use super::group::Shard;
use super::offsets_topic::{self, OFFSETS_TOPIC};
use super::runtime::partition_of;
use crate::net::reactor::Reactor;
use crate::partition::{Assignment, Partition};
use crate::testing;

/// Runs `test` on a node that has the offsets topic.
fn on_node(data_dir: &tempfile::TempDir, test: impl AsyncFnOnce(&Rc<Reactor>)) {
    testing::on_node(data_dir, async |reactor| {
        offsets_topic::ensure(reactor).await.unwrap();
        test(reactor).await;
    });
}

async fn commit(reactor: &Rc<Reactor>, group_id: &str, topic: &str, offset: i64) -> Result<Reply, ErrorCode> {
    let request = commit_request(group_id, topic, offset);
    reactor.node.coordinator.ask(reactor, group_id, |groups, ticket, now| groups.on_commit(ticket, &request, now)).await
}

fn commit_request(group_id: &str, topic: &str, offset: i64) -> CommitRequest {
    let partition = CommitPartition { partition: 0, offset, leader_epoch: -1, metadata: None };
    CommitRequest {
        group_id: group_id.into(),
        generation_id: NO_GENERATION,
        member_id: String::new(),
        group_instance_id: None,
        retention_time_ms: None,
        knows_group_id_not_found: true,
        topics: vec![(topic.into(), vec![partition])],
    }
}

async fn committed(reactor: &Rc<Reactor>, group_id: &str) -> Result<Vec<(String, i64)>, ErrorCode> {
    let found = reactor.node.coordinator.look(reactor, group_id, |groups| groups.fetch_all_offsets(group_id)).await?;
    let offset = |offsets: &[FetchedOffset]| offsets[0].offset;
    Ok(found.into_iter().map(|(topic, offsets)| (topic, offset(&offsets))).collect())
}

fn join_request(group_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: group_id.into(),
        member_id: String::new(),
        group_instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: vec![] }],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        requires_known_member_id: false,
        supports_skipping_assignment: false,
        fresh_id: 7,
    }
}

#[test]
fn what_is_committed_is_read_again_by_the_next_start() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        for offset in 0..100 {
            assert!(commit(reactor, "g", "t", offset).await.is_ok());
        }
        commit(reactor, "h", "t", 7).await.unwrap();
        assert_eq!(committed(reactor, "g").await, Ok(vec![("t".into(), 99)]));
    });
    on_node(&data_dir, async |reactor| {
        assert_eq!(committed(reactor, "g").await, Ok(vec![("t".into(), 99)]));
        assert_eq!(committed(reactor, "h").await, Ok(vec![("t".into(), 7)]));
        let listed = reactor.node.coordinator.look_everywhere(reactor, |groups| groups.list(&[], &[])).await.unwrap();
        let ids: Vec<String> = listed.into_iter().flatten().map(|group| group.group_id).collect();
        assert_eq!(ids, ["g", "h"]);
    });
}

#[test]
fn an_answer_waits_until_what_it_says_is_committed() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        commit(reactor, "g", "t", 1).await.unwrap();
        let topic = reactor.node.metadata.image().topic(OFFSETS_TOPIC).unwrap().id;
        let partition = LogId { topic, partition: partition_of("g", 50) };
        let partition = reactor.node.partitions.partition(partition).unwrap();
        let mut asked = Box::pin(commit(reactor, "g", "t", 2));
        // Polled once: appended, and nobody has committed yet.
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(asked.as_mut().poll(context))).await.is_pending()
        );
        assert_eq!((partition.log.log_end_offset(), partition.high_watermark()), (2, 1));
        asked.await.unwrap();
        assert_eq!(partition.high_watermark(), 2);
    });
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        commit(reactor, "g", "t", 1).await.unwrap();
        // One that has offsets committed for itself.
        commit(reactor, "g", OFFSETS_TOPIC, 1).await.unwrap();
        let image = reactor.node.metadata.image();
        let mut topic = (**image.topic(OFFSETS_TOPIC).unwrap()).clone();
        topic.name = "t".into();
        reactor.node.coordinator.on_topic_deleted(&topic);
        while committed(reactor, "g").await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(committed(reactor, "g").await, Ok(vec![(OFFSETS_TOPIC.into(), 1)]));
    });
}

#[test]
fn who_waits_is_told_when_the_partition_goes() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        let coordinator = &reactor.node.coordinator;
        let joining =
            coordinator.ask(reactor, "g", |groups, ticket, now| groups.on_join(ticket, join_request("g"), now));
        let mut joining = Box::pin(joining);
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(joining.as_mut().poll(context))).await.is_pending()
        );
        let topic = reactor.node.metadata.image().topic(OFFSETS_TOPIC).unwrap().as_ref().clone();
        coordinator.on_topic_deleted(&topic);
        let Ok(Reply::Join(reply)) = joining.await else { panic!("a join is answered") };
        assert_eq!(reply.error, Some(chronik_state::group::GroupError::NotCoordinator));
    });
}

#[test]
fn a_partition_that_is_led_anew_is_read_anew() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        commit(reactor, "g", "t", 1).await.unwrap();
        let coordinator = &reactor.node.coordinator;
        let joining =
            coordinator.ask(reactor, "g", |groups, ticket, now| groups.on_join(ticket, join_request("g"), now));
        let mut joining = Box::pin(joining);
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(joining.as_mut().poll(context))).await.is_pending()
        );
        let node = &reactor.node;
        let image = node.metadata.image();
        let topic = image.topic(OFFSETS_TOPIC).unwrap().id;
        let former = node.partitions.partition(LogId { topic, partition: partition_of("g", 50) }).unwrap();
        let agreed = AgreedPartition::of(image.partition(topic, former.id.partition).unwrap(), &image);
        let agreed = AgreedPartition { leader_epoch: 7, ..agreed };
        let broker_id = node.config.node_id;
        former.assign(Assignment { broker_id, broker_epoch: 1, leader: broker_id, agreed, shared: &node.replication.shared });
        assert_eq!(committed(reactor, "g").await, Ok(vec![("t".into(), 1)]));
        let Ok(Reply::Join(reply)) = joining.await else { panic!("a join is answered") };
        assert_eq!(reply.error, Some(chronik_state::group::GroupError::NotCoordinator));
    });
}

/// The partition that the group lives on.
fn home(reactor: &Rc<Reactor>, group_id: &str) -> Arc<Partition> {
    let topic = reactor.node.metadata.image().topic(OFFSETS_TOPIC).unwrap().id;
    reactor.node.partitions.partition(LogId { topic, partition: partition_of(group_id, 50) }).unwrap()
}

/// Somebody leads the partition in a further epoch.
fn lead_anew(reactor: &Rc<Reactor>, partition: &Arc<Partition>, leader: i32) {
    let node = &reactor.node;
    let image = node.metadata.image();
    let agreed = AgreedPartition::of(image.partition(partition.id.topic, partition.id.partition).unwrap(), &image);
    let leader_epoch = partition.leader_epoch() + 1;
    let agreed = AgreedPartition { leader_epoch, ..agreed };
    let broker_id = node.config.node_id;
    partition.assign(Assignment { broker_id, broker_epoch: 1, leader, agreed, shared: &node.replication.shared });
}

#[test]
fn what_an_earlier_leadership_decides_is_not_written_in_a_later_one() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        commit(reactor, "g", "t", 1).await.unwrap();
        let partition = home(reactor, "g");
        let shard = Shard::new(Arc::clone(&partition), partition.leads_in().unwrap());
        shard.load(reactor, GroupConfig::default(), || 0).await.unwrap();
        lead_anew(reactor, &partition, reactor.node.config.node_id);
        let end_offset = partition.log.log_end_offset();
        let told = shard.ask(reactor, 0, |groups, ticket| groups.on_commit(ticket, &commit_request("g", "t", 2), 0));
        let Reply::Commit(outcomes) = told.unwrap().await.unwrap().reply else { panic!("a commit is answered") };
        assert!(format!("{outcomes:?}").contains("NotCoordinator"), "{outcomes:?}");
        assert_eq!(partition.log.log_end_offset(), end_offset);
    });
}

#[test]
fn a_commit_is_refused_while_too_few_replicas_are_in_sync() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        commit(reactor, "g", "t", 1).await.unwrap();
        let topic = ConfigResource { kind: ConfigResourceKind::Topic, name: OFFSETS_TOPIC.into() };
        let change = ConfigChange { name: "min.insync.replicas".into(), operation: ConfigOperation::Set, value: Some("2".into()) };
        let changes = ResourceChanges { resource: topic, changes: vec![change] };
        let command = IncrementalAlterConfigs { resources: vec![changes], validate_only: false };
        let altered = reactor.node.metadata.submit(reactor, |controller| controller.incremental_alter_configs(&command)).await;
        assert_eq!(altered.unwrap(), [Ok(())]);
        let Reply::Commit(outcomes) = commit(reactor, "g", "t", 2).await.unwrap() else { panic!("a commit is answered") };
        assert!(format!("{outcomes:?}").contains("CoordinatorNotAvailable"), "{outcomes:?}");
        assert_eq!(committed(reactor, "g").await, Ok(vec![("t".into(), 1)]));
    });
}

#[test]
fn who_waits_is_told_when_another_node_leads() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        let coordinator = &reactor.node.coordinator;
        let joining =
            coordinator.ask(reactor, "g", |groups, ticket, now| groups.on_join(ticket, join_request("g"), now));
        let mut joining = Box::pin(joining);
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(joining.as_mut().poll(context))).await.is_pending()
        );
        let partition = home(reactor, "g");
        // It goes on leading: nobody is told anything.
        coordinator.on_role(partition.id);
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(joining.as_mut().poll(context))).await.is_pending()
        );
        lead_anew(reactor, &partition, reactor.node.config.node_id + 1);
        coordinator.on_role(partition.id);
        // At once, not when the rebalance would have come to its end.
        let told = std::future::poll_fn(|context| std::task::Poll::Ready(joining.as_mut().poll(context))).await;
        let std::task::Poll::Ready(Ok(Reply::Join(reply))) = told else { panic!("{told:?}") };
        assert_eq!(reply.error, Some(chronik_state::group::GroupError::NotCoordinator));
        assert_eq!(committed(reactor, "g").await, Err(ErrorCode::NotCoordinator));
    });
}

#[test]
fn a_group_that_is_being_read_says_so() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| commit(reactor, "g", "t", 1).await.map(drop).unwrap());
    on_node(&data_dir, async |reactor| {
        let mut first = Box::pin(committed(reactor, "g"));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(first.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        assert_eq!(committed(reactor, "g").await, Err(ErrorCode::CoordinatorLoadInProgress));
        // Whoever began to read it goes away: the next one begins anew.
        drop(first);
        assert_eq!(committed(reactor, "g").await, Ok(vec![("t".into(), 1)]));
    });
}

#[test]
fn whoever_looks_leaves_the_deadlines_for_the_time_keeper_to_see() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        let partition = home(reactor, "g");
        let shard = Shard::new(Arc::clone(&partition), partition.leads_in().unwrap());
        shard.load(reactor, GroupConfig::default(), || 0).await.unwrap();
        let joined = shard.ask(reactor, 0, |groups, ticket| groups.on_join(ticket, join_request("g"), 0));
        assert!(joined.is_ok() && shard.next_deadline() < i64::MAX);
        // On another thread: the keeper may look at this very moment, and would sleep for ever.
        let seen = shard.look(|_| shard.next_deadline());
        assert_eq!(seen.ok().map(|(deadline, _)| deadline), Some(shard.next_deadline()));
    });
}

#[test]
fn a_machine_that_panics_is_read_again_from_its_log() {
    let data_dir = tempfile::tempdir().unwrap();
    on_node(&data_dir, async |reactor| {
        commit(reactor, "g", "t", 1).await.unwrap();
        let node = Rc::clone(reactor);
        let panicking = tokio::task::spawn_local(async move {
            let asked = node.node.coordinator.ask(&node, "g", |_, _, _| panic!("a bug, for the sake of this test"));
            asked.await.map(drop)
        });
        assert!(panicking.await.unwrap_err().is_panic());
        assert_eq!(committed(reactor, "g").await, Ok(vec![("t".into(), 1)]));
    });
}
