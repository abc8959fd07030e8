//! Producers and consumers.

use chronik_log::records::BatchBuilder;
use chronik_state::ids::{BrokerId, Offset};

use super::healing::contents;
use super::{Event, PRODUCER_PATIENCE_MS, Producer, World};
use crate::cluster::places::{Place, log_id};
use crate::cluster::replica::Refused;

impl World {
    pub(super) fn produce(&mut self, index: usize, attempt: u32, to: BrokerId) {
        let producer = &self.producers[index];
        let (place, all_replicas, record) = (producer.place, producer.all_replicas, producer.record);
        let mut builder = BatchBuilder::new();
        if producer.idempotent {
            builder = builder.producer(1_000 + index as i64, 0, producer.sequence);
        }
        if producer.attempt != attempt {
            return;
        }
        builder.record(self.now_ms, None, Some(&record.to_be_bytes()), &[]);
        let batch = builder.build();
        let ticket = ((index as u64) << 32) | u64::from(attempt);
        self.with_replica(to, place, |replica, now_ms| replica.produce(batch.as_valid(), all_replicas, ticket, now_ms));
    }

    pub(super) fn on_answered(&mut self, index: usize, attempt: u32, answer: Result<Offset, Refused>) {
        let producer = &self.producers[index];
        let (place, record) = (producer.place, producer.record);
        if producer.attempt != attempt {
            return;
        }
        match answer {
            Ok(offset) => {
                if producer.all_replicas {
                    self.history.acked.insert(record, (place, offset));
                    self.producers[index].healed |= self.trouble_is_over;
                }
                self.next_record(index);
                let pause = self.soon(60);
                self.after(pause, Event::Impatience { producer: index, attempt: attempt + 1 });
                self.producers[index].attempt += 1;
            }
            Err(Refused::Sequence) if producer.idempotent => {
                self.history.broken(|| format!("an idempotent producer's record {record} is out of sequence on {place}"));
            }
            Err(_) => self.on_impatience(index, attempt),
        }
    }

    /// No answer, or one that can be asked for again. A plain producer gives up; an idempotent one may say it again.
    pub(super) fn on_impatience(&mut self, index: usize, attempt: u32) {
        if self.producers[index].attempt != attempt {
            return;
        }
        if self.producers[index].record == 0 || !self.producers[index].idempotent {
            self.next_record(index);
        }
        self.producers[index].attempt += 1;
        let attempt = attempt + 1;
        let place = self.producers[index].place;
        if let Some(to) = self.look_up(index, place) {
            let delay = self.soon(30);
            self.after(delay, Event::Produce { producer: index, attempt, to });
        }
        self.after(PRODUCER_PATIENCE_MS, Event::Impatience { producer: index, attempt });
    }

    /// A client asks any node who leads, and does not go back to an earlier leadership than it knows of (KIP-320).
    pub(super) fn look_up(&mut self, index: usize, place: Place) -> Option<BrokerId> {
        let ids = self.ids();
        let asked = self.random.pick(&ids);
        let image = &self.nodes[asked].running.as_ref()?.image;
        let found = image.partition(log_id(place).topic, log_id(place).partition)?;
        let producer = &mut self.producers[index];
        if found.leader_epoch < producer.leader_epoch || found.leader < 0 {
            return None;
        }
        producer.leader_epoch = found.leader_epoch;
        Some(found.leader)
    }

    pub(super) fn next_record(&mut self, index: usize) {
        let record = self.next_record;
        self.next_record += 1;
        let producer = &mut self.producers[index];
        if producer.record != 0 {
            producer.sequence += 1;
        }
        producer.record = record;
        if producer.idempotent {
            self.history.idempotent.insert(record);
        }
    }

    /// A consumer reads where its leader is, or from any replica (KIP-392).
    pub(super) fn consume(&mut self, place: Place) {
        let delay = self.soon(40);
        self.after(delay, Event::Consume { place });
        let at = log_id(place);
        let Some(agreed) = self.agreed.image().partition(at.topic, at.partition).cloned() else { return };
        let from = if self.random.chance(70) { agreed.leader } else { *self.random.pick(&agreed.replicas) };
        let Some(replica) = self.nodes.get(&from).and_then(|node| node.running.as_ref()?.replicas.get(&place)) else { return };
        let position = self.positions[&place].max(replica.log().log_start_offset());
        let end = replica.high_watermark();
        if position >= end {
            return;
        }
        // What cannot be read is not shown.
        let Ok(log) = contents(replica.log()) else { return };
        for (offset, (_, id)) in log.range(position..end) {
            let shown = *self.history.shown.entry((place, *offset)).or_insert(*id);
            if shown != *id {
                self.history.broken(|| format!("what was shown is kept: {place}@{offset} was {shown}, is {id} on node {from}"));
            }
            self.positions.insert(place, offset + 1);
        }
        // Now and then from the beginning, by another consumer.
        if self.random.chance(3) {
            self.positions.insert(place, 0);
        }
    }

    /// Clients of a topic begin.
    pub(super) fn use_partition(&mut self, place: Place, producers: &[(bool, bool)]) {
        self.positions.insert(place, 0);
        self.after(1, Event::Consume { place });
        for (all_replicas, idempotent) in producers {
            let producer = self.producers.len();
            self.producers.push(Producer {
                place,
                all_replicas: *all_replicas,
                idempotent: *idempotent,
                record: 0,
                sequence: 0,
                leader_epoch: 0,
                attempt: 0,
                healed: false,
            });
            self.after(1, Event::Impatience { producer, attempt: 0 });
        }
    }
}
