//! How much memory requests may hold while they arrive, over all connections.
//!
//! The ordinary buffers of the reactors are not counted: they are few. What is counted is growth, that
//! is, bytes that a peer really sent for one large request. A peer that finds no room waits a little
//! and is closed then; nobody else notices. While it waits, those who stopped in the middle of a request
//! or of an answer give up what they hold, as many as it takes.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many are asked at a time: most hold less than is looked for.
const ASKED_AT_A_TIME: usize = 16;

/// The node's budget.
pub(crate) struct RequestMemory {
    limit: usize,
    held: AtomicUsize,
    wanted: Notify,
    shortage: Mutex<Shortage>,
}

/// What is looked for in vain, and what was promised to those who look for it.
#[derive(Default)]
struct Shortage {
    needed: usize,
    leaving: usize,
}

/// Somebody waits for so much. Until it is dropped.
pub(crate) struct Need<'a> {
    memory: &'a RequestMemory,
    bytes: usize,
}

impl Drop for Need<'_> {
    fn drop(&mut self) {
        self.memory.shortage.lock().needed -= self.bytes;
    }
}

impl RequestMemory {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        RequestMemory { limit, held: AtomicUsize::new(0), wanted: Notify::new(), shortage: Mutex::default() }
    }

    /// All that there is.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Says that somebody waits for `bytes`: so much will be given up, and no more.
    pub(crate) fn needs(&self, bytes: usize) -> Need<'_> {
        self.shortage.lock().needed += bytes;
        Need { memory: self, bytes }
    }

    /// Asks those who wait in [`RequestMemory::is_wanted`], a few at a time.
    pub(crate) fn ask_for_room(&self) {
        // First come, first asked.
        (0..ASKED_AT_A_TIME).for_each(|_| self.wanted.notify_one());
    }

    /// Returns when somebody finds no room.
    pub(crate) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Takes `bytes` from the budget, if they are there.
    fn try_take(&self, bytes: usize) -> bool {
        let take = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// What one connection holds of the budget; given back when dropped.
pub(crate) struct Share<'a> {
    memory: &'a RequestMemory,
    bytes: usize,
    /// It is about to be given back.
    leaves: Cell<bool>,
}

impl<'a> Share<'a> {
    /// A share of nothing.
    pub(crate) fn none(memory: &'a RequestMemory) -> Self {
        Share { memory, bytes: 0, leaves: Cell::new(false) }
    }

    /// The budget that it is a share of.
    pub(crate) fn memory(&self) -> &'a RequestMemory {
        self.memory
    }

    /// What it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True if what it holds is needed beside what is free and what others give up: then its owner ends.
    pub(crate) fn gives_up(&self) -> bool {
        let mut shortage = self.memory.shortage.lock();
        let free = self.memory.limit.saturating_sub(self.memory.held.load(Ordering::Relaxed));
        let is_needed = !self.leaves.get() && shortage.needed > free + shortage.leaving;
        if is_needed {
            shortage.leaving += self.bytes;
            self.leaves.set(true);
        }
        is_needed
    }

    /// Makes the share `bytes` large. False, and unchanged, if the budget has no room.
    pub(crate) fn try_resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes && !self.memory.try_take(bytes - self.bytes) {
            return false;
        }
        if bytes < self.bytes {
            self.memory.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.leaves.get() {
            self.memory.shortage.lock().leaving -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_up_than_is_needed() {
        let memory = RequestMemory::new(100);
        let mut shares: Vec<Share<'_>> = (0..10).map(|_| Share::none(&memory)).collect();
        assert!(shares.iter_mut().all(|share| share.try_resize(10)));
        let asked = |shares: &[Share<'_>]| shares.iter().filter(|share| share.gives_up()).count();
        assert_eq!(asked(&shares), 0);
        let first = memory.needs(10);
        let second = memory.needs(15);
        assert_eq!((asked(&shares), asked(&shares)), (3, 0), "25 bytes are in three shares");
        shares.retain(|share| !share.leaves.get());
        assert_eq!(asked(&shares), 0, "what is free is enough");
        drop((first, second));
        let third = memory.needs(40);
        assert_eq!(asked(&shares), 1);
        drop((third, shares));
        let left = memory.shortage.lock();
        assert_eq!((left.needed, left.leaving), (0, 0));
    }

    #[test]
    fn a_share_that_ends_gives_back_what_it_held() {
        let memory = RequestMemory::new(100);
        let mut first = Share::none(&memory);
        let mut second = Share::none(&memory);
        assert!(first.try_resize(80));
        assert!(!second.try_resize(30));
        assert!(first.try_resize(60));
        assert!(second.try_resize(30));
        drop(first);
        assert!(second.try_resize(100));
        assert!(!second.try_resize(usize::MAX));
        drop(second);
        assert_eq!(memory.held.load(Ordering::Relaxed), 0);
    }
}
