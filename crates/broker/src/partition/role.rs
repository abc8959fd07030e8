//! What this node is to a partition, by the metadata.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::record::NO_LEADER;
use chronik_state::partition::follower::{Follower, Following as Begins};
use chronik_state::partition::leader::{AgreedPartition, Election, Leader, Proposal, Standing};

use super::follow::Following;
use super::lead::NO_PROPOSAL;
use super::{Aftermath, LAG_MAX_MS, Link, Partition, rules};
use crate::node::steady_ms;
use crate::replication::Shared;

/// Not in any leadership yet.
const NO_EPOCH: LeaderEpoch = -1;

pub(super) enum Role {
    Leader(Leader),
    Follower(Box<Following>),
    /// Nobody leads, or nobody that this node knows of.
    Nobody {
        leader_epoch: LeaderEpoch,
        durable_end_offset: Offset,
    },
}

/// What the metadata says of a partition that this node is a replica of.
pub(crate) struct Assignment<'a> {
    /// This node.
    pub(crate) broker_id: BrokerId,
    /// Its incarnation.
    pub(crate) broker_epoch: i64,
    /// Who leads, or [`NO_LEADER`].
    pub(crate) leader: BrokerId,
    pub(crate) agreed: AgreedPartition,
    /// For partitions with several replicas.
    pub(crate) shared: &'a Arc<Shared>,
}

impl Role {
    /// Of a log that has just been opened.
    pub(super) fn unassigned(durable_end_offset: Offset) -> Self {
        Role::Nobody { leader_epoch: NO_EPOCH, durable_end_offset }
    }

    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Role::Leader(leader) => leader.leader_epoch(),
            Role::Follower(following) => following.follower.leader_epoch(),
            Role::Nobody { leader_epoch, .. } => *leader_epoch,
        }
    }

    /// Whether this is what the metadata says by now.
    fn is(&self, assignment: &Assignment<'_>) -> bool {
        let same_leader = match self {
            Role::Leader(_) => assignment.leader == assignment.broker_id,
            Role::Follower(following) => assignment.leader == following.leader,
            Role::Nobody { .. } => assignment.leader == NO_LEADER,
        };
        same_leader && self.leader_epoch() == assignment.agreed.leader_epoch
    }

    fn durable_end_offset(&self) -> Offset {
        match self {
            Role::Leader(leader) => leader.durable_end_offset(),
            Role::Follower(following) => following.follower.durable_end_offset(),
            Role::Nobody { durable_end_offset, .. } => *durable_end_offset,
        }
    }
}

impl Partition {
    /// Takes the role that the metadata gives it, or goes on in the one that it has. A leadership that is over does not come
    /// back: who waited for it is told.
    pub(crate) fn assign(self: &Arc<Self>, assignment: Assignment<'_>) {
        if assignment.agreed.replicas.len() > 1 {
            self.link.get_or_init(|| Box::new(Link::to(assignment.shared)));
        }
        let mut role = self.role.lock();
        let after = if role.is(&assignment) {
            match &mut *role {
                Role::Leader(leader) => {
                    let effects = leader.on_partition(assignment.agreed, steady_ms());
                    self.carry_out(&role, effects)
                }
                _ => Aftermath::default(),
            }
        } else if role.leader_epoch() <= assignment.agreed.leader_epoch {
            let propose = self.take(&mut role, assignment);
            self.show(&role);
            Aftermath { wake: true, ready: true, propose }
        } else {
            Aftermath::default()
        };
        drop(role);
        self.finish(after);
    }

    /// This node is no replica of it any more, or it is gone.
    pub(crate) fn retire(self: &Arc<Self>) {
        let mut role = self.role.lock();
        *role = Role::Nobody { leader_epoch: LeaderEpoch::MAX, durable_end_offset: role.durable_end_offset() };
        drop(role);
        self.finish(Aftermath { wake: true, ready: true, propose: None });
    }

    /// Brokers came, went, or were fenced.
    pub(crate) fn on_brokers(self: &Arc<Self>, standing: impl Fn(BrokerId) -> Option<Standing>) {
        self.change(|role| match role {
            Role::Leader(leader) => leader.on_brokers(standing, steady_ms()),
            _ => Default::default(),
        });
    }

    fn take(&self, role: &mut Role, assignment: Assignment<'_>) -> Option<Proposal> {
        let Assignment { broker_id, broker_epoch, leader, agreed, .. } = assignment;
        let (log_start_offset, log_end_offset) = (self.log.log_start_offset(), self.log.log_end_offset());
        let durable_end_offset = role.durable_end_offset().min(log_end_offset);
        let leader_epoch = agreed.leader_epoch;
        let high_watermark = self.log.high_watermark();
        if leader == broker_id {
            // Before anyone is answered: an epoch without a record still ends the one before it.
            self.log.begin_epoch(leader_epoch);
            let lag_max_ms = self.link.get().map_or(LAG_MAX_MS, |link| link.shared.lag_max_ms);
            let (leader, effects) = Leader::elect(Election {
                broker_id,
                broker_epoch,
                leader_epoch,
                partition_epoch: agreed.partition_epoch,
                replicas: agreed.replicas,
                in_sync: agreed.in_sync,
                min_in_sync_replicas: agreed.min_in_sync_replicas,
                log_start_offset,
                log_end_offset,
                durable_end_offset,
                high_watermark,
                rules: rules(&self.settings(), lag_max_ms),
                now_ms: steady_ms(),
            });
            if let Some(link) = self.link.get() {
                link.led_since_ms.store(steady_ms(), Ordering::Relaxed);
            }
            *role = Role::Leader(leader);
            return effects.propose;
        }
        *role = if leader == NO_LEADER {
            Role::Nobody { leader_epoch, durable_end_offset }
        } else {
            let begins = Begins {
                broker_id,
                broker_epoch,
                leader_epoch,
                log_start_offset,
                log_end_offset,
                durable_end_offset,
                high_watermark,
            };
            Role::Follower(Box::new(Following::of(leader, Follower::follow(begins))))
        };
        None
    }
}

impl Link {
    fn to(shared: &Arc<Shared>) -> Self {
        Link {
            shared: Arc::clone(shared),
            is_ready: AtomicBool::new(false),
            cut_lsn: AtomicU64::new(0),
            lost_proposal: AtomicI32::new(NO_PROPOSAL),
            told_log_start: AtomicI64::new(0),
            led_since_ms: AtomicI64::new(0),
        }
    }
}
