//! Consumers: connections that fetch, one request at a time each, as Kafka's own clients do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chronik_wire::ApiKey;

use crate::batch::{HEADER, stamp_of};
use crate::end_to_end::Delivery;
use crate::frames::{self, FetchLimits, FetchedPartition};
use crate::socket::Socket;
use crate::target::{SILENCE, Target, Until, refused};
use crate::turn::{Clock, Waiting, ns};
use crate::{Latencies, LoadError};

const LOOK: Duration = Duration::from_millis(20);

/// What consumers do.
#[derive(Clone, Debug)]
pub struct ConsumeLoad {
    /// Consumers that share the partitions of the topic, as the members of a group do.
    pub consumers: usize,
    /// How many times everything is read, by consumers of their own.
    pub groups: usize,
    /// Most bytes of one answer.
    pub max_bytes: u32,
    /// Most bytes of one partition in an answer.
    pub partition_max_bytes: u32,
    /// How long the broker may wait for records.
    pub max_wait: Duration,
    pub until: Until,
    /// Ends also when everything has been read once, instead of beginning again.
    pub once: bool,
    /// How long the load runs before it counts.
    pub warm_up: Duration,
    pub threads: usize,
}

impl ConsumeLoad {
    /// One consumer with the limits of Kafka's own: 50 MiB in all, 1 MiB of a partition, 500 ms.
    pub fn new(until: Until) -> ConsumeLoad {
        ConsumeLoad {
            consumers: 1,
            groups: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            max_wait: Duration::from_millis(500),
            until,
            once: false,
            warm_up: Duration::ZERO,
            threads: 1,
        }
    }
}

/// First offset, and the one after the last, of every partition of a topic.
#[derive(Clone, Debug)]
pub struct Offsets(pub Vec<std::ops::Range<u64>>);

impl Offsets {
    /// Asks for the first batch of each partition, for a target that answers nothing but Fetch. Where a partition ends
    /// is not known then: who reads it must stop by itself.
    pub fn first_of(target: &Target) -> Result<Offsets, LoadError> {
        let firsts = (0..target.partitions()).map(|partition| Ok(first_offset(target, partition)?..u64::MAX));
        Ok(Offsets(firsts.collect::<Result<_, LoadError>>()?))
    }
}

fn first_offset(target: &Target, partition: usize) -> Result<u64, LoadError> {
    let address = target.leaders[partition].to_string();
    let limits = FetchLimits { max_wait_ms: 0, max_bytes: 1, partition_max_bytes: 1 };
    let mut frame = Vec::new();
    let only = [(partition as u32, 0)].into_iter();
    frames::fetch(&mut frame, target.fetch_version, 1, &target.topic, limits, only);
    let answer = ask_once(target.leaders[partition], &frame)
        .map_err(|source| LoadError::Broken { address: address.clone(), source })?;
    let mut first = None;
    let error = frames::fetched(&answer, target.fetch_version, |fetched| {
        if fetched.error != 0 {
            return None;
        }
        first = Some(u64::from_be_bytes(fetched.records.get(..8)?.try_into().ok()?));
        Some(())
    });
    match (error, first) {
        (Some(0), Some(first)) => Ok(first),
        _ => Err(LoadError::Nonsense { address, what: "no first batch" }),
    }
}

/// Sends one frame on a connection of its own and waits for its answer.
fn ask_once(address: SocketAddr, frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.write_all(frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = Vec::new();
    stream.take(u32::from_be_bytes(length).into()).read_to_end(&mut answer)?;
    Ok(answer)
}

/// What consumers did after the warm-up.
#[derive(Clone, Debug, Default)]
pub struct Consumed {
    pub records: u64,
    /// Bytes of the batches that came.
    pub wire_bytes: u64,
    /// From the end of the warm-up to the last answer.
    pub seconds: f64,
    /// One per answer that held records: from its request to all of it being here.
    pub latency: Latencies,
    /// One per record that this run has produced: from when it was due to its being here.
    pub delivery: Latencies,
}

impl Consumed {
    /// Joins what another thread, or another run after this one, has done.
    pub fn add(&mut self, other: &Consumed) {
        self.records += other.records;
        self.wire_bytes += other.wire_bytes;
        self.seconds += other.seconds;
        self.latency.add(&other.latency);
        self.delivery.add(&other.delivery);
    }
}

/// Reads a topic from its first records to its last, over and over.
pub fn consume(target: &Target, load: &ConsumeLoad, offsets: &Offsets) -> Result<Consumed, LoadError> {
    if offsets.0.iter().all(|range| range.is_empty()) {
        return Err(LoadError::EmptyTopic(target.topic.clone()));
    }
    run(target, load, offsets, Clock::start(), None)
}

/// With a delivery: reads from the ends of the partitions on what comes, until all of that was delivered.
pub(crate) fn run(
    target: &Target,
    load: &ConsumeLoad,
    offsets: &Offsets,
    clock: Clock,
    delivery: Option<&Delivery>,
) -> Result<Consumed, LoadError> {
    if load.consumers == 0 || load.groups == 0 {
        return Err(LoadError::Load("there is at least one consumer in at least one group".to_owned()));
    }
    let left = match load.until {
        Until::Records(records) => records,
        Until::Time(_) => u64::MAX,
    };
    let left = AtomicU64::new(left);
    let mut plan = Plan { target, load, clock, delivery, warm_ns: 0, end_ns: u64::MAX, left };
    let lanes = plan.lanes(offsets)?;
    let warm_ns = clock.now_ns() + ns(load.warm_up);
    plan.warm_ns = warm_ns;
    if let Until::Time(time) = load.until {
        plan.end_ns = warm_ns + ns(time);
    }
    let threads = load.threads.clamp(1, lanes.len().max(1));
    let mut shares: Vec<Vec<Lane>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, lane) in lanes.into_iter().enumerate() {
        shares[number % threads].push(lane);
    }
    let plan = &plan;
    let parts: Vec<Result<Part, LoadError>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            shares.into_iter().map(|lanes| scope.spawn(move || Loop::new(plan, lanes)?.run())).collect();
        running.into_iter().map(|thread| thread.join().expect("a load thread does not panic")).collect()
    });
    let mut all = Consumed::default();
    let mut last_ns = warm_ns;
    for part in parts {
        let part = part?;
        all.add(&part.consumed);
        last_ns = last_ns.max(part.last_ns);
    }
    all.seconds = (last_ns - warm_ns) as f64 / 1e9;
    Ok(all)
}

/// What all threads of a run share.
struct Plan<'a> {
    target: &'a Target,
    load: &'a ConsumeLoad,
    clock: Clock,
    delivery: Option<&'a Delivery>,
    warm_ns: u64,
    end_ns: u64,
    /// Records that are still to be read after the warm-up.
    left: AtomicU64,
}

impl Plan<'_> {
    /// The connections of all consumers with the partitions of each.
    fn lanes(&self, offsets: &Offsets) -> Result<Vec<Lane>, LoadError> {
        let tails = self.delivery.is_some();
        let mut lanes = Vec::new();
        for _ in 0..self.load.groups {
            for consumer in 0..self.load.consumers {
                let wanted = |partition: usize| {
                    partition % self.load.consumers == consumer && (tails || !offsets.0[partition].is_empty())
                };
                for (address, partitions) in self.target.by_leader(wanted) {
                    let positions = partitions.into_iter().map(|partition| Position::new(partition, offsets, tails));
                    lanes.push(Lane::connect(address, positions.collect())?);
                }
            }
        }
        Ok(lanes)
    }

    fn is_over(&self, now_ns: u64) -> Result<bool, LoadError> {
        match self.delivery {
            Some(delivery) => delivery.is_over(now_ns),
            None => Ok(now_ns >= self.end_ns || self.left.load(Relaxed) == 0),
        }
    }
}

/// Where a consumer is in a partition.
struct Position {
    partition: usize,
    first: u64,
    /// Where it begins again; never, when it follows the end.
    end: u64,
    next: u64,
    read_once: bool,
}

impl Position {
    fn begin_again(&mut self, once: bool) {
        self.read_once = true;
        if !once {
            self.next = self.first;
        }
    }

    fn new(partition: usize, offsets: &Offsets, tails: bool) -> Position {
        let range = &offsets.0[partition];
        match tails {
            true => Position { partition, first: range.end, end: u64::MAX, next: range.end, read_once: false },
            false => Position { partition, first: range.start, end: range.end, next: range.start, read_once: false },
        }
    }
}

/// One connection of one consumer.
struct Lane {
    socket: Socket,
    positions: Vec<Position>,
    correlation_id: u32,
    frame: Vec<u8>,
    /// How much of the request the kernel has.
    written: usize,
    asked_ns: Option<u64>,
}

impl Lane {
    fn connect(address: SocketAddr, positions: Vec<Position>) -> Result<Lane, LoadError> {
        let socket = Socket::connect(address)
            .map_err(|source| LoadError::Connect { address: address.to_string(), source: source.into() })?;
        Ok(Lane { socket, positions, correlation_id: 0, frame: Vec::new(), written: 0, asked_ns: None })
    }

    fn broken(&self, source: io::Error) -> LoadError {
        LoadError::Broken { address: self.socket.address.to_string(), source }
    }

    /// Nothing is left to ask for.
    fn is_done(&self) -> bool {
        self.positions.is_empty() && self.asked_ns.is_none()
    }

    /// Asks for what comes next, or gives the kernel the rest of the request.
    fn ask(&mut self, plan: &Plan<'_>) -> Result<(), LoadError> {
        if self.asked_ns.is_none() {
            if plan.load.once {
                self.positions.retain(|position| !position.read_once);
            }
            if self.positions.is_empty() {
                return Ok(());
            }
            self.correlation_id = self.correlation_id.wrapping_add(1);
            // No partition may be the one that always comes first and takes all the room.
            self.positions.rotate_left(1);
            let limits = FetchLimits {
                max_wait_ms: plan.load.max_wait.as_millis() as u32,
                max_bytes: plan.load.max_bytes,
                partition_max_bytes: plan.load.partition_max_bytes,
            };
            let partitions = self.positions.iter().map(|position| (position.partition as u32, position.next));
            let version = plan.target.fetch_version;
            frames::fetch(&mut self.frame, version, self.correlation_id, &plan.target.topic, limits, partitions);
            self.written = 0;
            self.asked_ns = Some(plan.clock.now_ns());
        }
        if self.written < self.frame.len() {
            self.written = match self.socket.write(&self.frame, &[], self.written) {
                Ok(written) => written,
                Err(source) => return Err(self.broken(source)),
            };
        }
        Ok(())
    }
}

/// What one thread did.
#[derive(Default)]
struct Part {
    consumed: Consumed,
    last_ns: u64,
}

/// One thread and its connections.
struct Loop<'a, 'p> {
    plan: &'p Plan<'a>,
    lanes: Vec<Lane>,
    waiting: Waiting,
    part: Part,
}

impl<'a, 'p> Loop<'a, 'p> {
    fn new(plan: &'p Plan<'a>, lanes: Vec<Lane>) -> Result<Self, LoadError> {
        let waiting = Waiting::new().map_err(LoadError::Machine)?;
        for (number, lane) in lanes.iter().enumerate() {
            waiting.add(&lane.socket.stream, number).map_err(LoadError::Machine)?;
        }
        Ok(Loop { plan, lanes, waiting, part: Part::default() })
    }

    fn run(mut self) -> Result<Part, LoadError> {
        let mut touched: Vec<usize> = (0..self.lanes.len()).collect();
        while !self.plan.is_over(self.plan.clock.now_ns())? {
            for number in touched.drain(..) {
                self.lanes[number].ask(self.plan)?;
            }
            if self.lanes.iter().all(Lane::is_done) {
                break;
            }
            touched.extend(self.waiting.wait(ns(LOOK)).map_err(LoadError::Machine)?);
            for &number in &touched {
                self.receive(number)?;
            }
            let now_ns = self.plan.clock.now_ns();
            let silent = |lane: &&Lane| lane.asked_ns.is_some_and(|asked_ns| now_ns > asked_ns + ns(SILENCE));
            if let Some(lane) = self.lanes.iter().find(silent) {
                return Err(LoadError::Silent { address: lane.socket.address.to_string(), waited: SILENCE });
            }
        }
        Ok(self.part)
    }

    /// Takes what came on a connection.
    fn receive(&mut self, number: usize) -> Result<(), LoadError> {
        let lane = &mut self.lanes[number];
        loop {
            let more = match lane.socket.read() {
                Ok(more) => more,
                Err(source) => return Err(lane.broken(source)),
            };
            let now_ns = self.plan.clock.now_ns();
            let address = lane.socket.address;
            if let Some(answer) = lane.socket.next_answer() {
                let fits = |answer: &[u8]| answer[..4] == lane.correlation_id.to_be_bytes();
                let taken = answer
                    .filter(|answer| fits(answer))
                    .and_then(|answer| take(answer, self.plan, &mut lane.positions, now_ns));
                let (Some(taken), Some(asked_ns)) = (taken, lane.asked_ns.take()) else {
                    let what = "not the answer to the Fetch request that was due";
                    return Err(LoadError::Nonsense { address: address.to_string(), what });
                };
                if taken.error != 0 {
                    return Err(refused(ApiKey::Fetch, taken.error));
                }
                count(&mut self.part, self.plan, taken, asked_ns, now_ns);
            }
            if !more {
                return Ok(());
            }
        }
    }
}

/// What an answer held.
#[derive(Default)]
struct Taken {
    error: i16,
    records: u64,
    bytes: u64,
    delivery: Vec<(u64, u64)>,
}

/// Walks over the batches of an answer and moves the positions behind them.
fn take(answer: &[u8], plan: &Plan<'_>, positions: &mut [Position], now_ns: u64) -> Option<Taken> {
    let mut taken = Taken::default();
    let mut refused = 0;
    // Partitions come in the order in which they were asked for; brokers that leave some out keep it.
    let mut from = 0;
    let whole = frames::fetched(answer, plan.target.fetch_version, |fetched: FetchedPartition<'_>| {
        if fetched.error != 0 {
            refused = fetched.error;
            return Some(());
        }
        let is = |position: &Position| position.partition == fetched.partition as usize;
        let index = positions[from..].iter().position(is).map(|index| from + index);
        let index = index.or_else(|| positions.iter().position(is))?;
        from = index;
        walk(fetched.records, &mut positions[index], plan, now_ns, &mut taken)
    })?;
    taken.error = if whole != 0 { whole } else { refused };
    Some(taken)
}

fn walk(mut records: &[u8], position: &mut Position, plan: &Plan<'_>, now_ns: u64, taken: &mut Taken) -> Option<()> {
    while records.len() >= HEADER {
        let length = 12 + u32::from_be_bytes(records[8..12].try_into().ok()?) as usize;
        if length < HEADER {
            return None;
        }
        let Some((batch, rest)) = records.split_at_checked(length) else { break };
        records = rest;
        let base = u64::from_be_bytes(batch[..8].try_into().ok()?);
        let last = base + u64::from(u32::from_be_bytes(batch[23..27].try_into().ok()?));
        let count = u64::from(u32::from_be_bytes(batch[57..61].try_into().ok()?));
        position.next = position.next.max(last + 1);
        taken.records += count;
        taken.bytes += length as u64;
        if let Some(delivery) = plan.delivery
            && let Some((_, due_ns)) = stamp_of(batch).filter(|(run, _)| *run == delivery.run)
        {
            delivery.delivered(count, now_ns);
            taken.delivery.push((due_ns, count));
        }
        if position.next >= position.end {
            position.begin_again(plan.load.once);
            break;
        }
    }
    Some(())
}

fn count(part: &mut Part, plan: &Plan<'_>, taken: Taken, asked_ns: u64, now_ns: u64) {
    let consumed = &mut part.consumed;
    for (due_ns, records) in taken.delivery {
        if plan.delivery.is_some_and(|delivery| delivery.counts(due_ns)) {
            consumed.delivery.record_many(now_ns.saturating_sub(due_ns), records);
        }
    }
    if asked_ns < plan.warm_ns || taken.records == 0 {
        return;
    }
    part.last_ns = part.last_ns.max(now_ns);
    consumed.records += taken.records;
    consumed.wire_bytes += taken.bytes;
    consumed.latency.record_many(now_ns - asked_ns, 1);
    let _ = plan.left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(taken.records)));
}
