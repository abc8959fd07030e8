//! The stages of a rebalance: from "somebody came or went" to "everybody has joined".

use alloc::string::String;
use alloc::vec::Vec;

use super::classic::{GroupState, InitialRebalance};
use super::event::Then;
use super::message::{GroupError, Reply};
use super::record::GroupRecord;
use super::session::Session;
use super::timers::Timer;

impl Session<'_> {
    pub(super) fn rebalance_or_complete_join(&mut self) {
        if self.group.can_rebalance() {
            self.prepare_rebalance();
        } else {
            self.complete_join_if_all_joined();
        }
    }

    /// Asks all members to join again; a new group's first members wait a while for others (KIP-134).
    pub(super) fn prepare_rebalance(&mut self) {
        if self.group.is(GroupState::CompletingRebalance) {
            self.withdraw_assignment(GroupError::RebalanceInProgress);
        }
        self.group.pending_syncs.clear();
        self.timers.cancel(&self.sync_timer());

        let is_initial = self.group.is(GroupState::Empty);
        self.group.transition_to(GroupState::PreparingRebalance, self.now);
        if is_initial {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = self.group.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.group.initial_rebalance = Some(InitialRebalance { delay_ms, remaining_ms });
            self.expect_joins(delay_ms);
        } else if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            self.expect_joins(self.group.rebalance_timeout_ms());
        }
    }

    /// Goes on at once if nobody is missing, but for a group's first rebalance, which waits its time.
    pub(super) fn complete_join_if_all_joined(&mut self) {
        let is_initial = self.group.previous_state == GroupState::Empty;
        if self.group.is(GroupState::PreparingRebalance) && !is_initial && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    pub(super) fn on_join_deadline(&mut self) {
        if !self.group.is(GroupState::PreparingRebalance) {
            return;
        }
        match self.group.initial_rebalance {
            Some(InitialRebalance { delay_ms, remaining_ms }) if self.group.new_member_added && remaining_ms != 0 => {
                self.group.new_member_added = false;
                let next_delay_ms = self.config.initial_rebalance_delay_ms.min(remaining_ms);
                let remaining_ms = (remaining_ms - delay_ms).max(0);
                self.group.initial_rebalance = Some(InitialRebalance { delay_ms: next_delay_ms, remaining_ms });
                self.expect_joins(next_delay_ms);
            }
            _ => self.complete_join(),
        }
    }

    /// Begins the next generation with those who joined. Static members may be away for as long as their session.
    pub(super) fn complete_join(&mut self) {
        self.timers.cancel(&self.join_timer());
        self.group.initial_rebalance = None;
        self.group.new_member_added = false;
        for member_id in self.members_who_did_not_rejoin() {
            self.dismiss(&member_id);
        }
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Only static members are left and none is here: wait until they come or their sessions end.
            self.expect_joins(self.group.rebalance_timeout_ms());
            return;
        }
        self.group.begin_next_generation(self.now);
        if self.group.is(GroupState::Empty) {
            let value = Some(self.group.record());
            self.effects.append(
                alloc::vec![GroupRecord::Group { group_id: self.group_id.into(), value }],
                Then::Tell(None),
            );
        } else {
            self.answer_joins();
            self.expect_syncs();
        }
    }

    /// Nobody has the assignment that was being made; those who wait for it are told why.
    pub(super) fn withdraw_assignment(&mut self, error: GroupError) {
        for member in self.group.members.values_mut() {
            member.assignment = Vec::new();
        }
        self.answer_syncs(Some(error));
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join { group_id: self.group_id.into() }
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync { group_id: self.group_id.into() }
    }

    fn members_who_did_not_rejoin(&self) -> Vec<String> {
        let missing = self.group.members.values().filter(|member| member.awaiting_join.is_none() && !member.is_static());
        missing.map(|member| member.member_id.clone()).collect()
    }

    fn answer_joins(&mut self) {
        let member_ids: Vec<String> = self.group.members.keys().cloned().collect();
        for member_id in member_ids {
            let reply = self.group.join_reply(&member_id);
            if let Some(member) = self.group.members.get_mut(&member_id) {
                member.is_new = false;
                if let Some(ticket) = member.awaiting_join.take() {
                    self.effects.replies.push((ticket, Reply::Join(reply)));
                }
            }
            self.restart_session(&member_id);
            self.group.pending_syncs.insert(member_id);
        }
    }

    fn expect_joins(&mut self, timeout_ms: i32) {
        self.timers.schedule(self.join_timer(), self.now.saturating_add(i64::from(timeout_ms)));
    }

    fn expect_syncs(&mut self) {
        let timeout_ms = i64::from(self.group.rebalance_timeout_ms());
        self.timers.schedule(self.sync_timer(), self.now.saturating_add(timeout_ms));
    }
}
