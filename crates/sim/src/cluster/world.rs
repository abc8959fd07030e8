//! One seed: a cluster, its clients, and its bad days, on a virtual clock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chronik_log::batch::batches;
use chronik_log::disk::Disk;
use chronik_log::records::{self, BatchBuilder};
use chronik_log::{Commit, LogConfig, PartitionLog, ReadRequest, Storage, StorageOptions};
use chronik_state::ids::{BrokerId, LeaderEpoch, LogId, Offset, PartitionIndex, TopicId};
use chronik_state::metadata::Image;
use chronik_state::partition::leader::{Confirmation, Proposal, Rules};
use chronik_state::rule::{self, Rule};

use super::checkers::{self, Records, ReplicaView, View, note_leader, note_watermark};
use super::history::{History, RecordId};
use super::metadata::{Command, Metadata, Reply};
use super::replica::{Effects, Message, Refused, Replica};
use crate::disk::{SimDisk, Stop};
use crate::random::Random;

const TOPIC: TopicId = TopicId([7; 16]);
const PARTITIONS: PartitionIndex = 3;
const PRODUCERS: usize = 5;
const LAG_MAX_MS: i64 = 1_000;
const TICK_MS: i64 = 100;
const PROPOSAL_PATIENCE_MS: i64 = 400;
const PRODUCER_PATIENCE_MS: i64 = 400;
/// Trouble ends after this, and within as much again everything has to have healed.
const TROUBLE_MS: i64 = 15_000;
const HEALING_MS: i64 = 20_000;

/// What a run is to do, beside what its seed decides.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Nothing goes wrong.
    pub peaceful: bool,
}

/// What a seed showed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What happened in it.
    pub statistics: Statistics,
    /// The promise that was broken, if one was.
    pub broken: Option<String>,
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Events.
    pub events: u64,
    /// Records acknowledged with acks=all.
    pub acked: u64,
    /// Records read by consumers.
    pub shown: u64,
    /// Nodes that were stopped by force.
    pub crashes: u64,
    /// Connections that broke.
    pub breaks: u64,
    /// Leaderships.
    pub elections: u64,
    /// How long healing took, in virtual time.
    pub healing_ms: i64,
}

/// Lives through `seed`.
pub fn run(seed: u64, plan: &Plan) -> Outcome {
    World::new(seed, plan, false).live()
}

/// The same, with everything written down.
pub fn run_traced(seed: u64, plan: &Plan) -> (Outcome, Vec<String>) {
    let mut world = World::new(seed, plan, true);
    let outcome = world.live();
    (outcome, world.trace)
}

/// Lives without `rule` until it is missed: the seed, and what broke.
pub fn missed(rule: Rule, seeds: u64) -> Option<(u64, String)> {
    rule::without(rule, || (0..seeds).find_map(|seed| Some((seed, run(seed, &Plan::default()).broken?))))
}

impl Statistics {
    /// Adds another run's.
    pub fn add(&mut self, other: &Statistics) {
        self.events += other.events;
        self.acked += other.acked;
        self.shown += other.shown;
        self.crashes += other.crashes;
        self.breaks += other.breaks;
        self.elections += other.elections;
        self.healing_ms = self.healing_ms.max(other.healing_ms);
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statistics { events, acked, shown, crashes, breaks, elections, healing_ms } = self;
        write!(
            formatter,
            "{events} events, {acked} records acknowledged, {shown} shown, {crashes} crashes, {breaks} broken connections, \
             {elections} leaderships, healed after {healing_ms} ms at most"
        )
    }
}

struct Node {
    disk: SimDisk,
    /// Counts disks: what a new one says of itself.
    directory: u8,
    /// Counts processes: what is meant for an earlier one is lost.
    life: u32,
    paused_until_ms: i64,
    running: Option<Running>,
}

struct Running {
    storage: Arc<Storage>,
    /// Given with the registration.
    broker_epoch: Option<i64>,
    image: Image,
    applied: usize,
    replicas: BTreeMap<PartitionIndex, Replica>,
    /// Proposals nobody has answered yet: upon which version, since when.
    proposed: BTreeMap<PartitionIndex, (i32, i64)>,
    commit_is_due: bool,
}

/// The connection between two nodes.
#[derive(Default, Clone)]
struct Link {
    connected: bool,
    /// Counts connections: what was sent on an earlier one is lost.
    number: u32,
    /// Nothing gets through from the first to the second until then, and the other way round.
    blocked_until_ms: [i64; 2],
    /// When the last message arrives: those behind it do not overtake it.
    last_arrival_ms: [i64; 2],
}

#[derive(Debug, Clone)]
enum Event {
    Arrive { from: BrokerId, to: BrokerId, connection: u32, partition: PartitionIndex, message: Message },
    Break { one: BrokerId, other: BrokerId, connection: u32 },
    Connect { one: BrokerId, other: BrokerId },
    Tick { node: BrokerId, life: u32 },
    Learn { node: BrokerId, life: u32 },
    Commit { node: BrokerId, life: u32 },
    Start { node: BrokerId, life: u32 },
    Ask { node: BrokerId, life: u32, command: Command },
    Reply { node: BrokerId, life: u32, reply: Reply },
    Produce { producer: usize, attempt: u32, to: BrokerId },
    Answered { producer: usize, attempt: u32, answer: Result<Offset, Refused> },
    Impatience { producer: usize, attempt: u32 },
    Consume { partition: PartitionIndex },
    Trouble,
    ControllerTick,
    Check,
}

struct Producer {
    partition: PartitionIndex,
    all_replicas: bool,
    idempotent: bool,
    record: RecordId,
    sequence: i32,
    /// The newest leadership it knows of.
    leader_epoch: LeaderEpoch,
    /// Counts what was sent, also again.
    attempt: u32,
}

struct World {
    random: Random,
    now_ms: i64,
    number: u64,
    events: BTreeMap<(i64, u64), Event>,
    nodes: BTreeMap<BrokerId, Node>,
    links: BTreeMap<(BrokerId, BrokerId), Link>,
    metadata: Metadata,
    producers: Vec<Producer>,
    positions: BTreeMap<PartitionIndex, Offset>,
    next_record: RecordId,
    rules: Rules,
    history: History,
    statistics: Statistics,
    peaceful: bool,
    healed_acks: Vec<bool>,
    traced: bool,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64, plan: &Plan, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let count: BrokerId = if random.chance(70) { 3 } else { 5 };
        let durable = random.chance(60);
        let confirmation = if durable { Confirmation::Durable } else { Confirmation::Written };
        let ids: Vec<BrokerId> = (1..=count).collect();
        let mut nodes = BTreeMap::new();
        for id in &ids {
            let disk = SimDisk::new(random.fork());
            nodes.insert(*id, Node { disk, directory: 0, life: 0, paused_until_ms: 0, running: None });
        }
        let pairs = ids.iter().flat_map(|one| ids.iter().filter(move |other| one < other).map(move |other| (*one, *other)));
        World {
            now_ms: 1_000_000,
            number: 0,
            events: BTreeMap::new(),
            links: pairs.map(|pair| (pair, Link::default())).collect(),
            nodes,
            metadata: Metadata::new(),
            producers: (0..PRODUCERS).map(producer).collect(),
            positions: (0..PARTITIONS).map(|partition| (partition, 0)).collect(),
            next_record: 1,
            rules: Rules { confirmation, lag_max_ms: LAG_MAX_MS },
            history: History::default(),
            statistics: Statistics::default(),
            peaceful: plan.peaceful,
            healed_acks: Vec::new(),
            random,
            traced,
            trace: Vec::new(),
        }
    }

    fn live(&mut self) -> Outcome {
        let broken = self.days().err();
        self.statistics.acked = self.history.acked.len() as u64;
        self.statistics.shown = self.history.shown.len() as u64;
        self.statistics.elections = self.history.led.len() as u64;
        if let Some(what) = &broken {
            let line = format!("broken: {what}");
            self.note(|| line);
        }
        Outcome { statistics: self.statistics, broken }
    }

    fn days(&mut self) -> Result<(), String> {
        self.begin();
        let trouble_ends_ms = self.now_ms + TROUBLE_MS;
        self.run_until(trouble_ends_ms)?;
        self.peaceful = true;
        self.end_trouble();
        let healed_by_ms = self.now_ms + HEALING_MS;
        self.healed_acks = vec![false; self.producers.len()];
        while !self.has_healed() {
            if self.now_ms >= healed_by_ms {
                return Err(format!("everything heals: after {HEALING_MS} ms {}", self.what_has_not_healed()));
            }
            self.run_until(self.now_ms + TICK_MS)?;
        }
        self.statistics.healing_ms = self.now_ms - trouble_ends_ms;
        self.check(true)
    }

    fn run_until(&mut self, end_ms: i64) -> Result<(), String> {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end_ms) {
            let ((at_ms, number), event) = entry.remove_entry();
            self.now_ms = self.now_ms.max(at_ms);
            // What comes to a node that pauses waits there, in its order.
            match self.wakes_ms(&event) {
                Some(wakes_ms) => _ = self.events.insert((wakes_ms, number), event),
                None => {
                    self.statistics.events += 1;
                    self.happen(event)?;
                }
            }
        }
        self.now_ms = end_ms;
        Ok(())
    }

    fn wakes_ms(&self, event: &Event) -> Option<i64> {
        let node = self.nodes.get(&event.node()?)?;
        Some(node.paused_until_ms).filter(|until| *until > self.now_ms)
    }

    fn begin(&mut self) {
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        for id in &ids {
            self.after(0, Event::Start { node: *id, life: 0 });
        }
        self.after(1, Event::ControllerTick);
        self.after(500, Event::Check);
        // When everybody is there.
        self.after(400, Event::Trouble);
        for producer in 0..PRODUCERS {
            self.after(600, Event::Impatience { producer, attempt: 0 });
        }
        (0..PARTITIONS).for_each(|partition| self.after(600, Event::Consume { partition }));
    }

    fn after(&mut self, ms: i64, event: Event) {
        self.number += 1;
        self.events.insert((self.now_ms + ms, self.number), event);
    }

    fn soon(&mut self, ms_max: u64) -> i64 {
        1 + self.random.below(ms_max) as i64
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.traced {
            self.trace.push(format!("{:7} {}", self.now_ms - 1_000_000, line()));
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if self.traced && !matches!(event, Event::Tick { .. } | Event::ControllerTick | Event::Check | Event::Consume { .. }) {
            let line = format!("{event:?}");
            self.note(|| line.chars().take(300).collect());
        }
        match event {
            Event::Arrive { from, to, connection, partition, message } => {
                if self.link(from, to).number == connection && self.link(from, to).connected {
                    self.with_replica(to, partition, |replica, now_ms| replica.on_message(from, message, now_ms));
                }
            }
            Event::Break { one, other, connection } => {
                if self.link(one, other).number == connection {
                    self.break_link(one, other);
                }
            }
            Event::Connect { one, other } => self.connect(one, other),
            Event::Tick { node, life } if self.lives(node, life) => self.tick(node),
            Event::Learn { node, life } if self.lives(node, life) => self.learn(node),
            Event::Commit { node, life } if self.lives(node, life) => self.commit(node),
            Event::Start { node, life } if self.nodes[&node].life == life => self.start(node)?,
            Event::Ask { node, life, command } => {
                if let Some(reply) = self.metadata.ask(node, TOPIC, command, self.now_ms)
                    && !self.is_unlucky()
                {
                    let delay = self.soon(20);
                    self.after(delay, Event::Reply { node, life, reply });
                }
            }
            Event::Reply { node, life, reply } if self.lives(node, life) => self.on_reply(node, reply),
            Event::Produce { producer, attempt, to } => self.produce(producer, attempt, to),
            Event::Answered { producer, attempt, answer } => self.on_answered(producer, attempt, answer),
            Event::Impatience { producer, attempt } => self.on_impatience(producer, attempt),
            Event::Consume { partition } => self.consume(partition),
            Event::Trouble => self.trouble(),
            Event::ControllerTick => {
                self.metadata.on_tick(self.now_ms);
                self.after(TICK_MS, Event::ControllerTick);
            }
            Event::Check => {
                self.check(false)?;
                self.after(500, Event::Check);
            }
            Event::Tick { .. } | Event::Learn { .. } | Event::Commit { .. } | Event::Start { .. } | Event::Reply { .. } => {}
        }
        Ok(())
    }

    /// A message is lost now and then, while there is trouble.
    fn is_unlucky(&mut self) -> bool {
        !self.peaceful && self.random.chance(3)
    }

    fn lives(&self, node: BrokerId, life: u32) -> bool {
        self.nodes[&node].life == life && self.nodes[&node].running.is_some()
    }

    // --- nodes

    fn start(&mut self, id: BrokerId) -> Result<(), String> {
        let seed = self.random.number();
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
        let mut options = StorageOptions::new(PathBuf::from("/data"));
        (options.wal_file_bytes, options.wal_reserve_bytes) = (4096 * 32, 0);
        (options.checkpoint_distance_bytes, options.materialise_bytes) = (40_000, 8_000);
        (options.chunk_bytes, options.chunks_kept, options.disk_reserve_bytes) = (16 << 10, 4, 20_000);
        options.seed = seed;
        let (storage, _) = Storage::open(disk, options, now_ms).map_err(|error| format!("node {id} does not start: {error}"))?;
        node.running = Some(Running {
            storage,
            broker_epoch: None,
            image: Image::default(),
            applied: 0,
            replicas: BTreeMap::new(),
            proposed: BTreeMap::new(),
            commit_is_due: false,
        });
        let life = node.life;
        let phase = self.soon(TICK_MS as u64);
        self.after(phase, Event::Tick { node: id, life });
        let peers: Vec<(BrokerId, BrokerId)> = self.links.keys().copied().filter(|pair| pair.0 == id || pair.1 == id).collect();
        for (one, other) in peers {
            let delay = self.soon(30);
            self.after(delay, Event::Connect { one, other });
        }
        Ok(())
    }

    fn crash(&mut self, id: BrokerId, stop: Stop) {
        self.statistics.crashes += 1;
        let peers: Vec<BrokerId> = self.nodes.keys().copied().filter(|peer| *peer != id).collect();
        for peer in peers {
            self.break_link(id, peer);
        }
        let node = self.nodes.get_mut(&id).expect("there is such a node");
        node.running = None;
        node.life += 1;
        node.paused_until_ms = 0;
        node.disk = node.disk.restart(stop);
        let (life, delay) = (node.life, self.soon(4_000));
        self.after(delay, Event::Start { node: id, life });
    }

    fn tick(&mut self, id: BrokerId) {
        let now_ms = self.now_ms;
        let node = self.nodes.get_mut(&id).expect("it lives");
        let (life, directory) = (node.life, node.directory);
        let Some(running) = &mut node.running else { return };
        let lost: Vec<(PartitionIndex, i32)> = running
            .proposed
            .iter()
            .filter(|(_, (_, since))| now_ms - since > PROPOSAL_PATIENCE_MS)
            .map(|(partition, (upon, _))| (*partition, *upon))
            .collect();
        let command = match running.broker_epoch {
            None => Command::Register { incarnation: life, directory },
            Some(epoch) => Command::Heartbeat { epoch, applied: running.applied },
        };
        for (partition, upon) in lost {
            running_mut(&mut self.nodes, id).proposed.remove(&partition);
            self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_outcome(upon, None, now_ms)));
        }
        (0..PARTITIONS).for_each(|partition| {
            self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_tick(now_ms)));
        });
        self.ask(id, command);
        let delay = self.soon(40);
        self.after(delay, Event::Learn { node: id, life });
        self.after(TICK_MS, Event::Tick { node: id, life });
        if self.random.chance(30) {
            let running = running_mut(&mut self.nodes, id);
            let _ = running.storage.sync_written();
            let _ = running.storage.upkeep(now_ms, false);
        }
    }

    fn ask(&mut self, id: BrokerId, command: Command) {
        if !self.is_unlucky() {
            let (life, delay) = (self.nodes[&id].life, self.soon(20));
            self.after(delay, Event::Ask { node: id, life, command });
        }
    }

    fn on_reply(&mut self, id: BrokerId, reply: Reply) {
        match reply {
            Reply::Registered { epoch } => {
                let running = running_mut(&mut self.nodes, id);
                running.broker_epoch.get_or_insert(epoch);
            }
            Reply::Altered { partition, upon, outcome } => {
                let running = running_mut(&mut self.nodes, id);
                if outcome.is_some() && running.proposed.get(&partition).is_some_and(|(known, _)| *known == upon) {
                    running.proposed.remove(&partition);
                    self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_outcome(upon, outcome, now_ms)));
                }
            }
        }
    }

    /// A node reads the next few decisions, and takes the roles they give it.
    fn learn(&mut self, id: BrokerId) {
        let count = 1 + self.random.below(3) as usize;
        let rules = self.rules;
        let running = running_mut(&mut self.nodes, id);
        let news = self.metadata.from(running.applied);
        for records in news.iter().take(count) {
            records.iter().for_each(|record| running.image.apply(record));
            running.applied += 1;
        }
        // Before it knows of its own registration it takes no role.
        let Some(broker_epoch) = running.broker_epoch.filter(|epoch| running.applied as i64 > *epoch) else {
            return self.learn_more(id);
        };
        let image = running.image.clone();
        let Some(topic) = image.topic_by_id(TOPIC) else { return self.learn_more(id) };
        for (index, partition) in topic.partitions.iter().filter(|(_, partition)| partition.replicas.contains(&id)) {
            let running = running_mut(&mut self.nodes, id);
            if !running.replicas.contains_key(index) {
                let config = LogConfig { segment_bytes: 4_000, retention_ms: -1, ..LogConfig::default() };
                let Ok(log) = running.storage.create(LogId { topic: TOPIC, partition: *index }, config) else { return };
                running.replicas.insert(*index, Replica::new(log, id, broker_epoch, rules));
            }
            let before = running.replicas[index].follows();
            self.with_replica(id, *index, |replica, now_ms| Ok(replica.on_metadata(partition, &image, now_ms)));
            let Some(running) = &self.nodes[&id].running else { return };
            let replica = &running.replicas[index];
            if let Some(epoch) = replica.leads_in() {
                note_leader(&mut self.history, *index, epoch, (id, self.nodes[&id].life));
            }
            if let Some(leader) = replica.follows()
                && (before != Some(leader) || partition.leader == leader)
                && self.link(id, leader).connected
            {
                self.with_replica(id, *index, |replica, _| Ok(replica.on_reachable(leader)));
            }
        }
        self.learn_more(id);
    }

    fn learn_more(&mut self, id: BrokerId) {
        let Some(running) = &self.nodes[&id].running else { return };
        if !self.metadata.from(running.applied).is_empty() {
            let (life, delay) = (self.nodes[&id].life, self.soon(40));
            self.after(delay, Event::Learn { node: id, life });
        }
    }

    fn commit(&mut self, id: BrokerId) {
        let running = running_mut(&mut self.nodes, id);
        running.commit_is_due = false;
        let durable = match running.storage.commit() {
            Ok(Commit::Done { durable_lsn }) => durable_lsn,
            Ok(_) => running.storage.durable_lsn(),
            Err(_) => return self.crash(id, Stop::Kill),
        };
        (0..PARTITIONS).for_each(|partition| {
            self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_durable(durable, now_ms)));
        });
    }

    /// Lets a replica do something, and carries out what came of it.
    fn with_replica(
        &mut self,
        id: BrokerId,
        partition: PartitionIndex,
        act: impl FnOnce(&mut Replica, i64) -> Result<Effects, super::replica::DiskFailed>,
    ) {
        let (now_ms, node) = (self.now_ms, self.nodes.get_mut(&id).expect("there is such a node"));
        let life = node.life;
        let Some(running) = &mut node.running else { return };
        let Some(replica) = running.replicas.get_mut(&partition) else { return };
        let Ok(effects) = act(replica, now_ms) else { return self.crash(id, Stop::Kill) };
        note_watermark(&mut self.history, (id, life, partition), replica.high_watermark());
        let commit = !std::mem::replace(&mut running.commit_is_due, true);
        let epoch = running.broker_epoch.unwrap_or(-1);
        if let Some(proposal) = effects.propose {
            running.proposed.insert(partition, (proposal.partition_epoch, now_ms));
            self.propose(id, epoch, partition, proposal);
        }
        if commit {
            let delay = self.soon(8);
            self.after(delay, Event::Commit { node: id, life });
        }
        for (to, message) in effects.messages {
            self.send(id, to, partition, message);
        }
        for (ticket, answer) in effects.answered {
            if !self.is_unlucky() {
                let (producer, attempt) = ((ticket >> 32) as usize, ticket as u32);
                let delay = self.soon(10);
                self.after(delay, Event::Answered { producer, attempt, answer });
            }
        }
    }

    fn propose(&mut self, id: BrokerId, epoch: i64, partition: PartitionIndex, proposal: Proposal) {
        self.ask(id, Command::Alter { epoch, partition, proposal });
    }

    // --- the network

    fn link(&mut self, one: BrokerId, other: BrokerId) -> &mut Link {
        self.links.get_mut(&(one.min(other), one.max(other))).expect("two nodes")
    }

    fn send(&mut self, from: BrokerId, to: BrokerId, partition: PartitionIndex, message: Message) {
        let (now_ms, direction) = (self.now_ms, usize::from(from > to));
        let slow = !self.peaceful && self.random.chance(5);
        let delay = if slow { self.soon(400) } else { self.soon(6) };
        let link = self.link(from, to);
        let connection = link.number;
        if !link.connected {
            return;
        }
        if link.blocked_until_ms[direction] > now_ms {
            // Lost on the way: whoever waits for it sees the connection break in the end.
            return self.after(500, Event::Break { one: from, other: to, connection });
        }
        let arrives_ms = (now_ms + delay).max(link.last_arrival_ms[direction]);
        link.last_arrival_ms[direction] = arrives_ms;
        self.after(arrives_ms - now_ms, Event::Arrive { from, to, connection, partition, message });
    }

    fn break_link(&mut self, one: BrokerId, other: BrokerId) {
        let link = self.link(one, other);
        link.number += 1;
        let was = std::mem::replace(&mut link.connected, false);
        if !was {
            return;
        }
        self.statistics.breaks += 1;
        for (id, peer) in [(one, other), (other, one)] {
            (0..PARTITIONS).for_each(|partition| {
                self.with_replica(id, partition, |replica, now_ms| Ok(replica.on_disconnected(peer, now_ms)));
            });
        }
        let delay = self.soon(200);
        self.after(delay, Event::Connect { one, other });
    }

    fn connect(&mut self, one: BrokerId, other: BrokerId) {
        let both = self.nodes[&one].running.is_some() && self.nodes[&other].running.is_some();
        let now_ms = self.now_ms;
        let link = self.link(one, other);
        if link.connected || !both {
            return;
        }
        if link.blocked_until_ms.iter().any(|until| *until > now_ms) {
            return self.after(100, Event::Connect { one, other });
        }
        link.connected = true;
        for (id, peer) in [(one, other), (other, one)] {
            (0..PARTITIONS).for_each(|partition| {
                self.with_replica(id, partition, |replica, _| Ok(replica.on_reachable(peer)));
            });
        }
    }

    // --- clients

    fn produce(&mut self, index: usize, attempt: u32, to: BrokerId) {
        let producer = &self.producers[index];
        let (partition, all_replicas, record) = (producer.partition, producer.all_replicas, producer.record);
        let mut builder = BatchBuilder::new();
        if producer.idempotent {
            builder = builder.producer(1_000 + index as i64, 0, producer.sequence);
        }
        if producer.attempt != attempt {
            return;
        }
        builder.record(self.now_ms, None, Some(&record.to_be_bytes()), &[]);
        let batch = builder.build();
        let ticket = ((index as u64) << 32) | u64::from(attempt);
        self.with_replica(to, partition, |replica, now_ms| replica.produce(batch.as_valid(), all_replicas, ticket, now_ms));
    }

    fn on_answered(&mut self, index: usize, attempt: u32, answer: Result<Offset, Refused>) {
        let producer = &self.producers[index];
        let (partition, record) = (producer.partition, producer.record);
        if producer.attempt != attempt {
            return;
        }
        match answer {
            Ok(offset) => {
                if producer.all_replicas {
                    self.history.acked.insert(record, (partition, offset));
                    if let Some(healed) = self.healed_acks.get_mut(index) {
                        *healed = true;
                    }
                }
                self.next_record(index);
                let pause = self.soon(60);
                self.after(pause, Event::Impatience { producer: index, attempt: attempt + 1 });
                self.producers[index].attempt += 1;
            }
            Err(Refused::Sequence) if producer.idempotent => {
                self.history.broken(|| format!("an idempotent producer's record {record} is out of sequence on {partition}"));
            }
            Err(_) => self.on_impatience(index, attempt),
        }
    }

    /// No answer, or one that can be asked for again. A plain producer gives up; an idempotent one may say it again.
    fn on_impatience(&mut self, index: usize, attempt: u32) {
        if self.producers[index].attempt != attempt {
            return;
        }
        if self.producers[index].record == 0 || !self.producers[index].idempotent {
            self.next_record(index);
        }
        self.producers[index].attempt += 1;
        let attempt = attempt + 1;
        let partition = self.producers[index].partition;
        if let Some(to) = self.look_up(index, partition) {
            let delay = self.soon(30);
            self.after(delay, Event::Produce { producer: index, attempt, to });
        }
        self.after(PRODUCER_PATIENCE_MS, Event::Impatience { producer: index, attempt });
    }

    /// A client asks any node who leads, and does not go back to an earlier leadership than it knows of (KIP-320).
    fn look_up(&mut self, index: usize, partition: PartitionIndex) -> Option<BrokerId> {
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        let asked = self.random.pick(&ids);
        let image = &self.nodes[asked].running.as_ref()?.image;
        let found = image.partition(TOPIC, partition)?;
        let producer = &mut self.producers[index];
        if found.leader_epoch < producer.leader_epoch || found.leader < 0 {
            return None;
        }
        producer.leader_epoch = found.leader_epoch;
        Some(found.leader)
    }

    fn next_record(&mut self, index: usize) {
        let record = self.next_record;
        self.next_record += 1;
        let producer = &mut self.producers[index];
        if producer.record != 0 {
            producer.sequence += 1;
        }
        producer.record = record;
        if producer.idempotent {
            self.history.idempotent.insert(record);
        }
    }

    /// A consumer reads where its leader is, or from any replica (KIP-392).
    fn consume(&mut self, partition: PartitionIndex) {
        let delay = self.soon(40);
        self.after(delay, Event::Consume { partition });
        let Some(agreed) = self.metadata.image().partition(TOPIC, partition).cloned() else { return };
        let from = if self.random.chance(70) { agreed.leader } else { *self.random.pick(&agreed.replicas) };
        let position = self.positions[&partition];
        let Some(replica) = self.nodes.get(&from).and_then(|node| node.running.as_ref()?.replicas.get(&partition)) else { return };
        let end = replica.high_watermark();
        if position >= end {
            return;
        }
        for (offset, (_, id)) in contents(replica.log()).range(position..end) {
            let shown = *self.history.shown.entry((partition, *offset)).or_insert(*id);
            if shown != *id {
                self.history.broken(|| format!("what was shown is kept: {partition}@{offset} was {shown}, is {id} on node {from}"));
            }
            self.positions.insert(partition, offset + 1);
        }
        // Now and then from the beginning, by another consumer.
        if self.random.chance(3) {
            self.positions.insert(partition, 0);
        }
    }

    // --- trouble

    fn trouble(&mut self) {
        if self.metadata.image().topic_by_id(TOPIC).is_none() {
            return self.create_topic();
        }
        if self.peaceful {
            return;
        }
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        let id = *self.random.pick(&ids);
        let other = *self.random.pick(&ids);
        let for_ms = self.soon(3_000);
        let now_ms = self.now_ms;
        match self.random.below(10) {
            0..3 if self.may_lose(id) => {
                let stop = if self.random.chance(60) { Stop::PowerCut } else { Stop::Kill };
                self.note(|| format!("--- node {id}: {stop:?}"));
                self.crash(id, stop);
            }
            3 if self.everybody_is_in_sync() => {
                self.note(|| format!("--- node {id} loses its disk"));
                self.crash(id, Stop::PowerCut);
                let disk = SimDisk::new(self.random.fork());
                let node = self.nodes.get_mut(&id).expect("a node");
                node.disk = disk;
                node.directory += 1;
            }
            4 | 5 if id != other => {
                self.note(|| format!("--- nothing from {id} to {other} for {for_ms} ms"));
                let direction = usize::from(id > other);
                let both = self.random.chance(50);
                let link = self.link(id, other);
                link.blocked_until_ms[direction] = now_ms + for_ms;
                if both {
                    link.blocked_until_ms[1 - direction] = now_ms + for_ms;
                }
            }
            6 if id != other => self.break_link(id, other),
            7 => {
                self.note(|| format!("--- node {id} pauses for {for_ms} ms"));
                let node = self.nodes.get_mut(&id).expect("a node");
                node.paused_until_ms = node.paused_until_ms.max(now_ms + for_ms);
            }
            8 => {
                self.note(|| format!("--- no controller for {for_ms} ms"));
                self.metadata.change_controller(now_ms + for_ms);
            }
            _ => {}
        }
        let pause = self.soon(900);
        self.after(pause, Event::Trouble);
    }

    /// Where written counts as confirmed, one copy may be lost at a time.
    fn may_lose(&mut self, id: BrokerId) -> bool {
        let runs = self.nodes[&id].running.is_some();
        runs && (self.rules.confirmation == Confirmation::Durable || self.everybody_is_in_sync())
    }

    fn everybody_is_in_sync(&self) -> bool {
        let Some(topic) = self.metadata.image().topic_by_id(TOPIC) else { return false };
        let epoch = |id: &BrokerId| self.metadata.image().broker(*id).map(|broker| broker.epoch);
        let is_registered = |(id, node): (&BrokerId, &Node)| {
            node.running.as_ref().is_some_and(|running| running.broker_epoch.is_some() && running.broker_epoch == epoch(id))
        };
        self.nodes.iter().all(is_registered) && topic.partitions.values().all(|partition| partition.in_sync.len() == partition.replicas.len())
    }

    fn create_topic(&mut self) {
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        if self.metadata.image().active_brokers().count() < ids.len() {
            return self.after(100, Event::Trouble);
        }
        let replicas = |first: usize| (0..3).map(|next| ids[(first + next) % ids.len()]).collect();
        let assignments = (0..PARTITIONS as usize).map(replicas).collect();
        let sync = if self.rules.confirmation == Confirmation::Durable { "commit" } else { "interval" };
        self.metadata.create_topic(TOPIC, assignments, vec![("min.insync.replicas", "2"), ("chronik.sync", sync)]);
        self.after(1_000, Event::Trouble);
    }

    fn end_trouble(&mut self) {
        self.note(|| "--- no more trouble".into());
        for link in self.links.values_mut() {
            link.blocked_until_ms = [0, 0];
        }
    }

    fn has_healed(&self) -> bool {
        let writes = self.producers.iter().zip(&self.healed_acks).all(|(producer, acked)| *acked || !producer.all_replicas);
        let all_read = self.positions.iter().all(|(partition, position)| {
            let agreed = self.metadata.image().partition(TOPIC, *partition);
            let leader = agreed.and_then(|agreed| self.nodes.get(&agreed.leader)?.running.as_ref()?.replicas.get(partition));
            leader.is_some_and(|leader| leader.knows_high_watermark() && *position > 0)
        });
        writes && all_read && self.everybody_is_in_sync()
    }

    fn what_has_not_healed(&self) -> String {
        let topic = self.metadata.image().topic_by_id(TOPIC);
        let partitions: Vec<_> = topic.iter().flat_map(|topic| topic.partitions.values()).collect();
        format!("{partitions:?}, producers served: {:?}", self.healed_acks)
    }

    fn check(&mut self, at_the_end: bool) -> Result<(), String> {
        let image = self.metadata.image();
        let partitions = image.topic_by_id(TOPIC).into_iter().flat_map(|topic| topic.partitions.iter());
        let running = || self.nodes.iter().filter_map(|(id, node)| Some((*id, node.running.as_ref()?)));
        // One that has registered anew, and does not know of it yet, is not what the metadata means.
        let is_meant = |id: BrokerId, running: &Running| {
            image.broker(id).is_some_and(|broker| Some(broker.epoch) == running.broker_epoch)
        };
        let replicas = running().filter(|(id, running)| is_meant(*id, running)).flat_map(|(id, running)| {
            running.replicas.iter().map(move |(partition, replica)| {
                let view = ReplicaView { records: contents(replica.log()), high_watermark: replica.high_watermark() };
                ((*partition, id), view)
            })
        });
        checkers::check(&View {
            history: &self.history,
            known: running().map(|(id, running)| (id, (&running.image, running.applied))).collect(),
            replicas: replicas.collect(),
            partitions: partitions.map(|(index, partition)| (*index, partition)).collect(),
            at_the_end,
        })
    }
}

impl Event {
    /// Whose process has to be awake for it.
    fn node(&self) -> Option<BrokerId> {
        match self {
            Event::Arrive { to, .. } | Event::Produce { to, .. } => Some(*to),
            Event::Tick { node, .. }
            | Event::Learn { node, .. }
            | Event::Commit { node, .. }
            | Event::Reply { node, .. } => Some(*node),
            _ => None,
        }
    }
}

fn running_mut(nodes: &mut BTreeMap<BrokerId, Node>, id: BrokerId) -> &mut Running {
    nodes.get_mut(&id).and_then(|node| node.running.as_mut()).expect("it runs")
}

fn producer(index: usize) -> Producer {
    Producer {
        partition: index as PartitionIndex % PARTITIONS,
        all_replicas: index != 4,
        idempotent: index < 3,
        record: 0,
        sequence: 0,
        leader_epoch: 0,
        attempt: 0,
    }
}

/// Everything in a log.
fn contents(log: &PartitionLog) -> Records {
    let request = ReadRequest { offset: log.log_start_offset(), max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
    let bytes = log.read(request).expect("a log is readable").to_vec().expect("memory");
    let mut found = Records::new();
    for batch in batches(&bytes) {
        let batch = batch.expect("the log's own");
        for record in records::read(&batch) {
            let record = record.expect("the world's own");
            let value = record.value.and_then(|value| <[u8; 8]>::try_from(value).ok()).expect("a number");
            found.insert(record.offset, (batch.leader_epoch(), u64::from_be_bytes(value)));
        }
    }
    found
}
