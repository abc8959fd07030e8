//! Produce, Fetch, DescribeProducers.

use chronik_wire::messages::{FetchRequest, ProduceRequest, fetch_request, produce_request};
use chronik_wire::{Bytes, StrBytes, Uuid, message};

use crate::ask::{Asker, transcript};
use crate::requests::*;

/// Where the batch's magic number and its base offset's last byte stand.
const MAGIC: usize = 16;
const BASE_OFFSET: usize = 7;

#[test]
fn produce_answers() {
    transcript("produce", async |asker: &mut Asker| {
        let compacted: &[(&str, Option<&str>)] = &[("cleanup.policy", Some("compact"))];
        let stamped: &[(&str, Option<&str>)] = &[("max.message.bytes", Some("70"))];
        let topics = vec![topic("ra", 1, 1, &[]), topic("rc", 1, 1, compacted), topic("rs", 1, 1, stamped)];
        asker.ask_silently(&create(topics), 7).await;
        let id = asker.id_of("ra").await;
        for version in 3..=12 {
            asker.ask("a batch", &produce("ra", BATCH), [version]).await;
        }
        asker.ask("a batch, by the topic's id", &produce_by_id(id), [13]).await;
        asker.ask("a topic that does not exist", &produce("nope", BATCH), [3, 12]).await;
        asker.ask("an id that does not exist", &produce_by_id(Uuid::from_bytes([9; 16])), [13]).await;
        asker.ask("the id of no topic", &produce_by_id(Uuid::ZERO), [13]).await;
        let mut elsewhere = produce("ra", BATCH);
        elsewhere.topic_data[0].partition_data[0].index = 7;
        asker.ask("a partition that does not exist", &elsewhere, [3, 12]).await;
        let mut acks = produce("ra", BATCH);
        acks.acks = 2;
        asker.ask("acks that do not exist", &acks, [3, 12]).await;
        let wrong = [
            ("no bytes", Vec::new()),
            ("a batch cut short", BATCH[..60].to_vec()),
            ("a flipped bit", changed(70, BATCH[70] ^ 1)),
            ("magic 1", changed(MAGIC, 1)),
            ("magic 3", changed(MAGIC, 3)),
            ("an offset of its own", changed(BASE_OFFSET, 9)),
            ("two batches", [BATCH, BATCH].concat()),
        ];
        for (what, records) in wrong {
            asker.ask(what, &produce("ra", &records), [3, 7]).await;
        }
        asker.ask("no key where keys are needed", &produce("rc", BATCH), [7, 12]).await;
        asker.ask("a batch too large", &produce("rs", BATCH), [7]).await;
    });
}

#[test]
fn producers_of_partitions() {
    transcript("producers", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("pa", 2, 1, &[])]), 7).await;
        asker.ask_silently(&produce("pa", BATCH), 9).await;
        asker.ask("nobody with a number", &describe_producers("pa", &[0]), [0]).await;
        asker.ask_silently(&produce("pa", &batch_of_producer()), 9).await;
        asker.ask("somebody", &describe_producers("pa", &[0, 1]), [0]).await;
        asker.ask("no such partition", &describe_producers("pa", &[7]), [0]).await;
        asker.ask("no such topic", &describe_producers("nope", &[0]), [0]).await;
        asker.ask("a name that no topic can have", &describe_producers("no!pe", &[0]), [0]).await;
    });
}

#[test]
fn fetch_answers() {
    transcript("fetch", async |asker: &mut Asker| {
        asker.ask_silently(&create(vec![topic("fa", 2, 1, &[])]), 7).await;
        let id = asker.id_of("fa").await;
        for _ in 0..5 {
            asker.ask_silently(&produce("fa", BATCH), 9).await;
        }
        asker.ask("from the start", &fetch("fa", &[at(0, 0)]), 4..=12).await;
        asker.ask("by the topic's id", &fetch_by_id(id, &[at(0, 0)]), 13..=18).await;
        asker.ask("from within", &fetch("fa", &[at(0, 3)]), [4, 12]).await;
        asker.ask("at the end", &fetch("fa", &[at(0, 5)]), [4, 12]).await;
        asker.ask("behind the end", &fetch("fa", &[at(0, 6)]), [4, 12]).await;
        asker.ask("before the start", &fetch("fa", &[at(0, -1)]), [4, 12]).await;
        asker.ask("an empty partition", &fetch("fa", &[at(1, 0)]), [4, 12]).await;
        asker.ask("no such topic", &fetch("nope", &[at(0, 0)]), [4, 12]).await;
        asker.ask("no such partition", &fetch("fa", &[at(9, 0)]), [4, 12]).await;
        asker.ask("no such id", &fetch_by_id(Uuid::from_bytes([9; 16]), &[at(0, 0)]), [13, 18]).await;
        asker.ask("the id of no topic", &fetch_by_id(Uuid::ZERO, &[at(0, 0)]), [13, 18]).await;
        let with_epoch = |epoch| {
            let mut partition = at(0, 0);
            partition.current_leader_epoch = epoch;
            fetch("fa", &[partition])
        };
        asker.ask("in the leader's epoch", &with_epoch(0), [9, 12]).await;
        asker.ask("in an epoch to come", &with_epoch(5), [9, 12]).await;
        for (what, offset, epoch) in [("behind a record of this epoch", 5, 0), ("too far behind", 6, 0), ("of an epoch to come", 5, 1)] {
            let mut partition = at(0, offset);
            partition.last_fetched_epoch = epoch;
            asker.ask(what, &fetch("fa", &[partition]), [12]).await;
        }
        let mut tiny = at(0, 0);
        tiny.partition_max_bytes = 1;
        asker.ask("a byte of a partition", &fetch("fa", &[tiny]), [4, 12]).await;
        let mut tiny = fetch("fa", &[at(0, 0), at(0, 0)]);
        tiny.max_bytes = 1;
        asker.ask("a byte in all, a partition twice", &tiny, [4]).await;
        let mut two = at(0, 0);
        two.partition_max_bytes = 2 * BATCH.len() as i32 + 1;
        asker.ask("room for two batches and a byte", &fetch("fa", &[two]), [4, 12]).await;
        let mut committed = fetch("fa", &[at(0, 0)]);
        committed.isolation_level = 1;
        asker.ask("committed only", &committed, [4, 12]).await;
        let mut strange = fetch("fa", &[at(0, 0)]);
        (strange.session_id, strange.session_epoch) = (12345, 1);
        asker.ask("in a session that does not exist", &strange, [7, 12]).await;
        asker.ask("nothing", &fetch("fa", &[]), [4]).await;
    });
}

fn changed(at: usize, to: u8) -> Vec<u8> {
    let mut batch = BATCH.to_vec();
    batch[at] = to;
    batch
}

fn produce_by_id(topic_id: Uuid) -> ProduceRequest {
    let partition = message!(produce_request::PartitionProduceData { records: Some(Bytes::from_static(BATCH)) });
    let topic = message!(produce_request::TopicProduceData { topic_id, partition_data: vec![partition] });
    message!(ProduceRequest { acks: 1, timeout_ms: 5000, topic_data: vec![topic] })
}

/// A partition from an offset on.
fn at(partition: i32, fetch_offset: i64) -> fetch_request::FetchPartition {
    message!(fetch_request::FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20 })
}

fn fetch(topic: &str, partitions: &[fetch_request::FetchPartition]) -> FetchRequest {
    fetch_topic(message!(fetch_request::FetchTopic { topic: StrBytes::from(topic), partitions: partitions.to_vec() }))
}

fn fetch_by_id(topic_id: Uuid, partitions: &[fetch_request::FetchPartition]) -> FetchRequest {
    fetch_topic(message!(fetch_request::FetchTopic { topic_id, partitions: partitions.to_vec() }))
}

/// Without a session, and without waiting.
fn fetch_topic(topic: fetch_request::FetchTopic) -> FetchRequest {
    message!(FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, session_epoch: -1, topics: vec![topic] })
}
