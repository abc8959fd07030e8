//! One seed: a cluster, its clients, and its bad days, on a virtual clock.

mod clients;
mod healing;
mod network;
mod nodes;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use chronik_log::Storage;
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use chronik_state::metadata::Image;
use chronik_state::partition::leader::{Confirmation, Rules};
use chronik_state::rule::{self, Rule};

use super::history::{History, RecordId};
use super::metadata::{Command, Metadata, Reply};
use super::outcome::{Outcome, Plan, Statistics};
use super::replica::{Message, Refused, Replica};
use crate::disk::SimDisk;
use crate::random::Random;
use clients::producer;

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
