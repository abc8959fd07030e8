//! Who waits for a partition to change. Waiting costs nothing until it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One request that waits, on however many partitions; or one connection, for however many of its requests.
pub(crate) type Waiter = Notify;

#[derive(Default)]
pub(crate) struct Waiters {
    /// So that an append to a partition nobody waits for takes no lock.
    count: AtomicUsize,
    waiting: Mutex<Vec<Arc<Waiter>>>,
}

impl Waiters {
    pub(super) fn add(&self, waiter: &Arc<Waiter>) {
        let mut waiting = self.waiting.lock();
        waiting.push(Arc::clone(waiter));
        self.count.store(waiting.len(), Ordering::SeqCst);
    }

    /// Takes out what was added once.
    pub(super) fn remove(&self, waiter: &Arc<Waiter>) {
        let mut waiting = self.waiting.lock();
        if let Some(index) = waiting.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            waiting.swap_remove(index);
        }
        self.count.store(waiting.len(), Ordering::SeqCst);
    }

    /// Wakes everyone and keeps them: each leaves by itself.
    pub(super) fn wake_all(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.waiting.lock().iter().for_each(|waiter| waiter.notify_one());
        }
    }
}
