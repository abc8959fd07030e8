//! Deadlines by key: setting one again moves it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::ids::TimestampMs;

/// What a deadline is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// Time to look for expired offsets.
    Expiry,
    /// The group's members had time to rejoin.
    Join { group_id: String },
    /// The group's members had time to sync.
    Sync { group_id: String },
    /// The member has been silent too long.
    Session { group_id: String, member_id: String },
}

#[derive(Default, Debug)]
pub(super) struct Timers {
    deadlines: BTreeMap<Timer, TimestampMs>,
    order: BTreeSet<(TimestampMs, Timer)>,
}

impl Timers {
    pub(super) fn next_deadline(&self) -> Option<TimestampMs> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn pop_due(&mut self, now: TimestampMs) -> Option<Timer> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    pub(super) fn schedule(&mut self, timer: Timer, deadline: TimestampMs) {
        if let Some(old) = self.deadlines.insert(timer.clone(), deadline) {
            self.order.remove(&(old, timer.clone()));
        }
        self.order.insert((deadline, timer));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(deadline) = self.deadlines.remove(timer) {
            self.order.remove(&(deadline, timer.clone()));
        }
    }

    pub(super) fn is_scheduled(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }
}
