//! A replica without sockets: what it says to its leader, and when.

use std::sync::Arc;

use chronik_log::LogConfig;
use chronik_log::batch::batches;
use chronik_log::records::BatchBuilder;
use chronik_state::ids::{LogId, TopicId};
use chronik_state::metadata::configs::{BrokerLayers, ConfigMap, TopicSettings};
use chronik_state::partition::leader::{AgreedPartition, Leader, Standing};
use chronik_state::partition::stream::{Ack, Frame, Replicate, SessionId, Verdict};

use super::follow::{Followed, Says};
use super::role::Role;
use super::{Assignment, Partition, bounds};
use crate::net::reactor::Reactor;
use crate::testing::on_node;

const LOG: LogId = LogId { topic: TopicId([7; 16]), partition: 0 };
const SELF: i32 = 1;
const LEADER: i32 = 2;

fn partition(reactor: &Reactor) -> Arc<Partition> {
    let settings = TopicSettings::resolve(&ConfigMap::new(), BrokerLayers::of_node(&ConfigMap::new()));
    let log = reactor.node.storage.create(LOG, LogConfig::default()).unwrap();
    Partition::open(LOG, log, Arc::new(settings))
}

/// `leader` leads in `leader_epoch`; the replicas are this node and two others.
fn assign(reactor: &Reactor, partition: &Arc<Partition>, leader: i32, leader_epoch: i32) {
    let standing = Standing { broker_epoch: 1, eligible: true };
    let agreed = AgreedPartition {
        leader_epoch,
        partition_epoch: leader_epoch,
        replicas: [1, 2, 3].map(|id| (id, standing)).into(),
        in_sync: [1, 2, 3].into(),
        min_in_sync_replicas: 1,
    };
    partition.assign(Assignment { broker_id: SELF, broker_epoch: 1, leader, agreed, shared: &reactor.node.replication.shared });
}

fn asked(partition: &Partition) -> Replicate {
    match partition.says_to(LEADER) {
        Some(Says::Ask(asked)) => asked,
        other => panic!("a question was expected: {other:?}"),
    }
}

fn answer(reactor: &Reactor, partition: &Arc<Partition>, verdict: impl FnOnce(&Replicate) -> Verdict) {
    let asked = asked(partition);
    let answer = asked.answer(verdict(&asked));
    partition.on_answer(LEADER, answer, || reactor.node.storage.durable_lsn()).unwrap();
}

/// One batch of `count` records from `offset` on.
fn feed(partition: &Arc<Partition>, session: SessionId, offset: i64, count: usize) -> Followed {
    let mut batch = BatchBuilder::new();
    (0..count).for_each(|_| batch.record(1, None, Some(b"x"), &[]));
    let mut bytes = batch.build().bytes().to_vec();
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&session.leader_epoch.to_be_bytes());
    let whole: Vec<_> = batches(&bytes).map(|batch| batch.unwrap().verify().unwrap()).collect();
    let frame = Frame {
        session,
        expected_end_offset: offset,
        previous_epoch: None,
        batches: whole.iter().map(|batch| bounds(batch)).collect(),
        high_watermark: 0,
        log_start_offset: 0,
    };
    partition.on_frame(LEADER, &frame, &whole).unwrap()
}

#[test]
fn what_was_cut_does_not_count_as_durable_though_its_sync_comes_later() {
    on_node(&tempfile::tempdir().unwrap(), async |reactor| {
        let partition = partition(reactor);
        assign(reactor, &partition, LEADER, 0);
        partition.on_connected(LEADER, false);
        let first = SessionId { leader_epoch: 0, number: 1 };
        answer(reactor, &partition, |_| Verdict::Stream(first));
        feed(&partition, first, 0, 2);
        let (position, end_offset) = feed(&partition, first, 2, 4).appended.expect("it fits");
        assert_eq!((partition.says_to(LEADER), end_offset), (None, 6), "nothing is on the disk yet");
        // The next leadership's log ends at 2, and goes on with other records.
        assign(reactor, &partition, LEADER, 1);
        partition.on_connected(LEADER, false);
        answer(reactor, &partition, |asked| {
            assert_eq!((asked.log_end_offset, asked.durable_end_offset), (6, 0));
            Verdict::Diverged { epoch: 0, end_offset: 2 }
        });
        let second = SessionId { leader_epoch: 1, number: 1 };
        answer(reactor, &partition, |asked| {
            assert_eq!(asked.log_end_offset, 2);
            Verdict::Stream(second)
        });
        let (later, end_of_later) = feed(&partition, second, 2, 9).appended.expect("it fits");
        partition.confirm(position.lsn, end_offset, true);
        match partition.says_to(LEADER) {
            None => {}
            Some(Says::Ack(ack)) => assert!(ack.durable_end_offset <= 2, "offsets 2 to 6 are other records now: {ack:?}"),
            other => panic!("{other:?}"),
        }
        partition.confirm(later.lsn, end_of_later, true);
        let told = Ack { session: second, written_end_offset: 11, durable_end_offset: 11 };
        assert_eq!(partition.says_to(LEADER), Some(Says::Ack(told)));
    });
}

/// What came to the disk between the question and its answer is news to the leader.
#[test]
fn what_is_durable_by_the_time_of_the_answer_is_told() {
    on_node(&tempfile::tempdir().unwrap(), async |reactor| {
        let partition = partition(reactor);
        assign(reactor, &partition, LEADER, 0);
        partition.on_connected(LEADER, false);
        let first = SessionId { leader_epoch: 0, number: 1 };
        answer(reactor, &partition, |_| Verdict::Stream(first));
        let (position, end_offset) = feed(&partition, first, 0, 3).appended.expect("it fits");
        partition.on_disconnected(LEADER);
        partition.on_connected(LEADER, false);
        let asked = asked(&partition);
        assert_eq!((asked.log_end_offset, asked.durable_end_offset), (3, 0));
        partition.confirm(position.lsn, end_offset, true);
        assert_eq!(partition.says_to(LEADER), None, "nobody has answered");
        let second = SessionId { number: 2, ..first };
        partition.on_answer(LEADER, asked.answer(Verdict::Stream(second)), || 0).unwrap();
        let told = Ack { session: second, written_end_offset: 3, durable_end_offset: 3 };
        assert_eq!(partition.says_to(LEADER), Some(Says::Ack(told)));
    });
}

/// A replica that is deposed in the middle of everything takes nothing more, and says so.
#[test]
fn nothing_is_appended_in_a_role_that_is_over() {
    on_node(&tempfile::tempdir().unwrap(), async |reactor| {
        let partition = partition(reactor);
        let mut batch = BatchBuilder::new();
        batch.record(1, None, Some(b"x"), &[]);
        let batch = batch.build();
        let append = || partition.append_own(batch.as_valid(), 1, false, partition.leads_in().unwrap_or(0));
        assert!(append().is_err(), "nobody is known to lead");
        assign(reactor, &partition, SELF, 0);
        let taken = append().unwrap();
        assert_eq!(partition.committed(taken.end_offset, taken.leader_epoch), None);
        assign(reactor, &partition, LEADER, 1);
        assert!(append().is_err());
        assert!(partition.committed(taken.end_offset, taken.leader_epoch).unwrap().is_err());
        // An older record of the metadata changes nothing.
        assign(reactor, &partition, SELF, 0);
        assert!(append().is_err());
        // Led anew, it is another leadership: what was taken in the first may have been cut in between.
        assign(reactor, &partition, SELF, 2);
        assert!(partition.committed(taken.end_offset, taken.leader_epoch).unwrap().is_err());
        assert_eq!(append().unwrap().leader_epoch, 2);
        partition.retire();
        assert!(append().is_err());
    });
}

/// Ten thousand partitions with one replica pay next to nothing for those that have several.
#[test]
fn a_role_is_hardly_larger_than_a_leader() {
    assert!(size_of::<Role>() <= size_of::<Leader>() + 8, "{} bytes, a leader has {}", size_of::<Role>(), size_of::<Leader>());
    assert!(size_of::<Partition>() <= 256, "{} bytes", size_of::<Partition>());
}
