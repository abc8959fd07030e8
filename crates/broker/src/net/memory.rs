//! How much memory requests may hold while they arrive, over all connections.
//!
//! The ordinary buffers of the reactors are not counted: they are few. What is counted is growth, that
//! is, bytes that a peer really sent for one large request. A peer that finds no room waits a little
//! and is closed then; nobody else notices. While it waits, those who stopped in the middle of a request
//! or of an answer are asked for what they hold, the one that has stood still longest first.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many are asked at a time: most hold less than is looked for.
const ASKED_AT_A_TIME: usize = 16;

/// The node's budget.
pub(crate) struct RequestMemory {
    limit: usize,
    held: AtomicUsize,
    wanted: Notify,
}

impl RequestMemory {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        RequestMemory { limit, held: AtomicUsize::new(0), wanted: Notify::new() }
    }

    /// All that there is.
    pub(crate) fn limit(&self) -> usize {
        self.limit
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
}

impl<'a> Share<'a> {
    /// A share of nothing.
    pub(crate) fn none(memory: &'a RequestMemory) -> Self {
        Share { memory, bytes: 0 }
    }

    /// The budget that it is a share of.
    pub(crate) fn memory(&self) -> &'a RequestMemory {
        self.memory
    }

    /// True if it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
