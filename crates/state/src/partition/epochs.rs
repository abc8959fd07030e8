//! Which leader wrote which offsets: where two logs of one partition part, this says so (KIP-101, KIP-279, KIP-320).
//!
//! ```text
//!   epoch     0           3       4
//!   offset    0 . . . .   5 . .   8 . . . . |LEO
//! ```
//! Each entry is the first offset written in an epoch. Both numbers only grow along the cache. It is derivable from the
//! batch headers, so a checkpoint may be behind the log but never ahead of it.

use alloc::vec::Vec;

use crate::ids::{LeaderEpoch, Offset};
use crate::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter};

const SNAPSHOT_VERSION: u8 = 1;

/// The first offset of one leader's reign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochStart {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first record written in it (or the first still there).
    pub start_offset: Offset,
}

/// The answer to "where does this epoch end", as OffsetForLeaderEpoch gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest known epoch that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// One past the last offset written in that epoch.
    pub end_offset: Offset,
}

/// The leader epochs of one partition's log, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LeaderEpochs {
    starts: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Notes that `epoch` writes from `start_offset` on. Entries that contradict this (not below in both numbers) are
    /// dropped: the log is right and the cache follows. True where something changed and has to be stored.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        assert!(epoch >= 0 && start_offset >= 0, "epoch {epoch} at offset {start_offset} does not exist");
        if self.latest().is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset) {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.starts.pop();
        }
        self.starts.push(EpochStart { epoch, start_offset });
        true
    }

    /// The newest epoch and where it began; none while the log never held a record.
    pub fn latest(&self) -> Option<EpochStart> {
        self.starts.last().copied()
    }

    /// The oldest epoch of which records are left.
    pub fn earliest(&self) -> Option<EpochStart> {
        self.starts.first().copied()
    }

    /// All entries, ascending.
    pub fn entries(&self) -> &[EpochStart] {
        &self.starts
    }

    /// Where `epoch` ends in a log whose end is `log_end_offset`: the newest epoch ends at the log's end, a gap ends
    /// where the next known epoch starts. `None` for an epoch from the future or an empty cache: undefined, not to be
    /// guessed (error or −1 to the asker).
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<EpochEnd> {
        let latest = self.latest()?;
        if epoch == latest.epoch {
            return Some(EpochEnd { epoch, end_offset: log_end_offset });
        }
        if epoch < 0 || epoch > latest.epoch {
            return None;
        }
        let above = self.starts.partition_point(|entry| entry.epoch <= epoch);
        let floor = above.checked_sub(1).map_or(epoch, |index| self.starts[index].epoch);
        Some(EpochEnd { epoch: floor, end_offset: self.starts[above].start_offset })
    }

    /// The epoch in which the record at `offset` was written, as far as the cache knows.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.starts.partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|index| self.starts[index].epoch)
    }

    /// The log was cut to end at `end_offset`. To be called even where the cut took no record away: an epoch may have
    /// begun at the old end without writing anything, and would be offered to the leader for ever (KAFKA-10706).
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let kept = self.starts.partition_point(|entry| entry.start_offset < end_offset);
        let changed = kept < self.starts.len();
        self.starts.truncate(kept);
        changed
    }

    /// The log now begins at `log_start_offset`: epochs that ended before it go, the one it falls into begins there.
    pub fn truncate_from_start(&mut self, log_start_offset: Offset) -> bool {
        let reached = self.starts.partition_point(|entry| entry.start_offset <= log_start_offset);
        let Some(covering) = reached.checked_sub(1) else { return false };
        if covering == 0 && self.starts[0].start_offset == log_start_offset {
            return false;
        }
        self.starts.drain(..covering);
        self.starts[0].start_offset = log_start_offset;
        true
    }

    /// Forgets everything: the log starts anew.
    pub fn clear(&mut self) {
        self.starts.clear();
    }

    /// The state as bytes for a checkpoint.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = SnapshotWriter::new(SNAPSHOT_VERSION);
        writer.unsigned(self.starts.len() as u64);
        for entry in &self.starts {
            writer.signed(entry.epoch.into());
            writer.signed(entry.start_offset);
        }
        writer.finish()
    }

    /// The state that [`snapshot`](Self::snapshot) wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = SnapshotReader::open(bytes, SNAPSHOT_VERSION)?;
        let mut epochs = LeaderEpochs::default();
        for _ in 0..reader.unsigned()? {
            let entry = EpochStart { epoch: reader.narrow()?, start_offset: reader.signed()? };
            epochs.push_ascending(entry)?;
        }
        reader.finish()?;
        Ok(epochs)
    }

    fn push_ascending(&mut self, entry: EpochStart) -> Result<(), SnapshotError> {
        let before = self.latest().unwrap_or(EpochStart { epoch: -1, start_offset: -1 });
        if entry.epoch <= before.epoch || entry.start_offset <= before.start_offset {
            return Err(SnapshotError::Malformed { what: "leader epochs that do not ascend" });
        }
        self.starts.push(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs(entries: &[(LeaderEpoch, Offset)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        entries.iter().for_each(|(epoch, offset)| assert!(epochs.assign(*epoch, *offset)));
        epochs
    }

    #[test]
    fn truncation_at_the_log_end_still_drops_an_epoch_that_wrote_nothing() {
        let mut cache = epochs(&[(0, 0), (1, 10)]);
        assert!(cache.truncate_from_end(10));
        assert_eq!(cache.latest(), Some(EpochStart { epoch: 0, start_offset: 0 }));
    }

    /// One offset after the other with its epoch: the history the cache sums up.
    fn history() -> impl Strategy<Value = Vec<LeaderEpoch>> {
        proptest::collection::vec(0..3i32, 1..60).prop_map(|steps| {
            let mut epoch = 0;
            steps
                .iter()
                .map(|step| {
                    epoch += (step - 1).max(0);
                    epoch
                })
                .collect()
        })
    }

    fn cache_of(history: &[LeaderEpoch]) -> LeaderEpochs {
        let mut cache = LeaderEpochs::default();
        for (offset, epoch) in history.iter().enumerate() {
            cache.assign(*epoch, offset as Offset);
        }
        cache
    }

    proptest! {
        #[test]
        fn agrees_with_the_history_it_sums_up(history in history(), asked in -1..30i32) {
            let cache = cache_of(&history);
            let log_end = history.len() as Offset;
            let newest = *history.last().unwrap();
            let expected = (asked >= 0 && asked <= newest).then(|| EpochEnd {
                epoch: history.iter().copied().filter(|epoch| *epoch <= asked).max().unwrap_or(asked),
                end_offset: history.iter().filter(|epoch| **epoch <= asked).count() as Offset,
            });
            prop_assert_eq!(cache.end_offset_for(asked, log_end), expected);
            for (offset, epoch) in history.iter().enumerate() {
                prop_assert_eq!(cache.epoch_at(offset as Offset), Some(*epoch));
            }
        }

        #[test]
        fn truncation_equals_a_shorter_history(history in history(), cut in 0..60usize, start in 0..60usize) {
            let cut = cut.min(history.len());
            let mut cache = cache_of(&history);
            cache.truncate_from_end(cut as Offset);
            prop_assert_eq!(&cache, &cache_of(&history[..cut]));
            cache.truncate_from_start(start as Offset);
            for (offset, epoch) in history[..cut].iter().enumerate().skip(start) {
                prop_assert_eq!(cache.epoch_at(offset as Offset), Some(*epoch));
            }
            prop_assert_eq!(LeaderEpochs::restore(&cache.snapshot()), Ok(cache));
        }

        #[test]
        fn any_bytes_are_restored_or_refused(bytes: Vec<u8>) {
            let _ = LeaderEpochs::restore(&bytes);
        }
    }
}
