//! What the library may ask of the log: the entries since the last snapshot, in memory. The driver holds them on disk.

use std::collections::VecDeque;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{GetEntriesContext, RaftState, StorageError};

/// A state in place of the entries that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// The last entry that it holds; 0 for a member that was never told anything.
    pub index: u64,
    pub term: u64,
    /// Who belonged to the group at that entry.
    pub membership: crate::Membership,
    /// The application's state, as it encodes it.
    pub data: Bytes,
}

impl SavedSnapshot {
    /// The state with which a group begins, the same on each of its first voters. It stands for entry 1, which no log holds: so whoever
    /// joins later cannot begin with the entries, which do not tell who the first voters were, and is given a snapshot.
    pub fn founding(membership: crate::Membership, data: Bytes) -> SavedSnapshot {
        SavedSnapshot { index: 1, term: 1, membership, data }
    }
}

/// See the module.
pub(crate) struct Store {
    pub(crate) hard_state: HardState,
    /// As of the last applied entry.
    pub(crate) membership: ConfState,
    /// The newest snapshot: what a member gets that is behind the first entry.
    snapshot: SavedSnapshot,
    /// The entry before the first of `entries`.
    base: (u64, u64),
    /// Gapless. Those that the newest snapshot holds are kept for members that are a little behind.
    entries: VecDeque<Entry>,
}

impl Store {
    pub(crate) fn new(hard_state: HardState, snapshot: SavedSnapshot) -> Store {
        let base = (snapshot.index, snapshot.term);
        let membership = snapshot.membership.clone().into();
        Store { hard_state, membership, snapshot, base, entries: VecDeque::new() }
    }

    pub(crate) fn first(&self) -> u64 {
        self.base.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    /// The term of an entry, or of the one before the first.
    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        let at = index.checked_sub(self.first())?;
        Some(self.entries.get(at as usize)?.term)
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.index
    }

    /// Entries take the place of those from the first one's index on.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        assert!(
            (self.first()..=self.last() + 1).contains(&first.index),
            "entries from {} on do not fit behind {}–{}",
            first.index,
            self.first(),
            self.last()
        );
        self.entries.truncate((first.index - self.first()) as usize);
        self.entries.extend(entries);
    }

    /// A snapshot from the leader takes the place of everything.
    pub(crate) fn install(&mut self, snapshot: SavedSnapshot) {
        self.base = (snapshot.index, snapshot.term);
        self.membership = snapshot.membership.clone().into();
        self.hard_state.commit = self.hard_state.commit.max(snapshot.index);
        self.entries.clear();
        self.snapshot = snapshot;
    }

    /// Entries up to `index` go, though no snapshot holds them.
    pub(crate) fn forget(&mut self, index: u64) {
        while self.first() <= index
            && let Some(gone) = self.entries.pop_front()
        {
            self.base = (gone.index, gone.term);
        }
    }

    /// A snapshot that this member took itself; entries before `keep_from` go.
    pub(crate) fn compact(&mut self, snapshot: SavedSnapshot, keep_from: u64) {
        let keep_from = keep_from.min(snapshot.index + 1);
        self.snapshot = snapshot;
        while self.first() < keep_from
            && let Some(gone) = self.entries.pop_front()
        {
            self.base = (gone.index, gone.term);
        }
    }
}

impl raft::Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.membership.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "entries up to {high} of {} were asked for", self.last());
        let range = (low - self.first()) as usize..(high - self.first()) as usize;
        let max_bytes = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0u64;
        let mut entries = Vec::new();
        for entry in self.entries.range(range) {
            bytes += prost::Message::encoded_len(entry) as u64;
            if !entries.is_empty() && bytes > max_bytes {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_of(index) {
            Some(term) => Ok(term),
            None if index < self.base.0 => Err(raft::Error::Store(StorageError::Compacted)),
            None => Err(raft::Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _: u64) -> raft::Result<Snapshot> {
        if self.snapshot.index < request_index || self.snapshot.index == 0 {
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(Snapshot {
            data: self.snapshot.data.clone(),
            metadata: Some(SnapshotMetadata {
                conf_state: Some(self.snapshot.membership.clone().into()),
                index: self.snapshot.index,
                term: self.snapshot.term,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use raft::Storage as _;

    use super::*;

    /// Entries are read often, and whole ranges of them at once (raft-rs #530): what they hold is shared, not copied.
    #[test]
    fn what_entries_hold_is_shared_with_whoever_reads_them() {
        let mut store = Store::new(HardState::default(), SavedSnapshot::default());
        let data = Bytes::from(vec![7; 1000]);
        let entry = |index| Entry { index, term: 1, data: data.clone(), ..Entry::default() };
        store.append((1..=3).map(entry).collect());
        let read = store.entries(1, 4, None, GetEntriesContext::empty(false)).unwrap();
        assert_eq!(read.len(), 3);
        assert!(read.iter().all(|entry| entry.data.as_ptr() == data.as_ptr()));
    }
}
