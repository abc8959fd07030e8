//! One shard of the group coordinator: the groups and committed offsets of one partition of `__consumer_offsets`.
//!
//! Two kinds of state live here:
//!
//! - what the **log** says: committed offsets, and each group as it last stood still (its generation, members and
//!   assignment). It is written as [`GroupRecord`]s, and reading those again at start gives it back;
//! - the **sessions**: who waits for an answer, who has not rejoined yet, when somebody's silence becomes too long.
//!   They die with the node and are made anew from the log.
//!
//! The driver feeds in one event at a time and carries out the [`Effects`] in the order of their fields: it appends
//! `append.records` as one batch and hands the outcome back to [`Groups::on_appended`] before the next event; it
//! sends replies only when everything the shard's log held when they were decided is committed. By that one rule a
//! group is durable before anybody hears of its assignment, and a read never shows an offset that could still be
//! lost. If the partition's leadership is lost, the whole shard is dropped ([`Groups::resign`]), not rolled back.
//!
//! The rules are those of Kafka's classic protocol (KIP-134, 211, 345, 394, 447, 559, 814).

mod admin;
mod classic;
mod event;
mod expire;
mod join;
mod member;
mod message;
mod offsets;
mod purge;
mod rebalance;
mod record;
mod session;
mod subscription;
mod sync;
mod timers;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

pub use classic::GroupState;
use classic::ClassicGroup;
pub use event::{Append, Effects};
pub use message::*;
use offsets::Offsets;
pub use record::{GroupRecord, GroupValue, MemberValue, OffsetValue};
use timers::Timers;

use crate::ids::TimestampMs;

/// What an operator may set; names and defaults are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first members of a group wait for others (KIP-134).
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub size_max: usize,
    /// `offset.metadata.max.bytes`, which Kafka counts in UTF-16 units.
    pub offset_metadata_length_max: usize,
    /// Bytes of records that one decision may write: about `max.message.bytes` of the topic.
    pub batch_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds (KIP-211).
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: i64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            size_max: i32::MAX as usize,
            offset_metadata_length_max: 4_096,
            batch_bytes_max: 1 << 20,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 600_000,
        }
    }
}

/// The groups whose ids hash to one partition of `__consumer_offsets`.
///
/// Time is handed in as `now`, in milliseconds; it must not run backwards while the shard lives.
#[derive(Debug)]
pub struct Groups {
    config: GroupConfig,
    groups: BTreeMap<String, Group>,
    offsets: Offsets,
    timers: Timers,
}

/// The kinds of group that share one name space; the consumer protocol of KIP-848 will be the second.
#[derive(Clone, Debug)]
enum Group {
    Classic(Box<ClassicGroup>),
}

impl Groups {
    /// A shard of which nothing has been read yet.
    pub fn new(config: GroupConfig) -> Self {
        Groups { config, groups: BTreeMap::new(), offsets: Offsets::default(), timers: Timers::default() }
    }

    /// Takes in one record of the log, which stands at `record_offset`. Only for reading the log at start: what a
    /// running shard appends comes in by [`Groups::on_appended`].
    ///
    /// Compaction may have taken records away before this one, so nothing that came earlier is relied upon.
    pub fn replay(&mut self, record: &GroupRecord, record_offset: i64) {
        self.apply(record, record_offset);
    }

    /// The log has been read to its end: every member is given a whole session from `now` on.
    pub fn on_loaded(&mut self, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        let group_ids: Vec<String> = self.groups.keys().cloned().collect();
        for group_id in &group_ids {
            if let Some(mut session) = self.session(group_id, now, &mut effects) {
                session.resume();
            }
        }
        self.arrange_expiry(now);
        effects
    }

    /// Leadership of the partition is lost: what everybody who still waits is told. The shard is of no use afterwards.
    pub fn resign(&mut self) -> Vec<(Ticket, Reply)> {
        let mut effects = Effects::default();
        for group in self.groups.values_mut() {
            let Group::Classic(group) = group;
            for member in group.members.values_mut() {
                member.dismiss(&mut effects, GroupError::NotCoordinator);
            }
        }
        self.groups.clear();
        self.timers = Timers::default();
        effects.replies
    }

    /// When [`Groups::on_deadline`] wants to be called next; `None` if nothing is waited for.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.timers.next_deadline()
    }

    /// Carries out one deadline that has passed. Call again until [`Groups::next_deadline`] lies after `now`.
    pub fn on_deadline(&mut self, now: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        match self.timers.pop_due(now) {
            None => {}
            Some(timers::Timer::Expiry) => self.on_expiry_deadline(now, &mut effects),
            Some(timers::Timer::Join { group_id }) => {
                if let Some(mut session) = self.session(&group_id, now, &mut effects) {
                    session.on_join_deadline();
                }
            }
            Some(timers::Timer::Sync { group_id }) => {
                if let Some(mut session) = self.session(&group_id, now, &mut effects) {
                    session.on_sync_deadline();
                }
            }
            Some(timers::Timer::Session { group_id, member_id }) => {
                if let Some(mut session) = self.session(&group_id, now, &mut effects) {
                    session.on_session_deadline(&member_id);
                }
            }
        }
        effects
    }

    fn session<'a>(
        &'a mut self,
        group_id: &'a str,
        now: TimestampMs,
        effects: &'a mut Effects,
    ) -> Option<session::Session<'a>> {
        let Group::Classic(group) = self.groups.get_mut(group_id)?;
        Some(session::Session { group_id, group, timers: &mut self.timers, config: &self.config, now, effects })
    }
}
