//! Forgetting offsets, in as many batches as it takes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Groups;
use super::event::{Effects, Then};
use super::message::{Reply, Ticket};
use super::record::GroupRecord;
use crate::ids::PartitionIndex;

/// What is to be forgotten. Each step looks at what is left of it.
#[derive(Debug)]
pub(super) enum Purge {
    /// What one group has committed for these.
    Offsets { group_id: String, topics: BTreeMap<String, BTreeSet<PartitionIndex>> },
    /// What all groups have committed for these.
    Partitions { topic: String, partitions: BTreeSet<PartitionIndex> },
    /// A group with all that it has committed.
    Group { group_id: String },
}

/// The tombstones of one batch. Adding gives None when it is full.
pub(super) struct Tombstones {
    pub(super) records: Vec<GroupRecord>,
    bytes_left: usize,
}

impl Groups {
    /// Takes the next step, or answers if nothing is left.
    pub(super) fn purge(&mut self, purge: Purge, answer: Option<(Ticket, Reply)>, effects: &mut Effects) {
        let records = self.next_tombstones(&purge);
        if records.is_empty() {
            effects.replies.extend(answer);
        } else {
            effects.append(records, Then::Purge(purge, answer));
        }
    }

    /// An empty batch.
    pub(super) fn tombstones(&self) -> Tombstones {
        Tombstones { records: Vec::new(), bytes_left: self.config.batch_bytes_max }
    }

    fn next_tombstones(&self, purge: &Purge) -> Vec<GroupRecord> {
        let mut batch = self.tombstones();
        match purge {
            Purge::Offsets { group_id, topics } => self.forget_offsets(group_id, topics, &mut batch),
            Purge::Partitions { topic, partitions } => self.forget_partitions(topic, partitions, &mut batch),
            Purge::Group { group_id } => self.forget_group(group_id, &mut batch),
        };
        batch.records
    }

    /// None if the batch is full before all is in it.
    fn forget_offsets(
        &self,
        group_id: &str,
        topics: &BTreeMap<String, BTreeSet<PartitionIndex>>,
        batch: &mut Tombstones,
    ) -> Option<()> {
        let committed = self.offsets.of_group(group_id)?;
        for (topic, partitions) in topics {
            let Some(committed) = committed.get(topic) else { continue };
            for partition in partitions.iter().filter(|partition| committed.contains_key(partition)) {
                batch.add_offset(group_id, topic, *partition)?;
            }
        }
        Some(())
    }

    fn forget_partitions(
        &self,
        topic: &str,
        partitions: &BTreeSet<PartitionIndex>,
        batch: &mut Tombstones,
    ) -> Option<()> {
        for (group_id, topics) in &self.offsets.by_group {
            let Some(committed) = topics.get(topic) else { continue };
            for partition in committed.keys().filter(|partition| partitions.contains(partition)) {
                batch.add_offset(group_id, topic, *partition)?;
            }
        }
        Some(())
    }

    /// Offsets first: whoever reads the log half way still finds a group to hang them on.
    fn forget_group(&self, group_id: &str, batch: &mut Tombstones) -> Option<()> {
        for (topic, partitions) in self.offsets.of_group(group_id).into_iter().flatten() {
            for partition in partitions.keys() {
                batch.add_offset(group_id, topic, *partition)?;
            }
        }
        if self.groups.contains_key(group_id) { batch.add_group(group_id) } else { Some(()) }
    }
}

impl Tombstones {
    pub(super) fn add_offset(&mut self, group_id: &str, topic: &str, partition: PartitionIndex) -> Option<()> {
        self.add(GroupRecord::Offset {
            group_id: group_id.to_string(),
            topic: topic.to_string(),
            partition,
            value: None,
        })
    }

    pub(super) fn add_group(&mut self, group_id: &str) -> Option<()> {
        self.add(GroupRecord::Group { group_id: group_id.to_string(), value: None })
    }

    fn add(&mut self, record: GroupRecord) -> Option<()> {
        let bytes = record.bytes();
        // The first always fits: else nothing would ever be forgotten.
        if bytes > self.bytes_left && !self.records.is_empty() {
            return None;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.records.push(record);
        Some(())
    }
}
