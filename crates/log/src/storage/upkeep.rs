//! What happens when nobody asks: moving the tail to segments, checkpoints, removals, retention.

use std::sync::atomic::Ordering;

use chronik_state::ids::TimestampMs;

use super::Storage;
use crate::errors::UpkeepError;

/// A log's tail is moved by itself only when it is at least this large, or when memory runs short: otherwise ten
/// thousand logs with a record each would be ten thousand writes.
const WORTH_MOVING_BYTES: u64 = 64 << 10;

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Something is due now.
    pub urgent: bool,
    /// Something has not been checkpointed yet.
    pub dirty: bool,
}

impl Storage {
    /// Whether `bytes` more may be appended: false while memory and write-ahead log are taken by what upkeep has not
    /// moved yet. A full disk is something else. Takes no lock.
    pub fn has_room(&self, bytes: usize) -> bool {
        let shared = &self.shared;
        let tail = shared.tail_bytes.load(Ordering::Relaxed);
        let distance = self.appended_lsn().saturating_sub(shared.checkpoint_lsn.load(Ordering::Relaxed));
        let fits = |used: u64, max: u64| used == 0 || used + bytes as u64 <= max;
        fits(tail, shared.options.tail_bytes_max) && fits(distance, shared.options.wal_bytes_max)
    }

    /// How much there is to do. Takes no lock.
    pub fn pressure(&self) -> Pressure {
        let shared = &self.shared;
        let distance = self.appended_lsn().saturating_sub(shared.checkpoint_lsn.load(Ordering::Relaxed));
        let tail = shared.tail_bytes.load(Ordering::Relaxed);
        let urgent = tail >= shared.options.materialise_bytes
            || distance >= shared.options.checkpoint_distance_bytes
            || shared.wal.wants_spare()
            || shared.is_full();
        Pressure { urgent, dirty: tail > 0 || shared.unsettled.load(Ordering::Relaxed) > 0 }
    }

    /// Does what is due, in the right order; with `force` also what could still wait (idle checkpoint, clean stop).
    ///
    /// # Errors
    /// `Full` passes by itself: call again in a while; until it has succeeded, appends are refused.
    pub fn upkeep(&self, now_ms: TimestampMs, force: bool) -> Result<(), UpkeepError> {
        self.check_space();
        let done = self.do_upkeep(now_ms, force);
        if done == Err(UpkeepError::Full) {
            self.shared.full.store(true, Ordering::Relaxed);
        }
        done
    }

    /// Deletes what the logs' configurations no longer keep, and forgets producers that have been idle for long.
    pub fn retention(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        for log in self.log_list(self.log_ids()) {
            log.expire_producers(now_ms, self.shared.options.producer_id_expiration_ms);
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
        if shared.wal.wants_spare() || (force && shared.wal.needs_spare()) {
            shared.wal.prepare()?;
        }
        if force {
            shared.wal.sync_all()?;
        }
        self.sweep(now_ms)?;
        let distance = self.appended_lsn().saturating_sub(shared.checkpoint_lsn.load(Ordering::Relaxed));
        if force || distance >= shared.options.checkpoint_distance_bytes {
            if force && !self.pressure().dirty {
                return self.rest(now_ms);
            }
            self.checkpoint(now_ms, false)?;
        } else {
            self.materialise(now_ms)?;
        }
        self.forget_recent(shared.options.recent_bytes_max);
        if force { self.rest(now_ms) } else { Ok(()) }
    }

    /// Moves the larger tails to segments; all of them if that is not enough.
    fn materialise(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        let shared = &self.shared;
        let ripe = std::mem::take(&mut shared.lists.lock().ripe);
        let logs = self.log_list(ripe);
        let (large, small): (Vec<_>, Vec<_>) = logs.into_iter().partition(|log| log.tail_bytes() >= WORTH_MOVING_BYTES);
        let mut rest = large.into_iter().chain(small);
        while let Some(log) = rest.next() {
            let enough = shared.tail_bytes.load(Ordering::Relaxed) < shared.options.materialise_bytes / 2;
            let moved = if enough { Ok(0) } else { log.materialise(now_ms) };
            if enough || moved.is_err() {
                let mut lists = shared.lists.lock();
                lists.ripe.push(log.id());
                lists.ripe.extend(rest.map(|log| log.id()));
                return moved.map(drop);
            }
        }
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

    /// Gives back what an idle node does not need: memory kept for reuse, descriptors of logs nobody touches.
    fn rest(&self, now_ms: TimestampMs) -> Result<(), UpkeepError> {
        let shared = &self.shared;
        self.forget_recent(0);
        shared.pool.trim();
        let opened = std::mem::take(&mut shared.lists.lock().opened);
        let before = now_ms - shared.options.close_idle_ms;
        let still_open: Vec<_> = self.log_list(opened).iter().filter(|log| !log.close_if_idle(before)).map(|log| log.id()).collect();
        shared.lists.lock().opened.extend(still_open);
        Ok(())
    }
}
