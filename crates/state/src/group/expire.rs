//! Offsets that nobody needs any more, and groups that have nothing left (KIP-211).

use alloc::string::String;

use super::classic::{ClassicGroup, GroupState};
use super::event::{Effects, Then};
use super::purge::Tombstones;
use super::record::OffsetValue;
use super::timers::Timer;
use super::{Group, Groups};
use crate::ids::TimestampMs;

impl Groups {
    /// A shard without groups has nothing to look after.
    pub(super) fn arrange_expiry(&mut self, now: TimestampMs) {
        if self.groups.is_empty() {
            self.timers.cancel(&Timer::Expiry);
        } else if !self.timers.is_scheduled(&Timer::Expiry) {
            let interval_ms = self.config.offsets_retention_check_interval_ms;
            self.timers.schedule(Timer::Expiry, now.saturating_add(interval_ms));
        }
    }

    pub(super) fn on_expiry_deadline(&mut self, now: TimestampMs, effects: &mut Effects) {
        self.arrange_expiry(now);
        self.expire(now, effects);
    }

    /// Writes the next batch of tombstones, if any are due.
    pub(super) fn expire(&mut self, now: TimestampMs, effects: &mut Effects) {
        let mut batch = self.tombstones();
        for (group_id, Group::Classic(group)) in &self.groups {
            if self.expire_group(group_id, group, now, &mut batch).is_none() {
                break;
            }
        }
        if !batch.records.is_empty() {
            effects.append(batch.records, Then::Expire);
        }
    }

    /// None if the batch is full before all is in it.
    fn expire_group(
        &self,
        group_id: &str,
        group: &ClassicGroup,
        now: TimestampMs,
        batch: &mut Tombstones,
    ) -> Option<()> {
        let mut is_needed = !group.is(GroupState::Empty) || !group.pending_joins.is_empty();
        for (topic, partitions) in self.offsets.of_group(group_id).into_iter().flatten() {
            for (partition, offset) in partitions {
                if !group.is_subscribed_to(topic) && self.has_expired(group, &offset.value, now) {
                    batch.add_offset(group_id, topic, *partition)?;
                } else {
                    is_needed = true;
                }
            }
        }
        if is_needed { Some(()) } else { batch.add_group(group_id) }
    }

    fn has_expired(&self, group: &ClassicGroup, offset: &OffsetValue, now: TimestampMs) -> bool {
        match (retention_start(group, offset), offset.expire_timestamp_ms) {
            (None, _) => false,
            (Some(_), Some(expires_at)) => now >= expires_at,
            (Some(start), None) => now.saturating_sub(start) >= self.config.offsets_retention_ms,
        }
    }

    pub(super) fn remove_group(&mut self, group_id: &str) {
        let Some(Group::Classic(group)) = self.groups.remove(group_id) else { return };
        let group_id = String::from(group_id);
        for member_id in group.members.into_keys().chain(group.pending_joins) {
            self.timers.cancel(&Timer::Session { group_id: group_id.clone(), member_id });
        }
        self.timers.cancel(&Timer::Join { group_id: group_id.clone() });
        self.timers.cancel(&Timer::Sync { group_id });
    }
}

/// From when on an offset of this group ages; None while it does not: retention begins when a group becomes
/// empty, and for topics it no longer reads at their last commit.
fn retention_start(group: &ClassicGroup, offset: &OffsetValue) -> Option<TimestampMs> {
    match (&group.protocol_type, group.state) {
        (None, _) => Some(offset.commit_timestamp_ms),
        (Some(_), GroupState::Empty) => Some(group.state_timestamp_ms.unwrap_or(offset.commit_timestamp_ms)),
        (Some(_), GroupState::Stable) if group.uses_consumer_protocol() && group.subscribed_topics.is_some() => {
            Some(offset.commit_timestamp_ms)
        }
        _ => None,
    }
}
