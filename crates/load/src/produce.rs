//! Producers: connections that send prepared batches, at a rate or as fast as they are answered.
//!
//! With a rate the load is open: every batch has a time at which it is due, given by the rate alone, and its latency
//! counts from then. A broker that stands still for a second delays every batch that was due in that second, and each of
//! them is counted; a load that waited for answers would count one ("coordinated omission").

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chronik_wire::ApiKey;

use crate::batch::{Batch, BatchShape, Batches};
use crate::end_to_end::Delivery;
use crate::frames::{self, ProduceHead};
use crate::pace::Pace;
use crate::socket::Socket;
use crate::target::{SILENCE, Target, Until, refused};
use crate::turn::{Clock, Waiting, ns};
use crate::{Latencies, LoadError};

/// A batch that is due is sent, however late, until so long after the end of the run.
const GRACE_MIN: Duration = Duration::from_secs(10);

/// When the next batch is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rhythm {
    /// As soon as there is room for one.
    Fast,
    /// At even distances, so many records per second of all producers together, whatever the answers do.
    Rate(f64),
    /// One of every producer at once, and the next ones when all of those are answered.
    Bursts,
}

/// What producers do.
#[derive(Clone, Debug)]
pub struct ProduceLoad {
    pub batch: BatchShape,
    /// Connections; on a cluster, that many to each leader.
    pub producers: usize,
    /// Requests without an answer on a connection.
    pub in_flight: usize,
    /// -1 all, 1 the leader, 0 no answer at all.
    pub acks: i16,
    pub rhythm: Rhythm,
    pub until: Until,
    /// How long the load runs before it counts.
    pub warm_up: Duration,
    /// Threads that share the connections; bursts have one.
    pub threads: usize,
}

impl ProduceLoad {
    /// One producer, five requests in flight, acks=all, as fast as possible, no warm-up.
    pub fn new(batch: BatchShape, until: Until) -> ProduceLoad {
        ProduceLoad {
            batch,
            producers: 1,
            in_flight: 5,
            acks: -1,
            rhythm: Rhythm::Fast,
            until,
            warm_up: Duration::ZERO,
            threads: 1,
        }
    }
}

/// What producers did after the warm-up.
#[derive(Clone, Debug, Default)]
pub struct Produced {
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Bytes of the batches as they were sent.
    pub wire_bytes: u64,
    /// From the end of the warm-up to the last answer.
    pub seconds: f64,
    /// One per batch: from when it was due (with a rate) or was given to the socket, to its acknowledgement.
    pub latency: Latencies,
    /// How late this program itself was: from when a batch was due and there was room to send it, until it sent it. If this
    /// is not small beside `latency`, the client is the bottleneck.
    pub client_delay: Latencies,
    /// Records that were due and for which there was no room until long after the end. Their batches are in `latency`, with the age
    /// that they had when the run was given up.
    pub unsent_records: u64,
}

impl Produced {
    /// Joins what another thread, or another run after this one, has done.
    pub fn add(&mut self, other: &Produced) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.wire_bytes += other.wire_bytes;
        self.seconds += other.seconds;
        self.latency.add(&other.latency);
        self.client_delay.add(&other.client_delay);
        self.unsent_records += other.unsent_records;
    }
}

/// Runs the load.
pub fn produce(target: &Target, load: &ProduceLoad) -> Result<Produced, LoadError> {
    let batches = Batches::new(&load.batch, target.partitions(), None)?;
    run(target, load, &batches, Clock::start(), &Delivery::new(0))
}

/// The same with prepared batches, which are stamped with the time of `clock`; tells `delivery` what was acknowledged.
pub(crate) fn run(
    target: &Target,
    load: &ProduceLoad,
    batches: &Batches,
    clock: Clock,
    delivery: &Delivery,
) -> Result<Produced, LoadError> {
    if load.producers == 0 || load.in_flight == 0 {
        return Err(LoadError::Load("a load has at least one producer and one request in flight".to_owned()));
    }
    if matches!(load.rhythm, Rhythm::Rate(rate) if rate.is_nan() || rate <= 0.0) {
        return Err(LoadError::Load("a rate is more than 0 records per second".to_owned()));
    }
    let mut plan = Plan::new(target, load, batches, clock, delivery);
    let mut lanes = plan.lanes()?;
    plan.begin(&mut lanes);
    let threads = if load.rhythm == Rhythm::Bursts { 1 } else { load.threads.clamp(1, lanes.len().max(1)) };
    let mut shares: Vec<Vec<Lane>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, lane) in lanes.drain(..).enumerate() {
        shares[number % threads].push(lane);
    }
    let plan = &plan;
    let parts: Vec<Result<Part, LoadError>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            shares.into_iter().map(|lanes| scope.spawn(move || Loop::new(plan, lanes)?.run())).collect();
        running.into_iter().map(|thread| thread.join().expect("a load thread does not panic")).collect()
    });
    let mut all = Produced::default();
    let mut last_ns = plan.warm_ns;
    for part in parts {
        let part = part?;
        all.add(&part.produced);
        last_ns = last_ns.max(part.last_ns);
    }
    all.seconds = (last_ns - plan.warm_ns) as f64 / 1e9;
    Ok(all)
}

/// What all threads of a run share.
struct Plan<'a> {
    target: &'a Target,
    load: &'a ProduceLoad,
    batches: &'a Batches,
    clock: Clock,
    delivery: &'a Delivery,
    warm_ns: u64,
    end_ns: u64,
    give_up_ns: u64,
    /// Batches that may still be taken after the warm-up.
    left: AtomicU64,
}

impl<'a> Plan<'a> {
    fn new(
        target: &'a Target,
        load: &'a ProduceLoad,
        batches: &'a Batches,
        clock: Clock,
        delivery: &'a Delivery,
    ) -> Plan<'a> {
        let left = match load.until {
            Until::Records(records) => records.div_ceil(load.batch.records as u64),
            Until::Time(_) => u64::MAX,
        };
        let left = AtomicU64::new(left);
        Plan { target, load, batches, clock, delivery, warm_ns: 0, end_ns: 0, give_up_ns: 0, left }
    }

    /// From now on the clock runs for these connections: the time they took to be made is nobody's latency.
    fn begin(&mut self, lanes: &mut [Lane<'_>]) {
        let begin_ns = self.clock.now_ns();
        self.warm_ns = begin_ns + ns(self.load.warm_up);
        (self.end_ns, self.give_up_ns) = match self.load.until {
            Until::Records(_) => (u64::MAX, u64::MAX),
            Until::Time(time) => {
                let end_ns = self.warm_ns + ns(time);
                (end_ns, end_ns + ns(GRACE_MIN.max(time)))
            }
        };
        for lane in lanes {
            lane.pace = lane.beat.map(|(phase_ns, interval_ns)| Pace::new(begin_ns as f64 + phase_ns, interval_ns));
            lane.room_ns = begin_ns;
            lane.heard_ns = begin_ns;
        }
        self.delivery.count_from(self.warm_ns);
    }

    /// The connections of all producers, each with its share of the partitions and of the rate.
    fn lanes(&self) -> Result<Vec<Lane<'a>>, LoadError> {
        let leaders = self.target.by_leader(|partition| self.batches.has(partition));
        let in_use: usize = leaders.iter().map(|(_, partitions)| partitions.len()).sum();
        let producers = self.load.producers;
        let mut lanes = Vec::with_capacity(producers * leaders.len());
        for (address, partitions) in &leaders {
            let share = partitions.len() as f64 / in_use as f64;
            let interval_ns = match self.load.rhythm {
                Rhythm::Rate(rate) => Some(1e9 * self.load.batch.records as f64 * producers as f64 / (rate * share)),
                Rhythm::Fast | Rhythm::Bursts => None,
            };
            for producer in 0..producers {
                let phase = producer as f64 / producers as f64;
                let beat = interval_ns.map(|interval_ns| (interval_ns * phase, interval_ns));
                let mut partitions = partitions.clone();
                // Producers begin at different partitions, as independent ones would.
                let first = producer % partitions.len();
                partitions.rotate_left(first);
                lanes.push(Lane::connect(self, *address, partitions, beat)?);
            }
        }
        Ok(lanes)
    }

    /// Whether a batch that is due then may be sent; takes it from those that are left.
    fn take(&self, due_ns: u64) -> bool {
        if due_ns < self.warm_ns {
            return true;
        }
        due_ns < self.end_ns && self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// One connection of one producer.
struct Lane<'a> {
    socket: Socket,
    head: ProduceHead,
    partitions: Vec<usize>,
    turn: usize,
    /// How long after the beginning its first batch is due, and how far apart they are, in nanoseconds.
    beat: Option<(f64, f64)>,
    pace: Option<Pace>,
    correlation_id: u32,
    /// A frame that the kernel has not taken whole: its beginning, its batch, how much is gone.
    writing: Option<(Vec<u8>, &'a Batch, usize)>,
    spare: Vec<u8>,
    in_flight: VecDeque<Sent>,
    /// Since when there is room for another request.
    room_ns: u64,
    heard_ns: u64,
    /// Nothing more is sent.
    over: bool,
    /// Everything that was sent is answered, too.
    finished: bool,
    waits_for_time: bool,
    /// The burst that this lane has taken part in.
    burst: u64,
}

#[derive(Clone, Copy)]
struct Sent {
    correlation_id: u32,
    from_ns: u64,
    counts: bool,
    bytes: usize,
}

impl<'a> Lane<'a> {
    fn connect(
        plan: &Plan<'a>,
        address: SocketAddr,
        partitions: Vec<usize>,
        beat: Option<(f64, f64)>,
    ) -> Result<Self, LoadError> {
        let socket = Socket::connect(address)
            .map_err(|source| LoadError::Connect { address: address.to_string(), source: source.into() })?;
        let timeout_ms = SILENCE.as_millis() as u32;
        Ok(Lane {
            socket,
            head: ProduceHead::new(plan.target.produce_version, &plan.target.topic, plan.load.acks, timeout_ms),
            partitions,
            turn: 0,
            beat,
            pace: None,
            correlation_id: 0,
            writing: None,
            spare: Vec::new(),
            in_flight: VecDeque::with_capacity(plan.load.in_flight.min(1024)),
            room_ns: 0,
            heard_ns: 0,
            over: false,
            finished: false,
            waits_for_time: false,
            burst: 0,
        })
    }

    fn broken(&self, source: io::Error) -> LoadError {
        LoadError::Broken { address: self.socket.address.to_string(), source }
    }

    fn has_room(&self, plan: &Plan<'_>) -> bool {
        self.writing.is_none() && self.in_flight.len() < plan.load.in_flight
    }

    fn is_done(&self) -> bool {
        self.over && self.writing.is_none() && self.in_flight.is_empty()
    }
}

/// What one thread did.
#[derive(Default)]
struct Part {
    produced: Produced,
    last_ns: u64,
}

/// One thread and its connections.
struct Loop<'a, 'p> {
    plan: &'p Plan<'a>,
    lanes: Vec<Lane<'a>>,
    waiting: Waiting,
    /// Lanes that have room and wait for their next batch to be due.
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    part: Part,
    /// The burst that is under way; stays 0 where there are none.
    burst: u64,
}

impl<'a, 'p> Loop<'a, 'p> {
    fn new(plan: &'p Plan<'a>, lanes: Vec<Lane<'a>>) -> Result<Self, LoadError> {
        let waiting = Waiting::new().map_err(LoadError::Machine)?;
        for (number, lane) in lanes.iter().enumerate() {
            waiting.add(&lane.socket.stream, number).map_err(LoadError::Machine)?;
        }
        Ok(Loop { plan, lanes, waiting, timers: BinaryHeap::new(), part: Part::default(), burst: 0 })
    }

    fn run(mut self) -> Result<Part, LoadError> {
        let mut touched: Vec<usize> = (0..self.lanes.len()).collect();
        let mut running = self.lanes.len();
        let mut looked_ns = 0;
        while running > 0 {
            if self.plan.load.rhythm == Rhythm::Bursts && self.lanes.iter().all(|lane| lane.in_flight.is_empty()) {
                self.burst += 1;
                touched.clear();
                touched.extend(0..self.lanes.len());
            }
            for number in touched.drain(..) {
                self.send(number)?;
                let lane = &mut self.lanes[number];
                if lane.is_done() && !lane.finished {
                    lane.finished = true;
                    running -= 1;
                }
            }
            if running == 0 {
                break;
            }
            let now_ns = self.plan.clock.now_ns();
            if now_ns > looked_ns + ns(Duration::from_millis(100)) {
                looked_ns = now_ns;
                self.look_after(now_ns)?;
                touched.extend(0..self.lanes.len());
            }
            let next_ns = self.timers.peek().map_or(u64::MAX, |Reverse((due_ns, _))| *due_ns);
            let at_most_ns = next_ns.saturating_sub(now_ns).min(ns(Duration::from_millis(100)));
            touched.extend(self.waiting.wait(at_most_ns).map_err(LoadError::Machine)?);
            for &number in &touched {
                self.receive(number)?;
            }
            let now_ns = self.plan.clock.now_ns();
            while let Some(Reverse((due_ns, number))) = self.timers.peek().copied() {
                if due_ns > now_ns {
                    break;
                }
                self.timers.pop();
                self.lanes[number].waits_for_time = false;
                touched.push(number);
            }
        }
        Ok(self.part)
    }

    /// Sends on a lane what is due and has room.
    fn send(&mut self, number: usize) -> Result<(), LoadError> {
        let plan = self.plan;
        let lane = &mut self.lanes[number];
        if lane.writing.is_some() {
            finish_write(lane, plan, &mut self.part)?;
        }
        let in_bursts = plan.load.rhythm == Rhythm::Bursts;
        while !lane.over && lane.has_room(plan) && (!in_bursts || lane.burst < self.burst) {
            lane.burst = self.burst;
            let now_ns = plan.clock.now_ns();
            let due_ns = lane.pace.as_ref().map_or(now_ns, Pace::due_ns);
            if due_ns > now_ns {
                if due_ns >= plan.end_ns {
                    lane.over = true;
                } else if !lane.waits_for_time {
                    lane.waits_for_time = true;
                    self.timers.push(Reverse((due_ns, number)));
                }
                return Ok(());
            }
            if !plan.take(due_ns) {
                lane.over = true;
                return Ok(());
            }
            let counts = due_ns >= plan.warm_ns;
            if counts && lane.pace.is_some() {
                self.part.produced.client_delay.record_many(now_ns - due_ns.max(lane.room_ns).min(now_ns), 1);
            }
            if let Some(pace) = &mut lane.pace {
                pace.advance();
            }
            begin_write(lane, plan, due_ns, counts);
            finish_write(lane, plan, &mut self.part)?;
        }
        Ok(())
    }

    /// Takes all answers that came on a lane.
    fn receive(&mut self, number: usize) -> Result<(), LoadError> {
        let plan = self.plan;
        let lane = &mut self.lanes[number];
        loop {
            let more = match lane.socket.read() {
                Ok(more) => more,
                Err(source) => return Err(lane.broken(source)),
            };
            let now_ns = plan.clock.now_ns();
            while let Some(answer) = lane.socket.next_answer() {
                let sent = lane.in_flight.pop_front();
                let fits = |answer: &[u8]| sent.is_some_and(|sent| answer[..4] == sent.correlation_id.to_be_bytes());
                let error = answer.filter(|answer| fits(answer)).and_then(frames::produce_error);
                let (Some(error), Some(sent)) = (error, sent) else {
                    let address = lane.socket.address.to_string();
                    return Err(LoadError::Nonsense {
                        address,
                        what: "not the answer to the Produce request that was due",
                    });
                };
                if error != 0 {
                    return Err(refused(ApiKey::Produce, error));
                }
                if lane.in_flight.len() + 1 == plan.load.in_flight {
                    lane.room_ns = now_ns;
                }
                lane.heard_ns = now_ns;
                count(&mut self.part, plan, sent, now_ns);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// What only time can tell: a broker that is silent, a backlog that will not be worked off.
    fn look_after(&mut self, now_ns: u64) -> Result<(), LoadError> {
        for lane in &mut self.lanes {
            if !lane.in_flight.is_empty() && now_ns > lane.heard_ns + ns(SILENCE) {
                return Err(LoadError::Silent { address: lane.socket.address.to_string(), waited: SILENCE });
            }
            if now_ns >= self.plan.give_up_ns && !lane.over {
                lane.over = true;
                let Some(pace) = &mut lane.pace else { continue };
                while pace.due_ns() < self.plan.end_ns {
                    self.part.produced.unsent_records += self.plan.load.batch.records as u64;
                    self.part.produced.latency.record_many(now_ns - pace.due_ns(), 1);
                    pace.advance();
                }
            }
        }
        Ok(())
    }
}

/// Prepares the next frame of a lane.
fn begin_write<'a>(lane: &mut Lane<'a>, plan: &Plan<'a>, due_ns: u64, counts: bool) {
    let partition = lane.partitions[lane.turn % lane.partitions.len()];
    let batch = plan.batches.get(partition, lane.turn / lane.partitions.len());
    lane.turn += 1;
    lane.correlation_id = lane.correlation_id.wrapping_add(1);
    let mut head = std::mem::take(&mut lane.spare);
    head.clear();
    head.extend(lane.head.fill(lane.correlation_id, partition as u32, batch.len()));
    if !batch.front.is_empty() {
        let front = head.len();
        head.extend(&batch.front);
        batch.stamp(&mut head[front..], due_ns);
    }
    if lane.in_flight.is_empty() {
        lane.heard_ns = plan.clock.now_ns();
    }
    lane.in_flight.push_back(Sent { correlation_id: lane.correlation_id, from_ns: due_ns, counts, bytes: batch.len() });
    lane.writing = Some((head, batch, 0));
}

/// Gives the kernel what it takes of the frame that is being written.
fn finish_write(lane: &mut Lane<'_>, plan: &Plan<'_>, part: &mut Part) -> Result<(), LoadError> {
    let Some((head, batch, done)) = lane.writing.take() else { return Ok(()) };
    let done = match lane.socket.write(&head, &batch.rest, done) {
        Ok(done) => done,
        Err(source) => return Err(lane.broken(source)),
    };
    if done < head.len() + batch.rest.len() {
        lane.writing = Some((head, batch, done));
        return Ok(());
    }
    lane.spare = head;
    let now_ns = plan.clock.now_ns();
    lane.room_ns = lane.room_ns.max(now_ns);
    if plan.load.acks == 0 {
        // Nobody answers: the batch is done when the kernel has it.
        if let Some(sent) = lane.in_flight.pop_back() {
            count(part, plan, sent, now_ns);
        }
    }
    Ok(())
}

fn count(part: &mut Part, plan: &Plan<'_>, sent: Sent, now_ns: u64) {
    let records = plan.load.batch.records as u64;
    plan.delivery.acknowledged(records);
    if !sent.counts {
        return;
    }
    part.last_ns = part.last_ns.max(now_ns);
    part.produced.records += records;
    part.produced.bytes += plan.load.batch.payload_bytes();
    part.produced.wire_bytes += sent.bytes as u64;
    part.produced.latency.record_many(now_ns - sent.from_ns, 1);
}
