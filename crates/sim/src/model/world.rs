//! The world of the model: its state, what may happen in it, and what must hold.

mod controller;
mod messages;
mod push;
mod roles;
mod settle;

use std::collections::BTreeSet;
use std::sync::Arc;

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::Partition;
use chronik_state::partition::leader::{Outcome, Proposal, Standing};
use chronik_state::partition::stream::{Ack, Answer, Frame, Replicate, SessionId};

use super::node::{Node, Records, Value};

const NODES: BrokerId = 3;
pub(super) const LAG_MAX_MS: i64 = 1000;

/// How much may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Records produced.
    pub records: u8,
    /// Nodes killed, each with or without what it had not synced.
    pub crashes: u8,
    /// Brokers fenced while they live: cut off from the controller.
    pub fencings: u8,
    /// Connections that break.
    pub breaks: u8,
    /// Moments that are longer than a follower may lag.
    pub lags: u8,
    /// `min.insync.replicas`.
    pub min_in_sync_replicas: i32,
    /// A record counts once it is on disk; otherwise once it is written, and a crashed broker is not trusted.
    pub durable: bool,
    /// What is waited for by nobody happens at once: a leader sends what there is as soon as it is there, and a disk is quick
    /// where no crash will come. Far fewer states; frames then hold one record each.
    pub eager: bool,
}

/// The model: explored by stateright.
#[derive(Debug, Clone)]
pub struct Push {
    /// How much may happen.
    pub bounds: Bounds,
}

/// One version of the metadata, as the controller wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Version {
    pub(super) partition: Partition,
    pub(super) standings: [Standing; NODES as usize],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Message {
    Replicate(Replicate),
    Answer(Answer),
    Frame(Frame, Records),
    Ack(Ack),
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// Shared with the worlds before it, as most of them stay as they were.
    nodes: Vec<Arc<Node>>,
    /// The versions that somebody has not read yet, and the one before them.
    history: Arc<Vec<Version>>,
    /// How many versions there were before that.
    forgotten: usize,
    /// From a node to a node, in order.
    pipes: Vec<Vec<Message>>,
    proposals: Vec<(BrokerId, Proposal)>,
    outcomes: Vec<(BrokerId, i32, Outcome)>,
    spent: Spent,
    now_ms: i64,
    /// Answered as committed: offset and value.
    acked: BTreeSet<(Offset, Value)>,
    /// Below some node's high watermark once.
    shown: BTreeSet<(Offset, Value)>,
    /// Somebody got what does not fit, although connections keep their order.
    misfits: bool,
    /// A high watermark fell while its node lived.
    fell: bool,
    /// Who led in which epoch.
    led: BTreeSet<(LeaderEpoch, BrokerId)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Spent {
    records: u8,
    crashes: u8,
    fencings: u8,
    breaks: u8,
    lags: u8,
}

/// Something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A producer writes to a leader.
    Produce(BrokerId),
    /// A leader sends what a session lacks.
    Ship(BrokerId, SessionId),
    /// The oldest message from one node to another arrives.
    Deliver(BrokerId, BrokerId),
    /// A node's disk has everything.
    Sync(BrokerId),
    /// A node reads the next version of the metadata.
    Learn(BrokerId),
    /// A node is killed; what was not synced is lost, or not.
    Crash(BrokerId, bool),
    /// It comes back and registers.
    Restart(BrokerId),
    /// The controller lets it in.
    Unfence(BrokerId),
    /// The controller does not hear of it.
    Fence(BrokerId),
    /// The connection between two nodes breaks.
    Break(BrokerId, BrokerId),
    /// The controller reads a proposal.
    Decide(usize),
    /// A leader hears of its proposal.
    Hear(usize),
    /// The answer to a proposal is lost.
    Unheard(usize),
    /// Time passes, and a leader looks who is slow.
    Lag(BrokerId),
}

impl World {
    fn new(bounds: &Bounds) -> World {
        let replicas: Vec<BrokerId> = (0..NODES).collect();
        let partition = Partition {
            replicas: replicas.as_slice().into(),
            in_sync: replicas.as_slice().into(),
            leader: 0,
            leader_epoch: 0,
            partition_epoch: 0,
            eligible_leaders: [].into(),
            last_known_leader: -1,
            recovering: false,
            min_in_sync_replicas: bounds.min_in_sync_replicas,
        };
        let standings = [Standing { broker_epoch: 0, eligible: true }; NODES as usize];
        let mut world = World {
            nodes: replicas.iter().map(|id| Arc::new(Node::new(*id, bounds.durable))).collect(),
            history: Arc::new(vec![Version { partition, standings }]),
            forgotten: 0,
            pipes: vec![Vec::new(); (NODES * NODES) as usize],
            proposals: Vec::new(),
            outcomes: Vec::new(),
            spent: Spent::default(),
            now_ms: 1_000_000,
            acked: BTreeSet::new(),
            shown: BTreeSet::new(),
            misfits: false,
            fell: false,
            led: BTreeSet::new(),
        };
        for id in replicas {
            world.take_role(id);
        }
        world
    }

    /// How many records were answered as committed.
    pub fn acknowledged(&self) -> usize {
        self.acked.len()
    }

    fn node(&mut self, id: BrokerId) -> &mut Node {
        Arc::make_mut(&mut self.nodes[id as usize])
    }

    fn pipe(&mut self, from: BrokerId, to: BrokerId) -> &mut Vec<Message> {
        &mut self.pipes[(from * NODES + to) as usize]
    }

    fn send(&mut self, from: BrokerId, to: BrokerId, message: Message) {
        if self.nodes[to as usize].up {
            self.pipe(from, to).push(message);
        }
    }

    fn version(&self, number: usize) -> &Version {
        &self.history[number - self.forgotten]
    }

    /// How many versions there have been.
    fn versions(&self) -> usize {
        self.forgotten + self.history.len()
    }

    fn latest(&self) -> &Version {
        self.history.last().expect("there is a first version")
    }
}

impl Action {
    /// Does it belong to what must not be, or to what ends?
    pub(super) fn is_trouble(&self) -> bool {
        matches!(
            self,
            Action::Crash(..) | Action::Fence(_) | Action::Break(..) | Action::Unheard(_) | Action::Lag(_)
        )
    }
}
