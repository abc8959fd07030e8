//! Whether everything is well: now and then, and once trouble has ended.

use chronik_log::batch::batches;
use chronik_log::{PartitionLog, ReadRequest, records};
use chronik_state::ids::BrokerId;

use super::{Running, TOPIC, World};
use crate::cluster::checkers::{self, Records, ReplicaView, View};

impl World {
    pub(super) fn has_healed(&self) -> bool {
        let writes = self.producers.iter().zip(&self.healed_acks).all(|(producer, acked)| *acked || !producer.all_replicas);
        let all_read = self.positions.iter().all(|(partition, position)| {
            let agreed = self.metadata.image().partition(TOPIC, *partition);
            let leader = agreed.and_then(|agreed| self.nodes.get(&agreed.leader)?.running.as_ref()?.replicas.get(partition));
            leader.is_some_and(|leader| leader.knows_high_watermark() && *position > 0)
        });
        writes && all_read && self.everybody_is_in_sync()
    }

    pub(super) fn what_has_not_healed(&self) -> String {
        let topic = self.metadata.image().topic_by_id(TOPIC);
        let partitions: Vec<_> = topic.iter().flat_map(|topic| topic.partitions.values()).collect();
        format!("{partitions:?}, producers served: {:?}", self.healed_acks)
    }

    pub(super) fn check(&mut self, at_the_end: bool) -> Result<(), String> {
        let image = self.metadata.image();
        let partitions = image.topic_by_id(TOPIC).into_iter().flat_map(|topic| topic.partitions.iter());
        let running = || self.nodes.iter().filter_map(|(id, node)| Some((*id, node.running.as_ref()?)));
        // One that has registered anew, and does not know of it yet, is not what the metadata means.
        let is_meant = |id: BrokerId, running: &Running| {
            image.broker(id).is_some_and(|broker| Some(broker.epoch) == running.broker_epoch)
        };
        let replicas = running().filter(|(id, running)| is_meant(*id, running)).flat_map(|(id, running)| {
            running.replicas.iter().map(move |(partition, replica)| {
                let view = ReplicaView { records: contents(replica.log()), high_watermark: replica.high_watermark() };
                ((*partition, id), view)
            })
        });
        checkers::check(&View {
            history: &self.history,
            known: running().map(|(id, running)| (id, (&running.image, running.applied))).collect(),
            replicas: replicas.collect(),
            partitions: partitions.map(|(index, partition)| (*index, partition)).collect(),
            at_the_end,
        })
    }
}

/// Everything in a log.
pub(super) fn contents(log: &PartitionLog) -> Records {
    let request = ReadRequest { offset: log.log_start_offset(), max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
    let bytes = log.read(request).expect("a log is readable").to_vec().expect("memory");
    let mut found = Records::new();
    for batch in batches(&bytes) {
        let batch = batch.expect("the log's own");
        for record in records::read(&batch) {
            let record = record.expect("the world's own");
            let value = record.value.and_then(|value| <[u8; 8]>::try_from(value).ok()).expect("a number");
            found.insert(record.offset, (batch.leader_epoch(), u64::from_be_bytes(value)));
        }
    }
    found
}
