//! What people and their tools ask of the cluster: topics, elections, another disk in the place of a lost one.

use chronik_consensus::Change;
use chronik_state::ids::{BrokerId, PartitionIndex};
use chronik_state::partition::leader::Confirmation;

use super::{Event, PARTITIONS, World};
use crate::cluster::coordinator::OFFSETS_TOPIC;
use crate::cluster::places::place;
use crate::cluster::requests::{Asker, Request};
use crate::cluster::seat::node_of;

/// Between attempts of somebody who wants something.
const ASK_AGAIN_MS: i64 = 300;

impl World {
    /// Somebody wants a topic, and asks any node until it is there.
    pub(super) fn want_topic(&mut self, topic: PartitionIndex) {
        if self.history.created.contains(&topic) {
            return;
        }
        self.after(ASK_AGAIN_MS, Event::WantTopic { topic });
        let ids = self.ids();
        let by = *self.random.pick(&ids);
        let count = if topic == 0 { PARTITIONS } else { 1 };
        // Three replicas, of which others come first for each partition.
        let replicas = |first: usize| (0..3).map(|next| ids[(first + next) % ids.len()]).collect();
        let assignments = (0..count).map(|index| replicas((topic + index) as usize)).collect();
        let sync = if self.rules.confirmation == Confirmation::Durable { "commit" } else { "interval" };
        self.ask(Asker::Client, by, Request::CreateTopic { topic, assignments, sync });
    }

    /// Whoever wanted it knows: from here on it has to be there.
    pub(super) fn topic_is_created(&mut self, topic: PartitionIndex) {
        if !self.history.created.insert(topic) {
            return;
        }
        if topic == OFFSETS_TOPIC {
            return self.after(1, Event::CommitOffset { attempt: 0 });
        }
        if topic > 0 {
            return self.use_partition(place(topic, 0), &[(true, true)]);
        }
        // Acks=all or acks=1, idempotent or not.
        self.use_partition(place(0, 0), &[(true, true), (true, false)]);
        self.use_partition(place(0, 1), &[(true, true), (false, false)]);
        self.use_partition(place(0, 2), &[(true, true)]);
    }

    /// The preferred replica is to lead again.
    pub(super) fn want_election(&mut self) {
        let places: Vec<_> = self.positions.keys().copied().collect();
        if places.is_empty() {
            return;
        }
        let place = *self.random.pick(&places);
        let ids = self.ids();
        let by = *self.random.pick(&ids);
        self.note(|| format!("--- node {by} is asked for an election of {place}"));
        self.ask(Asker::Client, by, Request::Elect { place });
    }

    /// A member's disk is gone for good: another takes its place in the group.
    pub(super) fn replace_disk(&mut self, old: u64, new: u64) -> Result<(), String> {
        if self.everybody_is_a_member() {
            return Ok(());
        }
        self.after(ASK_AGAIN_MS, Event::ReplaceDisk { old, new });
        let Some(leader) = self.raft_leader() else { return Ok(()) };
        let change = [Change::Voter(new), Change::Remove(old)];
        // Not now, perhaps: it is asked for again.
        self.attend(leader, |seat| _ = seat.council.member.change_membership(&change))
    }

    /// Do all members of the group have the disks that their nodes have now?
    pub(super) fn everybody_is_a_member(&self) -> bool {
        let Some(running) = self.raft_leader().and_then(|leader| self.nodes[&leader].running.as_ref()) else { return false };
        let members = running.seat.council.member.membership();
        let has_its_disk = |id: &u64| {
            self.nodes.get(&node_of(*id)).is_some_and(|node| u64::from(node.directory) == *id & 0xff)
        };
        !members.is_joint() && members.voters.len() == self.nodes.len() && members.voters.iter().all(has_its_disk)
    }

    pub(super) fn everybody_is_in_sync(&self) -> bool {
        let image = self.agreed.image();
        let epoch = |id: BrokerId| image.broker(id).map(|broker| broker.epoch);
        let is_registered = |(id, node): (&BrokerId, &super::Node)| {
            node.running.as_ref().is_some_and(|running| running.broker_epoch.is_some() && running.broker_epoch == epoch(*id))
        };
        let mut partitions = image.topics().flat_map(|topic| topic.partitions.iter());
        self.nodes.iter().all(is_registered)
            && !self.positions.is_empty()
            && partitions.all(|(_, partition)| partition.in_sync.len() == partition.replicas.len())
    }
}
