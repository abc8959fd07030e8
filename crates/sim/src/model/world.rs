//! The world of the model: its state, what may happen in it, and what must hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::Partition;
use chronik_state::metadata::alter_partition::{AlterError, alter_with};
use chronik_state::metadata::elect::Edit;
use chronik_state::partition::leader::{self, Outcome, Proposal, Standing};
use chronik_state::partition::stream::{Ack, Answer, Frame, Replicate, SessionId, Verdict};
use stateright::{Model, Property};

use super::node::{Node, Records, Role, Value};

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

    fn learn(&mut self, id: BrokerId) {
        self.node(id).known += 1;
        self.take_role(id);
    }

    /// What a node does about the version of the metadata it has come to.
    fn take_role(&mut self, id: BrokerId) {
        let version = self.version(self.nodes[id as usize].known).clone();
        let now_ms = self.now_ms;
        let node = self.node(id);
        if (node.known as i64) < node.broker_epoch {
            return;
        }
        let (leader, epoch) = (version.partition.leader, version.partition.leader_epoch);
        match &mut node.role {
            Role::Leader(machine) if leader == id && machine.leader_epoch() == epoch => {
                let mut effects = machine.on_brokers(|id| Some(version.standings[id as usize]), now_ms);
                self.carry_out(id, std::mem::take(&mut effects));
                if let Role::Leader(machine) = &mut self.node(id).role {
                    let effects = machine.on_partition(version.agreed(), now_ms);
                    self.carry_out(id, effects);
                }
            }
            Role::Follower(of, machine) if *of == leader && machine.leader_epoch() == epoch => {}
            _ if leader == id => {
                let effects = node.lead(&version, now_ms);
                self.led.insert((epoch, id));
                self.carry_out(id, effects);
            }
            _ if leader >= 0 => {
                node.follow(leader, epoch);
                self.connect(id);
            }
            _ => {
                node.role = Role::None;
                node.waiting.clear();
            }
        }
        self.note_shown(id);
    }

    /// A follower asks its leader's node, if both are there.
    fn connect(&mut self, id: BrokerId) {
        let Role::Follower(leader, _) = &self.nodes[id as usize].role else { return };
        let leader = *leader;
        let there = self.nodes[id as usize].up && self.nodes[leader as usize].up;
        let node = self.node(id);
        let Role::Follower(_, machine) = &mut node.role else { return };
        if !there {
            return machine.on_disconnected();
        }
        let effects = machine.on_connected(&node.epochs);
        if let Some(ask) = effects.ask {
            self.send(id, leader, Message::Replicate(ask));
        }
    }

    fn connect_to(&mut self, id: BrokerId, peer: BrokerId) {
        if matches!(&self.nodes[id as usize].role, Role::Follower(leader, _) if *leader == peer) {
            self.connect(id);
        }
    }

    fn carry_out(&mut self, id: BrokerId, effects: leader::Effects) {
        for session in effects.ended {
            self.node(id).told.retain(|(told, _)| *told != session);
        }
        if let Some(proposal) = effects.propose {
            self.proposals.push((id, proposal));
        }
        let node = self.node(id);
        let Role::Leader(machine) = &node.role else { return };
        let high_watermark = machine.high_watermark();
        node.high_watermark = high_watermark;
        let enough = machine.check_in_sync_after_append().is_ok();
        let done: Vec<_> = node.waiting.iter().copied().filter(|(offset, _)| *offset < high_watermark).collect();
        node.waiting.retain(|(offset, _)| *offset >= high_watermark);
        if enough {
            self.acked.extend(done);
        }
        self.note_shown(id);
    }

    fn note_shown(&mut self, id: BrokerId) {
        let node = &self.nodes[id as usize];
        let visible = (0..).zip(&node.log).take(node.high_watermark as usize);
        let visible: Vec<_> = visible.map(|(offset, (_, value))| (offset, *value)).collect();
        self.shown.extend(visible);
    }

    fn deliver(&mut self, from: BrokerId, to: BrokerId) {
        let message = self.pipe(from, to).remove(0);
        let now_ms = self.now_ms;
        match message {
            Message::Replicate(asked) => self.on_replicate(to, asked),
            Message::Answer(answer) => {
                let node = self.node(to);
                let Role::Follower(leader, machine) = &mut node.role else { return };
                let leader = *leader;
                let effects = machine.on_answer(answer, &node.epochs);
                self.on_follower(to, leader, &effects, &[]);
            }
            Message::Frame(frame, records) => {
                let node = self.node(to);
                let Role::Follower(leader, machine) = &mut node.role else { return };
                let leader = *leader;
                let (effects, fits) = machine.on_frame(&frame, &node.epochs);
                self.misfits |= fits.is_err();
                self.on_follower(to, leader, &effects, &records);
            }
            Message::Ack(ack) => {
                let Role::Leader(machine) = &mut self.node(to).role else { return };
                let before = machine.next_frame(ack.session).is_some();
                let effects = machine.on_ack(ack, now_ms);
                let after = machine.next_frame(ack.session).is_some();
                self.misfits |= before != after;
                self.carry_out(to, effects);
            }
        }
    }

    fn on_replicate(&mut self, to: BrokerId, asked: Replicate) {
        let now_ms = self.now_ms;
        let node = self.node(to);
        let known_epoch = node.known_epoch();
        let (answer, effects) = match &mut node.role {
            Role::Leader(machine) => machine.on_replicate(&asked, &node.epochs, now_ms),
            _ => {
                let over = known_epoch.is_some_and(|known| asked.leader_epoch < known);
                let verdict = if over { Verdict::Fenced } else { Verdict::UnknownEpoch };
                (asked.answer(verdict), leader::Effects::default())
            }
        };
        self.send(to, asked.broker_id, Message::Answer(answer));
        self.carry_out(to, effects);
    }

    fn on_follower(&mut self, id: BrokerId, leader: BrokerId, effects: &chronik_state::partition::follower::Effects, records: &[(LeaderEpoch, Value)]) {
        let before = self.nodes[id as usize].high_watermark;
        self.node(id).carry_out(effects, records);
        self.fell |= self.nodes[id as usize].high_watermark < before;
        if let Some(ask) = effects.ask {
            self.send(id, leader, Message::Replicate(ask));
        }
        if let Some(ack) = effects.ack {
            self.send(id, leader, Message::Ack(ack));
        }
        self.note_shown(id);
    }

    fn sync(&mut self, id: BrokerId) {
        let now_ms = self.now_ms;
        let node = self.node(id);
        node.durable = node.log.len();
        let end = node.end();
        match &mut node.role {
            Role::Leader(machine) => {
                let effects = machine.on_durable(end, now_ms);
                self.carry_out(id, effects);
            }
            Role::Follower(leader, machine) => {
                let leader = *leader;
                let effects = machine.on_durable(end);
                self.on_follower(id, leader, &effects, &[]);
            }
            Role::None => {}
        }
    }

    fn break_connection(&mut self, one: BrokerId, other: BrokerId) {
        let now_ms = self.now_ms;
        self.pipe(one, other).clear();
        self.pipe(other, one).clear();
        for (id, peer) in [(one, other), (other, one)] {
            let node = self.node(id);
            match &mut node.role {
                Role::Follower(leader, machine) if *leader == peer => machine.on_disconnected(),
                Role::Leader(machine) => {
                    let lost = machine.session_of(peer);
                    if let Some(session) = lost {
                        let effects = machine.on_session_lost(session, now_ms);
                        self.carry_out(id, effects);
                    }
                }
                _ => {}
            }
        }
    }

    fn crash(&mut self, id: BrokerId, loses: bool) {
        for other in (0..NODES).filter(|other| *other != id) {
            self.break_connection(id, other);
        }
        self.proposals.retain(|(from, _)| *from != id);
        self.outcomes.retain(|(to, ..)| *to != id);
        let node = self.node(id);
        node.up = false;
        node.role = Role::None;
        node.waiting.clear();
        node.told.clear();
        if loses {
            let durable = node.durable;
            node.log.truncate(durable);
            node.epochs.truncate_from_end(durable as Offset);
        }
        node.durable = node.log.len();
        node.high_watermark = 0;
    }

    fn change(&mut self, edit: impl FnOnce(&mut Edit, &dyn Fn(BrokerId) -> bool), standings: [Standing; NODES as usize]) {
        let partition = self.latest().partition.clone();
        let mut change = Edit::of(&partition);
        edit(&mut change, &|id| standings[id as usize].eligible);
        let partition = change.finish().unwrap_or(partition);
        Arc::make_mut(&mut self.history).push(Version { partition, standings });
    }

    fn fence(&mut self, id: BrokerId) {
        self.change_standing(id, false);
    }

    fn unfence(&mut self, id: BrokerId) {
        self.change_standing(id, true);
    }

    fn change_standing(&mut self, id: BrokerId, eligible: bool) {
        let mut standings = self.latest().standings;
        standings[id as usize].eligible = eligible;
        self.change(|edit, may_lead| edit.change_standing(id, may_lead), standings);
    }

    fn restart(&mut self, id: BrokerId, keeps_its_end: bool) {
        let mut standings = self.latest().standings;
        let epoch = self.versions() as i64;
        standings[id as usize] = Standing { broker_epoch: epoch, eligible: false };
        self.change(|edit, may_lead| edit.restart(id, keeps_its_end, may_lead), standings);
        let known = self.versions() - 2;
        let node = self.node(id);
        node.up = true;
        node.broker_epoch = epoch;
        node.known = known;
        for other in 0..NODES {
            self.connect_to(other, id);
        }
    }

    fn leadership(&self) -> (BrokerId, LeaderEpoch) {
        let partition = &self.latest().partition;
        (partition.leader, partition.leader_epoch)
    }

    fn decide(&mut self, index: usize) {
        let (from, proposal) = self.proposals.remove(index);
        let version = self.latest().clone();
        let standing = |id: BrokerId| {
            let standing = version.standings[id as usize];
            Some((standing.broker_epoch, standing.eligible))
        };
        let outcome = match alter_with(standing, &version.partition, from, &proposal) {
            Ok(partition) => {
                let version = Version { partition, standings: version.standings };
                let agreed = version.agreed();
                if version != *self.latest() {
                    Arc::make_mut(&mut self.history).push(version);
                }
                Outcome::Agreed(agreed)
            }
            Err(AlterError::IneligibleReplica(_) | AlterError::Invalid) => Outcome::Refused,
            Err(AlterError::FencedLeaderEpoch | AlterError::InvalidUpdateVersion | AlterError::UnknownPartition) => Outcome::Outdated,
            Err(AlterError::Behind) => unreachable!("the controller's metadata is the latest"),
        };
        self.outcomes.push((from, proposal.partition_epoch, outcome));
    }

    fn hear(&mut self, index: usize, lost: bool) {
        let (to, partition_epoch, outcome) = self.outcomes.remove(index);
        let now_ms = self.now_ms;
        let Role::Leader(machine) = &mut self.node(to).role else { return };
        let effects = match lost {
            false => machine.on_outcome(partition_epoch, outcome, now_ms),
            true => machine.on_proposal_lost(partition_epoch),
        };
        self.carry_out(to, effects);
    }

    /// Does what changes nothing for anybody, whenever it happens: it need not happen in every order.
    fn settle(&mut self, bounds: &Bounds) {
        loop {
            if bounds.eager {
                self.drop_dead_messages();
            }
            let acted = (0..NODES).any(|id| self.nodes[id as usize].up && self.settle_node(id, bounds));
            if !acted {
                break;
            }
        }
        let known = self.nodes.iter().filter(|node| node.up).map(|node| node.known).min().unwrap_or(self.versions() - 1);
        let past = known - self.forgotten;
        if past > 0 {
            Arc::make_mut(&mut self.history).drain(..past);
            self.forgotten = known;
        }
    }

    fn settle_node(&mut self, id: BrokerId, bounds: &Bounds) -> bool {
        if self.learns_nothing(id) {
            self.node(id).known += 1;
            return true;
        }
        let node = &self.nodes[id as usize];
        match &node.role {
            Role::Follower(leader, machine) if machine.waits() && self.nodes[*leader as usize].knows(machine.leader_epoch()) => {
                self.connect(id);
                return true;
            }
            Role::Leader(machine) if bounds.eager => {
                let sessions = (0..NODES).filter(|other| *other != id).filter_map(|other| machine.session_of(other));
                let ready = sessions.into_iter().find(|session| node.frame(*session).is_some());
                if let Some(session) = ready {
                    self.ship(id, session);
                    return true;
                }
            }
            _ => {}
        }
        let quick = bounds.eager && self.spent.crashes == bounds.crashes && node.durable < node.log.len();
        if quick {
            self.sync(id);
        }
        quick
    }

    /// The next version of the metadata is there, and makes no difference to the node.
    fn learns_nothing(&self, id: BrokerId) -> bool {
        let node = &self.nodes[id as usize];
        if node.known + 1 >= self.versions() || (node.known as i64) + 1 == node.broker_epoch {
            return false;
        }
        let partition = &self.version(node.known + 1).partition;
        match &node.role {
            Role::Follower(leader, machine) => *leader == partition.leader && machine.leader_epoch() == partition.leader_epoch,
            Role::None => partition.leader < 0 || ((node.known + 1) as i64) < node.broker_epoch,
            Role::Leader(_) => false,
        }
    }

    /// A message that its receiver drops now is one that it drops whenever it comes: sessions and questions do not return.
    fn drop_dead_messages(&mut self) {
        for to in 0..NODES {
            for from in 0..NODES {
                let node = &self.nodes[to as usize];
                let pipe = &self.pipes[(from * NODES + to) as usize];
                let dead = pipe.iter().take_while(|message| node.drops(from, message)).count();
                if dead > 0 {
                    self.pipe(from, to).drain(..dead);
                }
            }
        }
    }

    fn ship(&mut self, id: BrokerId, session: SessionId) {
        let Some((to, frame, records)) = self.nodes[id as usize].frame(session) else { return };
        let node = self.node(id);
        let Role::Leader(machine) = &mut node.role else { return };
        machine.on_sent(session, node.log.len() as Offset);
        node.told.retain(|(told, _)| *told != session);
        node.told.push((session, frame.high_watermark));
        self.send(id, to, Message::Frame(frame, records));
    }

    /// Who leads, as the controller sees it, if it has taken the lead.
    fn leading(&self) -> Option<&Node> {
        let (leader, epoch) = self.leadership();
        let node = &**self.nodes.get(usize::try_from(leader).ok()?)?;
        matches!(&node.role, Role::Leader(machine) if machine.leader_epoch() == epoch).then_some(node)
    }

    fn holds(node: &Node, records: &BTreeSet<(Offset, Value)>) -> bool {
        records.iter().all(|(offset, value)| node.log.get(*offset as usize).is_some_and(|(_, found)| found == value))
    }
}

impl Node {
    fn drops(&self, from: BrokerId, message: &Message) -> bool {
        match (message, &self.role) {
            (Message::Replicate(_), _) => false,
            (Message::Answer(answer), Role::Follower(leader, machine)) => *leader != from || !machine.asks(*answer),
            (Message::Frame(frame, _), Role::Follower(leader, machine)) => *leader != from || machine.session() != Some(frame.session),
            (Message::Ack(ack), Role::Leader(machine)) => machine.next_frame(ack.session).is_none(),
            _ => true,
        }
    }

    fn knows(&self, epoch: LeaderEpoch) -> bool {
        self.up && self.known_epoch().is_some_and(|known| known >= epoch)
    }

    fn known_epoch(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Leader(machine) => Some(machine.leader_epoch()),
            Role::Follower(_, machine) => Some(machine.leader_epoch()),
            Role::None => None,
        }
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

/// Said of a world that has to exist, so that the others are not true of nothing.
const WITNESS: &str = "a record is acknowledged after an election";

impl Push {
    pub(super) fn is_invariant(name: &str) -> bool {
        name != WITNESS
    }
}

impl Model for Push {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(&self.bounds);
        world.settle(&self.bounds);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let (bounds, spent) = (&self.bounds, &world.spent);
        let version = world.latest();
        for node in &world.nodes {
            let id = node.id;
            let standing = version.standings[id as usize];
            if !node.up {
                actions.push(Action::Restart(id));
                if standing.eligible {
                    actions.push(Action::Fence(id));
                }
                continue;
            }
            if node.known + 1 < world.versions() {
                actions.push(Action::Learn(id));
            }
            if node.durable < node.log.len() && !(bounds.eager && spent.crashes == bounds.crashes) {
                actions.push(Action::Sync(id));
            }
            if spent.crashes < bounds.crashes {
                actions.push(Action::Crash(id, true));
                if node.durable < node.log.len() {
                    actions.push(Action::Crash(id, false));
                }
            }
            if standing.eligible && spent.fencings < bounds.fencings {
                actions.push(Action::Fence(id));
            }
            if !standing.eligible && node.known as i64 >= node.broker_epoch && node.broker_epoch == standing.broker_epoch {
                actions.push(Action::Unfence(id));
            }
            match &node.role {
                Role::Leader(machine) => {
                    if spent.records < bounds.records && machine.check_in_sync().is_ok() {
                        actions.push(Action::Produce(id));
                    }
                    if spent.lags < bounds.lags {
                        actions.push(Action::Lag(id));
                    }
                    for other in (0..NODES).filter(|other| *other != id && !bounds.eager) {
                        if let Some(session) = machine.session_of(other)
                            && node.frame(session).is_some()
                        {
                            actions.push(Action::Ship(id, session));
                        }
                    }
                }
                Role::Follower(..) | Role::None => {}
            }
            for other in id + 1..NODES {
                let busy = !world.pipes[(id * NODES + other) as usize].is_empty() || !world.pipes[(other * NODES + id) as usize].is_empty();
                if busy && spent.breaks < bounds.breaks {
                    actions.push(Action::Break(id, other));
                }
            }
        }
        for from in 0..NODES {
            for to in 0..NODES {
                if !world.pipes[(from * NODES + to) as usize].is_empty() {
                    actions.push(Action::Deliver(from, to));
                }
            }
        }
        actions.extend((0..world.proposals.len()).map(Action::Decide));
        actions.extend((0..world.outcomes.len()).map(Action::Hear));
        if spent.breaks < bounds.breaks {
            actions.extend((0..world.outcomes.len()).map(Action::Unheard));
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Produce(id) => {
                world.spent.records += 1;
                let value = world.spent.records;
                let now_ms = world.now_ms;
                let node = world.node(id);
                let Role::Leader(machine) = &mut node.role else { return None };
                let offset = node.log.len() as Offset;
                node.log.push((machine.leader_epoch(), value));
                node.waiting.push((offset, value));
                let effects = machine.on_append(offset + 1, now_ms);
                world.carry_out(id, effects);
            }
            Action::Ship(id, session) => world.ship(id, session),
            Action::Deliver(from, to) => world.deliver(from, to),
            Action::Sync(id) => world.sync(id),
            Action::Learn(id) => world.learn(id),
            Action::Crash(id, loses) => {
                world.spent.crashes += 1;
                world.crash(id, loses);
            }
            Action::Restart(id) => world.restart(id, self.bounds.durable),
            Action::Unfence(id) => world.unfence(id),
            Action::Fence(id) => {
                if world.nodes[id as usize].up {
                    world.spent.fencings += 1;
                }
                world.fence(id);
            }
            Action::Break(one, other) => {
                world.spent.breaks += 1;
                world.break_connection(one, other);
                world.connect_to(one, other);
                world.connect_to(other, one);
            }
            Action::Decide(index) => world.decide(index),
            Action::Hear(index) => world.hear(index, false),
            Action::Unheard(index) => {
                world.spent.breaks += 1;
                world.hear(index, true);
            }
            Action::Lag(id) => {
                world.spent.lags += 1;
                world.now_ms += LAG_MAX_MS + 1;
                let now_ms = world.now_ms;
                let Role::Leader(machine) = &mut world.node(id).role else { return None };
                let effects = machine.on_tick(now_ms);
                world.carry_out(id, effects);
            }
        }
        world.settle(&self.bounds);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was acknowledged is in the leader's log", |_, world: &World| {
                world.leading().is_none_or(|leader| World::holds(leader, &world.acked))
            }),
            Property::always("what was shown is in the leader's log", |_, world: &World| {
                world.leading().is_none_or(|leader| World::holds(leader, &world.shown))
            }),
            Property::always("an offset that was shown means one record", |_, world: &World| {
                let offsets: BTreeSet<Offset> = world.shown.iter().map(|(offset, _)| *offset).collect();
                offsets.len() == world.shown.len()
            }),
            Property::always("what comes in order fits", |_, world: &World| !world.misfits),
            Property::always("a high watermark does not fall", |_, world: &World| !world.fell),
            Property::always("one leader for each epoch", |_, world: &World| {
                let epochs: BTreeSet<LeaderEpoch> = world.led.iter().map(|(epoch, _)| *epoch).collect();
                epochs.len() == world.led.len()
            }),
            Property::always("one record for each epoch and offset", |_, world: &World| {
                let mut seen = std::collections::BTreeMap::new();
                world.nodes.iter().all(|node| {
                    node.log.iter().enumerate().all(|(offset, (epoch, value))| *seen.entry((*epoch, offset)).or_insert(*value) == *value)
                })
            }),
            Property::always("logs agree below both high watermarks", |_, world: &World| {
                let agree = |one: &Node, other: &Node| {
                    let common = one.high_watermark.min(other.high_watermark) as usize;
                    one.log.len().min(other.log.len()) >= common && one.log[..common] == other.log[..common]
                };
                world.nodes.iter().all(|one| world.nodes.iter().all(|other| agree(one, other)))
            }),
            Property::always("whoever may be elected has everything acknowledged", |model: &Push, world: &World| {
                let partition = &world.latest().partition;
                let members = partition.in_sync.iter().chain(partition.eligible_leaders.iter());
                // One that lost records it was not to lose says so when it comes back, before it is elected.
                let nodes = members.map(|id| &world.nodes[*id as usize]).filter(|node| node.up || model.bounds.durable);
                nodes.into_iter().all(|node| World::holds(node, &world.acked))
            }),
            Property::sometimes(WITNESS, |_, world: &World| {
                world.acked.iter().any(|(_, value)| *value > 1) && world.led.len() > 1
            }),
        ]
    }
}
