//! Whether everything is well: now and then, and once trouble has ended.

use std::collections::BTreeMap;

use chronik_log::batch::batches;
use chronik_log::{PartitionLog, ReadError, ReadRequest, records};
use chronik_state::ids::BrokerId;

use super::{Running, World};
use crate::cluster::checkers::{self, Records, ReplicaView, View};
use crate::cluster::coordinator::OFFSETS_TOPIC;
use crate::cluster::places::{log_id, place_of};

impl World {
    pub(super) fn has_healed(&self) -> bool {
        let writes = self.producers.iter().all(|producer| producer.healed || !producer.all_replicas);
        let all_read = self.positions.iter().all(|(place, position)| {
            let agreed = self.agreed.image().partition(log_id(*place).topic, log_id(*place).partition);
            let leader = agreed.and_then(|agreed| self.nodes.get(&agreed.leader)?.running.as_ref()?.replicas.get(place));
            leader.is_some_and(|leader| leader.knows_high_watermark() && *position > 0)
        });
        let mut running = self.nodes.values().filter_map(|node| node.running.as_ref());
        let all_know = running.all(|running| running.applied >= self.agreed.index());
        let decides = self.raft_leader().is_some() && self.everybody_is_a_member();
        writes && all_read && self.groups_have_healed() && all_know && decides && self.all_topics_are_there() && self.everybody_is_in_sync()
    }

    fn all_topics_are_there(&self) -> bool {
        (0..self.topics_wanted).chain([OFFSETS_TOPIC]).all(|topic| self.history.created.contains(&topic))
    }

    pub(super) fn what_has_not_healed(&self) -> String {
        let image = self.agreed.image();
        let partitions: Vec<_> = image.topics().flat_map(|topic| topic.partitions.iter()).collect();
        let served: Vec<bool> = self.producers.iter().map(|producer| producer.healed).collect();
        let applied: Vec<_> = self.nodes.values().map(|node| node.running.as_ref().map(|running| running.applied)).collect();
        let (leader, member) = (self.raft_leader(), self.everybody_is_a_member());
        format!(
            "metadata leader {leader:?}, everybody is a member: {member}, in sync: {}, topics there: {}, group served: {}, decisions {} \
             applied {applied:?}; producers served: {served:?}; {partitions:?}",
            self.everybody_is_in_sync(),
            self.all_topics_are_there(),
            self.groups_have_healed(),
            self.agreed.index()
        )
    }

    pub(super) fn check(&mut self, at_the_end: bool) -> Result<(), String> {
        let image = self.agreed.image();
        let partitions = image.topics().flat_map(|topic| topic.partitions.iter().map(|(index, held)| (place_of(topic.id, *index), held)));
        let running = || self.nodes.iter().filter_map(|(id, node)| Some((*id, node.running.as_ref()?)));
        for (id, node) in running() {
            let council = &node.seat.council;
            let alike = self.agreed.check(id, council.applied_index(), council.applied());
            alike.map_err(|what| format!("the metadata is alike everywhere: {what}"))?;
        }
        // One that has registered anew, and does not know of it yet, is not what the metadata means.
        let is_meant = |id: BrokerId, running: &Running| {
            image.broker(id).is_some_and(|broker| Some(broker.epoch) == running.broker_epoch)
        };
        let mut replicas = BTreeMap::new();
        for (id, running) in running().filter(|(id, running)| is_meant(*id, running)) {
            for (place, replica) in &running.replicas {
                let records = match contents(replica.log()) {
                    Ok(records) => records,
                    // Found out, and not handed out.
                    Err(ReadError::Corrupt { .. }) if self.nodes[&id].rots => continue,
                    // Reading writes an index anew at times, and the power fails at that.
                    Err(_) if !self.nodes[&id].disk.is_powered() => continue,
                    Err(error) => return Err(format!("a log is readable: that of {place} on node {id}: {error}")),
                };
                let log_start_offset = replica.log().log_start_offset();
                replicas.insert((*place, id), ReplicaView { records, log_start_offset, high_watermark: replica.high_watermark() });
            }
        }
        checkers::check(&View {
            history: &self.history,
            agreed: image,
            replicas,
            partitions: partitions.collect(),
            at_the_end,
        })
    }
}

/// Everything in a log.
pub(super) fn contents(log: &PartitionLog) -> Result<Records, ReadError> {
    let request = ReadRequest { offset: log.log_start_offset(), max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
    let read = log.read(request)?;
    let bytes = read.to_vec().map_err(|source| ReadError::Io { path: log.id().to_string().into(), source })?;
    let mut found = Records::new();
    for batch in batches(&bytes) {
        let batch = batch.expect("the log's own");
        for record in records::read(&batch) {
            let record = record.expect("the world's own");
            let value = record.value.and_then(|value| <[u8; 8]>::try_from(value).ok()).expect("a number");
            found.insert(record.offset, (batch.leader_epoch(), u64::from_be_bytes(value)));
        }
    }
    Ok(found)
}
