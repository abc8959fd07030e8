//! The leader of one partition: how far it is committed, and who may write with acks=all.
//!
//! ```text
//!   log start          high watermark         log end
//!      │ committed, visible │ waits for the in-sync set │
//!      └────────────────────┴───────────────────────────┘
//! ```
//! The high watermark is the smallest position any in-sync replica has confirmed. Within one leadership it only grows,
//! and it grows only while the in-sync set is large enough (KIP-966, strict minimum): a record that was visible can
//! then be found on every replica that may be elected. A replica that has not confirmed anything in this leader epoch
//! is unknown, and unknown blocks.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use crate::ids::{BrokerId, LeaderEpoch, Offset};

/// What a replica must have done with a record before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// On its disk.
    Durable,
    /// In its log; the disk follows.
    Written,
}

/// How a node becomes leader.
#[derive(Debug, Clone)]
pub struct Election {
    /// This node.
    pub broker_id: BrokerId,
    /// The epoch it leads in, never one that it led before.
    pub leader_epoch: LeaderEpoch,
    /// All replicas, this node among them.
    pub replicas: BTreeSet<BrokerId>,
    /// The in-sync replicas, this node among them.
    pub in_sync: BTreeSet<BrokerId>,
    /// One past the last record of its log; all of it is durable at an election.
    pub log_end_offset: Offset,
    /// What it knows of the high watermark: a lower bound.
    pub high_watermark: Offset,
    /// The topic's `min.insync.replicas`.
    pub min_in_sync_replicas: usize,
    /// What counts as confirmed on this topic.
    pub confirmation: Confirmation,
}

/// What an event brought about, in the order in which it is to be carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Effects {
    /// Records below this offset became visible: wake those who wait for a smaller one.
    pub high_watermark_advanced: Option<Offset>,
}

/// The in-sync set is smaller than `min.insync.replicas`: NOT_ENOUGH_REPLICAS before the append,
/// NOT_ENOUGH_REPLICAS_AFTER_APPEND behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{in_sync} in-sync replicas, {required} required")]
pub struct NotEnoughReplicas {
    /// How many are in sync.
    pub in_sync: usize,
    /// How many the topic asks for.
    pub required: usize,
}

/// A replica, and what it has confirmed in this leader epoch; `None` is unknown.
#[derive(Debug, Clone, Copy)]
struct Replica {
    broker_id: BrokerId,
    in_sync: bool,
    written: Option<Offset>,
    durable: Option<Offset>,
}

/// A partition as its leader sees it.
#[derive(Debug, Clone)]
pub struct Leader {
    broker_id: BrokerId,
    leader_epoch: LeaderEpoch,
    /// By ascending number. Few, and a node has tens of thousands of leaders: no map.
    replicas: Box<[Replica]>,
    epoch_start_offset: Offset,
    log_end_offset: Offset,
    high_watermark: Offset,
    min_in_sync_replicas: usize,
    confirmation: Confirmation,
}

impl Leader {
    /// Takes on leadership. The effects may already advance the high watermark: a sole replica confirms its own log.
    pub fn elect(election: Election) -> (Leader, Effects) {
        let Election { broker_id, replicas, in_sync, log_end_offset, high_watermark, .. } = election;
        assert!(
            in_sync.contains(&broker_id) && replicas.is_superset(&in_sync),
            "a leader is in sync, in-sync is a replica"
        );
        let replica = |id: BrokerId| {
            let own = (id == broker_id).then_some(log_end_offset);
            Replica { broker_id: id, in_sync: in_sync.contains(&id), written: own, durable: own }
        };
        let mut leader = Leader {
            broker_id,
            leader_epoch: election.leader_epoch,
            replicas: replicas.into_iter().map(replica).collect(),
            epoch_start_offset: log_end_offset,
            log_end_offset,
            high_watermark: high_watermark.min(log_end_offset),
            min_in_sync_replicas: election.min_in_sync_replicas,
            confirmation: election.confirmation,
        };
        let effects = leader.advance();
        (leader, effects)
    }

    /// The log ends at `log_end_offset` now; the new records count as written.
    pub fn on_append(&mut self, log_end_offset: Offset) -> Effects {
        self.log_end_offset = self.log_end_offset.max(log_end_offset);
        let own = self.own();
        own.written = own.written.max(Some(log_end_offset));
        self.advance()
    }

    /// All records below `end_offset` are on this node's disk. The offset was taken before the sync was issued.
    pub fn on_durable(&mut self, end_offset: Offset) -> Effects {
        let own = self.own();
        own.durable = own.durable.max(Some(end_offset));
        self.advance()
    }

    /// The topic's settings changed.
    pub fn on_settings(&mut self, min_in_sync_replicas: usize, confirmation: Confirmation) -> Effects {
        self.min_in_sync_replicas = min_in_sync_replicas;
        self.confirmation = confirmation;
        self.advance()
    }

    /// May a write with acks=all begin, or, after its records are committed, be answered as such?
    pub fn check_in_sync(&self) -> Result<(), NotEnoughReplicas> {
        let (in_sync, required) = (self.in_sync().count(), self.min_in_sync_replicas);
        match in_sync >= required {
            true => Ok(()),
            false => Err(NotEnoughReplicas { in_sync, required }),
        }
    }

    /// One past the last committed record.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// False while the high watermark is only a lower bound, because an earlier leader may have committed more: until
    /// then the latest offset cannot be told (OFFSET_NOT_AVAILABLE).
    pub fn high_watermark_is_known(&self) -> bool {
        self.high_watermark >= self.epoch_start_offset
    }

    /// One past the last record.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// The epoch it leads in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    fn advance(&mut self) -> Effects {
        let confirmed = self
            .confirmed_by_all()
            .filter(|confirmed| *confirmed > self.high_watermark && self.in_sync().count() >= self.strict_minimum());
        self.high_watermark = confirmed.unwrap_or(self.high_watermark);
        Effects { high_watermark_advanced: confirmed }
    }

    /// Nothing while one in-sync replica is unknown. Never beyond the log's end: news of the disk may overtake news of
    /// the append.
    fn confirmed_by_all(&self) -> Option<Offset> {
        let mut smallest = self.log_end_offset;
        for replica in self.in_sync() {
            smallest = smallest.min(match self.confirmation {
                Confirmation::Durable => replica.durable?,
                Confirmation::Written => replica.written?,
            });
        }
        Some(smallest)
    }

    /// A topic of two replicas that asks for three would otherwise never commit anything, not even for acks=1.
    fn strict_minimum(&self) -> usize {
        self.min_in_sync_replicas.min(self.replicas.len())
    }

    fn in_sync(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| replica.in_sync)
    }

    fn own(&mut self) -> &mut Replica {
        let own = self.replicas.iter_mut().find(|replica| replica.broker_id == self.broker_id);
        own.expect("a leader is one of its replicas")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sole_leader(log_end_offset: Offset, confirmation: Confirmation) -> Leader {
        Leader::elect(Election {
            broker_id: 1,
            leader_epoch: 0,
            replicas: [1].into(),
            in_sync: [1].into(),
            log_end_offset,
            high_watermark: 0,
            min_in_sync_replicas: 1,
            confirmation,
        })
        .0
    }

    proptest! {
        /// Whatever the order of news: only grows, never beyond the log or the disk, and ends where both have been.
        #[test]
        fn high_watermark_is_monotone(events in proptest::collection::vec((any::<bool>(), 0..100i64), 0..60)) {
            let mut leader = sole_leader(10, Confirmation::Durable);
            let (mut log_end, mut durable) = (10, 10);
            for (append, offset) in events {
                let before = leader.high_watermark();
                let effects = match append {
                    true => { log_end = log_end.max(offset); leader.on_append(log_end) }
                    false => { durable = durable.max(offset); leader.on_durable(offset) }
                };
                let after = leader.high_watermark();
                prop_assert_eq!(after, log_end.min(durable));
                prop_assert_eq!(effects.high_watermark_advanced, (after > before).then_some(after));
            }
        }
    }

    #[test]
    fn an_unknown_follower_blocks() {
        let (mut leader, effects) = Leader::elect(Election {
            broker_id: 1,
            leader_epoch: 4,
            replicas: [1, 2].into(),
            in_sync: [1, 2].into(),
            log_end_offset: 10,
            high_watermark: 7,
            min_in_sync_replicas: 1,
            confirmation: Confirmation::Written,
        });
        assert_eq!(effects, Effects::default());
        assert_eq!(leader.on_append(12), Effects::default());
        assert!(!leader.high_watermark_is_known());
    }
}
