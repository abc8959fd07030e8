//! The partitions of a session in their order: a linked list in a vector, with an index by key, so that looking one up,
//! moving it to the end or taking it out costs nothing that grows with the session (but its logarithm).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{FetchOutcome, FetchPartition, FetchPosition};
use crate::ids::Offset;

/// Where a partition is in its session; good until it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u32);

const NOWHERE: u32 = u32::MAX;

/// Nothing has been told yet, or an error has: whatever comes is news.
const UNTOLD: Offset = -1;

#[derive(Debug, Default)]
pub(super) struct SessionPartitions {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_key: BTreeMap<FetchPartition, u32>,
    ends: Ends,
}

#[derive(Debug)]
struct Ends {
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Entry {
    key: FetchPartition,
    position: FetchPosition,
    told_high_watermark: Offset,
    told_log_start_offset: Offset,
    before: u32,
    after: u32,
}

impl SessionPartitions {
    pub(super) fn of(requested: Vec<(FetchPartition, FetchPosition)>) -> Self {
        let mut partitions = SessionPartitions::default();
        partitions.update(requested, &[]);
        partitions
    }

    /// New partitions come to the end, known ones stay where they are.
    pub(super) fn update(&mut self, requested: Vec<(FetchPartition, FetchPosition)>, forgotten: &[FetchPartition]) {
        for (key, position) in requested {
            match self.by_key.get(&key) {
                Some(index) => self.entries[*index as usize].position = position,
                None => self.insert(key, position),
            }
        }
        for key in forgotten {
            self.remove(key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &FetchPartition, &FetchPosition)> {
        let entry = |index: u32| self.entries.get(index as usize);
        let slots = core::iter::successors(Some(self.ends.first), move |index| Some(entry(*index)?.after));
        slots.map_while(move |index| entry(index).map(|entry| (Slot(index), &entry.key, &entry.position)))
    }

    /// Remembers what the client is about to be told; true if it is news.
    pub(super) fn note(&mut self, slot: Slot, outcome: &FetchOutcome) -> bool {
        let entry = &mut self.entries[slot.0 as usize];
        let news = outcome.has_records
            || outcome.error
            || outcome.redirected
            || entry.told_high_watermark != outcome.high_watermark
            || entry.told_log_start_offset != outcome.log_start_offset;
        // So that the partition is told again when the error is gone, even if nothing else changed.
        entry.told_high_watermark = if outcome.error { UNTOLD } else { outcome.high_watermark };
        entry.told_log_start_offset = outcome.log_start_offset;
        news
    }

    pub(super) fn move_to_end(&mut self, slot: Slot) {
        if self.ends.last != slot.0 {
            self.unlink(slot.0);
            self.link_last(slot.0);
        }
    }

    fn insert(&mut self, key: FetchPartition, position: FetchPosition) {
        let entry = Entry {
            key: key.clone(),
            position,
            told_high_watermark: UNTOLD,
            told_log_start_offset: UNTOLD,
            before: NOWHERE,
            after: NOWHERE,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.by_key.insert(key, index);
        self.link_last(index);
    }

    fn remove(&mut self, key: &FetchPartition) {
        if let Some(index) = self.by_key.remove(key) {
            self.unlink(index);
            self.free.push(index);
        }
    }

    fn link_last(&mut self, index: u32) {
        let last = core::mem::replace(&mut self.ends.last, index);
        let entry = &mut self.entries[index as usize];
        (entry.before, entry.after) = (last, NOWHERE);
        self.set_after(last, index);
    }

    fn unlink(&mut self, index: u32) {
        let Entry { before, after, .. } = self.entries[index as usize];
        self.set_after(before, after);
        match after {
            NOWHERE => self.ends.last = before,
            _ => self.entries[after as usize].before = before,
        }
    }

    fn set_after(&mut self, index: u32, after: u32) {
        match index {
            NOWHERE => self.ends.first = after,
            _ => self.entries[index as usize].after = after,
        }
    }
}

impl Default for Ends {
    fn default() -> Self {
        Ends { first: NOWHERE, last: NOWHERE }
    }
}
