//! What goes wrong.

use std::path::Path;

use chronik_log::ReadError;
use chronik_state::ids::BrokerId;
use chronik_state::partition::leader::Confirmation;

use super::healing::contents;
use super::{Event, TOPICS_MAX, World};
use crate::cluster::coordinator::OFFSETS_TOPIC;
use crate::cluster::places::{Place, log_id};
use crate::cluster::replica::Replica;
use crate::cluster::seat::{DATA, join, raft_id};
use crate::disk::{Faults, SimDisk, Stop};

/// Bytes that still fit on a disk that fills up, at most.
const LAST_BYTES: u64 = 30_000;

impl World {
    pub(super) fn trouble(&mut self) {
        if self.trouble_is_over {
            return;
        }
        let pause = self.soon(800);
        self.after(pause, Event::Trouble);
        if self.topics_wanted == 0 {
            return self.begin_with_a_topic();
        }
        // Records first.
        if self.peaceful || self.history.acked.is_empty() {
            return;
        }
        let ids = self.ids();
        let id = *self.random.pick(&ids);
        match self.random.below(18) {
            0..4 if self.may_lose(id) => {
                let stop = if self.random.chance(60) { Stop::PowerCut } else { Stop::Kill };
                self.note(|| format!("--- node {id}: {stop:?}"));
                self.crash(id, stop);
            }
            4 if self.every_copy_is_good() => self.lose_disk(id),
            5..7 => self.block(id),
            7 => {
                let other = *self.random.pick(&ids);
                if other != id {
                    self.break_link(id, other);
                }
            }
            8 => self.pause(id),
            9 => self.cut_off_metadata_leader(),
            10 | 11 => self.cut_power_during_a_write(id),
            12 => self.want_election(),
            13 if self.topics_wanted < TOPICS_MAX => {
                self.after(0, Event::WantTopic { topic: self.topics_wanted });
                self.topics_wanted += 1;
            }
            14 => self.fill_disk(id),
            15 => self.hand_over(),
            16 => self.delete_records(),
            17 => self.rot(id),
            _ => {}
        }
    }

    /// When everybody is there.
    fn begin_with_a_topic(&mut self) {
        if self.agreed.image().active_brokers().count() == self.nodes.len() {
            self.topics_wanted = 1;
            self.after(0, Event::WantTopic { topic: 0 });
            self.after(0, Event::WantTopic { topic: OFFSETS_TOPIC });
        }
    }

    /// Where written counts as confirmed, one copy may be lost at a time.
    fn may_lose(&self, id: BrokerId) -> bool {
        let runs = self.nodes[&id].running.is_some();
        runs && (self.rules.confirmation == Confirmation::Durable || self.everybody_is_in_sync())
    }

    /// One more may be lost.
    fn every_copy_is_good(&self) -> bool {
        self.everybody_is_in_sync() && self.everybody_is_a_member() && self.nodes.values().all(|node| !node.rots)
    }

    /// The node comes back with an empty disk, and an operator lets it in as another member.
    pub(super) fn lose_disk(&mut self, id: BrokerId) {
        self.note(|| format!("--- node {id} loses its disk"));
        self.crash(id, Stop::PowerCut);
        let disk = SimDisk::new(self.random.fork());
        join(&disk);
        let node = self.nodes.get_mut(&id).expect("a node");
        node.disk = disk;
        node.rots = false;
        let old = raft_id(id, node.directory);
        node.directory += 1;
        let new = raft_id(id, node.directory);
        self.after(200, Event::ReplaceDisk { old, new });
    }

    /// Nothing gets through from one to another, or between them.
    fn block(&mut self, id: BrokerId) {
        let ids = self.ids();
        let other = *self.random.pick(&ids);
        if other == id {
            return;
        }
        let (for_ms, both) = (self.soon(3_000), self.random.chance(50));
        self.note(|| format!("--- nothing from {id} to {other} for {for_ms} ms, both ways: {both}"));
        self.block_link(id, other, for_ms);
        if both {
            self.block_link(other, id, for_ms);
        }
    }

    fn block_link(&mut self, from: BrokerId, to: BrokerId, for_ms: i64) {
        let until_ms = self.now_ms + for_ms;
        self.link(from, to).blocked_until_ms[usize::from(from > to)] = until_ms;
    }

    fn pause(&mut self, id: BrokerId) {
        let for_ms = self.soon(3_000);
        self.note(|| format!("--- node {id} pauses for {for_ms} ms"));
        let until_ms = self.now_ms + for_ms;
        let node = self.nodes.get_mut(&id).expect("a node");
        node.paused_until_ms = node.paused_until_ms.max(until_ms);
    }

    /// The metadata leader hears nobody, or is not heard, or both.
    fn cut_off_metadata_leader(&mut self) {
        let Some(leader) = self.raft_leader() else { return };
        let (for_ms, which) = (self.soon(3_000), self.random.below(3));
        self.note(|| format!("--- metadata leader {leader} is cut off for {for_ms} ms"));
        for other in self.ids().into_iter().filter(|id| *id != leader) {
            if which != 0 {
                self.block_link(leader, other, for_ms);
            }
            if which != 1 {
                self.block_link(other, leader, for_ms);
            }
        }
    }

    /// One of the next writes is half done when the power fails.
    fn cut_power_during_a_write(&mut self, id: BrokerId) {
        if self.rules.confirmation != Confirmation::Durable || self.nodes[&id].running.is_none() {
            return;
        }
        let soon = 1 + self.random.below(40);
        self.note(|| format!("--- node {id}: the power fails at write {soon} from now"));
        let disk = &self.nodes[&id].disk;
        disk.set_faults(Faults { cut_at: Some(disk.operations() + soon), ..disk.faults() });
    }

    /// A node stops, and a bit of a segment turns over before it is back. What turns over while it runs is found once what was verified
    /// is verified again (docs/adr/0005-reads-verify.md), which is after longer than this world lasts.
    fn rot(&mut self, id: BrokerId) {
        if self.rules.confirmation != Confirmation::Durable || !self.every_copy_is_good() {
            return;
        }
        self.crash(id, Stop::PowerCut);
        let disk = self.nodes[&id].disk.clone();
        let mut files = disk.files_below(&Path::new(DATA).join("topics"));
        files.retain(|(path, length)| *length > 0 && path.extension().is_some_and(|extension| extension == "log"));
        if files.is_empty() {
            return;
        }
        let (path, length) = self.random.pick(&files).clone();
        let (byte, bit) = (self.random.below(length), self.random.below(8) as u8);
        self.note(|| format!("--- node {id}: bit {bit} of byte {byte} of {} turns over", path.display()));
        disk.rot(&path, byte, bit);
        self.nodes.get_mut(&id).expect("a node").rots = true;
    }

    /// Whoever finds that a log is damaged has the disk replaced.
    pub(super) fn replace_rotten_disks(&mut self) {
        for id in self.ids().into_iter().filter(|id| self.nodes[id].rots).collect::<Vec<_>>() {
            let Some(running) = &self.nodes[&id].running else { continue };
            let is_damaged = |replica: &Replica| matches!(contents(replica.log()), Err(ReadError::Corrupt { .. }));
            if running.replicas.values().any(is_damaged) {
                self.fail(id);
            }
        }
    }

    /// Somebody deletes records, or they are too old, while followers may be away.
    fn delete_records(&mut self) {
        let places: Vec<Place> = self.positions.keys().copied().collect();
        let place = *self.random.pick(&places);
        let at = log_id(place);
        let Some(leader) = self.agreed.image().partition(at.topic, at.partition).map(|partition| partition.leader) else { return };
        let Some(running) = self.nodes.get(&leader).and_then(|node| node.running.as_ref()) else { return };
        let Some(replica) = running.replicas.get(&place).filter(|replica| replica.leads_in().is_some()) else { return };
        let kept = self.random.below(20) as i64;
        let offset = (replica.high_watermark() - kept).max(0);
        self.note(|| format!("--- records of {place} before {offset} are deleted"));
        let deleted = self.history.deleted.entry(place).or_insert(0);
        *deleted = offset.max(*deleted);
        self.with_replica(leader, place, |replica, now_ms| replica.delete_records(offset, now_ms));
    }

    /// Little fits on a node's disk any more, for a while.
    fn fill_disk(&mut self, id: BrokerId) {
        if self.rules.confirmation != Confirmation::Durable {
            // A node that fails for want of space may lose what was confirmed from memory.
            return;
        }
        let (bytes, for_ms) = (self.random.below(LAST_BYTES), self.soon(4_000));
        self.note(|| format!("--- node {id}: {bytes} bytes fit on its disk, for {for_ms} ms"));
        let disk = &self.nodes[&id].disk;
        disk.set_faults(Faults { capacity: Some(disk.used_bytes() + bytes), ..disk.faults() });
        self.after(for_ms, Event::EmptyDisk { node: id });
    }

    pub(super) fn empty_disk(&mut self, id: BrokerId) {
        let disk = &self.nodes[&id].disk;
        disk.set_faults(Faults { capacity: None, ..disk.faults() });
    }

    /// The metadata leader is told to hand over.
    fn hand_over(&mut self) {
        let Some(leader) = self.raft_leader() else { return };
        let others: Vec<BrokerId> = self.ids().into_iter().filter(|id| *id != leader).collect();
        let to = *self.random.pick(&others);
        let to = raft_id(to, self.nodes[&to].directory);
        let running = self.nodes.get_mut(&leader).and_then(|node| node.running.as_mut());
        // What comes of it is carried out at its next tick.
        running.into_iter().for_each(|running| running.seat.council.member.transfer_leadership(to));
    }

    pub(super) fn end_trouble(&mut self) {
        self.note(|| "--- no more trouble".into());
        (self.peaceful, self.trouble_is_over) = (true, true);
        for link in self.links.values_mut() {
            link.blocked_until_ms = [0, 0];
        }
        for node in self.nodes.values() {
            node.disk.set_faults(Faults::default());
        }
    }
}
