//! What happens when nobody asks: young records move to segments, checkpoints are taken, old data goes.
//!
//! One thread that sleeps while nothing is to be done. A commit rings its bell when the storage is under
//! pressure, or when the thread sleeps without a deadline and should know that there is work again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chronik_log::UpkeepError;
use parking_lot::{Condvar, Mutex};
use tracing::{info, warn};

use crate::node::{Node, now_ms};

/// After this long without a checkpoint, what is new since the last is checkpointed, however little it is.
const CHECKPOINT_AGE: Duration = Duration::from_secs(10);
/// How long upkeep rests after the disk refused something.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Wakes the upkeep thread.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
    /// The thread sleeps without a deadline: the next append must ring.
    asleep: AtomicBool,
    /// The thread does not know of anything that was written without a sync: who writes such a thing must ring.
    thinks_synced: AtomicBool,
    /// A request waits for more room than upkeep makes of its own accord.
    room_wanted: AtomicBool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_one();
    }

    /// Rings for someone who waits for room.
    pub(crate) fn ask_for_room(&self) {
        self.room_wanted.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// After a commit: rings if there is work, or if upkeep does not know yet that there will be.
    pub(crate) fn ring_if_needed(&self, storage: &chronik_log::Storage) {
        let news = take(&self.asleep) || is_unsynced(storage) && take(&self.thinks_synced);
        if news || storage.pressure().urgent {
            self.ring();
        }
    }

    fn wait(&self, deadline: Option<Instant>) {
        let mut rung = self.rung.lock();
        while !*rung {
            match deadline {
                None => self.heard.wait(&mut rung),
                Some(deadline) if self.heard.wait_until(&mut rung, deadline).timed_out() => break,
                Some(_) => {}
            }
        }
        *rung = false;
    }
}

/// Takes a flag down; true if it was up.
fn take(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst) && flag.swap(false, Ordering::SeqCst)
}

fn is_unsynced(storage: &chronik_log::Storage) -> bool {
    storage.written_lsn() > storage.durable_lsn()
}

/// Starts the upkeep thread. It ends when the node stops.
pub(crate) fn spawn(node: &Arc<Node>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let node = Arc::clone(node);
    std::thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
        // Without upkeep the log fills up and producers wait for ever: better to go down and say why.
        if catch_unwind(AssertUnwindSafe(|| run(&node))).is_err() {
            node.fail(&"the upkeep thread panicked; this is a bug, and the lines above show where");
        }
    })
}

fn run(node: &Node) {
    let mut schedule = Schedule::new(node);
    while !*node.stopping.borrow() {
        let pressure = node.storage.pressure();
        let unsynced = is_unsynced(&node.storage);
        let deadline = schedule.next(pressure.dirty, unsynced);
        if !pressure.urgent || schedule.retry.is_some() {
            node.upkeep.asleep.store(!pressure.dirty, Ordering::SeqCst);
            node.upkeep.thinks_synced.store(!unsynced, Ordering::SeqCst);
            // Looked at once more after the flags are up: an append in between rang nobody.
            let dirtied = !pressure.dirty && node.storage.pressure().dirty;
            if !dirtied && (unsynced || !is_unsynced(&node.storage)) {
                node.upkeep.wait(Some(deadline));
            }
        }
        schedule.work(node);
    }
}

/// When what is due next.
struct Schedule {
    retention: Instant,
    producers: Instant,
    checkpoint: Instant,
    sync: Instant,
    retry: Option<Instant>,
}

impl Schedule {
    fn new(node: &Node) -> Self {
        let now = Instant::now();
        Schedule {
            retention: now + node.settings.retention_check_interval,
            producers: now + node.settings.producer_id_expiration_check_interval,
            checkpoint: now + CHECKPOINT_AGE,
            sync: now,
            retry: None,
        }
    }

    fn next(&mut self, dirty: bool, unsynced: bool) -> Instant {
        let mut next = self.retention.min(self.producers);
        if dirty {
            next = next.min(self.checkpoint);
        } else {
            // Nothing new: the age of what comes counts from when it comes.
            self.checkpoint = Instant::now() + CHECKPOINT_AGE;
        }
        if unsynced {
            next = next.min(self.sync);
        }
        self.retry.map_or(next, |retry| next.min(retry))
    }

    fn work(&mut self, node: &Node) {
        let now = Instant::now();
        if now >= self.sync && is_unsynced(&node.storage) {
            self.sync = now + Duration::from_millis(node.config.sync_interval_ms);
            if let Err(fatal) = node.storage.sync_written() {
                return node.fail(&fatal);
            }
        }
        let room_wanted = take(&node.upkeep.room_wanted);
        let urgent = node.storage.pressure().urgent;
        // What little there is may be in the way of a very large request.
        let force = now >= self.checkpoint || (room_wanted && !urgent);
        if force || urgent || self.retry.is_some_and(|retry| now >= retry) {
            self.store(node, now, force);
        }
        if now >= self.retention {
            self.retention = now + node.settings.retention_check_interval;
            let deleted = node.storage.retention(now_ms());
            if let Err(error) = deleted {
                warn!("retention: {error}");
            }
        }
        if now >= self.producers {
            self.producers = now + node.settings.producer_id_expiration_check_interval;
            node.storage.expire_producers(now_ms());
        }
        node.metadata.snapshot_if_due(&node.metrics.snapshots);
        node.room.notify_waiters();
    }

    fn store(&mut self, node: &Node, now: Instant, force: bool) {
        match node.storage.upkeep(now_ms(), force) {
            Ok(()) => {
                if self.retry.take().is_some() {
                    info!("there is space on the disk again: producers are served");
                }
                if force {
                    self.checkpoint = now + CHECKPOINT_AGE;
                }
            }
            Err(UpkeepError::Full) => {
                // Once for as long as it lasts, not at every look.
                if self.retry.replace(now + RETRY_PAUSE).is_none() {
                    warn!("the disk is full: producers are refused until there is space again");
                }
            }
            Err(UpkeepError::Fatal(fatal)) => node.fail(&fatal),
        }
    }
}
