//! What changes nothing for anybody, and so need not happen in every order.

use std::collections::BTreeSet;
use std::sync::Arc;

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::partition::stream::SessionId;

use super::{Bounds, Message, NODES, World};
use crate::model::node::{Node, Role, Value};

impl World {
    /// Does what changes nothing for anybody, whenever it happens: it need not happen in every order.
    pub(super) fn settle(&mut self, bounds: &Bounds) {
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

    pub(super) fn settle_node(&mut self, id: BrokerId, bounds: &Bounds) -> bool {
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
    pub(super) fn learns_nothing(&self, id: BrokerId) -> bool {
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
    pub(super) fn drop_dead_messages(&mut self) {
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

    pub(super) fn ship(&mut self, id: BrokerId, session: SessionId) {
        let Some((to, frame, records)) = self.nodes[id as usize].frame(session) else { return };
        let node = self.node(id);
        let Role::Leader(machine) = &mut node.role else { return };
        machine.on_sent(session, node.log.len() as Offset);
        node.told.retain(|(told, _)| *told != session);
        node.told.push((session, frame.high_watermark));
        self.send(id, to, Message::Frame(frame, records));
    }

    /// Who leads, as the controller sees it, if it has taken the lead.
    pub(super) fn leading(&self) -> Option<&Node> {
        let (leader, epoch) = self.leadership();
        let node = &**self.nodes.get(usize::try_from(leader).ok()?)?;
        matches!(&node.role, Role::Leader(machine) if machine.leader_epoch() == epoch).then_some(node)
    }

    pub(super) fn holds(node: &Node, records: &BTreeSet<(Offset, Value)>) -> bool {
        records.iter().all(|(offset, value)| node.log.get(*offset as usize).is_some_and(|(_, found)| found == value))
    }
}

impl Node {
    pub(super) fn drops(&self, from: BrokerId, message: &Message) -> bool {
        match (message, &self.role) {
            (Message::Replicate(_), _) => false,
            (Message::Answer(answer), Role::Follower(leader, machine)) => *leader != from || !machine.asks(*answer),
            (Message::Frame(frame, _), Role::Follower(leader, machine)) => *leader != from || machine.session() != Some(frame.session),
            (Message::Ack(ack), Role::Leader(machine)) => machine.next_frame(ack.session).is_none(),
            _ => true,
        }
    }

    pub(super) fn knows(&self, epoch: LeaderEpoch) -> bool {
        self.up && self.known_epoch().is_some_and(|known| known >= epoch)
    }

    pub(super) fn known_epoch(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Leader(machine) => Some(machine.leader_epoch()),
            Role::Follower(_, machine) => Some(machine.leader_epoch()),
            Role::None => None,
        }
    }
}
