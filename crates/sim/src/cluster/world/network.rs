//! Connections between nodes: in order while they last, at times slow, blocked or broken.

use chronik_state::ids::BrokerId;
use chronik_state::partition::stream::Verdict;

use super::{Event, Link, World};
use crate::cluster::places::Place;
use crate::cluster::replica::Message;

impl World {
    pub(super) fn link(&mut self, one: BrokerId, other: BrokerId) -> &mut Link {
        self.links.get_mut(&(one.min(other), one.max(other))).expect("two nodes")
    }

    /// How long a message takes.
    pub(super) fn delay_ms(&mut self) -> i64 {
        let slow = !self.peaceful && self.random.chance(5);
        if slow { self.soon(400) } else { self.soon(6) }
    }

    /// Nothing gets through that way at the moment.
    pub(super) fn is_blocked(&self, from: BrokerId, to: BrokerId) -> bool {
        let link = self.links.get(&(from.min(to), from.max(to)));
        link.is_some_and(|link| link.blocked_until_ms[usize::from(from > to)] > self.now_ms)
    }

    pub(super) fn arrive(&mut self, from: BrokerId, to: BrokerId, connection: u32, place: Place, message: Message) {
        let link = self.link(from, to);
        if link.number != connection || !link.connected {
            return;
        }
        let Some(running) = &self.nodes[&to].running else { return };
        match message {
            // What the metadata gives this node it has not heard of: the asker waits.
            Message::Replicate(asked) if !running.replicas.contains_key(&place) => {
                self.send(to, from, place, Message::Answer(asked.answer(Verdict::UnknownEpoch)));
            }
            message => self.with_replica(to, place, |replica, now_ms| replica.on_message(from, message, now_ms)),
        }
    }

    pub(super) fn send(&mut self, from: BrokerId, to: BrokerId, place: Place, message: Message) {
        let (now_ms, direction) = (self.now_ms, usize::from(from > to));
        let delay = self.delay_ms();
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
        self.after(arrives_ms - now_ms, Event::Arrive { from, to, connection, place, message });
    }

    pub(super) fn break_link(&mut self, one: BrokerId, other: BrokerId) {
        let link = self.link(one, other);
        link.number += 1;
        let was = std::mem::replace(&mut link.connected, false);
        if !was {
            return;
        }
        self.statistics.breaks += 1;
        for (id, peer) in [(one, other), (other, one)] {
            for place in self.places(id) {
                self.with_replica(id, place, |replica, now_ms| Ok(replica.on_disconnected(peer, now_ms)));
            }
        }
        let delay = self.soon(200);
        self.after(delay, Event::Connect { one, other });
    }

    pub(super) fn connect(&mut self, one: BrokerId, other: BrokerId) {
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
            for place in self.places(id) {
                self.with_replica(id, place, |replica, _| Ok(replica.on_reachable(peer)));
            }
        }
    }
}
