//! Committed offsets: committing, fetching, deleting.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::classic::{ClassicGroup, GroupState};
use super::event::{Effects, Then};
use super::message::{CommitPartition, CommitRequest, FetchedOffset, GroupError, PartitionResults, Reply, Ticket};
use super::purge::Purge;
use super::record::{GroupRecord, GroupValue, OffsetValue, offset_bytes};
use super::{Group, Groups};
use crate::ids::{Offset, PartitionIndex, TimestampMs};

/// By group, topic and partition. What open transactions hold will stand beside this, by producer (KIP-98), which is
/// why each offset knows where its record is: the later record wins, not the later commit.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Offsets {
    pub(super) by_group: BTreeMap<String, GroupOffsets>,
}

pub(super) type GroupOffsets = BTreeMap<String, BTreeMap<PartitionIndex, CommittedOffset>>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CommittedOffset {
    pub(super) value: OffsetValue,
    /// Where its record stands in the log.
    pub(super) record_offset: Offset,
}

impl Offsets {
    pub(super) fn of_group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.by_group.get(group_id)
    }

    fn get(&self, group_id: &str, topic: &str, partition: PartitionIndex) -> Option<&CommittedOffset> {
        self.by_group.get(group_id)?.get(topic)?.get(&partition)
    }

    fn put(&mut self, group_id: &str, topic: &str, partition: PartitionIndex, offset: CommittedOffset) {
        let topics = self.by_group.entry(group_id.to_string()).or_default();
        topics.entry(topic.to_string()).or_default().insert(partition, offset);
    }

    fn remove(&mut self, group_id: &str, topic: &str, partition: PartitionIndex) {
        let Some(topics) = self.by_group.get_mut(group_id) else { return };
        if let Some(partitions) = topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                topics.remove(topic);
            }
        }
        if topics.is_empty() {
            self.by_group.remove(group_id);
        }
    }
}

impl Groups {
    /// OffsetCommit.
    pub fn on_commit(&mut self, ticket: Ticket, request: &CommitRequest, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        if let Err(error) = self.validate_commit(request) {
            effects.answer(ticket, Reply::Commit(Err(error)));
            return effects;
        }
        if self.commit_bytes(request) > self.config.batch_bytes_max {
            effects.answer(ticket, Reply::Commit(Err(GroupError::InvalidCommitOffsetSize)));
            return effects;
        }
        if let Some(mut session) = self.session(&request.group_id, now, &mut effects) {
            // Committing is a sign of life.
            if matches!(session.group.state, GroupState::Stable | GroupState::PreparingRebalance) {
                session.restart_session(&request.member_id);
            }
        }
        let (records, results) = self.commit(request, now);
        if !records.is_empty() {
            effects.append(records, Then::Apply(None));
        }
        effects.answer(ticket, Reply::Commit(Ok(results)));
        effects
    }

    /// OffsetDelete: for topics that the group does not read any more (KIP-496).
    pub fn on_delete_offsets(
        &mut self,
        ticket: Ticket,
        group_id: &str,
        topics: &[(String, Vec<PartitionIndex>)],
    ) -> Effects {
        let mut effects = Effects::default();
        match self.decide_deletion(group_id, topics) {
            Err(error) => effects.answer(ticket, Reply::DeleteOffsets(Err(error))),
            Ok((purge, results)) => self.purge(purge, Some((ticket, Reply::DeleteOffsets(Ok(results)))), &mut effects),
        }
        effects
    }

    /// Partitions are gone, and with them what groups had committed there. For a whole topic, name all its partitions.
    pub fn on_partitions_deleted(&mut self, topic: &str, partitions: &[PartitionIndex]) -> Effects {
        let mut effects = Effects::default();
        let partitions = partitions.iter().copied().collect();
        self.purge(Purge::Partitions { topic: topic.to_string(), partitions }, None, &mut effects);
        effects
    }

    /// OffsetFetch of named partitions, in the order asked. A group that does not exist has committed nothing. What is
    /// named twice is answered once: nobody means it, and metadata makes answers much larger than questions.
    pub fn fetch_offsets(
        &self,
        group_id: &str,
        topics: &[(String, Vec<PartitionIndex>)],
    ) -> Vec<(String, Vec<FetchedOffset>)> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::with_capacity(topics.len());
        for (topic, partitions) in topics {
            let fetch = |partition: &PartitionIndex| fetched(*partition, self.offsets.get(group_id, topic, *partition));
            let is_first = |partition: &&PartitionIndex| seen.insert((topic.as_str(), **partition));
            found.push((topic.clone(), partitions.iter().filter(is_first).map(fetch).collect()));
        }
        found
    }

    /// OffsetFetch of everything the group has committed, in order.
    pub fn fetch_all_offsets(&self, group_id: &str) -> Vec<(String, Vec<FetchedOffset>)> {
        let fetch_topic = |partitions: &BTreeMap<PartitionIndex, CommittedOffset>| -> Vec<FetchedOffset> {
            partitions.iter().map(|(partition, offset)| fetched(*partition, Some(offset))).collect()
        };
        let topics = self.offsets.of_group(group_id).into_iter().flatten();
        topics.map(|(topic, partitions)| (topic.clone(), fetch_topic(partitions))).collect()
    }

    /// The one way in which what the log says gets into memory.
    pub(super) fn apply(&mut self, record: &GroupRecord, record_offset: Offset) {
        match record {
            GroupRecord::Group { group_id, value: Some(value) } => self.apply_group(group_id, value),
            GroupRecord::Group { group_id, value: None } => self.remove_group(group_id),
            GroupRecord::Offset { group_id, topic, partition, value: Some(value) } => {
                let group = || Group::Classic(Box::new(ClassicGroup::new()));
                self.groups.entry(group_id.clone()).or_insert_with(group);
                let offset = CommittedOffset { value: value.clone(), record_offset };
                self.offsets.put(group_id, topic, *partition, offset);
            }
            GroupRecord::Offset { group_id, topic, partition, value: None } => {
                self.offsets.remove(group_id, topic, *partition);
            }
        }
    }

    fn apply_group(&mut self, group_id: &str, value: &GroupValue) {
        let group = Group::Classic(Box::new(ClassicGroup::from_record(value)));
        self.groups.insert(group_id.to_string(), group);
    }

    fn validate_commit(&self, request: &CommitRequest) -> Result<(), GroupError> {
        match self.groups.get(&request.group_id) {
            Some(Group::Classic(group)) => {
                group.validate_commit(&request.member_id, request.group_instance_id.as_deref(), request.generation_id)
            }
            None if request.generation_id < 0 => Ok(()),
            None if request.knows_group_id_not_found => Err(GroupError::GroupIdNotFound),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    fn commit(&self, request: &CommitRequest, now: TimestampMs) -> (Vec<GroupRecord>, PartitionResults) {
        let mut records = Vec::new();
        let mut results = Vec::new();
        for (topic, partitions) in &request.topics {
            let mut topic_results = Vec::new();
            for commit in partitions {
                let accepted = self.has_acceptable_metadata(commit);
                topic_results.push((commit.partition, (!accepted).then_some(GroupError::OffsetMetadataTooLarge)));
                if accepted {
                    records.push(commit_record(request, topic, commit, now));
                }
            }
            results.push((topic.clone(), topic_results));
        }
        (records, results)
    }

    /// A commit is written whole or not at all, so it must fit into one batch. Looked at before any record is made,
    /// because each of them repeats the names.
    fn commit_bytes(&self, request: &CommitRequest) -> usize {
        let of_topic = |(topic, partitions): &(String, Vec<CommitPartition>)| -> usize {
            let metadata_bytes = |commit: &CommitPartition| commit.metadata.as_ref().map_or(0, String::len);
            let bytes = |commit| offset_bytes(&request.group_id, topic, metadata_bytes(commit));
            partitions.iter().filter(|commit| self.has_acceptable_metadata(commit)).map(bytes).sum()
        };
        request.topics.iter().map(of_topic).sum()
    }

    fn has_acceptable_metadata(&self, commit: &CommitPartition) -> bool {
        let length = commit.metadata.as_ref().map_or(0, |metadata| metadata.encode_utf16().count());
        length <= self.config.offset_metadata_length_max
    }

    fn decide_deletion(
        &self,
        group_id: &str,
        topics: &[(String, Vec<PartitionIndex>)],
    ) -> Result<(Purge, PartitionResults), GroupError> {
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let Some(Group::Classic(group)) = self.groups.get(group_id) else { return Err(GroupError::GroupIdNotFound) };
        if !group.is(GroupState::Empty) && !group.uses_consumer_protocol() {
            return Err(GroupError::NonEmptyGroup);
        }
        let mut deleted: BTreeMap<String, BTreeSet<PartitionIndex>> = BTreeMap::new();
        let mut results = Vec::new();
        for (topic, partitions) in topics {
            let error = group.is_subscribed_to(topic).then_some(GroupError::GroupSubscribedToTopic);
            results.push((topic.clone(), partitions.iter().map(|partition| (*partition, error)).collect()));
            if error.is_none() {
                deleted.entry(topic.clone()).or_default().extend(partitions);
            }
        }
        Ok((Purge::Offsets { group_id: group_id.to_string(), topics: deleted }, results))
    }
}

fn commit_record(request: &CommitRequest, topic: &str, commit: &CommitPartition, now: TimestampMs) -> GroupRecord {
    let value = OffsetValue {
        offset: commit.offset,
        leader_epoch: commit.leader_epoch,
        metadata: commit.metadata.clone().unwrap_or_default(),
        commit_timestamp_ms: now,
        expire_timestamp_ms: request.retention_time_ms.map(|retention_ms| now.saturating_add(retention_ms)),
    };
    GroupRecord::Offset {
        group_id: request.group_id.clone(),
        topic: topic.to_string(),
        partition: commit.partition,
        value: Some(value),
    }
}

fn fetched(partition: PartitionIndex, committed: Option<&CommittedOffset>) -> FetchedOffset {
    FetchedOffset {
        partition,
        offset: committed.map_or(-1, |offset| offset.value.offset),
        leader_epoch: committed.map_or(-1, |offset| offset.value.leader_epoch),
        metadata: committed.map(|offset| offset.value.metadata.clone()).unwrap_or_default(),
    }
}
