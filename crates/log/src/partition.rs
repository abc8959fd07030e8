//! One partition's log: where its records are, from the oldest segment to the tail in memory.
//!
//! ```text
//!  log start                        segments end              log end
//!     │  sealed │ sealed │ active      │  tail (chunks of the write-ahead log)  │
//!     ▼─────────┴────────┴─────────────▼────────────────────────────────────────▼
//!       .log + .index, opened on first touch      materialise() moves it left
//! ```
//!
//! State in one struct, behind one lock; what happens to it is in the files of this module, by event.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chronik_state::ids::{LeaderEpoch, LogId, Offset, TimestampMs};
use chronik_state::partition::epochs::{EpochEnd, LeaderEpochs};
use chronik_state::partition::producers::Producers;
use parking_lot::Mutex;

use crate::checkpoint::ActiveRow;
use crate::chunk::ChunkSlice;
use crate::storage::Shared;
use crate::wal::Lsn;

mod append;
mod cut;
mod index;
mod materialise;
mod read;
mod recover;
mod reset;
mod retain;
mod segment;
mod time;

pub use append::{Append, Appended, Replicate};
pub(crate) use cut::Prune;
pub(crate) use recover::{Captured, sync_captured};
pub use read::{FileRange, Piece, ReadOutcome, ReadRequest};
use index::IndexBuilder;
use segment::{Bounds, ReadContext, Segment, SegmentView};
pub use time::TimestampOffset;

/// What a topic's configuration says about its logs. Names as Kafka's topic configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment that would grow beyond it is followed by a new one.
    pub segment_bytes: u64,
    /// `segment.ms`: so is one whose first batch was appended longer ago.
    pub segment_ms: i64,
    /// `retention.ms`: segments whose newest record is older are deleted; −1 for never.
    pub retention_ms: i64,
    /// `retention.bytes`: the oldest segments are deleted while the rest is at least this large; −1 for never.
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

/// See the module.
pub struct PartitionLog {
    id: LogId,
    shared: Arc<Shared>,
    log_start: AtomicI64,
    log_end: AtomicI64,
    high_watermark: AtomicI64,
    /// Held by whoever changes segments, before `state`.
    segments_writer: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    config: LogConfig,
    epochs: Arc<LeaderEpochs>,
    producers: Producers,
    /// The last batches in segments, still in memory for those who read close behind the end. May be emptied at any time.
    recent: VecDeque<TailBatch>,
    tail: VecDeque<TailBatch>,
    tail_bytes: u64,
    /// Where the log's last entry in the write-ahead log ends.
    last_lsn: Lsn,
    /// Where its last change of the log's start does.
    log_start_lsn: Lsn,
    /// Entries before this were in the row that the log was opened from.
    row_lsn: Lsn,
    /// One past the last record in segments.
    segments_end: Offset,
    /// Bytes of all segments.
    segments_bytes: u64,
    oldest_max_timestamp: TimestampMs,
    active: Option<ActiveRow>,
    /// Which batches of the active segment get an index entry; set whenever `opened` has an active segment.
    index: Option<IndexBuilder>,
    /// The next batch opens a new segment whatever the size of this one.
    roll_next: bool,
    opened: Option<Opened>,
    /// It was cut since its row in the checkpoint: replay would cut it again, and look at the segments to do so.
    cut: bool,
    /// Written since the last checkpoint.
    unsynced: Vec<Arc<Segment>>,
    directory_unsynced: bool,
    /// It has changed since its row in the checkpoint, and is on the list of those that have.
    dirty: bool,
    /// It is on the list of those whose tail is to be moved to segments.
    ripe: bool,
    /// Last append or read, for closing what nobody uses.
    touched_ms: TimestampMs,
    deleted: bool,
}

/// The segments of a log somebody has touched.
struct Opened {
    /// Before the log's start: never read again, to be removed.
    stale: Vec<Arc<Segment>>,
    sealed: VecDeque<Arc<Segment>>,
    active: Option<Arc<Segment>>,
}

/// A batch that so far is only in memory and in the write-ahead log.
#[derive(Clone)]
struct TailBatch {
    bytes: ChunkSlice,
    base_offset: Offset,
    last_offset: Offset,
    max_timestamp: TimestampMs,
    appended_ms: TimestampMs,
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
            segments_writer: Mutex::new(()),
            state: Mutex::new(State::empty(config)),
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

    /// The configuration in effect.
    pub fn config(&self) -> LogConfig {
        self.state.lock().config.clone()
    }

    /// Bytes of all batches, those in memory included.
    pub fn size_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.segments_bytes + state.tail_bytes
    }

    /// Notes that this node leads in `epoch` from the log's end on, before it answers anyone (KIP-101). Not durable
    /// by itself: the first batch of the epoch is.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) {
        let mut state = self.state.lock();
        Arc::make_mut(&mut state.epochs).assign(epoch, self.log_end_offset());
    }

    /// Where `epoch` ends in this log (KIP-320); `None` where that is undefined.
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.state.lock().epochs.end_offset_for(epoch, self.log_end_offset())
    }

    /// The epoch in which the record at `offset` was written.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.state.lock().epochs.epoch_at(offset)
    }

    /// The epoch of the newest record; `None` while there never was one.
    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.state.lock().epochs.latest().map(|entry| entry.epoch)
    }

    /// All epochs of which records are known.
    pub fn epochs(&self) -> Arc<LeaderEpochs> {
        Arc::clone(&self.state.lock().epochs)
    }

    /// What is known of the idempotent producers (DescribeProducers).
    pub fn with_producers<T>(&self, view: impl FnOnce(&Producers) -> T) -> T {
        view(&self.state.lock().producers)
    }

    /// Forgets producers idle for `expiration_ms` (`producer.id.expiration.ms`); returns how many.
    pub fn expire_producers(&self, now_ms: TimestampMs, expiration_ms: i64) -> usize {
        self.state.lock().producers.expire(now_ms, expiration_ms)
    }

    fn directory(&self) -> PathBuf {
        self.shared.directory_of(self.id)
    }

    fn context(&self, state: &State, now_ms: TimestampMs) -> ReadContext {
        ReadContext {
            disk: Arc::clone(&self.shared.disk),
            pool: Arc::clone(&self.shared.pool),
            epochs: Arc::clone(&state.epochs),
            index_interval_bytes: self.shared.options.index_interval_bytes,
            now_ms,
        }
    }

    fn set_log_end(&self, offset: Offset) {
        self.log_end.store(offset, Ordering::Release);
    }

    /// Puts the log on the list of those that need a new row. Before its entry gets a place in the write-ahead log:
    /// a checkpoint that starts behind that place must find the log on the list.
    fn mark_dirty(&self, state: &mut State) {
        if !state.dirty {
            state.dirty = true;
            self.shared.note_dirty(self.id);
        }
    }
}

impl State {
    fn empty(config: LogConfig) -> Self {
        State {
            config,
            epochs: Arc::default(),
            producers: Producers::default(),
            recent: VecDeque::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            last_lsn: 0,
            log_start_lsn: 0,
            row_lsn: 0,
            segments_end: 0,
            segments_bytes: 0,
            oldest_max_timestamp: -1,
            active: None,
            index: None,
            roll_next: false,
            opened: None,
            cut: false,
            unsynced: Vec::new(),
            directory_unsynced: false,
            dirty: false,
            ripe: false,
            touched_ms: 0,
            deleted: false,
        }
    }

    fn active_bounds(&self) -> Option<Bounds> {
        let active = self.active?;
        Some(Bounds {
            length: active.length,
            index_length: active.index_length,
            end: self.segments_end,
            max_timestamp: active.max_timestamp,
        })
    }
}

impl Opened {
    /// The bases of all segments, oldest first.
    fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.sealed.iter().chain(self.active.iter())
    }

    /// The segment that holds `offset`, and where the one after it begins.
    fn holding(&self, offset: Offset) -> Option<(Arc<Segment>, Option<Offset>)> {
        let after = self.sealed.partition_point(|segment| segment.base <= offset);
        if let Some(active) = self.active.as_ref().filter(|active| active.base <= offset) {
            return Some((Arc::clone(active), None));
        }
        let segment = self.sealed.get(after.checked_sub(1)?)?;
        let next = self.sealed.get(after).or(self.active.as_ref());
        Some((Arc::clone(segment), next.map(|next| next.base)))
    }
}

impl SegmentView {
    /// A sealed segment ends where the next begins; the active one where the log's state says.
    fn of(segment: Arc<Segment>, next_base: Option<Offset>, active: Option<Bounds>, context: &ReadContext) -> Result<Self, crate::errors::ReadError> {
        let bounds = match (next_base, active) {
            (Some(next_base), _) => segment.sealed_bounds(next_base, context)?,
            (None, Some(bounds)) => bounds,
            (None, None) => {
                segment.known_bounds().ok_or_else(|| segment.corrupt(0, "the log does not know where it ends"))?
            }
        };
        Ok(SegmentView { segment, bounds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand logs that nobody touches are ten megabytes at most, the map that holds them and all.
    #[test]
    fn a_log_nobody_touches_is_small() {
        assert!(size_of::<PartitionLog>() <= 768, "{} bytes", size_of::<PartitionLog>());
    }
}
