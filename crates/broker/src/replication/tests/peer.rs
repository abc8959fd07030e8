//! Other ends than a node of this cluster: strangers, and a leader that does not keep the protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use chronik_client::Connection;
use chronik_log::batch::batches;
use chronik_log::records::BatchBuilder;
use chronik_state::ids::LogId;
use chronik_state::partition::stream::{Ack, Frame, Replicate, SessionId, Verdict};

use super::cluster::{ALL, CLUSTER_ID, Cluster, ONE, PATIENCE, PRODUCE_VERSION};
use crate::partition::bounds;
use crate::replication::frame::{self, HEADER_BYTES, Hello, Message, Speaker};
use crate::start;

/// A connection to a node, by hand.
struct Peer {
    stream: TcpStream,
    speaker: Speaker,
}

impl Peer {
    fn connect(cluster: &Cluster, id: i32) -> Self {
        let stream = TcpStream::connect(cluster.node(id).replication.listening().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Peer { stream, speaker: Speaker { broker_id: id, broker_epoch: cluster.broker_epoch(id) } }
    }

    fn say(&mut self, message: &Message<'_>) {
        let mut bytes = BytesMut::new();
        frame::encode(message, &mut bytes);
        // Whether it is heard is seen by what comes back.
        let _ = self.stream.write_all(&bytes);
    }

    /// The next frame that is no heartbeat; none if the node has closed the connection.
    fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut bytes = vec![0; HEADER_BYTES];
            self.stream.read_exact(&mut bytes).ok()?;
            let length = frame::frame_bytes(&bytes, 1 << 20).unwrap().unwrap();
            bytes.resize(length, 0);
            self.stream.read_exact(&mut bytes[HEADER_BYTES..]).ok()?;
            if frame::decode(&bytes, self.speaker) != Ok(Message::Heartbeat) {
                return Some(bytes);
            }
        }
    }

    fn hears_replicate(&mut self) -> (LogId, Replicate) {
        let bytes = self.hear().expect("the node speaks");
        match frame::decode(&bytes, self.speaker) {
            Ok(Message::Replicate(log, asked)) => (log, asked),
            other => panic!("a question was expected: {other:?}"),
        }
    }

    fn hears_ack(&mut self) -> Ack {
        let bytes = self.hear().expect("the node speaks");
        match frame::decode(&bytes, self.speaker) {
            Ok(Message::Ack(_, ack)) => ack,
            other => panic!("a confirmation was expected: {other:?}"),
        }
    }
}

fn hello(cluster: &Cluster, from: i32, to: i32) -> Hello {
    Hello { cluster_id: CLUSTER_ID.to_owned(), from, to, broker_epoch: cluster.broker_epoch(from) }
}

#[test]
fn strangers_are_not_let_in() {
    let mut cluster = Cluster::of(2);
    let right = hello(&cluster, 1, 2);
    let known = |hello: Hello| {
        let mut peer = Peer::connect(&cluster, 2);
        peer.say(&Message::Hello(hello));
        peer.hear().is_some()
    };
    assert!(known(right.clone()));
    assert!(!known(Hello { cluster_id: "another cluster".to_owned(), ..right.clone() }));
    assert!(!known(Hello { to: 1, ..right.clone() }), "it is not node 1");
    assert!(!known(Hello { from: 9, ..right.clone() }), "nobody knows node 9");
    assert!(!known(Hello { from: 2, ..right.clone() }), "it is node 2 itself");
    assert!(!known(Hello { broker_epoch: right.broker_epoch - 1, ..right.clone() }), "an earlier incarnation");
    assert!(!known(Hello { broker_epoch: right.broker_epoch + 1, ..right.clone() }), "one that nobody has heard of");
    let mut peer = Peer::connect(&cluster, 2);
    peer.stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(peer.hear().is_none(), "a browser");
    // A first word that is none.
    let mut peer = Peer::connect(&cluster, 2);
    peer.say(&Message::Heartbeat);
    assert!(peer.hear().is_none());
    // Nobody was harmed.
    let log = cluster.create("t", &[1, 2], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, log, ALL).error_code, 0);
}

/// A node that follows, and a leader that this test plays.
struct Led {
    cluster: Cluster,
    leader: Peer,
    log: LogId,
    session: SessionId,
}

fn led() -> Led {
    let mut cluster = Cluster::of(2);
    let before = cluster.create("before", &[1, 2], &[("min.insync.replicas", "2")]);
    assert_eq!(cluster.produce(1, before, ALL).error_code, 0, "the leader's own connection is there");
    // Its process is gone, unnoticed.
    cluster.stop(1);
    let log = cluster.create("t", &[1, 2], &[]);
    let mut leader = Peer::connect(&cluster, 2);
    leader.say(&Message::Hello(hello(&cluster, 1, 2)));
    assert!(leader.hear().is_some());
    let mut questions = [leader.hears_replicate(), leader.hears_replicate()];
    questions.sort_by_key(|(of, _)| *of != log);
    let [(asked_of, asked), _] = questions;
    assert_eq!((asked_of, asked.leader_epoch, asked.log_end_offset, asked.last_epoch), (log, 0, 0, None));
    let session = SessionId { leader_epoch: 0, number: 1 };
    leader.say(&Message::Answer(log, asked.answer(Verdict::Stream(session))));
    Led { cluster, leader, log, session }
}

impl Led {
    fn say_records(&mut self, session: SessionId, offset: i64, value: &str) {
        let mut batch = BatchBuilder::new();
        batch.record(1, None, Some(value.as_bytes()), &[]);
        let mut bytes = batch.build().bytes().to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&session.leader_epoch.to_be_bytes());
        let frame = Frame {
            session,
            expected_end_offset: offset,
            previous_epoch: None,
            batches: batches(&bytes).map(|batch| bounds(&batch.unwrap())).collect(),
            high_watermark: 0,
            log_start_offset: 0,
        };
        self.leader.say(&Message::Records(self.log, frame, &bytes));
    }

    fn log_end_offset(&self) -> i64 {
        self.cluster.ends(2, self.log).0
    }
}

#[test]
fn a_frame_of_another_session_is_dropped_without_a_word() {
    let mut led = led();
    let session = led.session;
    led.say_records(session, 0, "first");
    assert_eq!(led.leader.hears_ack(), Ack { session, written_end_offset: 1, durable_end_offset: 1 });
    for other in [SessionId { number: 2, ..session }, SessionId { leader_epoch: 1, ..session }] {
        led.say_records(other, 1, "not this one");
    }
    led.say_records(session, 1, "second");
    // The next word is about the second record, so there was none about the others.
    assert_eq!(led.leader.hears_ack(), Ack { session, written_end_offset: 2, durable_end_offset: 2 });
    assert_eq!(led.log_end_offset(), 2);
    let bytes = led.cluster.bytes(2, led.log);
    assert!(bytes.windows(6).any(|window| window == b"second"));
    assert!(!bytes.windows(8).any(|window| window == b"not this"));
}

#[test]
fn a_frame_that_does_not_fit_is_not_stored_and_the_leader_is_asked_anew() {
    let mut led = led();
    let session = led.session;
    led.say_records(session, 3, "there is a gap before it");
    let (_, asked) = led.leader.hears_replicate();
    assert_eq!((asked.log_end_offset, led.log_end_offset()), (0, 0));
    // The session is over with that.
    led.say_records(session, 0, "of the old session");
    let next = SessionId { number: 2, ..session };
    led.leader.say(&Message::Answer(led.log, asked.answer(Verdict::Stream(next))));
    led.say_records(next, 0, "first");
    assert_eq!(led.leader.hears_ack(), Ack { session: next, written_end_offset: 1, durable_end_offset: 1 });
    assert!(!led.cluster.bytes(2, led.log).windows(3).any(|window| window == b"old"));
}

#[test]
fn a_follower_that_is_told_to_wait_asks_again_by_itself() {
    let mut led = led();
    led.leader.say(&Message::Over(led.log, led.session));
    let (_, first) = led.leader.hears_replicate();
    led.leader.say(&Message::Answer(led.log, first.answer(Verdict::UnknownEpoch)));
    let (_, second) = led.leader.hears_replicate();
    assert!(second.ask > first.ask);
    // An answer to the earlier question is of no use.
    led.leader.say(&Message::Answer(led.log, first.answer(Verdict::Stream(led.session))));
    led.say_records(led.session, 0, "too early");
    let session = SessionId { number: 2, ..led.session };
    led.leader.say(&Message::Answer(led.log, second.answer(Verdict::Stream(session))));
    led.say_records(session, 0, "first");
    assert_eq!(led.leader.hears_ack().session, session);
    assert_eq!(led.log_end_offset(), 1);
}

/// However much else there is to do.
#[test]
fn a_busy_node_asks_again_too() {
    let mut led = led();
    let busy = led.cluster.create("busy", &[2, 1], &[]);
    let address = led.cluster.kafka(2);
    let writes = Arc::new(Writes::default());
    let shared = Arc::clone(&writes);
    let writer = std::thread::spawn(move || write_on(address, busy, &shared));
    led.leader.say(&Message::Over(led.log, led.session));
    while writes.count.load(Ordering::SeqCst) < 200 {
        let (_, asked) = led.leader.hears_replicate();
        led.leader.say(&Message::Answer(led.log, asked.answer(Verdict::UnknownEpoch)));
    }
    writes.ends.store(true, Ordering::SeqCst);
    writer.join().unwrap();
}

#[derive(Default)]
struct Writes {
    count: AtomicUsize,
    ends: AtomicBool,
}

/// Writes one record after the other.
fn write_on(address: SocketAddr, log: LogId, writes: &Writes) {
    start::runtime().unwrap().block_on(async {
        let mut connection = Connection::connect(address, PATIENCE).await.unwrap();
        while !writes.ends.load(Ordering::SeqCst) {
            connection.send(&ONE.request(log), PRODUCE_VERSION).await.unwrap();
            writes.count.fetch_add(1, Ordering::SeqCst);
        }
    });
}

#[test]
fn words_of_the_wrong_side_end_the_connection() {
    let mut led = led();
    let ack = Ack { session: led.session, written_end_offset: 0, durable_end_offset: 0 };
    led.leader.say(&Message::Ack(led.log, ack));
    assert!(led.leader.hear().is_none());
}
