//! A node and clients that do not behave: who reads nothing, never pauses, goes away, or sends half of what it announced.
//! Frames are written by hand; what they carry is in Kafka's `*Request.json` of the versions named.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chronik_log::records::BatchBuilder;
use common::Workplace;
use common::server::Server;

/// Longer than anything here takes; a test that waits so long has found something.
const LONG: Duration = Duration::from_secs(20);
const TOPIC: &str = "t";

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.set_nodelay(true).expect("it can");
    stream
}

fn frame(api_key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (10 + body.len() as i32).to_be_bytes().to_vec();
    frame.extend(api_key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    frame.extend(body);
    frame
}

fn api_versions(correlation_id: i32) -> Vec<u8> {
    frame(18, 0, correlation_id, &[])
}

/// Version 4, of one topic that is made where there is none.
fn metadata(correlation_id: i32) -> Vec<u8> {
    frame(3, 4, correlation_id, &[&[0, 0, 0, 1], named(TOPIC).as_slice(), &[1]].concat())
}

/// Version 4, of partition 0.
fn fetch(correlation_id: i32, offset: i64, wait_ms: i32) -> Vec<u8> {
    let head = [-1, wait_ms, 1, i32::MAX].map(i32::to_be_bytes).concat();
    let partition = [&0_i32.to_be_bytes()[..], &offset.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    let body = [&head[..], &[0], &[0, 0, 0, 1], &named(TOPIC), &[0, 0, 0, 1], &partition].concat();
    frame(1, 4, correlation_id, &body)
}

/// Version 3, to partition 0.
fn produce(correlation_id: i32, acks: i16, records: &[u8]) -> Vec<u8> {
    let head = [&[0xff, 0xff], &acks.to_be_bytes()[..], &1000_i32.to_be_bytes()].concat();
    let length = (records.len() as i32).to_be_bytes();
    let body = [&head[..], &[0, 0, 0, 1], &named(TOPIC), &[0, 0, 0, 1], &[0; 4], &length, records].concat();
    frame(0, 3, correlation_id, &body)
}

fn named(name: &str) -> Vec<u8> {
    [&(name.len() as i16).to_be_bytes()[..], name.as_bytes()].concat()
}

fn records(value: &[u8]) -> Vec<u8> {
    let now_ms = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as i64;
    let mut batch = BatchBuilder::new();
    batch.record(now_ms, None, Some(value), &[]);
    batch.build().bytes().to_vec()
}

/// The next answer: its correlation id, and what follows.
fn answer(stream: &mut TcpStream) -> (i32, Vec<u8>) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut body = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a whole answer");
    (i32::from_be_bytes(*body.first_chunk().expect("a correlation id")), body[4..].to_vec())
}

/// Makes the topic, and waits until it is there.
fn make_topic(server: &Server) {
    let mut stream = connect(server);
    stream.write_all(&metadata(1)).expect("it takes requests");
    answer(&mut stream);
}

/// Sends `request` again and again, reading nothing, until the node takes no more.
fn stuff(stream: &mut TcpStream, request: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let many = request.repeat(1000);
    loop {
        match stream.write(&many) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            // The node had enough of it.
            Err(_) => return,
        }
    }
}

#[track_caller]
fn stops_in_good_order(server: Server) {
    server.signal("TERM");
    let (said, exit) = server.wait_at_most(LONG);
    assert_eq!(exit, Some(0), "{said}");
}

#[test]
fn who_reads_nothing_does_not_keep_the_node_from_stopping() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let mut stream = connect(&server);
    stuff(&mut stream, &api_versions(1));
    stops_in_good_order(server);
}

#[test]
fn who_never_pauses_does_not_keep_the_node_from_stopping() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    make_topic(&server);
    let mut stream = connect(&server);
    let without_answer = produce(1, 0, &records(b"x")).repeat(100);
    let sending = std::thread::spawn(move || while stream.write_all(&without_answer).is_ok() {});
    let mut other = connect(&server);
    other.write_all(&api_versions(1)).expect("it takes requests");
    answer(&mut other);
    stops_in_good_order(server);
    sending.join().expect("it ends with the node");
}

#[test]
fn who_waits_for_records_does_not_keep_the_node_from_stopping() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    make_topic(&server);
    let mut stream = connect(&server);
    // Answered one, it has the other too: they came together.
    stream.write_all(&[api_versions(1), fetch(2, 0, i32::MAX)].concat()).expect("it takes requests");
    assert_eq!(answer(&mut stream).0, 1);
    stops_in_good_order(server);
    assert_eq!(answer(&mut stream).0, 2, "it is answered first");
}

#[test]
fn a_second_signal_ends_the_node_at_once() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let mut stream = connect(&server);
    stuff(&mut stream, &api_versions(1));
    // Both wait for the node when it goes on; it hears of the second while it is patient with its client.
    ["STOP", "TERM", "INT", "CONT"].into_iter().for_each(|signal| server.signal(signal));
    let (said, exit) = server.wait_at_most(LONG);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("a second signal"), "{said}");
}

#[test]
fn a_long_poll_ends_with_its_client() {
    let workplace = Workplace::with_file("[limits]\nmax_connections = 1\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    let mut stream = connect(&server);
    stream.write_all(&[metadata(1), fetch(2, 0, i32::MAX)].concat()).expect("it takes requests");
    answer(&mut stream);
    drop(stream);
    someone_else_is_served(&server);
}

#[test]
fn who_takes_no_answer_is_closed_as_idle() {
    let workplace =
        Workplace::with_file("[limits]\nmax_connections = 1\n[kafka]\n\"connections.max.idle.ms\" = 1000\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    let mut stream = connect(&server);
    stuff(&mut stream, &api_versions(1));
    someone_else_is_served(&server);
}

/// Returns once the only connection that may be is free: while it is not, others are closed without an answer.
#[track_caller]
fn someone_else_is_served(server: &Server) {
    let deadline = Instant::now() + LONG;
    loop {
        let mut next = connect(server);
        if next.write_all(&api_versions(3)).is_ok() && next.read_exact(&mut [0; 4]).is_ok() {
            return;
        }
        assert!(Instant::now() < deadline, "a connection is kept that nobody uses");
        // Each attempt is a line of the node's log, which nobody reads while this goes on.
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn answers_that_nobody_takes_hold_no_more_memory_than_they_may() {
    let workplace = Workplace::with_file("[limits]\nrequest_memory = \"16MiB\"\nmax_connections = 31\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    make_topic(&server);
    let mut producer = connect(&server);
    let batch = records(&vec![b'x'; 900_000]);
    // Young records are given out of the log's memory, which is not free before the last of them has left.
    for id in 0..7 {
        producer.write_all(&produce(id, -1, &batch)).expect("it takes requests");
        answer(&mut producer);
    }
    let mut readers: Vec<TcpStream> = (0..30).map(|_| connect(&server)).collect();
    for reader in &mut readers {
        reader.write_all(&fetch(1, 0, 0)).expect("it takes requests");
    }
    // One of them was closed.
    someone_else_is_served(&server);
    let whole = readers.iter_mut().find_map(|reader| {
        let mut answer = vec![0; 7 * batch.len()];
        reader.read_exact(&mut answer).ok()
    });
    assert!(whole.is_some(), "those for whom there is memory are kept");
    producer.write_all(&produce(8, -1, &batch)).expect("it takes requests");
    assert_eq!(answer(&mut producer).0, 8, "nobody else noticed");
}

#[test]
fn who_only_ended_its_own_side_is_answered() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let mut stream = connect(&server);
    let requests = [metadata(1), produce(2, -1, &records(b"x")), fetch(3, 1, i32::MAX)].concat();
    stream.write_all(&requests).expect("it takes requests");
    stream.shutdown(Shutdown::Write).expect("it can");
    assert_eq!([(); 3].map(|()| answer(&mut stream).0), [1, 2, 3]);
    assert_eq!(stream.read(&mut [0; 1]).expect("its end"), 0);
    let mut stream = connect(&server);
    stream.write_all(&produce(4, -1, &records(b"x")).repeat(9)).expect("it takes requests");
    stream.shutdown(Shutdown::Write).expect("it can");
    assert_eq!([(); 9].map(|()| answer(&mut stream).0), [4; 9]);
    assert_eq!(stream.read(&mut [0; 1]).expect("its end"), 0);
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    make_topic(&server);
    let mut stream = connect(&server);
    let batch = records(b"x");
    let requests: Vec<u8> = (0..300)
        .flat_map(|id| match id % 5 {
            0 => fetch(id, 0, 100),
            1 => metadata(id),
            _ => produce(id, if id % 2 == 0 { -1 } else { 1 }, &batch),
        })
        .collect();
    stream.write_all(&requests).expect("it takes requests");
    for id in 0..300 {
        assert_eq!(answer(&mut stream).0, id);
    }
}

#[test]
fn a_record_wakes_who_waits_for_it() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    make_topic(&server);
    let (mut producer, mut consumer) = (connect(&server), connect(&server));
    let batch = records(b"x");
    for round in 0..500 {
        consumer.write_all(&fetch(round, i64::from(round), i32::MAX)).expect("it takes requests");
        producer.write_all(&produce(round, -1, &batch)).expect("it takes requests");
        let (id, body) = answer(&mut consumer);
        assert_eq!(id, round);
        assert!(body.len() > batch.len(), "the record came in round {round}");
        assert_eq!(answer(&mut producer).0, round);
    }
}

#[test]
fn one_connection_leaves_time_for_the_others_of_its_thread() {
    let workplace = Workplace::with_file("[limits]\nthreads = 1\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    let (mut busy, mut other) = (connect(&server), connect(&server));
    const REQUESTS: usize = 25_000;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut reading = busy.try_clone().expect("it can");
    let count = Arc::clone(&answered);
    let reader = std::thread::spawn(move || {
        for _ in 0..REQUESTS {
            answer(&mut reading);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    // More than one read of the node takes in.
    let requests = produce(1, -1, &[]).repeat(REQUESTS);
    let writer = std::thread::spawn(move || busy.write_all(&requests).map(|()| busy));
    while answered.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    other.write_all(&api_versions(1)).expect("it takes requests");
    answer(&mut other);
    let before = answered.load(Ordering::SeqCst);
    assert!(before < REQUESTS / 4, "{before} requests of another connection came first");
    writer.join().expect("it does not panic").expect("all is taken");
    reader.join().expect("it does not panic");
}

#[test]
fn halves_of_requests_take_no_more_memory_than_they_may() {
    let workplace = Workplace::with_file("[limits]\nrequest_memory = \"16MiB\"\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    const CONNECTIONS: usize = 50;
    const ROOM: usize = 32;
    let half = [&produce(1, -1, &vec![0; 600_000])[..400_000]].concat();
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
    streams.iter_mut().for_each(|stream| stream.write_all(&half).expect("it takes bytes"));
    // Each holds half a mebibyte; those for which there is no room are closed, and only those.
    let deadline = Instant::now() + LONG;
    streams.iter_mut().for_each(|stream| stream.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout"));
    while streams.len() > ROOM {
        assert!(Instant::now() < deadline, "{} connections hold more than they may", streams.len());
        streams.retain_mut(|stream| match stream.read(&mut [0; 1]) {
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            Ok(_) => false,
        });
    }
    assert_eq!(streams.len(), ROOM);
    let mut other = connect(&server);
    other.write_all(&api_versions(1)).expect("it takes requests");
    assert_eq!(answer(&mut other).0, 1, "small requests need none of it");
    stops_in_good_order(server);
}

#[test]
fn requests_that_swell_take_their_turns() {
    let workplace = Workplace::with_file("[limits]\nrequest_memory = \"16MiB\"\n");
    let server = Server::start(&workplace, &["-c", "chronik.toml"], &[]);
    // CreateTopics version 2: as many topics without a name as there is room for.
    const TOPICS: i32 = 60_000;
    let topic = [&[0, 0][..], &[0, 0, 0, 1, 0, 1], &[0; 8]].concat();
    let body = [&TOPICS.to_be_bytes()[..], &topic.repeat(TOPICS as usize), &[0, 0, 0, 1, 0]].concat();
    let request = frame(19, 2, 1, &body);
    let senders: Vec<_> = (0..40)
        .map(|_| {
            let (mut stream, request) = (connect(&server), request.clone());
            // One for which there is no memory in time is closed: that is an answer too.
            std::thread::spawn(move || stream.write_all(&request).and_then(|()| stream.read(&mut [0; 1])))
        })
        .collect();
    let served = senders.into_iter().filter_map(|sender| sender.join().expect("it does not panic").ok());
    assert!(served.filter(|count| *count > 0).count() > 0, "some are served");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak of its memory");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(peak_kib < 200 << 10, "{peak_kib} KiB at the peak");
}
