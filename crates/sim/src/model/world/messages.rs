//! What comes to a node: messages, a quick disk, a broken connection, its end.

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::partition::leader;
use chronik_state::partition::stream::{Replicate, Verdict};

use super::{Message, NODES, World};
use crate::model::node::{Role, Value};

impl World {
    pub(super) fn deliver(&mut self, from: BrokerId, to: BrokerId) {
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

    pub(super) fn on_replicate(&mut self, to: BrokerId, asked: Replicate) {
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

    pub(super) fn on_follower(&mut self, id: BrokerId, leader: BrokerId, effects: &chronik_state::partition::follower::Effects, records: &[(LeaderEpoch, Value)]) {
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

    pub(super) fn sync(&mut self, id: BrokerId) {
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

    pub(super) fn break_connection(&mut self, one: BrokerId, other: BrokerId) {
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

    pub(super) fn crash(&mut self, id: BrokerId, loses: bool) {
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
}
