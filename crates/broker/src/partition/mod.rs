//! The owner of one partition on this node: its log, what readers may see of it, and who waits.

pub(crate) mod append;
pub(crate) mod find;
pub(crate) mod read;
pub(crate) mod registry;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use chronik_log::PartitionLog;
use chronik_state::ids::{BrokerId, LeaderEpoch, LogId, Offset};
use chronik_state::metadata::configs::{SyncPolicy, TopicSettings};
use chronik_state::partition::leader::{
    AgreedPartition, Confirmation, Effects, Election, Leader, NotEnoughReplicas, Rules,
};
use parking_lot::Mutex;

use crate::node::steady_ms;
pub(crate) use waiters::Waiter;
use waiters::Waiters;

/// `replica_lag_max_ms`, until it can be set.
const LAG_MAX_MS: i64 = 10_000;

/// Who leads, and what is agreed of the partition then.
pub(crate) struct Leadership {
    pub(crate) broker_id: BrokerId,
    pub(crate) broker_epoch: i64,
    pub(crate) agreed: AgreedPartition,
}

/// A partition that this node leads.
pub(crate) struct Partition {
    pub(crate) id: LogId,
    pub(crate) log: Arc<PartitionLog>,
    leader: Mutex<Leader>,
    /// Exclusive end of what readers may see. A copy of the leader machine's, which owns it.
    high_watermark: AtomicI64,
    settings: ArcSwap<TopicSettings>,
    waiters: Waiters,
}

impl Partition {
    /// Takes the lead of `log`: all that recovery kept is on disk, and with one replica committed.
    pub(crate) fn lead(id: LogId, log: Arc<PartitionLog>, leadership: Leadership, settings: Arc<TopicSettings>) -> Arc<Self> {
        let Leadership { broker_id, broker_epoch, agreed } = leadership;
        let (leader, _) = Leader::elect(Election {
            broker_id,
            broker_epoch,
            leader_epoch: agreed.leader_epoch,
            partition_epoch: agreed.partition_epoch,
            replicas: agreed.replicas,
            in_sync: agreed.in_sync,
            min_in_sync_replicas: agreed.min_in_sync_replicas,
            log_start_offset: log.log_start_offset(),
            log_end_offset: log.log_end_offset(),
            durable_end_offset: log.log_end_offset(),
            high_watermark: log.high_watermark(),
            rules: rules(&settings),
            now_ms: steady_ms(),
        });
        // For the next checkpoint, even if nobody appends until then.
        log.note_high_watermark(leader.high_watermark());
        Arc::new(Partition {
            id,
            high_watermark: AtomicI64::new(leader.high_watermark()),
            leader: Mutex::new(leader),
            log,
            settings: ArcSwap::new(settings),
            waiters: Waiters::default(),
        })
    }

    /// The metadata says this of the partition, within the leadership that there is.
    pub(crate) fn agree(&self, agreed: AgreedPartition) {
        let effects = self.leader.lock().on_partition(agreed, steady_ms());
        self.carry_out(effects);
    }

    /// The epoch in which this node leads it.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader.lock().leader_epoch()
    }

    /// Exclusive end of what readers may see.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// What holds for its topic.
    pub(crate) fn settings(&self) -> arc_swap::Guard<Arc<TopicSettings>> {
        self.settings.load()
    }

    /// Takes changed settings; they hold from the next append or read on.
    pub(crate) fn configure(&self, settings: Arc<TopicSettings>) {
        self.log.update_config(append::log_config(&settings));
        let effects = self.leader.lock().on_rules(rules(&settings), steady_ms());
        self.settings.store(settings);
        self.carry_out(effects);
    }

    /// May a write with acks=all begin?
    pub(crate) fn check_in_sync(&self) -> Result<(), NotEnoughReplicas> {
        self.leader.lock().check_in_sync()
    }

    /// All before `end_offset` is written here, and on disk if `durable`.
    pub(crate) fn confirm(&self, end_offset: Offset, durable: bool) {
        let now_ms = steady_ms();
        let mut leader = self.leader.lock();
        let mut effects = leader.on_append(end_offset, now_ms);
        if durable {
            let more = leader.on_durable(end_offset, now_ms);
            effects.high_watermark_advanced = more.high_watermark_advanced.or(effects.high_watermark_advanced);
        }
        drop(leader);
        self.carry_out(effects);
    }

    fn carry_out(&self, effects: Effects) {
        if let Some(high_watermark) = effects.high_watermark_advanced {
            // Two threads may bring their effects in either order; what readers see only grows.
            self.high_watermark.fetch_max(high_watermark, Ordering::AcqRel);
            self.log.note_high_watermark(self.high_watermark());
            self.waiters.wake_all();
        }
    }

    /// Wakes `waiter` at the next change that a reader could see.
    pub(crate) fn wait(&self, waiter: &Arc<Waiter>) {
        self.waiters.add(waiter);
    }

    /// Forgets `waiter`.
    pub(crate) fn stop_waiting(&self, waiter: &Arc<Waiter>) {
        self.waiters.remove(waiter);
    }

    /// Wakes all who wait: the partition goes away.
    pub(crate) fn wake_all(&self) {
        self.waiters.wake_all();
    }
}

fn rules(settings: &TopicSettings) -> Rules {
    let confirmation = match settings.sync {
        SyncPolicy::Commit => Confirmation::Durable,
        SyncPolicy::Interval => Confirmation::Written,
    };
    Rules { confirmation, lag_max_ms: LAG_MAX_MS }
}
