//! Appending: a batch gets its offsets and its place in the write-ahead log, in one step under the log's lock.

use std::sync::Arc;

use chronik_state::ids::{LeaderEpoch, Offset, TimestampMs};
use chronik_state::partition::producers::{self, ProducerBatch, Verdict};

use super::{PartitionLog, State, TailBatch};
use crate::batch::{self, BatchView, ValidBatch};
use crate::disk::BLOCK_BYTES;
use crate::errors::AppendError;
use crate::wal::entry::EntryKind;
use crate::wal::{Lsn, NewEntry, SyncClass};

/// How a leader appends.
#[derive(Debug, Clone, Copy)]
pub struct Append {
    /// The leader's epoch, written into the batch.
    pub leader_epoch: LeaderEpoch,
    /// The node's time.
    pub now_ms: TimestampMs,
    /// When the append counts as acknowledged.
    pub sync: SyncClass,
    /// The node's own metadata may use the space that is kept for it when the disk is full.
    pub privileged: bool,
}

/// How a follower appends.
#[derive(Debug, Clone, Copy)]
pub struct Replicate {
    /// The node's time.
    pub now_ms: TimestampMs,
    /// When the append counts as confirmed.
    pub sync: SyncClass,
    /// It may use the space that is kept for the node's metadata when the disk is full.
    pub privileged: bool,
}

/// What of a batch is given to it as it is appended.
struct Assigned {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    log_append_time: bool,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// Offset of its last.
    pub last_offset: Offset,
    /// The batch is acknowledged when `durable_lsn` (or `written_lsn`, for [`SyncClass::Interval`]) reaches this.
    pub lsn: Lsn,
    /// The broker's time that was put into the batch; −1 where the producer's stands.
    pub log_append_time_ms: TimestampMs,
    /// The producer had sent it before; offsets are those of the first time (KIP-98).
    pub duplicate: bool,
}

impl PartitionLog {
    /// Appends a batch as the partition's leader. It can be read at once, and is acknowledged by position: see
    /// [`Appended::lsn`]. A batch of an idempotent producer is checked against what that producer wrote before.
    pub fn append(&self, batch: ValidBatch<'_>, append: Append) -> Result<Appended, AppendError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Err(AppendError::Deleted);
        }
        let producer = producer_batch(&batch);
        if let Some(producer) = &producer
            && let Verdict::Duplicate(original) = state.producers.check(producer)?
        {
            return Ok(state.duplicate(original));
        }
        self.refuse_if_full(append.privileged)?;
        let assigned = Assigned {
            base_offset: self.log_end_offset(),
            leader_epoch: append.leader_epoch,
            log_append_time: state.config.log_append_time,
        };
        self.append_new(&mut state, batch, producer, append, assigned)
    }

    /// Appends a batch as a follower: as the leader wrote it, with its offset, epoch and time. What its producer wrote before
    /// is noted, not asked about: the leader did that. Returns the LSN to wait for.
    ///
    /// # Panics
    /// If the batch begins before the log's end; but the first batch of an empty log may reach over its start.
    pub fn append_replica(&self, batch: ValidBatch<'_>, replicate: Replicate) -> Result<Lsn, AppendError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Err(AppendError::Deleted);
        }
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        let (base_offset, last_offset) = (batch.base_offset(), batch.last_offset());
        let follows = base_offset >= end || (start == end && last_offset >= end);
        assert!(follows, "offsets {base_offset} to {last_offset} do not follow a log from {start} to {end}");
        self.refuse_if_full(replicate.privileged)?;
        let Replicate { now_ms, sync, privileged } = replicate;
        let leader_epoch = batch.leader_epoch();
        let append = Append { leader_epoch, now_ms, sync, privileged };
        let assigned = Assigned { base_offset, leader_epoch, log_append_time: false };
        let producer = producer_batch(&batch);
        Ok(self.append_new(&mut state, batch, producer, append, assigned)?.lsn)
    }

    fn refuse_if_full(&self, privileged: bool) -> Result<(), AppendError> {
        if self.shared.is_full() && !privileged {
            return Err(AppendError::Full);
        }
        Ok(())
    }

    fn append_new(
        &self,
        state: &mut State,
        batch: ValidBatch<'_>,
        producer: Option<ProducerBatch>,
        append: Append,
        assigned: Assigned,
    ) -> Result<Appended, AppendError> {
        let Assigned { base_offset, leader_epoch, log_append_time: stamp } = assigned;
        let entry = NewEntry {
            kind: EntryKind::Batch,
            log: self.id,
            now_ms: append.now_ms,
            payload_bytes: batch.bytes().len(),
            class: append.sync,
            privileged: append.privileged,
            lies_at: self.lies_at(state, batch.bytes().len()),
        };
        self.mark_dirty(state);
        let reserved = self.shared.wal.reserve(&entry)?;
        let written = self.shared.wal.write(reserved, &entry, batch.bytes(), |bytes| {
            batch::assign(bytes, base_offset, leader_epoch);
            if stamp {
                batch::stamp_log_append_time(bytes, append.now_ms);
            }
        });
        let last_offset = base_offset + i64::from(batch.last_offset_delta());
        let tail_batch = TailBatch {
            bytes: written.payload,
            base_offset,
            last_offset,
            max_timestamp: if stamp { append.now_ms } else { batch.max_timestamp() },
            appended_ms: append.now_ms,
            end_lsn: written.end_lsn,
        };
        state.touched_ms = append.now_ms;
        self.take_in(state, tail_batch, leader_epoch, producer);
        let log_append_time_ms = if stamp { append.now_ms } else { -1 };
        Ok(Appended { base_offset, last_offset, lsn: written.end_lsn, log_append_time_ms, duplicate: false })
    }

    /// Where in a disk block the next batch will begin once it is in a segment, if it is large enough for that to matter
    /// and no segment is begun before: whole blocks of it are then written to the segment from where they lie.
    fn lies_at(&self, state: &State, bytes: usize) -> Option<u16> {
        let position = state.active.map_or(0, |active| active.length) + state.tail_bytes;
        (bytes >= self.shared.options.aligned_batch_bytes).then_some((position % BLOCK_BYTES as u64) as u16)
    }

    /// What a batch changes, whether it was just appended or is replayed.
    pub(super) fn take_in(&self, state: &mut State, batch: TailBatch, epoch: LeaderEpoch, producer: Option<ProducerBatch>) {
        if state.epochs.latest().is_none_or(|latest| latest.epoch != epoch) && epoch >= 0 {
            Arc::make_mut(&mut state.epochs).assign(epoch, batch.base_offset);
        }
        if let Some(producer) = producer {
            let appended = producers::Appended {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                timestamp: batch.max_timestamp,
            };
            state.producers.apply(&producer, appended, batch.appended_ms);
        }
        let bytes = batch.bytes.len() as u64;
        state.tail_bytes += bytes;
        state.last_lsn = batch.end_lsn;
        self.set_log_end(batch.last_offset + 1);
        state.tail.push_back(batch);
        let newly_ripe = !std::mem::replace(&mut state.ripe, true);
        self.shared.note_tail(self.id, bytes, newly_ripe);
    }
}

impl State {
    /// The answer to a batch that is in the log already: durable when the log's last entry is, if not before.
    fn duplicate(&self, original: producers::Appended) -> Appended {
        let in_tail = self.tail.binary_search_by_key(&original.base_offset, |batch| batch.base_offset);
        Appended {
            base_offset: original.base_offset,
            last_offset: original.last_offset,
            lsn: in_tail.map_or(self.last_lsn, |index| self.tail[index].end_lsn),
            log_append_time_ms: if self.config.log_append_time { original.timestamp } else { -1 },
            duplicate: true,
        }
    }
}

/// What the producer machine is asked about; `None` for a batch without producer, and for control batches, which
/// coordinators write.
pub(super) fn producer_batch(batch: &BatchView<'_>) -> Option<ProducerBatch> {
    (batch.producer_id() >= 0 && !batch.is_control()).then(|| ProducerBatch {
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        first_sequence: batch.base_sequence(),
        last_sequence: batch.last_sequence(),
        is_transactional: batch.is_transactional(),
    })
}

#[cfg(test)]
mod tests {
    use chronik_state::ids::{LogId, TopicId};

    use super::*;
    use crate::disk::RealDisk;
    use crate::records::BatchBuilder;
    use crate::{LogConfig, Storage, StorageOptions};

    #[test]
    fn large_batches_lie_in_memory_as_they_will_in_their_segment() {
        let directory = tempfile::tempdir().unwrap();
        let (storage, _) = Storage::open(Arc::new(RealDisk), StorageOptions::new(directory.path()), 0).unwrap();
        let log = storage.create(LogId { topic: TopicId([7; 16]), partition: 0 }, LogConfig::default()).unwrap();
        let append = Append { leader_epoch: 1, now_ms: 1, sync: SyncClass::Commit, privileged: false };
        let mut position = 0;
        for bytes in [100, 40_000, 33_000, 7, 100_000, 40_001] {
            let mut builder = BatchBuilder::new();
            builder.record(1, None, Some(&vec![bytes as u8; bytes]), &[]);
            log.append(builder.build().as_valid(), append).unwrap();
            let batch = log.state.lock().tail.back().expect("just appended").clone();
            let memory_at = batch.bytes.as_ptr().addr() % BLOCK_BYTES;
            assert_eq!(memory_at == position % BLOCK_BYTES, bytes >= 32 << 10, "a batch of {bytes} bytes at {position}");
            position += batch.bytes.len();
            if bytes == 33_000 {
                storage.upkeep(2, true).unwrap();
                assert!(log.state.lock().tail.is_empty());
            }
        }
    }
}
