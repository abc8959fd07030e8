//! What happens when nobody asks: moving the tail to segments, checkpoints, removals, retention.

use std::sync::atomic::Ordering;

use chronik_state::ids::TimestampMs;

use super::{Shared, Storage};
use crate::errors::UpkeepError;
use crate::partition::PartitionLog;

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Something is due now.
    pub urgent: bool,
    /// Something has not been checkpointed yet, or memory is held that an idle node gives back.
    pub dirty: bool,
}

impl Storage {
    /// Whether `bytes` more may be appended: false while memory and write-ahead log are taken by what upkeep has not
    /// moved yet. Nobody is to wait for a full disk: true then, and the append is refused. Takes no lock.
    pub fn has_room(&self, bytes: usize) -> bool {
        let shared = &self.shared;
        if shared.is_full() {
            return true;
        }
        let fits = |used: u64, max: u64| used == 0 || used + bytes as u64 <= max;
        fits(shared.tail_memory(), shared.options.tail_bytes_max) && fits(shared.checkpoint_distance(), shared.options.wal_bytes_max)
    }

    /// How much there is to do. Takes no lock.
    pub fn pressure(&self) -> Pressure {
        let shared = &self.shared;
        let urgent = shared.tail_memory() >= shared.options.materialise_bytes
            || shared.checkpoint_distance() >= shared.options.checkpoint_distance_bytes
            || shared.wal.wants_spare()
            || shared.pool.is_short()
            || shared.is_full();
        Pressure { urgent, dirty: self.is_unsettled() || !shared.rested.load(Ordering::Relaxed) }
    }

    /// True while something has not been checkpointed.
    fn is_unsettled(&self) -> bool {
        self.shared.tail_bytes.load(Ordering::Relaxed) > 0 || self.shared.unsettled.load(Ordering::Relaxed) > 0
    }

    /// Does what is due, in the right order; with `force` also what could still wait (idle checkpoint, clean stop).
    ///
    /// # Errors
    /// `Full` passes by itself, as does less space than `disk_reserve_bytes`: call again in a while; until it has succeeded,
    /// appends are refused.
    pub fn upkeep(&self, now_ms: TimestampMs, force: bool) -> Result<(), UpkeepError> {
        self.check_space();
        let short_of_space = self.shared.is_full();
        let done = self.do_upkeep(now_ms, force);
        if done == Err(UpkeepError::Full) {
            self.shared.full.store(true, Ordering::Relaxed);
        }
        // What could be done was done; that there is space again has to be looked for.
        if short_of_space { done.and(Err(UpkeepError::Full)) } else { done }
    }

    /// Forgets producers that have been idle for long.
    pub fn expire_producers(&self, now_ms: TimestampMs) {
        for log in self.log_list(self.log_ids()) {
            log.expire_producers(now_ms, self.shared.options.producer_id_expiration_ms);
        }
    }

    /// Deletes what the logs' configurations no longer keep.
    pub fn retention(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        for log in self.log_list(self.log_ids()) {
            log.retain(now_ms)?;
        }
        self.shared.wal.sync_all()?;
        self.sweep(now_ms)
    }

    /// Puts everything away so that the next start has nothing to replay.
    pub fn close(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        self.shared.wal.sync_all()?;
        self.sweep(now_ms)?;
        self.checkpoint(now_ms, true)
    }

    /// Looks whether the disk has room, and refuses or takes appends accordingly.
    pub(super) fn check_space(&self) {
        let shared = &self.shared;
        let space = shared.disk.space(&shared.options.data_directory);
        let full = space.is_ok_and(|space| space.usable_bytes < shared.options.disk_reserve_bytes);
        shared.full.store(full, Ordering::Relaxed);
    }

    fn do_upkeep(&self, now_ms: TimestampMs, force: bool) -> Result<(), UpkeepError> {
        let shared = &self.shared;
        shared.pool.prepare();
        if shared.wal.wants_spare() || (force && shared.wal.needs_spare()) {
            shared.wal.prepare()?;
        }
        if force {
            shared.wal.sync_all()?;
        }
        self.sweep(now_ms)?;
        if shared.checkpoint_distance() >= shared.options.checkpoint_distance_bytes || (force && self.is_unsettled()) {
            self.checkpoint(now_ms, false)?;
        } else {
            self.materialise(now_ms)?;
        }
        self.forget_recent(shared.options.recent_bytes_max);
        if force {
            let forced_ms = shared.forced_ms.swap(now_ms, Ordering::Relaxed);
            let end = self.appended_lsn();
            if shared.forced_lsn.swap(end, Ordering::Relaxed) == end {
                self.rest(forced_ms);
            }
        }
        Ok(())
    }

    /// Moves every tail to segments, if together they hold much memory: a single record holds a piece of memory that
    /// others have left.
    fn materialise(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        let shared = &self.shared;
        if shared.tail_memory() < shared.options.materialise_bytes {
            return Ok(());
        }
        let placed = shared.wal.placed_bytes();
        let ripe = std::mem::take(&mut shared.lists.lock().ripe);
        let mut logs = self.log_list(ripe).into_iter();
        while let Some(log) = logs.next() {
            if let Err(error) = log.materialise(now_ms) {
                let mut lists = shared.lists.lock();
                lists.ripe.push(log.id());
                lists.ripe.extend(logs.map(|log| log.id()));
                return Err(error);
            }
            shared.limit_open(&log);
        }
        shared.moved_at.store(placed, Ordering::Relaxed);
        Ok(())
    }

    /// Lets go of the oldest batches that are in segments anyway, until no more than `bytes_max` of memory are taken.
    fn forget_recent(&self, bytes_max: usize) {
        while self.shared.pool.live_bytes() > bytes_max {
            let Some((id, count)) = self.shared.recent.lock().pop_front() else { return };
            if let Some(log) = self.log(id) {
                log.forget_recent(count);
            }
        }
    }

    /// Gives back what an idle node does not need: memory kept for reuse, descriptors of logs nobody has touched since
    /// upkeep was last forced. Until all of those are closed the node is not at rest, and this is to be called again.
    fn rest(&self, forced_ms: TimestampMs) {
        let shared = &self.shared;
        self.forget_recent(0);
        shared.pool.trim();
        // Before the list is taken: a log that is opened meanwhile says otherwise afterwards, and must not be overruled.
        shared.rested.store(true, Ordering::Relaxed);
        let opened = std::mem::take(&mut shared.lists.lock().opened);
        let mut logs = self.log_list(opened);
        logs.retain(|log| !log.close_if_idle(forced_ms));
        for log in logs {
            shared.note_opened(log.id());
        }
    }
}

impl Shared {
    /// Memory that tails hold at most: what has been placed in the write-ahead log since they were last moved.
    fn tail_memory(&self) -> u64 {
        if self.tail_bytes.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.wal.placed_bytes().saturating_sub(self.moved_at.load(Ordering::Relaxed))
    }

    /// What replay would have to read.
    fn checkpoint_distance(&self) -> u64 {
        self.wal.placed_bytes().saturating_sub(self.checkpoint_at.load(Ordering::Relaxed))
    }

    /// Closes a log's files if too many are open.
    pub(crate) fn limit_open(&self, log: &PartitionLog) {
        if self.open_files.load(Ordering::Relaxed) > self.options.open_files_max {
            log.close_files();
        }
    }
}
