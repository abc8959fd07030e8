//! The owner of one partition on this node: its log, what this node is to it, what readers may see, and who waits.
//!
//! A node leads a partition, or follows its leader, or knows of no leader: its [`role`]. Roles come from the metadata and
//! change within one lock, which is also held while a batch gets its place in the log, so that nothing is appended in a role
//! that is over. What a leader does for its followers is in `lead.rs`, what a follower does in `follow.rs`.

pub(crate) mod append;
pub(crate) mod find;
pub(crate) mod follow;
pub(crate) mod lead;
pub(crate) mod read;
pub(crate) mod registry;
pub(crate) mod role;
#[cfg(test)]
mod tests;
mod waiters;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use chronik_log::batch::BatchView;
use chronik_log::{Lsn, PartitionLog};
use chronik_state::ids::{LeaderEpoch, LogId, Offset};
use chronik_state::metadata::configs::{SyncPolicy, TopicSettings};
use chronik_state::partition::leader::{Confirmation, Effects, Proposal, Rules};
use chronik_state::partition::stream::BatchBounds;
use parking_lot::Mutex;

use crate::metrics::Traffic;
use crate::node::steady_ms;
use crate::replication::Shared;
pub(crate) use role::Assignment;
use role::Role;
pub(crate) use waiters::Waiter;
use waiters::Waiters;

/// `replica_lag_max_ms` of a node on its own.
pub(crate) const LAG_MAX_MS: i64 = 10_000;

/// A partition that this node holds a replica of.
pub(crate) struct Partition {
    pub(crate) id: LogId,
    pub(crate) log: Arc<PartitionLog>,
    role: Mutex<Role>,
    /// Exclusive end of what readers may see. A copy of the machine's, which owns it; written under the role's lock.
    high_watermark: AtomicI64,
    settings: ArcSwap<TopicSettings>,
    waiters: Waiters,
    /// Of a partition with several replicas: nobody else pays for it.
    link: OnceLock<Box<Link>>,
    /// Made when something comes or goes for the first time.
    traffic: OnceLock<Box<Traffic>>,
}

/// What ties a partition with several replicas to the thread that replicates.
struct Link {
    shared: Arc<Shared>,
    /// It waits to be looked at by that thread.
    is_ready: AtomicBool,
    /// What was appended before this position of the write-ahead log may have been cut since: its coming to the disk says
    /// nothing of the log as it is now.
    cut_lsn: AtomicU64,
    /// The partition epoch of a proposal that nobody answered; it is made again at the next tick.
    lost_proposal: AtomicI32,
    /// The start of the log at the last tick.
    told_log_start: AtomicI64,
    /// Since when this node leads it, if it does.
    led_since_ms: AtomicI64,
}

/// What is to be done once the role's lock is free.
#[derive(Default)]
#[must_use]
struct Aftermath {
    /// Readers may see more, or the role has changed.
    wake: bool,
    /// The replicating thread has something to send.
    ready: bool,
    propose: Option<Proposal>,
}

impl Partition {
    /// A log that nobody is known to lead: all that recovery kept is on disk.
    pub(crate) fn open(id: LogId, log: Arc<PartitionLog>, settings: Arc<TopicSettings>) -> Arc<Self> {
        Arc::new(Partition {
            id,
            high_watermark: AtomicI64::new(log.high_watermark()),
            role: Mutex::new(Role::unassigned(log.log_end_offset())),
            log,
            settings: ArcSwap::new(settings),
            waiters: Waiters::default(),
            link: OnceLock::new(),
            traffic: OnceLock::new(),
        })
    }

    /// The epoch of the leadership that this node knows of, whoever leads.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.role.lock().leader_epoch()
    }

    /// The epoch in which this node leads it, if it does.
    pub(crate) fn leads_in(&self) -> Option<LeaderEpoch> {
        match &*self.role.lock() {
            Role::Leader(leader) => Some(leader.leader_epoch()),
            _ => None,
        }
    }

    /// Exclusive end of what readers may see.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// False while a new leader's high watermark is only a lower bound: an earlier one may have shown more.
    pub(crate) fn high_watermark_is_known(&self) -> bool {
        match &*self.role.lock() {
            Role::Leader(leader) => leader.high_watermark_is_known(),
            _ => true,
        }
    }

    /// What holds for its topic.
    pub(crate) fn settings(&self) -> arc_swap::Guard<Arc<TopicSettings>> {
        self.settings.load()
    }

    /// Takes changed settings; they hold from the next append or read on.
    pub(crate) fn configure(self: &Arc<Self>, settings: Arc<TopicSettings>) {
        self.log.update_config(append::log_config(&settings));
        let rules = self.rules(&settings);
        self.settings.store(settings);
        self.change(|role| match role {
            Role::Leader(leader) => leader.on_rules(rules, steady_ms()),
            _ => Effects::default(),
        });
    }

    /// All before `end_offset` is written here, and on disk if `durable`: the write-ahead log has come to `lsn`.
    pub(crate) fn confirm(self: &Arc<Self>, lsn: Lsn, end_offset: Offset, durable: bool) {
        let mut role = self.role.lock();
        if self.link.get().is_some_and(|link| lsn <= link.cut_lsn.load(Ordering::Acquire)) {
            return;
        }
        let after = match &mut *role {
            Role::Leader(leader) => {
                let now_ms = steady_ms();
                let mut effects = leader.on_append(end_offset, now_ms);
                if durable {
                    let more = leader.on_durable(end_offset, now_ms);
                    effects.high_watermark_advanced = more.high_watermark_advanced.or(effects.high_watermark_advanced);
                }
                self.carry_out(&role, effects)
            }
            Role::Follower(following) => Aftermath { ready: following.confirm(end_offset, durable), ..Aftermath::default() },
            Role::Nobody { durable_end_offset, .. } => {
                if durable {
                    *durable_end_offset = end_offset.max(*durable_end_offset);
                }
                Aftermath::default()
            }
        };
        drop(role);
        self.finish(after);
    }

    /// Lets a machine work, and carries out what comes of it.
    fn change(self: &Arc<Self>, work: impl FnOnce(&mut Role) -> Effects) {
        let mut role = self.role.lock();
        let effects = work(&mut role);
        let after = self.carry_out(&role, effects);
        drop(role);
        self.finish(after);
    }

    /// Shows what a leader's machine has made visible.
    fn carry_out(&self, role: &Role, effects: Effects) -> Aftermath {
        let advanced = effects.high_watermark_advanced.is_some();
        if advanced {
            self.show(role);
        }
        Aftermath { wake: advanced, ready: advanced || !effects.ended.is_empty(), propose: effects.propose }
    }

    /// What readers see is what the machine says.
    fn show(&self, role: &Role) {
        let high_watermark = match role {
            Role::Leader(leader) => leader.high_watermark(),
            Role::Follower(following) => following.high_watermark(),
            Role::Nobody { .. } => return,
        };
        self.high_watermark.store(high_watermark, Ordering::Release);
        // For retention, and for the next checkpoint even if nobody appends until then.
        self.log.note_high_watermark(high_watermark);
    }

    fn finish(self: &Arc<Self>, after: Aftermath) {
        if after.wake {
            self.waiters.wake_all();
        }
        let Some(link) = self.link.get() else { return };
        if after.ready {
            self.is_ready(link);
        }
        if let Some(proposal) = after.propose {
            link.shared.propose(self.id, proposal);
        }
    }

    /// Has the replicating thread look at this partition.
    fn is_ready(self: &Arc<Self>, link: &Link) {
        if !link.is_ready.swap(true, Ordering::AcqRel) {
            link.shared.note_ready(Arc::clone(self));
        }
    }

    /// The replicating thread looks at it: what happens from here on makes it ready again.
    pub(crate) fn is_looked_at(&self) {
        if let Some(link) = self.link.get() {
            link.is_ready.store(false, Ordering::Release);
        }
    }

    /// What comes and goes is counted here.
    pub(crate) fn traffic(&self) -> &Traffic {
        self.traffic.get_or_init(Box::default)
    }

    /// What has come and gone; none if nothing has.
    pub(crate) fn traffic_so_far(&self) -> Option<&Traffic> {
        self.traffic.get().map(AsRef::as_ref)
    }

    /// Wakes `waiter` at the next change that a reader could see.
    pub(crate) fn wait(&self, waiter: &Arc<Waiter>) {
        self.waiters.add(waiter);
    }

    /// Forgets `waiter`, once.
    pub(crate) fn stop_waiting(&self, waiter: &Arc<Waiter>) {
        self.waiters.remove(waiter);
    }

    fn rules(&self, settings: &TopicSettings) -> Rules {
        rules(settings, self.link.get().map_or(LAG_MAX_MS, |link| link.shared.lag_max_ms))
    }
}

fn rules(settings: &TopicSettings, lag_max_ms: i64) -> Rules {
    let confirmation = match settings.sync {
        SyncPolicy::Commit => Confirmation::Durable,
        SyncPolicy::Interval => Confirmation::Written,
    };
    Rules { confirmation, lag_max_ms }
}

/// What a frame says of a batch.
pub(crate) fn bounds(batch: &BatchView<'_>) -> BatchBounds {
    BatchBounds { base_offset: batch.base_offset(), last_offset: batch.last_offset(), epoch: batch.leader_epoch() }
}
