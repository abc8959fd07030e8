//! Who leads a partition, and who may: every way in which a partition's record changes goes through [`Edit`].
//!
//! ```text
//!             falls behind, fenced            unclean restart
//!   in sync ───────────────────▶ eligible leader ────────────▶ plain replica
//!      ▲      while the set is       │   (its log may have lost its end)    │
//!      │    below its minimum        │                                      │
//!      └───────────── elected when nobody is in sync ◀── catches up ────────┘
//! ```
//! A replica that leaves the in-sync set while that is below `min.insync.replicas` still holds everything committed, because
//! nothing is committed below the minimum (KIP-966): it stays an *eligible leader*. That is sound only together with the
//! strict rule for the high watermark in `partition/leader`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::BrokerId;
use crate::metadata::image::Partition;
use crate::metadata::record::NO_LEADER;
use crate::rule::{Rule, upheld};

/// May a replica lead that may lack committed records? Never by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Only who is certain to have everything.
    Clean,
    /// Anyone who lives: `unclean.leader.election.enable`, or an operator's command.
    Unclean,
}

/// A change of one partition's record in the making.
#[derive(Debug, Clone)]
pub struct Edit<'a> {
    before: &'a Partition,
    after: Partition,
    lost: Vec<BrokerId>,
    anew: bool,
}

impl<'a> Edit<'a> {
    /// Begins with what is agreed.
    pub fn of(partition: &'a Partition) -> Self {
        Edit { before: partition, after: partition.clone(), lost: Vec::new(), anew: false }
    }

    /// A new incarnation of the broker registered. `keeps_its_end`: all that it ever confirmed is still in its log. `may_lead`:
    /// registered, neither fenced nor on its way out.
    ///
    /// A new incarnation never goes on in a leader epoch that an earlier one led: (epoch, offset) has to name one record for
    /// ever. So it leaves the in-sync set first, and where it was the last one to be certain of everything, it leads anew.
    pub fn restart(&mut self, broker: BrokerId, keeps_its_end: bool, may_lead: impl Fn(BrokerId) -> bool) {
        if !self.before.replicas.contains(&broker) {
            return;
        }
        self.remove_in_sync(broker);
        if !keeps_its_end && upheld(Rule::LossIsRemembered) {
            self.lost.push(broker);
        }
        self.anew |= self.before.leader == broker;
        self.replace(broker, may_lead);
    }

    /// The broker was fenced or let in, or is on its way out.
    pub fn change_standing(&mut self, broker: BrokerId, may_lead: impl Fn(BrokerId) -> bool) {
        if !may_lead(broker) && upheld(Rule::FencedIsNotInSync) {
            self.remove_in_sync(broker);
        }
        self.replace(broker, may_lead);
    }

    /// The in-sync set becomes this.
    pub fn set_in_sync(&mut self, in_sync: &[BrokerId]) {
        self.after.in_sync = in_sync.into();
    }

    /// The leader has said that it is through with its unclean election.
    pub fn recovered(&mut self) {
        self.after.recovering = false;
    }

    /// The topic's `min.insync.replicas` became this. What was committed under another minimum proves nothing under this
    /// one, so nobody but the in-sync set may lead any more.
    pub fn set_min_in_sync_replicas(&mut self, min: i32) {
        if self.after.min_in_sync_replicas != min {
            self.after.min_in_sync_replicas = min;
            self.lost.extend(self.before.replicas.iter().filter(|id| !self.before.in_sync.contains(id)));
        }
    }

    /// Elects: the leader stays if it can; else the first assigned replica that is in sync; else, if nobody is, an eligible
    /// leader. `may_lead`: registered, neither fenced nor on its way out.
    pub fn elect(&mut self, policy: Policy, may_lead: impl Fn(BrokerId) -> bool) {
        let leader = self.after.leader;
        if self.after.in_sync.contains(&leader) && may_lead(leader) {
            return;
        }
        self.elect_another(policy, may_lead);
    }

    /// Elects the first assigned replica, if it is in sync and may lead.
    pub fn elect_preferred(&mut self, may_lead: impl Fn(BrokerId) -> bool) {
        let preferred = self.after.replicas.first().copied();
        if let Some(preferred) = preferred.filter(|id| self.after.in_sync.contains(id) && may_lead(*id)) {
            self.after.leader = preferred;
        }
    }

    /// What the partition becomes; none if nothing changed.
    pub fn finish(mut self) -> Option<Partition> {
        self.after.eligible_leaders = self.eligible_leaders();
        if self.is_another_leadership() {
            self.after.leader_epoch += 1;
        }
        self.after.last_known_leader = match (self.after.leader, self.before.leader) {
            (NO_LEADER, NO_LEADER) => self.before.last_known_leader,
            (NO_LEADER, last) => last,
            _ => NO_LEADER,
        };
        if self.after == *self.before {
            return None;
        }
        self.after.partition_epoch += 1;
        Some(self.after)
    }

    /// Another leads, or nobody, or the same in another process.
    fn is_another_leadership(&self) -> bool {
        if !upheld(Rule::RestartLeadsAnew) {
            let before = if self.before.leader == NO_LEADER { self.before.last_known_leader } else { self.before.leader };
            return self.after.leader != NO_LEADER && self.after.leader != before;
        }
        self.after.leader != self.before.leader || (self.anew && self.after.leader != NO_LEADER)
    }

    /// The broker's own leadership, or one that nobody has, is up for election.
    fn replace(&mut self, broker: BrokerId, may_lead: impl Fn(BrokerId) -> bool) {
        if self.after.leader == NO_LEADER || self.after.leader == broker {
            self.elect(Policy::Clean, may_lead);
        }
    }

    fn remove_in_sync(&mut self, broker: BrokerId) {
        self.after.in_sync = self.after.in_sync.iter().copied().filter(|id| *id != broker).collect();
    }

    fn elect_another(&mut self, policy: Policy, may_lead: impl Fn(BrokerId) -> bool) {
        let first = |eligible: &dyn Fn(BrokerId) -> bool| {
            self.after.replicas.iter().copied().find(|id| eligible(*id) && may_lead(*id))
        };
        let in_sync = first(&|id| self.after.in_sync.contains(&id));
        let certain = self.eligible_leaders();
        let eligible = first(&|id| self.after.in_sync.is_empty() && certain.contains(&id));
        let any = first(&|_| policy == Policy::Unclean || !upheld(Rule::OnlyCertainLead));
        if let Some(leader) = in_sync {
            self.after.leader = leader;
        } else if let Some(leader) = eligible {
            self.after.leader = leader;
            self.after.in_sync = Arc::from([leader]);
        } else if let Some(leader) = any {
            self.after.leader = leader;
            self.after.in_sync = Arc::from([leader]);
            self.after.recovering = true;
            self.lost.extend(self.before.replicas.iter());
        } else {
            self.after.leader = NO_LEADER;
        }
    }

    fn is_below_minimum(&self) -> bool {
        self.after.in_sync.len() < self.minimum()
    }

    fn minimum(&self) -> usize {
        usize::try_from(self.after.min_in_sync_replicas).unwrap_or(0).clamp(1, self.after.replicas.len().max(1))
    }

    /// Who was in sync or eligible and is not in sync now, unless its log may have lost something; nobody once the set is
    /// large enough to commit without them.
    fn eligible_leaders(&self) -> Arc<[BrokerId]> {
        if !self.is_below_minimum() && upheld(Rule::EligibleOnlyBelowMinimum) {
            return Arc::default();
        }
        let was = |id: &BrokerId| self.before.in_sync.contains(id) || self.before.eligible_leaders.contains(id);
        let is = |id: &BrokerId| was(id) && !self.after.in_sync.contains(id) && !self.lost.contains(id);
        self.after.replicas.iter().copied().filter(is).collect()
    }
}
