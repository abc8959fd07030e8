//! One seed: a cluster, its clients, and its bad days, on a virtual clock.

mod clients;
mod events;
mod groups;
mod healing;
mod metadata;
mod network;
mod nodes;
mod operators;
mod raft;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use chronik_council::decision;
use chronik_council::order::{self, Order};
use chronik_log::Storage;
use chronik_state::group::GroupRecord;
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use chronik_state::metadata::Image;
use chronik_state::partition::leader::{Confirmation, Rules};
use chronik_state::rule::{self, Rule};

use super::agreed::Agreed;
use super::coordinator::Coordinator;
use super::history::{History, RecordId};
use super::outcome::{Outcome, Plan, Statistics};
use super::places::Place;
use super::replica::Replica;
use super::seat::{Seat, found, founding_records};
use crate::disk::{SimDisk, Stop};
use crate::random::Random;
use events::Event;
use groups::Committer;

/// Partitions of the first topic; later ones have one.
const PARTITIONS: PartitionIndex = 3;
const TOPICS_MAX: PartitionIndex = 3;
const LAG_MAX_MS: i64 = 1_000;
const TICK_MS: i64 = 100;
const PROPOSAL_PATIENCE_MS: i64 = 400;
const PRODUCER_PATIENCE_MS: i64 = 400;
/// Trouble ends after this, and within as much again everything has to have healed.
const TROUBLE_MS: i64 = 15_000;
const HEALING_MS: i64 = 20_000;
/// When the world begins.
const BEGIN_MS: i64 = 1_000_000;

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
    rule::without(rule, || first_broken(seeds))
}

/// The same for a rule of the metadata's Raft group.
pub fn order_missed(order: Order, seeds: u64) -> Option<(u64, String)> {
    order::without(order, || first_broken(seeds))
}

fn first_broken(seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| Some((seed, run(seed, &Plan::default()).broken?)))
}

struct Node {
    disk: SimDisk,
    /// Counts disks: what a new one says of itself.
    directory: u8,
    /// Counts processes: what is meant for an earlier one is lost.
    life: u32,
    paused_until_ms: i64,
    /// How far its clock is from the world's.
    skew_ms: i64,
    /// A bit of its disk has turned over.
    rots: bool,
    running: Option<Running>,
}

struct Running {
    storage: Arc<Storage>,
    seat: Seat,
    /// What the process calls itself.
    incarnation: [u8; 16],
    /// Once its registration is agreed on, and known here.
    broker_epoch: Option<i64>,
    /// What the node shows of the metadata: nothing before that.
    image: Image,
    /// The last decision that it has applied.
    applied: u64,
    replicas: BTreeMap<Place, Replica>,
    /// Where it leads what groups have committed.
    coordinator: Option<Coordinator>,
    /// Proposals nobody has answered yet: upon which version, since when.
    proposed: BTreeMap<Place, (i32, i64)>,
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

struct Producer {
    place: Place,
    all_replicas: bool,
    idempotent: bool,
    record: RecordId,
    sequence: i32,
    /// The newest leadership it knows of.
    leader_epoch: LeaderEpoch,
    /// Counts what was sent, also again.
    attempt: u32,
    /// One of its records was acknowledged after trouble had ended.
    healed: bool,
}

struct World {
    seed: u64,
    random: Random,
    now_ms: TimestampMs,
    number: u64,
    events: BTreeMap<(i64, u64), Event>,
    nodes: BTreeMap<BrokerId, Node>,
    links: BTreeMap<(BrokerId, BrokerId), Link>,
    agreed: Agreed,
    /// Topics that somebody has asked for.
    topics_wanted: PartitionIndex,
    producers: Vec<Producer>,
    positions: BTreeMap<Place, Offset>,
    next_record: RecordId,
    committer: Committer,
    /// What records of groups say.
    group_records: BTreeMap<RecordId, GroupRecord>,
    rules: Rules,
    history: History,
    statistics: Statistics,
    peaceful: bool,
    trouble_is_over: bool,
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
            found(&disk, &ids);
            let skew_ms = random.below(20_000) as i64 - 10_000;
            nodes.insert(*id, Node { disk, directory: 0, life: 0, paused_until_ms: 0, skew_ms, rots: false, running: None });
        }
        let founding = decision::image(&decision::encode(&founding_records(&ids))).expect("the world's own");
        let pairs = ids.iter().flat_map(|one| ids.iter().filter(move |other| one < other).map(move |other| (*one, *other)));
        World {
            seed,
            now_ms: BEGIN_MS,
            number: 0,
            events: BTreeMap::new(),
            links: pairs.map(|pair| (pair, Link::default())).collect(),
            nodes,
            agreed: Agreed::new(founding),
            topics_wanted: 0,
            producers: Vec::new(),
            positions: BTreeMap::new(),
            next_record: 1,
            committer: Committer::default(),
            group_records: BTreeMap::new(),
            rules: Rules { confirmation, lag_max_ms: LAG_MAX_MS },
            history: History::default(),
            statistics: Statistics::default(),
            peaceful: plan.peaceful,
            trouble_is_over: false,
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
        self.statistics.terms = self.history.raft_leaders.len() as u64;
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
        self.end_trouble();
        let healed_by_ms = self.now_ms + HEALING_MS;
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
                    self.stop_those_without_power();
                }
            }
        }
        self.now_ms = end_ms;
        Ok(())
    }

    /// The power fails at a write; whoever wrote stops then, and not at the next one.
    fn stop_those_without_power(&mut self) {
        for id in self.ids() {
            let node = &self.nodes[&id];
            if node.running.is_some() && !node.disk.is_powered() {
                self.crash(id, Stop::PowerCut);
            }
        }
    }

    fn wakes_ms(&self, event: &Event) -> Option<i64> {
        let node = self.nodes.get(&event.node()?)?;
        Some(node.paused_until_ms).filter(|until| *until > self.now_ms)
    }

    fn begin(&mut self) {
        for id in self.ids() {
            self.after(0, Event::Start { node: id, life: 0 });
        }
        self.after(500, Event::Check);
        // When everybody is there.
        self.after(300, Event::Trouble);
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
            self.trace.push(format!("{:7} {}", self.now_ms - BEGIN_MS, line()));
        }
    }

    /// A message is lost now and then, while there is trouble.
    fn is_unlucky(&mut self) -> bool {
        !self.peaceful && self.random.chance(3)
    }

    fn ids(&self) -> Vec<BrokerId> {
        self.nodes.keys().copied().collect()
    }

    fn lives(&self, node: BrokerId, life: u32) -> bool {
        self.nodes[&node].life == life && self.nodes[&node].running.is_some()
    }

    /// What a node takes for the time.
    fn clock_ms(&self, node: BrokerId) -> TimestampMs {
        self.now_ms + self.nodes[&node].skew_ms
    }
}

fn running_mut(nodes: &mut BTreeMap<BrokerId, Node>, id: BrokerId) -> &mut Running {
    nodes.get_mut(&id).and_then(|node| node.running.as_mut()).expect("it runs")
}
