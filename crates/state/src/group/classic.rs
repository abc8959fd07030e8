//! A group of the classic protocol: who is in it and at which stage of a rebalance it is.
//!
//! ```text
//!            first member joins                 all have joined, or time is up
//!   Empty ───────────────────────► Preparing ─────────────────────────────────► Completing
//!     ▲  ▲                          ▲  ▲  │                                          │
//!     │  └──────────────────────────┼──┼──┘ nobody joined                            │ leader assigned,
//!     │                  join, leave│  └───────── join, leave, silence ──────────────┤ record appended
//!     │                             └─────────────────── Stable ◄────────────────────┘
//! ```

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::member::Member;
use super::message::{GroupError, JoinReply, JoinedMember, Protocol};
use super::record::GroupValue;
use super::subscription;
use crate::ids::TimestampMs;

/// The protocol type of Kafka's own consumers, whose metadata the coordinator can read.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Stages of a classic group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl GroupState {
    /// As clients see it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// The wait of a group's first members for others (KIP-134).
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialRebalance {
    pub(super) delay_ms: i32,
    pub(super) remaining_ms: i32,
}

#[derive(Clone, Debug)]
pub(super) struct ClassicGroup {
    pub(super) state: GroupState,
    pub(super) previous_state: GroupState,
    pub(super) state_timestamp_ms: Option<TimestampMs>,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) generation_id: i32,
    pub(super) leader_id: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Instance id to member id (KIP-345).
    pub(super) static_members: BTreeMap<String, String>,
    /// Those who were told their id and shall join with it (KIP-394).
    pub(super) pending_joins: BTreeSet<String>,
    /// Those whose join was answered and who shall sync.
    pub(super) pending_syncs: BTreeSet<String>,
    /// None if the members' metadata cannot be read.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    pub(super) new_member_added: bool,
    pub(super) initial_rebalance: Option<InitialRebalance>,
}

impl ClassicGroup {
    pub(super) fn new() -> Self {
        ClassicGroup {
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_timestamp_ms: None,
            protocol_type: None,
            protocol_name: None,
            generation_id: 0,
            leader_id: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            subscribed_topics: None,
            new_member_added: false,
            initial_rebalance: None,
        }
    }

    pub(super) fn from_record(value: &GroupValue) -> Self {
        let mut group = ClassicGroup {
            state: if value.members.is_empty() { GroupState::Empty } else { GroupState::Stable },
            state_timestamp_ms: value.state_timestamp_ms,
            protocol_type: Some(value.protocol_type.clone()).filter(|name| !name.is_empty()),
            protocol_name: value.protocol_name.clone(),
            generation_id: value.generation_id,
            leader_id: value.leader.clone(),
            ..ClassicGroup::new()
        };
        let protocol_name = value.protocol_name.as_deref().unwrap_or_default();
        for member in &value.members {
            group.add(Member::from_record(member, protocol_name));
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// As the log shall keep it.
    pub(super) fn record(&self) -> GroupValue {
        let assignments = self.members.iter().map(|(id, member)| (id.as_str(), member.assignment.as_slice())).collect();
        self.record_with(&assignments, self.state_timestamp_ms)
    }

    /// As the log shall keep it with these assignments; who has none gets an empty one.
    pub(super) fn record_with(
        &self,
        assignments: &BTreeMap<&str, &[u8]>,
        state_timestamp_ms: Option<TimestampMs>,
    ) -> GroupValue {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let assignment = |member: &Member| assignments.get(member.member_id.as_str()).copied().unwrap_or_default();
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation_id,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader_id.clone(),
            state_timestamp_ms,
            members: self.members.values().map(|member| member.record(protocol_name, assignment(member))).collect(),
        }
    }

    pub(super) fn is(&self, state: GroupState) -> bool {
        self.state == state
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader_id.as_deref() == Some(member_id)
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Where nobody knows what the members read, they may read anything.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    pub(super) fn transition_to(&mut self, state: GroupState, now: TimestampMs) {
        self.previous_state = self.state;
        self.state = state;
        self.state_timestamp_ms = Some(now);
    }

    pub(super) fn can_rebalance(&self) -> bool {
        matches!(self.state, GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable)
    }

    pub(super) fn add(&mut self, member: Member) {
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.insert(instance_id.clone(), member.member_id.clone());
        }
        self.leader_id.get_or_insert_with(|| member.member_id.clone());
        self.pending_joins.remove(&member.member_id);
        self.members.insert(member.member_id.clone(), member);
    }

    /// Takes a member or pending member out; the next one leads if it led.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let removed = self.members.remove(member_id);
        if let Some(instance_id) = removed.as_ref().and_then(|member| member.group_instance_id.as_ref()) {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader_id = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        removed
    }

    /// Gives a static member another id; what waits in its old name is handed back with the old id in place.
    pub(super) fn replace_static_member(&mut self, instance_id: &str, old_id: &str, new_id: &str) -> Option<Member> {
        let old = self.members.remove(old_id)?;
        let new = Member {
            member_id: new_id.into(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            ..old.clone()
        };
        self.pending_syncs.remove(old_id);
        self.members.insert(new_id.into(), new);
        if self.is_leader(old_id) {
            self.leader_id = Some(new_id.into());
        }
        self.static_members.insert(instance_id.into(), new_id.into());
        Some(old)
    }

    /// Who calls himself so must be so (KIP-345: of two with one instance id the later one is right).
    pub(super) fn validate_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMemberId),
                Some(known) if known != member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    pub(super) fn validate_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
    ) -> Result<(), GroupError> {
        if generation_id < 0 && self.is(GroupState::Empty) {
            return Ok(());
        }
        if generation_id < 0 && member_id.is_empty() && instance_id.is_none() {
            // A caller who is no member must not move the offsets of those who are.
            return Err(GroupError::UnknownMemberId);
        }
        self.validate_member(member_id, instance_id)?;
        if generation_id != self.generation_id {
            return Err(GroupError::IllegalGeneration);
        }
        if self.is(GroupState::CompletingRebalance) {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    pub(super) fn count_awaiting_join(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// The slowest member sets the pace.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let candidates = self.candidate_protocols();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| candidates.contains(protocol.name.as_str()))
    }

    /// What every member can do, the one with the most votes; of equals the first by name.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let candidates = self.candidate_protocols();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in self.members.values().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(vote).or_default() += 1;
        }
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name.into())
    }

    fn candidate_protocols(&self) -> BTreeSet<&str> {
        let mut members = self.members.values();
        let Some(first) = members.next() else { return BTreeSet::new() };
        let mut candidates: BTreeSet<&str> = first.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
        for member in members {
            candidates.retain(|name| member.protocols.iter().any(|protocol| protocol.name == *name));
        }
        candidates
    }

    /// A leader that did not come back in time is replaced by one who did. False if nobody did.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader_id.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(|leader| leader.awaiting_join.is_some()) {
            return true;
        }
        let Some(joined) = self.members.values().find(|member| member.awaiting_join.is_some()) else { return false };
        self.leader_id = Some(joined.member_id.clone());
        true
    }

    pub(super) fn begin_next_generation(&mut self, now: TimestampMs) {
        self.generation_id = self.generation_id.wrapping_add(1);
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        self.pending_syncs.clear();
        let is_empty = self.members.is_empty();
        self.transition_to(if is_empty { GroupState::Empty } else { GroupState::CompletingRebalance }, now);
    }

    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let joined = |member: &Member| JoinedMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: member.metadata(protocol_name).to_vec(),
        };
        self.members.values().map(joined).collect()
    }

    /// The current generation as a member is told of it; the leader also hears who is in it.
    pub(super) fn join_reply(&self, member_id: &str) -> JoinReply {
        JoinReply {
            error: None,
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader_id.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: if self.is_leader(member_id) { self.joined_members() } else { Vec::new() },
        }
    }

    fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol_name = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.append(&mut subscription::subscribed_topics(member.metadata(protocol_name))?);
        }
        Some(topics)
    }
}
