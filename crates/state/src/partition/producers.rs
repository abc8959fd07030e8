//! Idempotence: the last five batches of every producer of one partition (KIP-98, KIP-360).
//!
//! A producer numbers its records from 0. A batch that comes again is recognised by its exact sequence range and answered
//! with the offset it already has; a batch that leaves a gap is refused. The leader asks [`check`](Producers::check)
//! before it appends and calls [`apply`](Producers::apply) after; replay and followers only apply, because what is in
//! the log has been decided.
//!
//! ```text
//!   sequences   0..9   10..14   15..15   16..40   41..41    next must be 42
//!               └── an exact match of one of these is a duplicate ──┘
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use crate::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter};

/// As many batches as a client may have in flight on one connection and still be idempotent.
pub const BATCHES_REMEMBERED: usize = 5;

/// Kafka's `producer.id.expiration.ms`: an idle producer is forgotten after a day.
pub const DEFAULT_EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

const NO_EPOCH: ProducerEpoch = -1;
const SNAPSHOT_VERSION: u8 = 1;

/// What the header of a batch says about its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Never −1: a batch without producer needs no check.
    pub producer_id: ProducerId,
    /// Fences older incarnations of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub first_sequence: i32,
    /// Sequence of the last record; see [`last_sequence`].
    pub last_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
}

/// Where and when a batch was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The batch's own max timestamp, which a duplicate is answered with.
    pub timestamp: TimestampMs,
}

/// What the leader has to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// New and in sequence: append, then apply.
    Append,
    /// Already in the log: answer with these offsets, once they are as durable and as committed as `acks` asks.
    Duplicate(Appended),
}

/// Why a batch may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// A newer incarnation of this producer has written: INVALID_PRODUCER_EPOCH.
    #[error("epoch {found} of producer {producer_id} is smaller than the last seen epoch {current}")]
    InvalidProducerEpoch { producer_id: ProducerId, found: ProducerEpoch, current: ProducerEpoch },
    /// A batch is missing before this one, or it is a duplicate too old to know: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error("out of order sequence number for producer {producer_id}: {found} (incoming), {last} (current end)")]
    OutOfOrderSequence { producer_id: ProducerId, found: i32, last: i32 },
    /// A new epoch counts from 0: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error("producer {producer_id} opens epoch {epoch} with sequence number {found} instead of 0")]
    NewEpochNotAtZero { producer_id: ProducerId, epoch: ProducerEpoch, found: i32 },
    /// Negative or reversed numbers that no client sends: INVALID_RECORD.
    #[error("producer {producer_id} sent epoch {epoch} and sequence {found}, which do not exist")]
    Malformed { producer_id: ProducerId, epoch: ProducerEpoch, found: i32 },
    /// A plain write while the producer's transaction is open: INVALID_TXN_STATE.
    #[error("expected a transactional write from producer {producer_id}")]
    TransactionOpen { producer_id: ProducerId },
}

/// The sequence of the last of `record_count` records; after `i32::MAX` comes 0.
pub fn last_sequence(first_sequence: i32, record_count: i32) -> i32 {
    advance(first_sequence, record_count.wrapping_sub(1))
}

/// What truncation left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// As if the cut records had never been.
    Exact,
    /// Batches remembered earlier had been pushed out by those now cut: restore an older snapshot and replay the log.
    RebuildFromLog,
}

/// What one partition knows of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    producer_epoch: ProducerEpoch,
    /// Of the transaction coordinator that wrote the last marker; −1 before the first.
    coordinator_epoch: i32,
    /// Where the open transaction began on this partition.
    transaction_first_offset: Option<Offset>,
    last_seen_ms: TimestampMs,
    batches: Batches,
}

/// All producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    states: BTreeMap<ProducerId, ProducerState>,
}

impl Producers {
    /// May this batch be appended, or is it there already? An unknown producer may start with any sequence: its earlier
    /// records may have been deleted or its state expired.
    pub fn check(&self, batch: &ProducerBatch) -> Result<Verdict, ProducerError> {
        batch.well_formed()?;
        let Some(state) = self.states.get(&batch.producer_id) else { return Ok(Verdict::Append) };
        if let Some(original) = state.duplicate_of(batch) {
            return Ok(Verdict::Duplicate(original));
        }
        state.check_epoch(batch)?;
        state.check_sequence(batch)?;
        state.check_transaction(batch)?;
        Ok(Verdict::Append)
    }

    /// Notes a batch that is in the log at `appended`; `now_ms` restarts the producer's time to idle. Never refuses:
    /// the log has decided.
    pub fn apply(&mut self, batch: &ProducerBatch, appended: Appended, now_ms: TimestampMs) {
        let state = self.states.entry(batch.producer_id).or_insert_with(|| ProducerState::new(batch.producer_epoch));
        state.enter_epoch(batch.producer_epoch);
        state.batches.push(Remembered {
            first_sequence: batch.first_sequence,
            last_sequence: batch.last_sequence,
            appended,
        });
        state.last_seen_ms = state.last_seen_ms.max(now_ms);
        if batch.is_transactional && state.transaction_first_offset.is_none() {
            state.transaction_first_offset = Some(appended.base_offset);
        }
    }

    /// Forgets producers that have been idle for `expiration_ms`, except those with an open transaction. Returns how
    /// many were forgotten.
    pub fn expire(&mut self, now_ms: TimestampMs, expiration_ms: i64) -> usize {
        let before = self.states.len();
        self.states.retain(|_, state| {
            state.transaction_first_offset.is_some() || now_ms.saturating_sub(state.last_seen_ms) < expiration_ms
        });
        before - self.states.len()
    }

    /// The log was cut to end at `end_offset`: batches at or behind it were never written. A producer of whom nothing is
    /// left is forgotten.
    #[must_use]
    pub fn truncate_to(&mut self, end_offset: Offset) -> Truncated {
        let mut outcome = Truncated::Exact;
        self.states.retain(|_, state| {
            let forgot = state.truncate_to(end_offset);
            if forgot {
                outcome = Truncated::RebuildFromLog;
            }
            !(forgot && state.batches.is_empty())
        });
        outcome
    }

    /// The log now begins at `log_start_offset`. Producers stay: a retry of a deleted record is still a duplicate
    /// (KAFKA-7190). An open transaction is held to begin where the log does.
    pub fn advance_log_start(&mut self, log_start_offset: Offset) {
        for state in self.states.values_mut() {
            state.transaction_first_offset = state.transaction_first_offset.map(|first| first.max(log_start_offset));
        }
    }

    /// Forgets everything: the log starts anew.
    pub fn clear(&mut self) {
        self.states.clear();
    }

    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// True while no producer is known.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// All producers by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.states.iter().map(|(id, state)| (*id, state))
    }

    /// The state as bytes for a checkpoint, all remembered batches included.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = SnapshotWriter::new(SNAPSHOT_VERSION);
        writer.unsigned(self.states.len() as u64);
        for (producer_id, state) in &self.states {
            writer.signed(*producer_id);
            state.write(&mut writer);
        }
        writer.finish()
    }

    /// The state that [`snapshot`](Self::snapshot) wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = SnapshotReader::open(bytes, SNAPSHOT_VERSION)?;
        let mut producers = Producers::default();
        for _ in 0..reader.unsigned()? {
            let producer_id = reader.signed()?;
            if producers.states.last_key_value().is_some_and(|(last, _)| *last >= producer_id) {
                return Err(SnapshotError::Malformed { what: "producer ids that do not ascend" });
            }
            producers.states.insert(producer_id, ProducerState::read(&mut reader)?);
        }
        reader.finish()?;
        Ok(producers)
    }
}

impl ProducerState {
    /// The epoch that writes now.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        self.producer_epoch
    }

    /// Epoch of the coordinator that ended the last transaction; −1 for none.
    pub fn coordinator_epoch(&self) -> i32 {
        self.coordinator_epoch
    }

    /// Where the open transaction began on this partition.
    pub fn transaction_first_offset(&self) -> Option<Offset> {
        self.transaction_first_offset
    }

    /// When it last wrote, by the clock of this node.
    pub fn last_seen_ms(&self) -> TimestampMs {
        self.last_seen_ms
    }

    /// Sequence of its last record; −1 where none is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(-1, |batch| batch.last_sequence)
    }

    /// Max timestamp of its last batch; −1 where none is remembered.
    pub fn last_timestamp(&self) -> TimestampMs {
        self.batches.last().map_or(-1, |batch| batch.appended.timestamp)
    }

    fn new(producer_epoch: ProducerEpoch) -> Self {
        ProducerState {
            producer_epoch,
            coordinator_epoch: -1,
            transaction_first_offset: None,
            last_seen_ms: -1,
            batches: Batches::default(),
        }
    }

    fn duplicate_of(&self, batch: &ProducerBatch) -> Option<Appended> {
        if batch.producer_epoch != self.producer_epoch {
            return None;
        }
        let range = (batch.first_sequence, batch.last_sequence);
        let original = self.batches.iter().find(|known| (known.first_sequence, known.last_sequence) == range)?;
        Some(original.appended)
    }

    fn check_epoch(&self, batch: &ProducerBatch) -> Result<(), ProducerError> {
        match batch.producer_epoch < self.producer_epoch {
            true => Err(ProducerError::InvalidProducerEpoch {
                producer_id: batch.producer_id,
                found: batch.producer_epoch,
                current: self.producer_epoch,
            }),
            false => Ok(()),
        }
    }

    fn check_sequence(&self, batch: &ProducerBatch) -> Result<(), ProducerError> {
        let (producer_id, found) = (batch.producer_id, batch.first_sequence);
        if batch.producer_epoch != self.producer_epoch {
            return match found {
                0 => Ok(()),
                _ => Err(ProducerError::NewEpochNotAtZero { producer_id, epoch: batch.producer_epoch, found }),
            };
        }
        let last = self.last_sequence();
        match found == advance(last, 1) {
            true => Ok(()),
            false => Err(ProducerError::OutOfOrderSequence { producer_id, found, last }),
        }
    }

    fn check_transaction(&self, batch: &ProducerBatch) -> Result<(), ProducerError> {
        match self.transaction_first_offset.is_some() && !batch.is_transactional {
            true => Err(ProducerError::TransactionOpen { producer_id: batch.producer_id }),
            false => Ok(()),
        }
    }

    /// A new epoch counts anew, so the batches of the old one are no duplicates of anything to come.
    fn enter_epoch(&mut self, producer_epoch: ProducerEpoch) {
        if producer_epoch != self.producer_epoch {
            self.producer_epoch = producer_epoch;
            self.batches = Batches::default();
        }
    }

    /// True where what is left is less than what was known before the cut records came.
    fn truncate_to(&mut self, end_offset: Offset) -> bool {
        let before = self.batches.len();
        let kept = self.batches.iter().take_while(|batch| batch.appended.last_offset < end_offset).count();
        self.batches.truncate(kept);
        if self.transaction_first_offset.is_some_and(|first| first >= end_offset) {
            self.transaction_first_offset = None;
        }
        kept < before && (kept == 0 || before == BATCHES_REMEMBERED)
    }

    fn write(&self, writer: &mut SnapshotWriter) {
        writer.signed(self.producer_epoch.into());
        writer.signed(self.coordinator_epoch.into());
        writer.signed(self.transaction_first_offset.unwrap_or(-1));
        writer.signed(self.last_seen_ms);
        writer.unsigned(self.batches.len() as u64);
        for batch in self.batches.iter() {
            writer.signed(batch.first_sequence.into());
            writer.signed(batch.last_sequence.into());
            writer.signed(batch.appended.base_offset);
            writer.signed(batch.appended.last_offset.wrapping_sub(batch.appended.base_offset));
            writer.signed(batch.appended.timestamp);
        }
    }

    fn read(reader: &mut SnapshotReader<'_>) -> Result<Self, SnapshotError> {
        let mut state = ProducerState::new(reader.narrow()?);
        state.coordinator_epoch = reader.narrow()?;
        let transaction_first_offset = reader.signed()?;
        state.transaction_first_offset = (transaction_first_offset >= 0).then_some(transaction_first_offset);
        state.last_seen_ms = reader.signed()?;
        let count = reader.unsigned()?;
        if count > BATCHES_REMEMBERED as u64 {
            return Err(SnapshotError::Malformed { what: "more batches of a producer than are remembered" });
        }
        for _ in 0..count {
            state.batches.push(Remembered::read(reader)?);
        }
        Ok(state)
    }
}

impl ProducerBatch {
    fn well_formed(&self) -> Result<(), ProducerError> {
        let exists = self.producer_id >= 0
            && self.producer_epoch > NO_EPOCH
            && self.first_sequence >= 0
            && self.last_sequence >= 0;
        match exists {
            true => Ok(()),
            false => Err(ProducerError::Malformed {
                producer_id: self.producer_id,
                epoch: self.producer_epoch,
                found: self.first_sequence,
            }),
        }
    }
}

/// `steps` sequence numbers after `sequence`; after `i32::MAX` comes 0, and after −1 (none yet) too.
fn advance(sequence: i32, steps: i32) -> i32 {
    sequence.wrapping_add(steps) & i32::MAX
}

/// One batch as it was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    appended: Appended,
}

impl Remembered {
    const NONE: Remembered = Remembered {
        first_sequence: -1,
        last_sequence: -1,
        appended: Appended { base_offset: -1, last_offset: -1, timestamp: -1 },
    };

    fn read(reader: &mut SnapshotReader<'_>) -> Result<Self, SnapshotError> {
        let (first_sequence, last_sequence) = (reader.narrow()?, reader.narrow()?);
        let base_offset = reader.signed()?;
        let last_offset = base_offset.wrapping_add(reader.signed()?);
        let timestamp = reader.signed()?;
        if base_offset < 0 || last_offset < base_offset {
            return Err(SnapshotError::Malformed { what: "a batch that ends before it begins" });
        }
        Ok(Remembered { first_sequence, last_sequence, appended: Appended { base_offset, last_offset, timestamp } })
    }
}

/// The last few batches, oldest first, without an allocation per producer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batches {
    slots: [Remembered; BATCHES_REMEMBERED],
    len: usize,
}

impl Default for Batches {
    fn default() -> Self {
        Batches { slots: [Remembered::NONE; BATCHES_REMEMBERED], len: 0 }
    }
}

impl Batches {
    fn len(&self) -> usize {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn iter(&self) -> impl Iterator<Item = &Remembered> {
        self.slots[..self.len].iter()
    }

    fn last(&self) -> Option<&Remembered> {
        self.slots[..self.len].last()
    }

    fn push(&mut self, batch: Remembered) {
        if self.len == BATCHES_REMEMBERED {
            self.slots.rotate_left(1);
            self.len -= 1;
        }
        self.slots[self.len] = batch;
        self.len += 1;
    }

    /// Freed slots are wiped, so that equal contents compare equal.
    fn truncate(&mut self, len: usize) {
        self.slots[len..].fill(Remembered::NONE);
        self.len = len;
    }
}

#[cfg(test)]
mod tests;
