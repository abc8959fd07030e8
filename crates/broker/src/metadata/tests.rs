//! What a change of metadata does to the partitions of a running node, without sockets.

use std::sync::Arc;

use chronik_state::ids::{LogId, TopicId};
use chronik_state::metadata::record::{ConfigResource, ConfigResourceKind};
use chronik_state::metadata::{
    ConfigChange, ConfigOperation, CreatableTopic, CreateTopics, IncrementalAlterConfigs, ResourceChanges,
};
use chronik_log::records::BatchBuilder;

use crate::net::reactor::Reactor;
use crate::node::now_ms;
use crate::partition::Partition;
use crate::testing::on_node;

/// The only partition of a topic; the topic is made where there is none.
async fn partition(reactor: &Reactor, name: &str) -> Arc<Partition> {
    let command = CreateTopics {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            topic_id: TopicId(crate::node::random_id()),
            partitions: 1,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Default::default(),
        }],
        validate_only: false,
    };
    let metadata = &reactor.node.metadata;
    let _ = metadata.submit(reactor, |controller| controller.create_topics(&command)).await.unwrap();
    let topic = metadata.image().topic(name).unwrap().id;
    reactor.node.partitions.partition(LogId { topic, partition: 0 }).unwrap()
}

async fn configure(reactor: &Reactor, kind: ConfigResourceKind, resource: &str, name: &str, value: Option<&str>) {
    let operation = if value.is_some() { ConfigOperation::Set } else { ConfigOperation::Delete };
    let change = ConfigChange { name: name.to_owned(), operation, value: value.map(str::to_owned) };
    let resource = ConfigResource { kind, name: resource.to_owned() };
    let command = IncrementalAlterConfigs {
        resources: vec![ResourceChanges { resource, changes: vec![change] }],
        validate_only: false,
    };
    let altered = reactor.node.metadata.submit(reactor, |controller| controller.incremental_alter_configs(&command)).await;
    assert_eq!(altered.unwrap(), [Ok(())]);
}

#[test]
fn what_is_set_on_a_broker_holds_at_once_for_its_topics() {
    on_node(&tempfile::tempdir().unwrap(), async |reactor| {
        let partition = partition(reactor, "t").await;
        let own = self::partition(reactor, "own").await;
        configure(reactor, ConfigResourceKind::Topic, "own", "max.message.bytes", Some("7777")).await;
        let default = partition.settings().max_message_bytes;
        for broker in ["", "1"] {
            configure(reactor, ConfigResourceKind::Broker, broker, "message.max.bytes", Some("1234")).await;
            assert_eq!(partition.settings().max_message_bytes, 1234, "set on broker {broker:?}");
            assert_eq!(own.settings().max_message_bytes, 7777, "the topic's own value is nearer");
            configure(reactor, ConfigResourceKind::Broker, broker, "log.retention.ms", Some("5555")).await;
            assert_eq!(partition.log.config().retention_ms, 5555, "the log itself is told");
            for name in ["message.max.bytes", "log.retention.ms"] {
                configure(reactor, ConfigResourceKind::Broker, broker, name, None).await;
            }
            assert_eq!(partition.settings().max_message_bytes, default);
        }
        for (kind, name) in [(ConfigResourceKind::Broker, ""), (ConfigResourceKind::Topic, "t")] {
            configure(reactor, kind, name, "min.insync.replicas", Some("2")).await;
            assert!(partition.check_in_sync().is_err(), "acks=all is refused now");
            assert_eq!(partition.leader_epoch(), 0, "by the leader that there was");
            configure(reactor, kind, name, "min.insync.replicas", None).await;
            assert!(partition.check_in_sync().is_ok());
        }
    });
}

/// KIP-101: a leader's epoch begins where the log ends at its election, also if nothing is written in it.
#[test]
fn an_epoch_without_a_record_still_begins_and_ends() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut epochs = Vec::new();
    for start in 0..3 {
        on_node(&data_dir, async |reactor| {
            let written = partition(reactor, "written").await;
            let empty = partition(reactor, "empty").await;
            epochs.push(written.leader_epoch());
            if start == 0 {
                let mut batch = BatchBuilder::new();
                (0..5).for_each(|_| batch.record(now_ms(), None, Some(b"x"), &[]));
                let taken = written.append_own(batch.build().as_valid(), now_ms(), false, written.leads_in().unwrap()).unwrap();
                reactor.until(taken.position).await.unwrap();
            }
            let end = |partition: &Partition, epoch| {
                partition.log.epoch_end_offset(epoch).map(|end| (end.epoch, end.end_offset))
            };
            for epoch in &epochs {
                let written_in = if *epoch == written.leader_epoch() { *epoch } else { epochs[0] };
                assert_eq!(end(&written, *epoch), Some((written_in, 5)), "epoch {epoch} at start {start}");
                assert_eq!(end(&empty, *epoch), Some((*epoch, 0)), "epoch {epoch} at start {start}");
            }
            assert_eq!(end(&written, epochs[start] + 1), None, "the future is not guessed");
        });
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "every start leads in an epoch of its own: {epochs:?}");
}
