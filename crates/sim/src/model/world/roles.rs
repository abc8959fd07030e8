//! A node reads the metadata, takes its role, and carries out what a leader decides.

use chronik_state::ids::BrokerId;
use chronik_state::partition::leader;

use super::{Message, World};
use crate::model::node::Role;

impl World {
    pub(super) fn learn(&mut self, id: BrokerId) {
        self.node(id).known += 1;
        self.take_role(id);
    }

    /// What a node does about the version of the metadata it has come to.
    pub(super) fn take_role(&mut self, id: BrokerId) {
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
    pub(super) fn connect(&mut self, id: BrokerId) {
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

    pub(super) fn connect_to(&mut self, id: BrokerId, peer: BrokerId) {
        if matches!(&self.nodes[id as usize].role, Role::Follower(leader, _) if *leader == peer) {
            self.connect(id);
        }
    }

    pub(super) fn carry_out(&mut self, id: BrokerId, effects: leader::Effects) {
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

    pub(super) fn note_shown(&mut self, id: BrokerId) {
        let node = &self.nodes[id as usize];
        let visible = (0..).zip(&node.log).take(node.high_watermark as usize);
        let visible: Vec<_> = visible.map(|(offset, (_, value))| (offset, *value)).collect();
        self.shown.extend(visible);
    }
}
