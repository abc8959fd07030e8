//! The in-sync set: who joins, who leaves, and how the controller is asked (KIP-497, KIP-841, KIP-903).
//!
//! Only the controller changes the set; the leader proposes, one change at a time, and takes nothing for agreed that it
//! was not told. Until it hears, it waits for everyone who may be in the set: that is what makes an election from the
//! agreed set safe, whichever of the two has heard the news.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Effects, Leader, Replica, Standing};
use crate::ids::{BrokerId, LeaderEpoch, TimestampMs};
use crate::metadata::{Image, Partition};
use crate::rule::{Rule, upheld};

/// What a leader asks of the controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// The epoch it leads in.
    pub leader_epoch: LeaderEpoch,
    /// The version of the partition's record that it knows: what is proposed holds only on top of it.
    pub partition_epoch: i32,
    /// The set as it should be, each member with its incarnation.
    pub in_sync: Vec<(BrokerId, i64)>,
}

/// What the controller said to a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is in the metadata log, and so is the version that came of it.
    Agreed(AgreedPartition),
    /// Somebody in the set may not be (INELIGIBLE_REPLICA), or the controller did not look at it: nothing was changed.
    Refused,
    /// The controller knows a newer record of the partition (FENCED_LEADER_EPOCH, INVALID_UPDATE_VERSION,
    /// UNKNOWN_TOPIC_OR_PARTITION). It may have come from this very proposal: only the metadata can tell.
    Outdated,
}

/// A partition's record, as far as its leader needs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgreedPartition {
    /// Who leads, by epoch.
    pub leader_epoch: LeaderEpoch,
    /// The record's version.
    pub partition_epoch: i32,
    /// All replicas.
    pub replicas: BTreeMap<BrokerId, Standing>,
    /// The in-sync set.
    pub in_sync: BTreeSet<BrokerId>,
    /// The topic's `min.insync.replicas`.
    pub min_in_sync_replicas: usize,
}

impl AgreedPartition {
    /// What `image` says of a partition of its.
    pub fn of(partition: &Partition, image: &Image) -> Self {
        let standing = |id: &BrokerId| (*id, Standing::of(*id, image));
        AgreedPartition {
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: partition.replicas.iter().map(standing).collect(),
            in_sync: partition.in_sync.iter().copied().collect(),
            min_in_sync_replicas: usize::try_from(partition.min_in_sync_replicas).unwrap_or(0),
        }
    }
}

impl Standing {
    /// What `image` says of a broker; of one it does not know, that it may not be in sync.
    pub fn of(broker: BrokerId, image: &Image) -> Self {
        match image.broker(broker) {
            Some(broker) => Standing { broker_epoch: broker.epoch, eligible: broker.may_lead() },
            None => Standing { broker_epoch: -1, eligible: false },
        }
    }
}

/// A proposal that is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) in_sync: BTreeSet<BrokerId>,
    proposal: Proposal,
    /// Called outdated: nothing but newer metadata ends it.
    waits_for_metadata: bool,
}

impl Leader {
    /// Looks who has fallen behind. To be called a few times within `lag_max_ms`.
    pub fn on_tick(&mut self, now_ms: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        // Time alone may end the courtesy towards one who was about to join.
        self.advance(now_ms, &mut effects);
        self.consider_shrinking(now_ms, &mut effects);
        self.consider_all(now_ms, &mut effects);
        effects
    }

    /// The controller answered the proposal made upon `partition_epoch`.
    pub fn on_outcome(&mut self, partition_epoch: i32, outcome: Outcome, now_ms: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.proposal.partition_epoch == partition_epoch) else {
            return effects;
        };
        match outcome {
            Outcome::Agreed(agreed) => return self.on_partition(agreed, now_ms),
            Outcome::Outdated if upheld(Rule::OutdatedStaysPending) => pending.waits_for_metadata = true,
            Outcome::Outdated | Outcome::Refused => {
                self.pending = None;
                self.advance(now_ms, &mut effects);
            }
        }
        effects
    }

    /// No answer came to the proposal made upon `partition_epoch`, or from one who is not the controller. It may have
    /// been agreed to all the same, so it is asked for again, and nothing else.
    pub fn on_proposal_lost(&mut self, partition_epoch: i32) -> Effects {
        if !upheld(Rule::UnansweredStaysPending) {
            self.pending = None;
        }
        let again = self.pending.as_ref().filter(|pending| !pending.waits_for_metadata && pending.proposal.partition_epoch == partition_epoch);
        Effects { propose: again.map(|pending| pending.proposal.clone()), ..Effects::default() }
    }

    /// The metadata says this of the partition. Another leadership is not this machine's business: it ends with it.
    pub fn on_partition(&mut self, agreed: AgreedPartition, now_ms: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        if agreed.leader_epoch != self.leader_epoch || agreed.partition_epoch <= self.partition_epoch {
            return effects;
        }
        self.partition_epoch = agreed.partition_epoch;
        self.min_in_sync_replicas = agreed.min_in_sync_replicas;
        self.pending = None;
        self.take_replicas(&agreed, &mut effects);
        self.advance(now_ms, &mut effects);
        effects
    }

    /// Brokers came, went, or were fenced.
    pub fn on_brokers(&mut self, standing: impl Fn(BrokerId) -> Option<Standing>, now_ms: TimestampMs) -> Effects {
        for replica in &mut self.followers {
            let unknown = Standing { eligible: false, ..replica.standing };
            replica.standing = standing(replica.broker_id).unwrap_or(unknown);
        }
        let mut effects = Effects::default();
        self.advance(now_ms, &mut effects);
        self.consider_all(now_ms, &mut effects);
        effects
    }

    /// Slow is who has not had everything for `lag_max_ms`; that it said something lately does not help it.
    fn consider_shrinking(&mut self, now_ms: TimestampMs, effects: &mut Effects) {
        let slow = |replica: &Replica| replica.in_sync && !self.has_everything(replica, now_ms);
        let slow: BTreeSet<BrokerId> =
            self.followers.iter().filter(|replica| slow(replica)).map(|replica| replica.broker_id).collect();
        if self.pending.is_some() || slow.is_empty() {
            return;
        }
        for replica in self.followers.iter_mut().filter(|replica| slow.contains(&replica.broker_id)) {
            // Slow, not gone: one that comes back from a crash is welcome at once.
            replica.on_probation_since_ms = replica.session.map(|_| now_ms);
        }
        let in_sync = self.in_sync().filter(|id| !slow.contains(id)).collect();
        self.propose(in_sync, effects);
    }

    fn consider_all(&mut self, now_ms: TimestampMs, effects: &mut Effects) {
        let followers: Vec<BrokerId> = self.followers.iter().map(|replica| replica.broker_id).collect();
        for id in followers {
            self.consider_expanding(id, now_ms, effects);
        }
    }

    /// A follower joins if all of this holds at one moment (KAFKA-15221): it has confirmed everything that is committed,
    /// and everything from before this leadership, in this leader epoch; its broker may be in sync; and the incarnation
    /// that confirmed is the one that is registered.
    pub(super) fn consider_expanding(&mut self, id: BrokerId, now_ms: TimestampMs, effects: &mut Effects) {
        if self.pending.is_none() && self.may_join(id) && self.probation_is_over(id, now_ms) {
            let in_sync = self.in_sync().chain([id]).collect();
            self.propose(in_sync, effects);
        }
    }

    fn may_join(&self, id: BrokerId) -> bool {
        let Some(replica) = self.follower(id).filter(|replica| !replica.in_sync) else { return false };
        let (Some(position), Some(session)) = (self.position(replica), replica.session) else { return false };
        let is_eligible = replica.standing.eligible || !upheld(Rule::OnlyEligibleJoin);
        let is_registered = replica.standing.broker_epoch == session.broker_epoch || !upheld(Rule::JoinsAsRegistered);
        let has_committed = position >= self.high_watermark || !upheld(Rule::JoinsWithTheCommitted);
        let has_earlier = position >= self.epoch_start_offset || !upheld(Rule::JoinsFromEpochStart);
        is_eligible && is_registered && has_committed && has_earlier
    }

    /// One that left for being slow has to keep up for longer than it may be slow: who is at the edge stays out rather
    /// than come and go.
    fn probation_is_over(&mut self, id: BrokerId, now_ms: TimestampMs) -> bool {
        let lag_max_ms = self.rules.lag_max_ms;
        let Some(replica) = self.follower(id) else { return false };
        let keeps_up = self.has_everything(replica, now_ms);
        let Some(replica) = self.follower_mut(id) else { return false };
        match replica.on_probation_since_ms {
            None => true,
            Some(_) if !keeps_up => {
                replica.on_probation_since_ms = Some(now_ms);
                false
            }
            Some(since_ms) if now_ms.saturating_sub(since_ms) > lag_max_ms + lag_max_ms / 2 => {
                replica.on_probation_since_ms = None;
                true
            }
            Some(_) => false,
        }
    }

    fn propose(&mut self, in_sync: BTreeSet<BrokerId>, effects: &mut Effects) {
        let proposal = Proposal {
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            in_sync: in_sync.iter().map(|id| (*id, self.incarnation(*id))).collect(),
        };
        effects.propose = Some(proposal.clone());
        self.pending = Some(Box::new(Pending { in_sync, proposal, waits_for_metadata: false }));
    }

    /// The incarnation that confirmed, where one did: if another has registered since, the controller refuses.
    fn incarnation(&self, id: BrokerId) -> i64 {
        let confirmed = |replica: &Replica| match replica.session {
            Some(session) => session.broker_epoch,
            None => replica.standing.broker_epoch,
        };
        self.follower(id).map_or(self.broker_epoch, confirmed)
    }

    fn take_replicas(&mut self, agreed: &AgreedPartition, effects: &mut Effects) {
        for replica in &self.followers {
            let stays = agreed.replicas.contains_key(&replica.broker_id);
            effects.ended.extend(replica.session.filter(|_| !stays).map(|session| session.id));
        }
        let taken = |(id, standing): (&BrokerId, &Standing)| {
            let known = self.follower(*id).cloned().unwrap_or_else(|| Replica::unknown(*id, *standing));
            Replica { in_sync: agreed.in_sync.contains(id), standing: *standing, ..known }
        };
        let followers = agreed.replicas.iter().filter(|(id, _)| **id != self.broker_id).map(taken).collect();
        self.followers = followers;
    }
}
