//! Producers and consumers at once, in one process and so on one clock: how long a record takes from when it was due to
//! its being with a consumer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::LoadError;
use crate::batch::Batches;
use crate::consume::{self, ConsumeLoad, Consumed, Offsets};
use crate::produce::{self, ProduceLoad, Produced};
use crate::target::{SILENCE, Target};
use crate::turn::{Clock, ns};

/// What is to be delivered, and what was.
pub(crate) struct Delivery {
    /// The number in the stamps of this run.
    pub(crate) run: u64,
    groups: u64,
    /// Stamps from then on count.
    from_ns: AtomicU64,
    acknowledged: AtomicU64,
    delivered: AtomicU64,
    /// When a consumer got something last.
    heard_ns: AtomicU64,
    producers_ended: AtomicBool,
    producers_failed: AtomicBool,
}

impl Delivery {
    pub(crate) fn new(groups: usize) -> Delivery {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Delivery {
            run: since.as_nanos() as u64 ^ (u64::from(std::process::id()) << 40),
            groups: groups as u64,
            from_ns: AtomicU64::new(u64::MAX),
            acknowledged: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            heard_ns: AtomicU64::new(0),
            producers_ended: AtomicBool::new(false),
            producers_failed: AtomicBool::new(false),
        }
    }

    /// The producers' warm-up is over then. Told before the first record is sent.
    pub(crate) fn count_from(&self, from_ns: u64) {
        self.from_ns.store(from_ns, SeqCst);
    }

    pub(crate) fn counts(&self, due_ns: u64) -> bool {
        due_ns >= self.from_ns.load(Relaxed)
    }

    pub(crate) fn acknowledged(&self, records: u64) {
        self.acknowledged.fetch_add(records, Relaxed);
    }

    pub(crate) fn delivered(&self, records: u64, now_ns: u64) {
        self.delivered.fetch_add(records, Relaxed);
        self.heard_ns.fetch_max(now_ns, Relaxed);
    }

    /// Whether everything that was acknowledged has been delivered to every group; an error if it never comes.
    pub(crate) fn is_over(&self, now_ns: u64) -> Result<bool, LoadError> {
        if self.producers_failed.load(SeqCst) {
            return Ok(true);
        }
        if !self.producers_ended.load(SeqCst) {
            self.heard_ns.fetch_max(now_ns, Relaxed);
            return Ok(false);
        }
        let expected = self.acknowledged.load(SeqCst) * self.groups;
        let delivered = self.delivered.load(SeqCst);
        if delivered < expected && now_ns > self.heard_ns.load(Relaxed) + ns(SILENCE) {
            return Err(LoadError::NotDelivered { missing: expected - delivered, expected });
        }
        Ok(delivered >= expected)
    }
}

/// Runs both loads. Consumers begin at `offsets`' ends, before the first record is sent; the run is over when every record that
/// was acknowledged has been delivered.
pub fn end_to_end(
    target: &Target,
    producing: &ProduceLoad,
    consuming: &ConsumeLoad,
    offsets: &Offsets,
) -> Result<(Produced, Consumed), LoadError> {
    let delivery = Delivery::new(consuming.groups);
    let batches = Batches::new(&producing.batch, target.partitions(), Some(delivery.run))?;
    let clock = Clock::start();
    let (produced, consumed) = std::thread::scope(|scope| {
        let consumers = scope.spawn(|| consume::run(target, consuming, offsets, clock, Some(&delivery)));
        let produced = produce::run(target, producing, &batches, clock, &delivery);
        delivery.producers_failed.store(produced.is_err(), SeqCst);
        delivery.producers_ended.store(true, SeqCst);
        (produced, consumers.join().expect("a load thread does not panic"))
    });
    Ok((produced?, consumed?))
}
