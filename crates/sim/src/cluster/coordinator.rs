//! A simulated group coordinator: the real machine of groups on a replicated partition. What it writes are records as any other; what a
//! record says the world keeps, by the record's number.

use std::collections::BTreeMap;

use chronik_state::group::{
    Append, CommitPartition, CommitRequest, Effects, GroupConfig, GroupError, GroupRecord, Groups, Reply, Ticket,
};
use chronik_state::ids::{LeaderEpoch, Offset, TimestampMs};

use super::checkers::Records;
use super::history::RecordId;
use super::places::{Place, place};

/// The topic that holds what groups commit.
pub(super) const OFFSETS_TOPIC: i32 = 9;
const GROUP: &str = "g";
const READS: &str = "t0";

/// The only partition of that topic.
pub(super) fn offsets_place() -> Place {
    place(OFFSETS_TOPIC, 0)
}

/// Leads the groups for as long as its replica leads the partition.
pub(super) struct Coordinator {
    pub(super) leader_epoch: LeaderEpoch,
    groups: Groups,
    /// One past the last record that it knows of: what it says holds once all before that is committed.
    pub(super) end_offset: Offset,
    /// Answers that wait for that, with where it was when they were decided.
    waiting: Vec<(Offset, u64, bool)>,
}

impl Coordinator {
    /// Reads the log to its end.
    pub(super) fn load(leader_epoch: LeaderEpoch, log: &Records, says: &BTreeMap<RecordId, GroupRecord>, end_offset: Offset, now_ms: TimestampMs) -> Self {
        let mut groups = Groups::new(GroupConfig::default());
        for (offset, (_, id)) in log {
            says.get(id).into_iter().for_each(|record| groups.replay(record, *offset));
        }
        let loaded = groups.on_loaded(now_ms);
        assert!(loaded.append.is_none() && loaded.replies.is_empty(), "a group without members has nothing to say");
        Coordinator { leader_epoch, groups, end_offset, waiting: Vec::new() }
    }

    /// A client that is no member commits; what is to be appended, if it may.
    pub(super) fn commit(&mut self, attempt: u64, offset: Offset, now_ms: TimestampMs) -> Option<Append> {
        let commit = CommitPartition { partition: 0, offset, leader_epoch: -1, metadata: None };
        let request = CommitRequest {
            group_id: GROUP.into(),
            member_id: String::new(),
            group_instance_id: None,
            generation_id: chronik_state::group::NO_GENERATION,
            retention_time_ms: None,
            knows_group_id_not_found: true,
            topics: vec![(READS.into(), vec![commit])],
        };
        let mut effects = self.groups.on_commit(Ticket(attempt), &request, now_ms);
        let append = effects.append.take();
        self.remember(effects);
        append
    }

    /// It was appended there, or not at all.
    pub(super) fn on_appended(&mut self, append: Append, base_offset: Option<Offset>, now_ms: TimestampMs) {
        if let Some(base_offset) = base_offset {
            self.end_offset = base_offset + append.records.len() as Offset;
        }
        let outcome = base_offset.ok_or(GroupError::CoordinatorNotAvailable);
        let effects = self.groups.on_appended(append, outcome, now_ms);
        self.remember(effects);
    }

    fn remember(&mut self, effects: Effects) {
        for (Ticket(attempt), reply) in effects.replies {
            let taken = matches!(&reply, Reply::Commit(Ok(topics)) if topics.iter().all(|(_, results)| results.iter().all(|(_, error)| error.is_none())));
            self.waiting.push((self.end_offset, attempt, taken));
        }
    }

    /// Answers that may be given now that everything before `high_watermark` is committed.
    pub(super) fn told(&mut self, high_watermark: Offset) -> Vec<(u64, bool)> {
        self.waiting.extract_if(.., |(end, ..)| *end <= high_watermark).map(|(_, attempt, taken)| (attempt, taken)).collect()
    }

    /// What the group has committed; −1 for nothing.
    pub(super) fn committed(&self) -> Offset {
        let found = self.groups.fetch_offsets(GROUP, &[(READS.into(), vec![0])]);
        found[0].1[0].offset
    }
}
