//! JoinGroup: coming in, coming back, and being parked until the group's next generation.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::classic::{ClassicGroup, GroupState};
use super::event::{Append, Effects, Then};
use super::member::Member;
use super::message::{GroupError, JoinReply, JoinRequest, Reply, Ticket};
use super::record::GroupRecord;
use super::session::Session;
use super::{Group, Groups};
use crate::ids::TimestampMs;

/// So long a new member's first join may be parked. It does not know its id and cannot heartbeat, and a client that
/// gave up joins anew: without this bound its abandoned joins would pile up as members.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;

/// The protocol has no longer strings.
const MEMBER_ID_BYTES_MAX: usize = i16::MAX as usize;

/// Bytes of a UUID as it is written.
const UUID_BYTES: usize = 36;

/// The reply, unless the join is parked.
type Joined = Result<Option<JoinReply>, GroupError>;

impl Groups {
    /// JoinGroup. Answered at once or when the rebalance it takes part in has gathered everybody.
    pub fn on_join(&mut self, ticket: Ticket, request: JoinRequest, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        if let Err(error) = self.validate_join(&request) {
            let reply = JoinReply::refused(error, &request.member_id);
            effects.answer(ticket, Reply::Join(reply));
            return effects;
        }
        let group_id = request.group_id.clone();
        let is_new_group = !self.groups.contains_key(&group_id);
        let group = || Group::Classic(Box::new(ClassicGroup { state_timestamp_ms: Some(now), ..ClassicGroup::new() }));
        self.groups.entry(group_id.clone()).or_insert_with(group);
        let Some(mut session) = self.session(&group_id, now, &mut effects) else { return effects };
        let joined = session.join(ticket, &request);

        if is_new_group && joined.is_ok() {
            // The log shall know of the group: else a restart would forget one that clients have seen.
            session.append_creation(ticket, joined.unwrap_or_default());
            return effects;
        }
        match joined {
            Ok(None) => {}
            Ok(Some(reply)) => effects.answer(ticket, Reply::Join(reply)),
            Err(error) => {
                // Kafka leaves an empty group behind where a join without protocols was refused.
                if is_new_group {
                    self.remove_group(&group_id);
                }
                effects.answer(ticket, Reply::Join(JoinReply::refused(error, &request.member_id)));
            }
        }
        effects
    }

    fn validate_join(&self, request: &JoinRequest) -> Result<(), GroupError> {
        let session_timeouts_ms = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if request.group_id.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if !session_timeouts_ms.contains(&request.session_timeout_ms) {
            Err(GroupError::InvalidSessionTimeout)
        } else if !request.member_id.is_empty() && !self.groups.contains_key(&request.group_id) {
            // Only who has no id yet makes a group.
            Err(GroupError::UnknownMemberId)
        } else {
            Ok(())
        }
    }
}

impl Session<'_> {
    fn join(&mut self, ticket: Ticket, request: &JoinRequest) -> Joined {
        if !self.has_room_for(&request.member_id) {
            self.group.remove(&request.member_id);
            return Ok(Some(JoinReply::refused(GroupError::GroupMaxSizeReached, "")));
        }
        if !self.group.supports_protocols(&request.protocol_type, &request.protocols) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        if request.member_id.is_empty() {
            self.join_without_id(ticket, request)
        } else if self.group.pending_joins.contains(&request.member_id) {
            self.join_pending(ticket, request)
        } else {
            self.rejoin(ticket, request)
        }
    }

    /// While a group gathers, places are taken by those who have joined: so the last to come are turned away.
    fn has_room_for(&self, member_id: &str) -> bool {
        let member = self.group.members.get(member_id);
        match self.group.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(|member| member.awaiting_join.is_some())
                    || self.group.count_awaiting_join() < self.config.size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.group.members.len() < self.config.size_max
            }
        }
    }

    fn join_without_id(&mut self, ticket: Ticket, request: &JoinRequest) -> Joined {
        let member_id = fresh_member_id(request);
        if let Some(instance_id) = &request.group_instance_id {
            if let Some(old_id) = self.group.static_members.get(instance_id).cloned() {
                return self.rejoin_static(ticket, request, instance_id, &old_id, &member_id);
            }
        } else if request.requires_known_member_id {
            self.expect_member(&member_id, i64::from(request.session_timeout_ms));
            self.group.pending_joins.insert(member_id.clone());
            return Ok(Some(JoinReply::refused(GroupError::MemberIdRequired, &member_id)));
        }
        self.add_member(ticket, request, member_id);
        Ok(None)
    }

    fn join_pending(&mut self, ticket: Ticket, request: &JoinRequest) -> Joined {
        if request.group_instance_id.is_some() {
            // A static member is never told to come back with an id: no client does this.
            return Err(GroupError::UnknownServerError);
        }
        self.add_member(ticket, request, request.member_id.clone());
        Ok(None)
    }

    fn rejoin(&mut self, ticket: Ticket, request: &JoinRequest) -> Joined {
        let member_id = &request.member_id;
        self.group.validate_member(member_id, request.group_instance_id.as_deref())?;
        let says_the_same =
            self.group.members.get(member_id).is_some_and(|member| member.protocols == request.protocols);
        match self.group.state {
            // It may have missed the answer to its join.
            GroupState::CompletingRebalance if says_the_same => Ok(Some(self.group.join_reply(member_id))),
            // A leader rejoins to have things assigned anew, others only if they have something new to say.
            GroupState::Stable if says_the_same && !self.group.is_leader(member_id) => {
                Ok(Some(self.group.join_reply(member_id)))
            }
            GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
                self.update_member(ticket, request, member_id);
                self.rebalance_or_complete_join();
                Ok(None)
            }
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMemberId),
        }
    }

    /// A static member that lost its id, as by a restart, takes its old place under a new one (KIP-345).
    fn rejoin_static(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        instance_id: &str,
        old_id: &str,
        new_id: &str,
    ) -> Joined {
        let before = Box::new(self.group.clone());
        self.timers.cancel(&self.session_timer(old_id));
        if let Some(mut old) = self.group.replace_static_member(instance_id, old_id, new_id) {
            old.dismiss(self.effects, GroupError::FencedInstanceId);
        }
        self.restart_session(new_id);
        self.update_member(ticket, request, new_id);
        match self.group.state {
            GroupState::Stable if self.group.select_protocol() == self.group.protocol_name => {
                self.append_rejoin(before, ticket, request, new_id);
                Ok(None)
            }
            GroupState::Stable => {
                self.rebalance_or_complete_join();
                Ok(None)
            }
            // The leader may be assigning to the old id right now.
            GroupState::CompletingRebalance => {
                self.prepare_rebalance();
                Ok(None)
            }
            _ => {
                self.complete_join_if_all_joined();
                Ok(None)
            }
        }
    }

    /// Nothing changes for the others, so there is no rebalance: the log learns the new id and the member its place.
    fn append_rejoin(&mut self, before: Box<ClassicGroup>, ticket: Ticket, request: &JoinRequest, new_id: &str) {
        if let Some(member) = self.group.members.get_mut(new_id) {
            member.awaiting_join = None;
        }
        let mut reply = self.group.join_reply(new_id);
        if request.supports_skipping_assignment {
            reply.skip_assignment = self.group.is_leader(new_id);
        } else {
            // An older leader would assign if it knew itself to be one: it is told of its former self.
            reply.leader = before.leader_id.clone().unwrap_or_default();
            reply.members.clear();
        }
        let group_id = String::from(self.group_id);
        let value = Some(self.group.record());
        self.effects.append(
            alloc::vec![GroupRecord::Group { group_id: group_id.clone(), value }],
            Then::Rejoin { group_id, before, ticket, reply },
        );
    }

    /// After a rejoin, or after taking it back, each member is expected as it is now named.
    pub(super) fn on_rejoin_appended(&mut self) {
        let member_ids: Vec<String> = self.group.static_members.values().cloned().collect();
        for member_id in &member_ids {
            if !self.timers.is_scheduled(&self.session_timer(member_id)) {
                self.restart_session(member_id);
            }
        }
    }

    fn add_member(&mut self, ticket: Ticket, request: &JoinRequest, member_id: String) {
        if self.group.is(GroupState::PreparingRebalance) && self.group.previous_state == GroupState::Empty {
            self.group.new_member_added = true;
        }
        if self.group.members.is_empty() {
            self.group.protocol_type = Some(request.protocol_type.clone());
        }
        self.group.add(Member {
            member_id: member_id.clone(),
            group_instance_id: request.group_instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Vec::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            is_new: true,
        });
        self.expect_member(&member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete_join();
    }

    fn update_member(&mut self, ticket: Ticket, request: &JoinRequest, member_id: &str) {
        if let Some(member) = self.group.members.get_mut(member_id) {
            member.protocols.clone_from(&request.protocols);
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            member.session_timeout_ms = request.session_timeout_ms;
            member.await_join(ticket, self.effects);
        }
    }

    fn append_creation(&mut self, creator: Ticket, reply: Option<JoinReply>) {
        let group_id = String::from(self.group_id);
        let value = ClassicGroup { state_timestamp_ms: Some(self.now), ..ClassicGroup::new() }.record();
        self.effects.append = Some(Append {
            records: alloc::vec![GroupRecord::Group { group_id: group_id.clone(), value: Some(value) }],
            then: Then::Create { group_id, creator, reply },
        });
    }
}

/// Named after the client, or the place that it holds.
fn fresh_member_id(request: &JoinRequest) -> String {
    let named_after = request.group_instance_id.as_deref().unwrap_or(&request.client_id);
    let length_max = named_after.floor_char_boundary(MEMBER_ID_BYTES_MAX - UUID_BYTES - 1);
    format!("{}-{}", &named_after[..length_max], Uuid(request.fresh_id))
}

/// A random number as UUIDs are written.
struct Uuid(u128);

impl core::fmt::Display for Uuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}
