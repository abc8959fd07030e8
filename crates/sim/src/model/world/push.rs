//! What may happen in the world, and what must hold.

use std::collections::BTreeSet;

use chronik_state::ids::{LeaderEpoch, Offset};
use stateright::{Model, Property};

use super::{Action, LAG_MAX_MS, NODES, Push, World};
use crate::model::node::{Node, Role};

/// Said of a world that has to exist, so that the others are not true of nothing.
const WITNESS: &str = "a record is acknowledged after an election";

impl Push {
    pub(in crate::model) fn is_invariant(name: &str) -> bool {
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
