//! SyncGroup: the leader hands out, the others fetch their share.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::Groups;
use super::classic::GroupState;
use super::event::{Effects, Then};
use super::message::{GroupError, Reply, SyncReply, SyncRequest, Ticket};
use super::record::GroupRecord;
use super::session::Session;
use crate::ids::TimestampMs;

impl Groups {
    /// SyncGroup. Parked until the leader has assigned and the group is in the log.
    pub fn on_sync(&mut self, ticket: Ticket, request: SyncRequest, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        let group_id = request.group_id.clone();
        let result = if group_id.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if let Some(mut session) = self.session(&group_id, now, &mut effects) {
            session.sync(ticket, request)
        } else {
            Err(GroupError::UnknownMemberId)
        };
        if let Err(error) = result {
            effects.answer(ticket, Reply::Sync(SyncReply::refused(error)));
        }
        effects
    }
}

impl Session<'_> {
    fn sync(&mut self, ticket: Ticket, request: SyncRequest) -> Result<(), GroupError> {
        self.validate_sync(&request)?;
        match self.group.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.received_sync(&request.member_id);
                if let Some(member) = self.group.members.get_mut(&request.member_id) {
                    member.await_sync(ticket, self.effects);
                }
                if self.group.is_leader(&request.member_id) {
                    self.append_assignment(request.assignments);
                }
                Ok(())
            }
            GroupState::Stable => {
                self.received_sync(&request.member_id);
                let reply = self.sync_reply(&request.member_id);
                self.effects.answer(ticket, Reply::Sync(reply));
                Ok(())
            }
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMemberId),
        }
    }

    /// The leader's assignment is in the log, or was refused: everybody who waits hears it now.
    pub(super) fn on_assignment_appended(
        &mut self,
        assignments: Vec<(String, Vec<u8>)>,
        decided_at: TimestampMs,
        refused: Option<GroupError>,
    ) {
        if let Some(error) = refused {
            self.withdraw_assignment(error);
            self.rebalance_or_complete_join();
            return;
        }
        let mut assignments: BTreeMap<String, Vec<u8>> = assignments.into_iter().collect();
        for member in self.group.members.values_mut() {
            member.assignment = assignments.remove(&member.member_id).unwrap_or_default();
        }
        self.answer_syncs(None);
        self.group.transition_to(GroupState::Stable, decided_at);
    }

    /// Who has not asked for his share by now is taken to be gone.
    pub(super) fn on_sync_deadline(&mut self) {
        let is_syncing = matches!(self.group.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !is_syncing || self.group.pending_syncs.is_empty() {
            return;
        }
        for member_id in core::mem::take(&mut self.group.pending_syncs) {
            self.dismiss(&member_id);
        }
        self.prepare_rebalance();
    }

    pub(super) fn answer_syncs(&mut self, error: Option<GroupError>) {
        let member_ids: Vec<String> = self.group.members.keys().cloned().collect();
        for member_id in member_ids {
            let Some(ticket) = self.group.members.get_mut(&member_id).and_then(|member| member.awaiting_sync.take())
            else {
                continue;
            };
            let reply = error.map_or_else(|| self.sync_reply(&member_id), SyncReply::refused);
            self.effects.replies.push((ticket, Reply::Sync(reply)));
            self.restart_session(&member_id);
        }
    }

    fn validate_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.group.generation_id {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |given: &Option<String>, actual: &Option<String>| given.is_some() && given != actual;
        if differs(&request.protocol_type, &self.group.protocol_type)
            || differs(&request.protocol_name, &self.group.protocol_name)
        {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn received_sync(&mut self, member_id: &str) {
        self.group.pending_syncs.remove(member_id);
        if self.group.pending_syncs.is_empty() {
            self.timers.cancel(&self.sync_timer());
        }
    }

    fn append_assignment(&mut self, assignments: Vec<(String, Vec<u8>)>) {
        let by_member = assignments.iter().map(|(id, share)| (id.as_str(), share.as_slice())).collect();
        let value = Some(self.group.record_with(&by_member, Some(self.now)));
        let group_id = String::from(self.group_id);
        self.effects.append(
            alloc::vec![GroupRecord::Group { group_id: group_id.clone(), value }],
            Then::Stabilise { group_id, assignments, decided_at: self.now },
        );
    }

    fn sync_reply(&self, member_id: &str) -> SyncReply {
        SyncReply {
            error: None,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            assignment: self.group.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }
}
