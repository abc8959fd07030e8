//! A member of a classic group.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::Effects;
use super::message::{GroupError, JoinReply, MemberDescription, Protocol, Reply, SyncReply, Ticket};
use super::record::MemberValue;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) member_id: String,
    pub(super) group_instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Vec<u8>,
    pub(super) awaiting_join: Option<Ticket>,
    pub(super) awaiting_sync: Option<Ticket>,
    /// Until its first join is answered: it does not know its id, so it cannot heartbeat.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    /// Whoever waits for the group's answer shows by it that he lives; but a new member's wait is bounded.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(super) fn metadata(&self, protocol_name: &str) -> &[u8] {
        let protocol = self.protocols.iter().find(|protocol| protocol.name == protocol_name);
        protocol.map_or(&[], |protocol| protocol.metadata.as_slice())
    }

    /// The first of its protocols that all support.
    pub(super) fn vote<'a>(&self, candidates: &BTreeSet<&'a str>) -> Option<&'a str> {
        self.protocols.iter().find_map(|protocol| candidates.get(protocol.name.as_str()).copied())
    }

    /// Parks a join. One that waits already came over a connection that its client has given up.
    pub(super) fn await_join(&mut self, ticket: Ticket, effects: &mut Effects) {
        if let Some(given_up) = self.awaiting_join.replace(ticket) {
            let reply = JoinReply::refused(GroupError::RebalanceInProgress, &self.member_id);
            effects.replies.push((given_up, Reply::Join(reply)));
        }
    }

    /// Parks a sync, as [`Member::await_join`] does a join.
    pub(super) fn await_sync(&mut self, ticket: Ticket, effects: &mut Effects) {
        if let Some(given_up) = self.awaiting_sync.replace(ticket) {
            effects.replies.push((given_up, Reply::Sync(SyncReply::refused(GroupError::RebalanceInProgress))));
        }
    }

    /// Tells whoever waits in this member's name that it is no longer a member, or no longer the one of its name.
    pub(super) fn dismiss(&mut self, effects: &mut Effects, error: GroupError) {
        let named = if error == GroupError::UnknownMemberId { "" } else { &self.member_id };
        if let Some(ticket) = self.awaiting_join.take() {
            effects.replies.push((ticket, Reply::Join(JoinReply::refused(error, named))));
        }
        if let Some(ticket) = self.awaiting_sync.take() {
            effects.replies.push((ticket, Reply::Sync(SyncReply::refused(error))));
        }
    }

    pub(super) fn describe(&self, protocol_name: Option<&str>) -> MemberDescription {
        MemberDescription {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol_name.map_or_else(Vec::new, |name| self.metadata(name).to_vec()),
            assignment: self.assignment.clone(),
        }
    }

    pub(super) fn record(&self, protocol_name: &str, assignment: &[u8]) -> MemberValue {
        MemberValue {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol_name).to_vec(),
            assignment: assignment.to_vec(),
        }
    }

    /// Of its protocols only the chosen one was written.
    pub(super) fn from_record(value: &MemberValue, protocol_name: &str) -> Self {
        Member {
            member_id: value.member_id.clone(),
            group_instance_id: value.group_instance_id.clone(),
            client_id: value.client_id.clone(),
            client_host: value.client_host.clone(),
            rebalance_timeout_ms: match value.rebalance_timeout_ms {
                -1 => value.session_timeout_ms,
                timeout_ms => timeout_ms,
            },
            session_timeout_ms: value.session_timeout_ms,
            protocols: alloc::vec![Protocol { name: protocol_name.into(), metadata: value.subscription.clone() }],
            assignment: value.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }
}
