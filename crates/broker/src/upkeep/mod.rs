//! What happens when nobody asks: young records move to segments, checkpoints are taken, old data goes.
//!
//! One thread that sleeps while nothing is to be done. A commit rings its bell when the storage is under
//! pressure, or when the thread sleeps without a deadline and should know that there is work again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::{info, warn};

use crate::config::SyncPolicy;
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
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_one();
    }

    /// After a commit: rings if there is work, or if upkeep does not know yet that there will be.
    pub(crate) fn ring_if_needed(&self, storage: &chronik_log::Storage) {
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) || storage.pressure().is_urgent() {
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
