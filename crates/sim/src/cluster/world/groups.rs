//! A client commits offsets one after the other, and asks for them again, of whoever coordinates its group.

use chronik_log::records::BatchBuilder;
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};

use super::healing::contents;
use super::{Event, PRODUCER_PATIENCE_MS, World, running_mut};
use crate::cluster::coordinator::{Coordinator, offsets_place};
use crate::cluster::places::log_id;

/// The client.
#[derive(Default)]
pub(super) struct Committer {
    /// What it commits now, and says again until it is answered.
    offset: Offset,
    /// The last one that was answered.
    acked: Offset,
    /// Counts what was sent.
    attempt: u64,
    /// The newest leadership it knows of.
    leader_epoch: LeaderEpoch,
    /// A commit and a look at it were answered after trouble had ended.
    healed: (bool, bool),
}

impl World {
    pub(super) fn groups_have_healed(&self) -> bool {
        self.committer.healed == (true, true)
    }

    /// The coordinator is where the partition is led; it begins with what the log says.
    pub(super) fn look_at_coordinator(&mut self, id: BrokerId) {
        let now_ms = self.clock_ms(id);
        let says = &self.group_records;
        let Some(running) = self.nodes.get_mut(&id).and_then(|node| node.running.as_mut()) else { return };
        let Some(replica) = running.replicas.get(&offsets_place()) else { return };
        let leads_in = replica.leads_in();
        if running.coordinator.as_ref().map(|coordinator| coordinator.leader_epoch) == leads_in {
            return;
        }
        // Whoever waits for an answer of the one before hears nothing.
        // A log that cannot be read is read again by whoever asks next.
        running.coordinator = leads_in.and_then(|epoch| {
            let log = replica.log();
            Some(Coordinator::load(epoch, &contents(log).ok()?, says, log.log_end_offset(), now_ms))
        });
    }

    /// The next commit, or the same again.
    pub(super) fn commit_offset(&mut self, attempt: u64) {
        if self.committer.attempt != attempt {
            return;
        }
        self.committer.attempt += 1;
        let attempt = attempt + 1;
        if let Some(to) = self.find_coordinator() {
            let (delay, offset) = (self.soon(30), self.committer.offset.max(1));
            self.committer.offset = offset;
            self.after(delay, Event::OffsetCommit { attempt, offset, to });
            let (delay, at_least) = (self.soon(30), self.committer.acked);
            self.after(delay, Event::OffsetFetch { at_least, to });
        }
        self.after(PRODUCER_PATIENCE_MS, Event::CommitOffset { attempt });
    }

    fn find_coordinator(&mut self) -> Option<BrokerId> {
        let ids = self.ids();
        let asked = self.random.pick(&ids);
        let at = log_id(offsets_place());
        let found = self.nodes[asked].running.as_ref()?.image.partition(at.topic, at.partition)?;
        if found.leader_epoch < self.committer.leader_epoch || found.leader < 0 {
            return None;
        }
        self.committer.leader_epoch = found.leader_epoch;
        Some(found.leader)
    }

    pub(super) fn on_offset_commit(&mut self, attempt: u64, offset: Offset, id: BrokerId) {
        let now_ms = self.clock_ms(id);
        let Some(running) = self.nodes.get_mut(&id).and_then(|node| node.running.as_mut()) else { return };
        let Some(coordinator) = &mut running.coordinator else { return };
        let leader_epoch = coordinator.leader_epoch;
        let Some(append) = coordinator.commit(attempt, offset, now_ms) else { return self.tell_committed(id) };
        let mut batch = BatchBuilder::new();
        for record in &append.records {
            let number = self.next_record;
            self.next_record += 1;
            self.group_records.insert(number, record.clone());
            batch.record(now_ms, None, Some(&number.to_be_bytes()), &[]);
        }
        let (batch, life) = (batch.build(), self.nodes[&id].life);
        let mut base_offset = None;
        self.with_replica(id, offsets_place(), |replica, now_ms| {
            let (base, effects) = replica.append_own(batch.as_valid(), leader_epoch, now_ms)?;
            base_offset = base;
            Ok(effects)
        });
        if self.lives(id, life)
            && let Some(coordinator) = &mut running_mut(&mut self.nodes, id).coordinator
        {
            coordinator.on_appended(append, base_offset, now_ms);
            self.tell_committed(id);
        }
    }

    /// Answers that what the log says is committed.
    pub(super) fn tell_committed(&mut self, id: BrokerId) {
        let Some(running) = self.nodes.get_mut(&id).and_then(|node| node.running.as_mut()) else { return };
        let (Some(coordinator), Some(replica)) = (&mut running.coordinator, running.replicas.get(&offsets_place())) else { return };
        if replica.leads_in() != Some(coordinator.leader_epoch) {
            return;
        }
        for (attempt, taken) in coordinator.told(replica.high_watermark()) {
            if taken && !self.is_unlucky() {
                let delay = self.soon(10);
                self.after(delay, Event::OffsetCommitted { attempt });
            }
        }
    }

    pub(super) fn on_offset_committed(&mut self, attempt: u64) {
        let committer = &mut self.committer;
        if committer.attempt != attempt {
            return;
        }
        committer.acked = committer.offset;
        committer.offset += 1;
        committer.healed.0 |= self.trouble_is_over;
        self.statistics.commits += 1;
        let pause = self.soon(100);
        self.after(pause, Event::CommitOffset { attempt });
    }

    /// A coordinator says what is committed, once everything that it knows of is.
    pub(super) fn on_offset_fetch(&mut self, at_least: Offset, id: BrokerId) {
        let Some(running) = self.nodes[&id].running.as_ref() else { return };
        let (Some(coordinator), Some(replica)) = (&running.coordinator, running.replicas.get(&offsets_place())) else { return };
        let leads = replica.leads_in() == Some(coordinator.leader_epoch);
        if !leads || replica.high_watermark() < coordinator.end_offset {
            return;
        }
        let (committed, tried) = (coordinator.committed(), self.committer.offset);
        if committed < at_least && at_least > 0 || committed > tried {
            let what = || format!("a committed offset is kept: node {id} says {committed}, {at_least} was acknowledged and {tried} tried");
            self.history.broken(what);
        }
        self.committer.healed.1 |= self.trouble_is_over;
    }
}
