//! What goes wrong.

use chronik_state::ids::BrokerId;
use chronik_state::partition::leader::Confirmation;

use super::{Event, Node, PARTITIONS, TOPIC, World};
use crate::disk::{SimDisk, Stop};

impl World {
    pub(super) fn trouble(&mut self) {
        if self.metadata.image().topic_by_id(TOPIC).is_none() {
            return self.create_topic();
        }
        if self.peaceful {
            return;
        }
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        let id = *self.random.pick(&ids);
        let other = *self.random.pick(&ids);
        let for_ms = self.soon(3_000);
        let now_ms = self.now_ms;
        match self.random.below(10) {
            0..3 if self.may_lose(id) => {
                let stop = if self.random.chance(60) { Stop::PowerCut } else { Stop::Kill };
                self.note(|| format!("--- node {id}: {stop:?}"));
                self.crash(id, stop);
            }
            3 if self.everybody_is_in_sync() => {
                self.note(|| format!("--- node {id} loses its disk"));
                self.crash(id, Stop::PowerCut);
                let disk = SimDisk::new(self.random.fork());
                let node = self.nodes.get_mut(&id).expect("a node");
                node.disk = disk;
                node.directory += 1;
            }
            4 | 5 if id != other => {
                self.note(|| format!("--- nothing from {id} to {other} for {for_ms} ms"));
                let direction = usize::from(id > other);
                let both = self.random.chance(50);
                let link = self.link(id, other);
                link.blocked_until_ms[direction] = now_ms + for_ms;
                if both {
                    link.blocked_until_ms[1 - direction] = now_ms + for_ms;
                }
            }
            6 if id != other => self.break_link(id, other),
            7 => {
                self.note(|| format!("--- node {id} pauses for {for_ms} ms"));
                let node = self.nodes.get_mut(&id).expect("a node");
                node.paused_until_ms = node.paused_until_ms.max(now_ms + for_ms);
            }
            8 => {
                self.note(|| format!("--- no controller for {for_ms} ms"));
                self.metadata.change_controller(now_ms + for_ms);
            }
            _ => {}
        }
        let pause = self.soon(900);
        self.after(pause, Event::Trouble);
    }

    /// Where written counts as confirmed, one copy may be lost at a time.
    pub(super) fn may_lose(&mut self, id: BrokerId) -> bool {
        let runs = self.nodes[&id].running.is_some();
        runs && (self.rules.confirmation == Confirmation::Durable || self.everybody_is_in_sync())
    }

    pub(super) fn everybody_is_in_sync(&self) -> bool {
        let Some(topic) = self.metadata.image().topic_by_id(TOPIC) else { return false };
        let epoch = |id: &BrokerId| self.metadata.image().broker(*id).map(|broker| broker.epoch);
        let is_registered = |(id, node): (&BrokerId, &Node)| {
            node.running.as_ref().is_some_and(|running| running.broker_epoch.is_some() && running.broker_epoch == epoch(id))
        };
        self.nodes.iter().all(is_registered) && topic.partitions.values().all(|partition| partition.in_sync.len() == partition.replicas.len())
    }

    pub(super) fn create_topic(&mut self) {
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        if self.metadata.image().active_brokers().count() < ids.len() {
            return self.after(100, Event::Trouble);
        }
        let replicas = |first: usize| (0..3).map(|next| ids[(first + next) % ids.len()]).collect();
        let assignments = (0..PARTITIONS as usize).map(replicas).collect();
        let sync = if self.rules.confirmation == Confirmation::Durable { "commit" } else { "interval" };
        self.metadata.create_topic(TOPIC, assignments, vec![("min.insync.replicas", "2"), ("chronik.sync", sync)]);
        self.after(1_000, Event::Trouble);
    }

    pub(super) fn end_trouble(&mut self) {
        self.note(|| "--- no more trouble".into());
        for link in self.links.values_mut() {
            link.blocked_until_ms = [0, 0];
        }
    }
}
