//! One group in the midst of an event: heartbeats, leaving, and silence.

use alloc::string::String;
use alloc::vec::Vec;

use super::classic::{ClassicGroup, GroupState};
use super::event::Effects;
use super::message::{
    GroupError, HeartbeatRequest, LeaveReply, LeavingMember, LeftMember, Reply, Ticket,
};
use super::timers::{Timer, Timers};
use super::{GroupConfig, Groups};
use crate::ids::TimestampMs;

/// Everything an event of one group may touch.
pub(super) struct Session<'a> {
    pub(super) group_id: &'a str,
    pub(super) group: &'a mut ClassicGroup,
    pub(super) timers: &'a mut Timers,
    pub(super) config: &'a GroupConfig,
    pub(super) now: TimestampMs,
    pub(super) effects: &'a mut Effects,
}

impl Groups {
    /// Heartbeat: the member lives, and hears whether it must rejoin.
    pub fn on_heartbeat(&mut self, ticket: Ticket, request: &HeartbeatRequest, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        let result = if request.group_id.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if let Some(mut session) = self.session(&request.group_id, now, &mut effects) {
            session.heartbeat(request)
        } else {
            Err(GroupError::UnknownMemberId)
        };
        effects.answer(ticket, Reply::Heartbeat(result));
        effects
    }

    /// LeaveGroup, for several members at once (KIP-345).
    pub fn on_leave(&mut self, ticket: Ticket, group_id: &str, members: &[LeavingMember], now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        let reply = if group_id.is_empty() {
            LeaveReply { error: Some(GroupError::InvalidGroupId), members: Vec::new() }
        } else if let Some(mut session) = self.session(group_id, now, &mut effects) {
            LeaveReply { error: None, members: session.leave(members) }
        } else {
            let unknown = |member| left(member, Err(GroupError::UnknownMemberId));
            LeaveReply { error: None, members: members.iter().map(unknown).collect() }
        };
        effects.answer(ticket, Reply::Leave(reply));
        effects
    }
}

impl Session<'_> {
    /// After reading the log: all members are taken to have just spoken.
    pub(super) fn resume(&mut self) {
        let member_ids: Vec<String> = self.group.members.keys().cloned().collect();
        for member_id in &member_ids {
            self.restart_session(member_id);
        }
        if self.group.members.len() > self.config.size_max {
            // The limit was lowered: a rebalance gives everybody a chance to commit before some are turned away.
            self.prepare_rebalance();
        }
    }

    /// From now on a member has its session timeout to be heard of again.
    pub(super) fn restart_session(&mut self, member_id: &str) {
        if let Some(member) = self.group.members.get(member_id) {
            self.expect_member(member_id, i64::from(member.session_timeout_ms));
        }
    }

    pub(super) fn expect_member(&mut self, member_id: &str, timeout_ms: i64) {
        self.timers.schedule(self.session_timer(member_id), self.now.saturating_add(timeout_ms));
    }

    pub(super) fn on_session_deadline(&mut self, member_id: &str) {
        if self.group.pending_joins.contains(member_id) {
            self.group.remove(member_id);
            if self.group.is(GroupState::PreparingRebalance) && self.group.has_all_members_joined() {
                self.complete_join();
            }
        } else if self.group.members.get(member_id).is_some_and(|member| !member.has_satisfied_heartbeat()) {
            self.dismiss(member_id);
            match self.group.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.rebalance_or_complete_join(),
                GroupState::PreparingRebalance if self.group.has_all_members_joined() => self.complete_join(),
                _ => {}
            }
        }
    }

    pub(super) fn session_timer(&self, member_id: &str) -> Timer {
        Timer::Session { group_id: self.group_id.into(), member_id: member_id.into() }
    }

    /// Takes a member out, telling whoever waits in its name to begin anew.
    pub(super) fn dismiss(&mut self, member_id: &str) {
        self.timers.cancel(&self.session_timer(member_id));
        if let Some(mut member) = self.group.remove(member_id) {
            member.dismiss(self.effects, GroupError::UnknownMemberId);
        }
    }

    fn heartbeat(&mut self, request: &HeartbeatRequest) -> Result<(), GroupError> {
        self.group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.group.generation_id {
            return Err(GroupError::IllegalGeneration);
        }
        self.restart_session(&request.member_id);
        match self.group.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn leave(&mut self, members: &[LeavingMember]) -> Vec<LeftMember> {
        let left: Vec<LeftMember> = members.iter().map(|member| left(member, self.leave_one(member))).collect();
        if left.iter().any(|member| member.error.is_none()) {
            match self.group.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.rebalance_or_complete_join(),
                GroupState::PreparingRebalance => self.complete_join_if_all_joined(),
                GroupState::Empty | GroupState::Dead => {}
            }
        }
        left
    }

    fn leave_one(&mut self, member: &LeavingMember) -> Result<(), GroupError> {
        let instance_id = member.group_instance_id.as_deref();
        if member.member_id.is_empty() {
            let known = instance_id.and_then(|instance_id| self.group.static_members.get(instance_id)).cloned();
            self.dismiss(&known.ok_or(GroupError::UnknownMemberId)?);
        } else {
            if !self.group.pending_joins.contains(&member.member_id) {
                self.group.validate_member(&member.member_id, instance_id)?;
            }
            self.dismiss(&member.member_id);
        }
        Ok(())
    }
}

fn left(member: &LeavingMember, result: Result<(), GroupError>) -> LeftMember {
    LeftMember {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error: result.err(),
    }
}
