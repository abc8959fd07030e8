//! Reactors on a node of their own, without sockets and without upkeep: whatever waits must be released by a commit.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chronik_log::records::{BatchBuilder, OwnedBatch};
use chronik_state::ids::{LogId, TopicId};
use chronik_state::metadata::{CreatableTopic, CreateTopics};
use tokio::sync::mpsc;

use super::{Position, Reactor, contained};
use crate::config::Config;
use crate::net::committer;
use crate::node::{Node, now_ms, random_id};
use crate::partition::Partition;
use crate::{start, upkeep};

/// Far longer than a commit takes, however busy the machine is.
const FOR_EVER: Duration = Duration::from_secs(20);

fn bring_up(data_dir: &tempfile::TempDir, reactors: usize) -> Arc<Node> {
    let config = Config {
        data_dir: data_dir.path().to_owned(),
        listen: vec![([127, 0, 0, 1], 0).into()],
        reactors,
        sync_interval_ms: 1,
        ..Config::default()
    };
    start::bring_up(config).unwrap().0
}

/// Runs `test` on a thread of the node.
fn on_reactor<T>(node: &Arc<Node>, index: usize, test: impl AsyncFnOnce(&Rc<Reactor>) -> T) -> T {
    start::runtime().unwrap().block_on(async {
        let reactor = Reactor::new(Arc::clone(node), index);
        let (dealt, accepted) = mpsc::unbounded_channel();
        let running = tokio::task::spawn_local(Rc::clone(&reactor).run(accepted));
        let result = test(&reactor).await;
        drop(dealt);
        running.await.unwrap();
        result
    })
}

async fn create(reactor: &Rc<Reactor>, name: &str, sync: &str) -> Arc<Partition> {
    let topic = TopicId(random_id());
    let creatable = CreatableTopic {
        name: name.to_owned(),
        topic_id: topic,
        partitions: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: vec![("chronik.sync".to_owned(), Some(sync.to_owned()))],
    };
    let command = CreateTopics { topics: vec![creatable], validate_only: false };
    let metadata = &reactor.node.metadata;
    let created = metadata.submit(reactor, |controller| controller.create_topics(&command)).await.unwrap();
    assert!(created[0].is_ok(), "{created:?}");
    reactor.node.partitions.partition(LogId { topic, partition: 0 }).unwrap()
}

fn batch(sequence: i32) -> OwnedBatch {
    let mut builder = BatchBuilder::new().producer(7, 0, sequence);
    builder.record(now_ms(), None, Some(b"value"), &[]);
    builder.build()
}

fn append(partition: &Arc<Partition>, sequence: i32) -> Position {
    partition.append_own(batch(sequence).as_valid(), now_ms(), false, partition.leads_in().unwrap()).unwrap().position
}

/// A record of so many bytes.
fn append_large(partition: &Arc<Partition>, bytes: usize) -> Position {
    let mut builder = BatchBuilder::new();
    builder.record(now_ms(), None, Some(&vec![7; bytes]), &[]);
    partition.append_own(builder.build().as_valid(), now_ms(), false, partition.leads_in().unwrap()).unwrap().position
}

async fn reaches(reactor: &Reactor, position: Position) -> bool {
    tokio::time::timeout(FOR_EVER, reactor.until(position)).await.is_ok()
}

#[test]
fn a_panic_ends_what_it_happened_in_and_says_why() {
    let runtime = start::runtime().unwrap();
    let outcome = runtime.block_on(contained(pin!(async {
        tokio::task::yield_now().await;
        assert_eq!(1 + 1, 3, "arithmetic");
    })));
    assert!(outcome.unwrap_err().contains("arithmetic"));
    assert_eq!(runtime.block_on(contained(pin!(async { 7 }))), Ok(7));
}

#[test]
fn who_finds_the_log_taken_is_not_left_asleep() {
    const REACTORS: usize = 4;
    const ROUNDS: usize = 300;
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, REACTORS);
    let names = ["a", "b", "c", "d"];
    let partitions: Vec<_> = on_reactor(&node, 0, async |reactor| {
        let mut partitions = Vec::new();
        for name in names {
            partitions.push(create(reactor, name, "commit").await);
        }
        partitions
    });
    let arrived = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (index, partition) in partitions.iter().enumerate() {
            let (node, arrived) = (&node, &arrived);
            scope.spawn(move || {
                on_reactor(node, index, async |reactor| {
                    for round in 0..ROUNDS {
                        let position = append(partition, round as i32);
                        let awake = reaches(reactor, position).await;
                        // Else the others would wait for this one for ever.
                        arrived.fetch_add(if awake { 0 } else { ROUNDS * REACTORS }, Ordering::SeqCst);
                        assert!(awake, "reactor {index} sleeps in round {round}");
                        // Nobody begins the next round, and so wakes the others, before all have ended this one.
                        arrived.fetch_add(1, Ordering::SeqCst);
                        while arrived.load(Ordering::SeqCst) < (round + 1) * REACTORS {
                            tokio::task::yield_now().await;
                            std::thread::yield_now();
                        }
                    }
                });
            });
        }
    });
}

#[test]
fn who_hands_a_large_group_over_is_woken_when_it_is_written() {
    const REACTORS: usize = 3;
    const ROUNDS: usize = 40;
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, REACTORS);
    let (upkeep, committer) = (upkeep::spawn(&node).unwrap(), committer::spawn(&node).unwrap());
    let partitions: Vec<_> = on_reactor(&node, 0, async |reactor| {
        let mut partitions = Vec::new();
        for (name, sync) in [("a", "commit"), ("b", "commit"), ("c", "interval")] {
            partitions.push(create(reactor, name, sync).await);
        }
        partitions
    });
    std::thread::scope(|scope| {
        for (index, partition) in partitions.iter().enumerate() {
            let node = &node;
            scope.spawn(move || {
                on_reactor(node, index, async |reactor| {
                    for round in 0..ROUNDS {
                        // Groups that are handed over, groups that are not, and one that comes while another is written.
                        let bytes = if (round + index) % 3 == 0 { 1_000 } else { 700_000 };
                        let first = append_large(partition, bytes);
                        let waiting = reaches(reactor, first);
                        tokio::task::yield_now().await;
                        let second = append_large(partition, 1_000);
                        assert!(waiting.await, "reactor {index} sleeps in round {round}");
                        assert!(reaches(reactor, second).await, "reactor {index} sleeps behind round {round}");
                    }
                });
            });
        }
    });
    node.committer.stop();
    committer.join().unwrap();
    assert!(!node.has_failed());
    // Without its thread nothing is handed over.
    on_reactor(&node, 0, async |reactor| {
        let position = append_large(&partitions[0], 700_000);
        assert!(reaches(reactor, position).await);
    });
    node.stop();
    upkeep.join().unwrap();
}

#[test]
fn a_retry_is_answered_though_nobody_syncs_what_it_repeats() {
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, 1);
    on_reactor(&node, 0, async |reactor| {
        let partition = create(reactor, "t", "interval").await;
        let other = create(reactor, "u", "commit").await;
        let first = append(&partition, 0);
        assert!(!first.durable && reaches(reactor, first).await);
        partition.configure(Arc::new(other.settings().as_ref().clone()));
        let again = append(&partition, 0);
        assert_eq!(again, Position { lsn: first.lsn, durable: true });
        assert!(reaches(reactor, again).await);
        assert!(reaches(reactor, append(&other, 0)).await);
    });
}

#[test]
fn a_retry_is_answered_though_large_groups_keep_coming() {
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, 1);
    let committer = committer::spawn(&node).unwrap();
    let (partition, durable, large) = on_reactor(&node, 0, async |reactor| {
        let partition = create(reactor, "t", "interval").await;
        (partition, create(reactor, "u", "commit").await, create(reactor, "v", "interval").await)
    });
    // It does not run: of what it leaves undone at a commit, nothing is done by another that follows.
    let reactor = Reactor::new(Arc::clone(&node), 0);
    let first = append(&partition, 0);
    reactor.commit().unwrap();
    assert!(reactor.reached(first));
    partition.configure(Arc::new(durable.settings().as_ref().clone()));
    let again = append(&partition, 0);
    assert_eq!(again, Position { lsn: first.lsn, durable: true });
    reactor.wake_at(again, &Rc::default());
    append_large(&large, 700_000);
    reactor.commit().unwrap();
    let deadline = std::time::Instant::now() + FOR_EVER;
    while !reactor.reached(again) {
        assert!(std::time::Instant::now() < deadline, "nobody syncs it");
        std::thread::sleep(Duration::from_millis(1));
    }
    node.committer.stop();
    committer.join().unwrap();
    assert!(!node.has_failed());
}

#[test]
fn what_was_only_written_is_synced_within_the_interval() {
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, 1);
    let upkeep = upkeep::spawn(&node).unwrap();
    on_reactor(&node, 0, async |reactor| {
        let partition = create(reactor, "t", "interval").await;
        for sequence in 0..20 {
            let position = append(&partition, sequence);
            assert!(reaches(reactor, position).await);
            // Long before the next checkpoint, which would sync it too.
            let deadline = tokio::time::Instant::now() + Duration::from_secs(4);
            while node.storage.durable_lsn() < position.lsn {
                assert!(tokio::time::Instant::now() < deadline, "record {sequence} is not synced");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    node.stop();
    upkeep.join().unwrap();
}

#[test]
fn what_recovery_kept_may_be_deleted_by_age() {
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, 1);
    let id = on_reactor(&node, 0, async |reactor| {
        let partition = create(reactor, "t", "commit").await;
        let position = append(&partition, 0);
        assert!(reaches(reactor, position).await);
        partition.id
    });
    drop(node);
    let node = bring_up(&data_dir, 1);
    let partition = node.partitions.partition(id).unwrap();
    assert_eq!((partition.high_watermark(), partition.log.high_watermark()), (1, 1));
}

#[test]
fn a_very_large_request_gets_its_room_at_once() {
    let data_dir = tempfile::tempdir().unwrap();
    let node = bring_up(&data_dir, 1);
    let upkeep = upkeep::spawn(&node).unwrap();
    on_reactor(&node, 0, async |reactor| {
        let partition = create(reactor, "t", "commit").await;
        let position = append(&partition, 0);
        assert!(reaches(reactor, position).await);
        // More than there can be beside anything else. Long before the next checkpoint, which would make room too.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(4);
        while !node.storage.has_room(100 << 20) {
            let room = node.room.notified();
            node.upkeep.ask_for_room();
            assert!(tokio::time::timeout_at(deadline, room).await.is_ok() && tokio::time::Instant::now() < deadline);
        }
    });
    node.stop();
    upkeep.join().unwrap();
}
