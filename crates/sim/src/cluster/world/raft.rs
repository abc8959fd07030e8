//! The metadata's Raft group: time, messages that may be lost, doubled and late in any order, and what comes of them.

use std::sync::Arc;

use chronik_consensus::{Message, Role, Voted, stored, voted};
use chronik_state::ids::BrokerId;
use chronik_state::partition::leader::Confirmation;

use super::{Event, World, running_mut};
use crate::cluster::checkers::{note_overruled, note_raft_leader, note_stored, note_vote};
use crate::cluster::requests::{Asker, Reply, Request};
use crate::cluster::seat::{RAFT_TICK_MS, Seat, Settled, node_of, raft_id};

impl World {
    pub(super) fn raft_tick(&mut self, id: BrokerId) -> Result<(), String> {
        let life = self.nodes[&id].life;
        self.after(RAFT_TICK_MS, Event::RaftTick { node: id, life });
        self.attend(id, |seat| seat.council.member.tick())?;
        if self.lives(id, life) { self.look_for_silent(id) } else { Ok(()) }
    }

    pub(super) fn on_raft(&mut self, to: BrokerId, message: Message) -> Result<(), String> {
        let node = &self.nodes[&to];
        if node.running.is_none() || message.to != raft_id(to, node.directory) {
            return Ok(());
        }
        if !message.entries.is_empty() || message.snapshot.is_some() {
            note_overruled(&mut self.history, message.to, message.term);
        }
        // What a member refuses it refuses for a reason; nobody hears of it.
        self.attend(to, |seat| _ = seat.council.step(message))
    }

    pub(super) fn on_snapshot_sent(&mut self, id: BrokerId, to: u64, arrived: bool) -> Result<(), String> {
        self.attend(id, |seat| seat.council.member.snapshot_sent(to, arrived))
    }

    /// Something is asked of the metadata leader. Nobody answers where that is not this node.
    pub(super) fn on_ask(&mut self, asker: Asker, to: BrokerId, request: Request) -> Result<(), String> {
        let now_ms = self.clock_ms(to);
        // What a process asked goes with its connection when it ends.
        if let Asker::Node(id, life) = asker
            && !self.lives(id, life)
        {
            return Ok(());
        }
        let Some(running) = self.nodes.get_mut(&to).and_then(|node| node.running.as_mut()) else { return Ok(()) };
        let from = match asker {
            Asker::Node(id, _) => Some(id),
            Asker::Client => None,
        };
        let Some((records, reply)) = running.seat.decide(from, request, now_ms) else { return Ok(()) };
        running.seat.propose(&records, asker, reply);
        self.attend(to, |_| {})
    }

    /// The leader looks who is silent.
    fn look_for_silent(&mut self, id: BrokerId) -> Result<(), String> {
        let now_ms = self.clock_ms(id);
        let running = running_mut(&mut self.nodes, id);
        let Some(records) = running.seat.fence_silent(id, now_ms) else { return Ok(()) };
        running.seat.propose(&records, Asker::Client, None);
        self.attend(id, |_| {})
    }

    /// An event of the group on a node, with all that comes of it.
    pub(super) fn attend(&mut self, id: BrokerId, event: impl FnOnce(&mut Seat)) -> Result<(), String> {
        let now_ms = self.clock_ms(id);
        let running = running_mut(&mut self.nodes, id);
        event(&mut running.seat);
        let storage = Arc::clone(&running.storage);
        let Settled { messages, applied, replies, error } = running.seat.settle(&storage, now_ms);
        let standing = running.seat.council.standing();
        let own = running.seat.council.member.id();
        // What it said before it failed was said.
        self.send_raft(id, messages);
        if standing.role == Role::Leader {
            note_raft_leader(&mut self.history, standing.term, own);
        }
        for (asker, reply) in replies {
            self.answer(id, asker, reply);
        }
        let life = self.nodes[&id].life;
        for news in applied {
            self.agreed.on_applied(id, &news).map_err(|what| format!("the metadata is alike everywhere: {what}"))?;
            if self.lives(id, life) {
                self.on_decision(id, news)?;
            }
        }
        if let Some(error) = error
            && self.lives(id, life)
        {
            self.note(|| format!("node {id} stops: {error}"));
            self.fail(id);
        }
        Ok(())
    }

    fn send_raft(&mut self, from: BrokerId, messages: Vec<Message>) {
        let life = self.nodes[&from].life;
        for message in messages {
            if let Some(vote) = voted(&message) {
                note_vote(&mut self.history, vote);
                self.tempt(from, vote);
            }
            if let Some(stored) = stored(&message) {
                note_stored(&mut self.history, stored);
            }
            let to = node_of(message.to);
            let arrives = !self.is_blocked(from, to) && !self.is_unlucky();
            if message.snapshot.is_some() {
                let (delay, to) = (self.soon(100), message.to);
                self.after(delay, Event::SnapshotSent { node: from, life, to, arrived: arrives });
            }
            if !arrives {
                continue;
            }
            let again = !self.peaceful && self.random.chance(2);
            for _ in 0..1 + usize::from(again) {
                let delay = self.delay_ms();
                self.after(delay, Event::Raft { to, message: Box::new(message.clone()) });
            }
        }
    }

    /// The moment at which a member would do the most harm if it forgot: it has just voted, and stops.
    fn tempt(&mut self, id: BrokerId, vote: Voted) {
        let may = !self.peaceful && self.rules.confirmation == Confirmation::Durable;
        if may && vote.by != vote.to && self.random.chance(8) {
            let (life, delay) = (self.nodes[&id].life, self.soon(4));
            self.after(delay, Event::PowerCut { node: id, life });
        }
    }

    fn answer(&mut self, from: BrokerId, to: Asker, reply: Reply) {
        let is_blocked = match to {
            Asker::Node(id, _) => self.is_blocked(from, id),
            Asker::Client => false,
        };
        if !is_blocked && !self.is_unlucky() {
            let delay = self.delay_ms();
            self.after(delay, Event::Reply { to, reply });
        }
    }

    /// Takes a request to whoever a node holds for the metadata leader.
    pub(super) fn ask(&mut self, asker: Asker, by: BrokerId, request: Request) {
        let Some(running) = &self.nodes[&by].running else { return };
        let Some(leader) = running.seat.council.standing().leader else { return };
        let to = node_of(leader);
        if !self.is_blocked(by, to) && !self.is_unlucky() {
            let delay = self.delay_ms();
            self.after(delay, Event::Ask { asker, to, request });
        }
    }

    /// The node that leads the group, as it holds itself.
    pub(super) fn raft_leader(&self) -> Option<BrokerId> {
        let leads = |id: &&BrokerId| {
            let running = self.nodes[id].running.as_ref();
            running.is_some_and(|running| running.seat.council.standing().role == Role::Leader)
        };
        self.nodes.keys().filter(leads).max_by_key(|id| {
            self.nodes[id].running.as_ref().map(|running| running.seat.council.standing().term)
        }).copied()
    }
}
