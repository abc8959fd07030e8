//! Producers against a peer that answers as it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use chronik_load::{BatchShape, LoadError, ProduceLoad, Rhythm, Target, Until, produce};

const TOPIC: &str = "topic";

/// What the peer saw: when a request came, and for which partition.
type Seen = (Instant, u32);

/// Answers each Produce 3 request, on every connection, with what `error` says for its number; at `pauses` into a
/// connection's life it stops reading for as long as said.
fn peer(error: fn(usize) -> Option<i16>, pause: Option<(Duration, Duration)>) -> (SocketAddr, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let (seen, saw) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, stream) = (seen.clone(), stream.expect("connects"));
            std::thread::spawn(move || serve(stream, error, pause, &seen));
        }
    });
    (address, saw)
}

fn serve(
    mut stream: TcpStream,
    error: fn(usize) -> Option<i16>,
    mut pause: Option<(Duration, Duration)>,
    seen: &mpsc::Sender<Seen>,
) {
    let started = Instant::now();
    stream.set_nodelay(true).expect("a socket");
    for number in 0.. {
        if let Some((_, length)) = pause.filter(|(after, _)| started.elapsed() >= *after) {
            std::thread::sleep(length);
            pause = None;
        }
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut request).is_err() {
            return;
        }
        // Header, transactional id, acks, timeout, one topic, one partition.
        let client = u16::from_be_bytes(request[8..10].try_into().unwrap()) as usize;
        let partition = 10 + client + 2 + 2 + 4 + 4 + 2 + TOPIC.len() + 4;
        let partition = &request[partition..partition + 4];
        let _ = seen.send((Instant::now(), u32::from_be_bytes(partition.try_into().unwrap())));
        let Some(error) = error(number) else { return };
        let mut answer = request[4..8].to_vec();
        answer.extend(1u32.to_be_bytes());
        answer.extend((TOPIC.len() as u16).to_be_bytes());
        answer.extend(TOPIC.as_bytes());
        answer.extend(1u32.to_be_bytes());
        answer.extend(partition);
        answer.extend(error.to_be_bytes());
        answer.extend([0; 8 + 8 + 4]);
        let mut frame = (answer.len() as u32).to_be_bytes().to_vec();
        frame.extend(answer);
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

#[test]
fn every_batch_is_counted_and_partitions_take_turns() {
    let (address, saw) = peer(|_| Some(0), None);
    let load = ProduceLoad { producers: 2, ..ProduceLoad::new(BatchShape::plain(10, 100), Until::Records(1000)) };
    let produced = produce(&Target::plain(address, TOPIC, 4), &load).expect("it is answered");
    assert_eq!((produced.records, produced.bytes), (1000, 100_000));
    assert_eq!(produced.latency.count(), 100);
    let mut of_partition = [0; 4];
    for (_, partition) in saw.try_iter() {
        of_partition[partition as usize] += 1;
    }
    assert_eq!(of_partition.iter().sum::<i32>(), 100);
    // Two producers that take turns over four partitions are never more than one turn apart on each.
    assert!(of_partition.iter().all(|count| (24..=26).contains(count)), "{of_partition:?}");
}

#[test]
fn a_peer_that_stands_still_delays_every_batch_that_was_due_meanwhile() {
    let pause = (Duration::from_millis(500), Duration::from_millis(500));
    let (address, _saw) = peer(|_| Some(0), Some(pause));
    let load = ProduceLoad {
        rhythm: Rhythm::Rate(400.0),
        ..ProduceLoad::new(BatchShape::plain(1, 100), Until::Time(Duration::from_secs(2)))
    };
    let produced = produce(&Target::plain(address, TOPIC, 1), &load).expect("it is answered");
    assert_eq!(produced.records, 800, "what was due during the pause is sent after it");
    // A quarter of the batches was due in the pause, and waited half of it in the mean.
    let (p90, longest) = (produced.latency.percentile_us(90.0), produced.latency.max_us());
    assert!(p90 > 200_000.0, "p90 {p90} µs");
    assert!(longest > 450_000.0, "longest {longest} µs");
    assert_eq!(produced.unsent_records, 0);
}

#[test]
fn a_rate_is_kept() {
    let (address, saw) = peer(|_| Some(0), None);
    let load = ProduceLoad {
        producers: 3,
        rhythm: Rhythm::Rate(3000.0),
        warm_up: Duration::from_millis(200),
        ..ProduceLoad::new(BatchShape::plain(10, 100), Until::Time(Duration::from_secs(1)))
    };
    let produced = produce(&Target::plain(address, TOPIC, 1), &load).expect("it is answered");
    assert_eq!(produced.records, 3000);
    assert_eq!(saw.try_iter().count(), 360, "the warm-up is sent and not counted");
    assert_eq!(produced.client_delay.count(), 300);
}

#[test]
fn the_time_that_connecting_takes_is_nobodys_latency() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    // With room for one connection, and that taken, the kernel drops the next one's first packet. It is sent again after
    // a second.
    rustix::net::listen(&listener, 0).expect("listens already");
    let first = TcpStream::connect(address).expect("there is room for one");
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let (seen, _saw) = mpsc::channel();
        for stream in listener.incoming() {
            let (seen, stream) = (seen.clone(), stream.expect("connects"));
            std::thread::spawn(move || serve(stream, |_| Some(0), None, &seen));
        }
    });
    let load = ProduceLoad {
        rhythm: Rhythm::Rate(100.0),
        ..ProduceLoad::new(BatchShape::plain(1, 10), Until::Records(10))
    };
    let began = Instant::now();
    let produced = produce(&Target::plain(address, TOPIC, 1), &load).expect("it is answered");
    assert!(began.elapsed() > Duration::from_millis(900), "connecting took {:?}", began.elapsed());
    assert!(produced.latency.max_us() < 500_000.0, "longest {} µs", produced.latency.max_us());
    assert!(produced.seconds < 0.6, "{} s", produced.seconds);
    drop(first);
}

#[test]
fn a_burst_begins_when_the_last_one_was_answered() {
    let (address, saw) = peer(|_| Some(0), None);
    let load = ProduceLoad {
        producers: 8,
        rhythm: Rhythm::Bursts,
        ..ProduceLoad::new(BatchShape::plain(1, 10), Until::Records(80))
    };
    let produced = produce(&Target::plain(address, TOPIC, 8), &load).expect("it is answered");
    assert_eq!(produced.records, 80);
    let seen: Vec<u32> = saw.try_iter().map(|(_, partition)| partition).collect();
    for burst in seen.chunks(8) {
        let mut partitions = burst.to_vec();
        partitions.sort_unstable();
        assert_eq!(partitions, (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn without_acknowledgements_nothing_is_waited_for() {
    let (address, saw) = peer(|_| None, None);
    let load = ProduceLoad { acks: 0, ..ProduceLoad::new(BatchShape::plain(1, 10), Until::Records(1)) };
    let produced = produce(&Target::plain(address, TOPIC, 1), &load).expect("nothing is waited for");
    assert_eq!(produced.records, 1);
    assert!(saw.recv_timeout(Duration::from_secs(10)).is_ok());
}

#[test]
fn a_refusal_and_a_broken_connection_end_the_run() {
    let (address, _saw) = peer(|number| Some(if number == 3 { 10 } else { 0 }), None);
    let load = ProduceLoad::new(BatchShape::plain(1, 10), Until::Records(1000));
    let error = produce(&Target::plain(address, TOPIC, 1), &load).expect_err("it is refused");
    assert!(matches!(&error, LoadError::Refused { code: 10, .. }), "{error}");
    assert_eq!(error.to_string(), "Produce was refused: MESSAGE_TOO_LARGE");

    let (address, _saw) = peer(|number| (number < 3).then_some(0), None);
    let error = produce(&Target::plain(address, TOPIC, 1), &load).expect_err("it is broken");
    assert!(matches!(&error, LoadError::Broken { .. }), "{error}");
}
