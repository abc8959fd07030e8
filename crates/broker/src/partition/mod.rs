//! The owner of one partition on this node: its log, what readers may see of it, and who waits.

pub(crate) mod append;
pub(crate) mod read;
pub(crate) mod registry;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use chronik_log::PartitionLog;
use chronik_state::ids::{LeaderEpoch, LogId};
use chronik_state::metadata::configs::TopicSettings;
use chronik_state::partition::leader::Leader;
use parking_lot::Mutex;

pub(crate) use waiters::Waiter;
use waiters::Waiters;

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
    /// Takes the lead of `log` in `epoch`: all that recovery kept is on disk, and with one replica seen.
    pub(crate) fn lead(id: LogId, log: Arc<PartitionLog>, epoch: LeaderEpoch, settings: TopicSettings) -> Arc<Self> {
        let end_offset = log.log_end_offset();
        let leader = Leader::new(epoch, end_offset, end_offset, settings.min_insync_replicas);
        Arc::new(Partition {
            id,
            log,
            high_watermark: AtomicI64::new(leader.high_watermark()),
            leader: Mutex::new(leader),
            settings: ArcSwap::from_pointee(settings),
            waiters: Waiters::default(),
        })
    }

    /// The epoch in which this node leads it.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader.lock().epoch()
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
    pub(crate) fn configure(&self, settings: TopicSettings) {
        self.log.update_config(append::log_config(&settings));
        self.settings.store(Arc::new(settings));
    }

    /// All before `end_offset` is as safe here as the topic asks for.
    pub(crate) fn advance(&self, end_offset: i64) {
        let mut leader = self.leader.lock();
        let effects = leader.on_local_durable(end_offset);
        if let Some(high_watermark) = effects.high_watermark_advanced {
            self.high_watermark.store(high_watermark, Ordering::Release);
            drop(leader);
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
