//! One partition's log: where its records are, from the oldest segment to the tail in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chronik_state::ids::{LeaderEpoch, LogId, Offset, TimestampMs};
use parking_lot::Mutex;

use crate::batch::{self, ValidBatch};
use crate::chunk::ChunkSlice;
use crate::errors::{AppendError, ReadError};
use crate::storage::Shared;
use crate::wal::entry::EntryKind;
use crate::wal::{Lsn, NewEntry, SyncClass};

mod read;

pub use read::{FileRange, Piece, ReadOutcome, ReadRequest};

/// What a topic's configuration says about its logs. Names as Kafka's topic configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment that would grow beyond it is followed by a new one.
    pub segment_bytes: u64,
    /// `segment.ms`: so is one whose first batch is older than this.
    pub segment_ms: i64,
    /// `retention.ms`: segments whose newest record is older are deleted; −1 for never.
    pub retention_ms: i64,
    /// `retention.bytes`: the oldest segments are deleted while the rest is larger; −1 for never.
    pub retention_bytes: i64,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `message.timestamp.type=LogAppendTime`: the broker's time goes over the producer's.
    pub log_append_time: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            delete: true,
            log_append_time: false,
        }
    }
}

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

/// See the module.
pub struct PartitionLog {
    id: LogId,
    shared: Arc<Shared>,
    log_start: AtomicI64,
    log_end: AtomicI64,
    high_watermark: AtomicI64,
    state: Mutex<State>,
}

struct State {
    config: LogConfig,
    tail: VecDeque<TailBatch>,
    deleted: bool,
}

/// A batch that so far is only in memory and in the write-ahead log.
struct TailBatch {
    bytes: ChunkSlice,
    base_offset: Offset,
    last_offset: Offset,
    max_timestamp: TimestampMs,
    end_lsn: Lsn,
}

impl PartitionLog {
    pub(crate) fn new(id: LogId, config: LogConfig, shared: Arc<Shared>) -> Self {
        PartitionLog {
            id,
            shared,
            log_start: AtomicI64::new(0),
            log_end: AtomicI64::new(0),
            high_watermark: AtomicI64::new(0),
            state: Mutex::new(State { config, tail: VecDeque::new(), deleted: false }),
        }
    }

    /// Which log this is.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Offset of the first record that may be read (KIP-107).
    pub fn log_start_offset(&self) -> Offset {
        self.log_start.load(Ordering::Acquire)
    }

    /// Offset of the next record to be appended.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end.load(Ordering::Acquire)
    }

    /// The high watermark that was last noted; after a start, the one of the last checkpoint, within the log's bounds.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// Notes the high watermark for the next checkpoint and for retention, which never passes it.
    pub fn note_high_watermark(&self, offset: Offset) {
        self.high_watermark.store(offset, Ordering::Release);
    }

    /// Puts a changed topic configuration into effect.
    pub fn update_config(&self, config: LogConfig) {
        self.state.lock().config = config;
    }

    /// Appends a batch as the partition's leader: gives it its offsets and epoch, and its place in the
    /// write-ahead log. It can be read at once, and is acknowledged by position: see [`Appended::lsn`].
    pub fn append(&self, batch: ValidBatch<'_>, append: Append) -> Result<Appended, AppendError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Err(AppendError::Deleted);
        }
        let base_offset = self.log_end_offset();
        let stamp = state.config.log_append_time;
        let entry = NewEntry {
            kind: EntryKind::Batch,
            log: self.id,
            now_ms: append.now_ms,
            payload_bytes: batch.bytes().len(),
            class: append.sync,
            privileged: append.privileged,
        };
        let reserved = self.shared.wal.reserve(&entry)?;
        let written = self.shared.wal.write(reserved, &entry, batch.bytes(), |bytes| {
            batch::assign(bytes, base_offset, append.leader_epoch);
            if stamp {
                batch::stamp_log_append_time(bytes, append.now_ms);
            }
        });
        let last_offset = base_offset + i64::from(batch.last_offset_delta());
        let max_timestamp = if stamp { append.now_ms } else { batch.max_timestamp() };
        let lsn = written.end_lsn;
        state.tail.push_back(TailBatch { bytes: written.payload, base_offset, last_offset, max_timestamp, end_lsn: lsn });
        self.log_end.store(last_offset + 1, Ordering::Release);
        let log_append_time_ms = if stamp { append.now_ms } else { -1 };
        Ok(Appended { base_offset, last_offset, lsn, log_append_time_ms, duplicate: false })
    }

    /// Reads whole batches from the one that holds `request.offset` on.
    pub fn read(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        let state = self.state.lock();
        let (log_start_offset, log_end_offset) = (self.log_start_offset(), self.log_end_offset());
        if request.offset < log_start_offset || request.offset > log_end_offset {
            return Err(ReadError::OffsetOutOfRange { offset: request.offset, log_start_offset, log_end_offset });
        }
        Ok(read::from_tail(&state.tail, &request))
    }
}
