//! The leader of one partition: how far it is committed, who is in sync, and who may write with acks=all.
//!
//! ```text
//!   log start          high watermark         log end
//!      │ committed, visible │ waits for the in-sync set │
//!      └────────────────────┴───────────────────────────┘
//! ```
//! The high watermark is the smallest position that any replica of the *maximal* in-sync set has confirmed in this leader
//! epoch: of everyone who is in sync, or may be so before this leader hears of it (KIP-497). Within one leadership it only
//! grows, and it grows only while the agreed in-sync set is large enough (KIP-966, strict minimum): a record that was
//! visible can then be found on every replica that may be elected. A replica that has not confirmed anything in this
//! leader epoch is unknown, and unknown blocks.
//!
//! Each rule fences something else; what would be lost without it stands at the rule. State is here; what happens to it is
//! in the files of this module: sessions with followers in `session.rs`, changes of the in-sync set in `in_sync.rs`.

mod in_sync;
mod session;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

pub use in_sync::{AgreedPartition, Outcome, Proposal};
pub use session::{Confirmed, Lag};

use crate::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use crate::partition::stream::SessionId;
use crate::rule::{Rule, upheld};

/// What a replica must have done with a record before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// On its disk.
    Durable,
    /// In its log; the disk follows.
    Written,
}

/// What a partition's topic and the node ask of its replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// What counts as confirmed on this topic.
    pub confirmation: Confirmation,
    /// `replica_lag_max_ms`: a follower that has not had everything for so long leaves the in-sync set.
    pub lag_max_ms: i64,
}

/// What the metadata says of the broker that holds a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Which incarnation is registered (KIP-903).
    pub broker_epoch: i64,
    /// Neither fenced nor on its way out (KIP-841): it may be in sync.
    pub eligible: bool,
}

/// How a node becomes leader.
#[derive(Debug, Clone)]
pub struct Election {
    /// This node.
    pub broker_id: BrokerId,
    /// Its incarnation.
    pub broker_epoch: i64,
    /// The epoch it leads in, never one that it led before.
    pub leader_epoch: LeaderEpoch,
    /// The version of the partition's record that elected it.
    pub partition_epoch: i32,
    /// All replicas, this node among them.
    pub replicas: BTreeMap<BrokerId, Standing>,
    /// The in-sync replicas, this node among them.
    pub in_sync: BTreeSet<BrokerId>,
    /// The topic's `min.insync.replicas`, as the partition's record has it.
    pub min_in_sync_replicas: usize,
    /// Offset of the first record there is.
    pub log_start_offset: Offset,
    /// One past the last record of its log: where its epoch begins.
    pub log_end_offset: Offset,
    /// How much of it is on its disk.
    pub durable_end_offset: Offset,
    /// What it knows of the high watermark: a lower bound.
    pub high_watermark: Offset,
    /// What topic and node ask for.
    pub rules: Rules,
    /// The time.
    pub now_ms: TimestampMs,
}

/// What an event brought about, in the order in which it is to be carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Effects {
    /// Frames of these sessions are no longer to be sent, their acknowledgements no longer to be heard.
    pub ended: Vec<SessionId>,
    /// Records below this offset became visible: wake those who wait for a smaller one, and tell followers.
    pub high_watermark_advanced: Option<Offset>,
    /// To be sent to the controller; again with [`Leader::on_proposal_lost`] where no answer comes.
    pub propose: Option<Proposal>,
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

/// A follower as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Replica {
    broker_id: BrokerId,
    /// By the agreed set.
    in_sync: bool,
    standing: Standing,
    /// The stretch of frames it is fed by; none for one that has not asked.
    session: Option<session::Session>,
    /// What it has confirmed in this leader epoch; `None` is unknown.
    confirmed: Option<Confirmed>,
    /// When it last had everything there was; `None`: not in this leadership.
    caught_up_ms: Option<TimestampMs>,
    /// Confirming this offset, it has everything there was at that time.
    mark: Option<(TimestampMs, Offset)>,
    /// It left the in-sync set for being slow, and since then it has kept up: hysteresis.
    on_probation_since_ms: Option<TimestampMs>,
}

/// A partition as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leader {
    broker_id: BrokerId,
    broker_epoch: i64,
    leader_epoch: LeaderEpoch,
    partition_epoch: i32,
    /// How far this node's own log is.
    own: Confirmed,
    /// By ascending number. Few, and none where a node is alone with tens of thousands of partitions: no map.
    followers: Box<[Replica]>,
    pending: Option<Box<in_sync::Pending>>,
    sessions_opened: u32,
    min_in_sync_replicas: usize,
    epoch_start_offset: Offset,
    log_start_offset: Offset,
    log_end_offset: Offset,
    high_watermark: Offset,
    rules: Rules,
}

impl Leader {
    /// Takes on leadership. The effects may already advance the high watermark: a sole replica confirms its own log.
    pub fn elect(election: Election) -> (Leader, Effects) {
        let Election { broker_id, replicas, in_sync, log_end_offset, durable_end_offset, now_ms, .. } = election;
        assert!(
            in_sync.contains(&broker_id) && in_sync.iter().all(|id| replicas.contains_key(id)),
            "a leader is in sync, in-sync is a replica"
        );
        assert!(durable_end_offset <= log_end_offset, "durable up to {durable_end_offset}, log ends at {log_end_offset}");
        let follower = |(id, standing): (BrokerId, Standing)| {
            let in_sync = in_sync.contains(&id);
            Replica { in_sync, caught_up_ms: in_sync.then_some(now_ms), ..Replica::unknown(id, standing) }
        };
        let mut leader = Leader {
            broker_id,
            broker_epoch: election.broker_epoch,
            leader_epoch: election.leader_epoch,
            partition_epoch: election.partition_epoch,
            own: Confirmed { written: log_end_offset, durable: durable_end_offset },
            followers: replicas.into_iter().filter(|(id, _)| *id != broker_id).map(follower).collect(),
            pending: None,
            sessions_opened: 0,
            min_in_sync_replicas: election.min_in_sync_replicas,
            epoch_start_offset: log_end_offset,
            log_start_offset: election.log_start_offset,
            log_end_offset,
            high_watermark: election.high_watermark.clamp(election.log_start_offset, log_end_offset),
            rules: election.rules,
        };
        let mut effects = Effects::default();
        leader.advance(now_ms, &mut effects);
        (leader, effects)
    }

    /// The log ends at `log_end_offset` now. Followers may be sent the new records; here they do not count as written yet.
    pub fn on_log_end(&mut self, log_end_offset: Offset, now_ms: TimestampMs) {
        let before = self.log_end_offset;
        self.log_end_offset = before.max(log_end_offset);
        self.mark_followers(before, now_ms);
    }

    /// The log ends at `log_end_offset` at least, and all before that counts as written.
    pub fn on_append(&mut self, log_end_offset: Offset, now_ms: TimestampMs) -> Effects {
        self.on_log_end(log_end_offset, now_ms);
        self.own.written = self.own.written.max(log_end_offset);
        let mut effects = Effects::default();
        self.advance(now_ms, &mut effects);
        effects
    }

    /// All records below `end_offset` are on this node's disk. The offset was taken before the sync was issued.
    pub fn on_durable(&mut self, end_offset: Offset, now_ms: TimestampMs) -> Effects {
        self.own.durable = self.own.durable.max(end_offset);
        let mut effects = Effects::default();
        self.advance(now_ms, &mut effects);
        effects
    }

    /// The log begins at `log_start_offset` now (retention, DeleteRecords).
    pub fn on_log_start(&mut self, log_start_offset: Offset) {
        self.log_start_offset = self.log_start_offset.max(log_start_offset);
    }

    /// The settings of the topic or the node changed.
    pub fn on_rules(&mut self, rules: Rules, now_ms: TimestampMs) -> Effects {
        self.rules = rules;
        let mut effects = Effects::default();
        self.advance(now_ms, &mut effects);
        effects
    }

    /// May a write with acks=all begin? Of the agreed set: what is only proposed has not promised anything.
    pub fn check_in_sync(&self) -> Result<(), NotEnoughReplicas> {
        self.check_count(self.in_sync().count())
    }

    /// May a write with acks=all that the high watermark has passed be answered as such?
    pub fn check_in_sync_after_append(&self) -> Result<(), NotEnoughReplicas> {
        self.check_count(self.maximal_in_sync().count())
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

    /// How much of this node's own log is on its disk.
    pub fn durable_end_offset(&self) -> Offset {
        self.own.durable.min(self.log_end_offset)
    }

    /// The epoch it leads in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The version of the partition's record that this leader knows.
    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// The topic's `min.insync.replicas`, as agreed.
    pub fn min_in_sync_replicas(&self) -> usize {
        self.min_in_sync_replicas
    }

    /// The agreed in-sync set: this node first.
    pub fn in_sync(&self) -> impl Iterator<Item = BrokerId> {
        let followers = self.followers.iter().filter(|replica| replica.in_sync).map(|replica| replica.broker_id);
        core::iter::once(self.broker_id).chain(followers)
    }

    /// All other replicas.
    pub fn followers(&self) -> impl Iterator<Item = BrokerId> {
        self.followers.iter().map(|replica| replica.broker_id)
    }

    /// Everyone who is in sync, or may be so before this leader hears of it: a set that is to grow counts at once, one
    /// that is to shrink only when that is agreed.
    pub fn maximal_in_sync(&self) -> impl Iterator<Item = BrokerId> {
        let followers = self.maximal_followers().map(|replica| replica.broker_id);
        core::iter::once(self.broker_id).chain(followers)
    }

    /// What `replica` has confirmed in this leader epoch.
    pub fn confirmed(&self, replica: BrokerId) -> Option<Confirmed> {
        self.follower(replica)?.confirmed
    }

    fn check_count(&self, in_sync: usize) -> Result<(), NotEnoughReplicas> {
        let required = self.min_in_sync_replicas;
        match in_sync >= required {
            true => Ok(()),
            false => Err(NotEnoughReplicas { in_sync, required }),
        }
    }

    fn advance(&mut self, now_ms: TimestampMs, effects: &mut Effects) {
        if self.in_sync().count() < self.strict_minimum() && upheld(Rule::StrictMinimum) {
            return;
        }
        let Some(confirmed) = self.confirmed_by_all(now_ms) else { return };
        if confirmed > self.high_watermark {
            self.high_watermark = confirmed;
            effects.high_watermark_advanced = Some(confirmed);
        }
    }

    /// Nothing while one replica of the maximal in-sync set is unknown. Never beyond the log's end: news of the disk may
    /// overtake news of the append.
    fn confirmed_by_all(&self, now_ms: TimestampMs) -> Option<Offset> {
        let own = if upheld(Rule::OwnDiskCounts) { self.own.counted(self.rules.confirmation) } else { self.own.written };
        let mut smallest = self.log_end_offset.min(own);
        for replica in self.maximal_followers() {
            match self.position(replica) {
                Some(position) => smallest = smallest.min(position),
                None if upheld(Rule::UnknownBlocks) => return None,
                None => {}
            }
        }
        // A courtesy, not a rule: a leader that is alone does not outrun a follower that is about to join.
        for replica in self.followers.iter().filter(|replica| self.is_about_to_join(replica, now_ms)) {
            smallest = smallest.min(self.position(replica)?);
        }
        Some(smallest)
    }

    /// One that is fenced or on its way out is not waited for: it would never come (KAFKA-15021).
    fn is_about_to_join(&self, replica: &Replica, now_ms: TimestampMs) -> bool {
        !replica.in_sync
            && replica.standing.eligible
            && replica.session.is_some()
            && replica.on_probation_since_ms.is_none()
            && self.has_everything(replica, now_ms)
    }

    fn maximal_followers(&self) -> impl Iterator<Item = &Replica> {
        let pending = self.pending.as_deref();
        self.followers.iter().filter(move |replica| {
            let proposed = pending.map(|pending| pending.in_sync.contains(&replica.broker_id));
            let joins = proposed == Some(true) && upheld(Rule::GrowthCountsAtOnce);
            let leaves = proposed == Some(false) && !upheld(Rule::ShrinkingCountsWhenAgreed);
            (replica.in_sync || joins) && !leaves
        })
    }

    /// What of a replica's log counts on this topic.
    fn position(&self, replica: &Replica) -> Option<Offset> {
        replica.confirmed.map(|confirmed| confirmed.counted(self.rules.confirmation))
    }

    /// A topic of two replicas that asks for three would otherwise never commit anything, not even for acks=1.
    fn strict_minimum(&self) -> usize {
        self.min_in_sync_replicas.min(self.followers.len() + 1)
    }

    fn follower(&self, id: BrokerId) -> Option<&Replica> {
        self.followers.iter().find(|replica| replica.broker_id == id)
    }

    fn follower_mut(&mut self, id: BrokerId) -> Option<&mut Replica> {
        self.followers.iter_mut().find(|replica| replica.broker_id == id)
    }
}

impl Replica {
    fn unknown(broker_id: BrokerId, standing: Standing) -> Self {
        Replica {
            broker_id,
            in_sync: false,
            standing,
            session: None,
            confirmed: None,
            caught_up_ms: None,
            mark: None,
            on_probation_since_ms: None,
        }
    }
}

