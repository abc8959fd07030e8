//! What a seat keeps to, each rule under its name, with what is lost without it (Ongaro, "Consensus: Bridging Theory and Practice",
//! §3; raft-rs, `raw_node.rs`). The simulator can take one out: then something has to break, or nothing tests it.

/// A rule of the order in which a round is carried out, or of what is decided upon what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A vote, or the news that an entry is stored, leaves only after both are on disk. Else two leaders of one term decide, or
    /// an entry counts as committed that a majority has lost.
    StoredBeforeSaid,
    /// Term and vote are kept. Else a member that comes back votes again in the same term.
    VoteIsKept,
    /// Entries are synced before they are confirmed. Else what was committed is gone with the power.
    EntriesAreSynced,
    /// A leader's snapshot is on disk before the entries are gone that it replaces. Else a crash in between leaves neither.
    SnapshotBeforeLog,
    /// A leader decides only once it has applied everything up to its own first entry. Else it decides upon an image that lacks what
    /// an earlier leader promised.
    DecidesUponAllBefore,
    /// What was decided upon decisions that are on their way is answered once those are committed, also where nothing new came of it. Else
    /// somebody hears that all is as it was wanted, and then it never was (Kafka's controller waits in the same way).
    AnsweredWhenAgreed,
    /// What a leader proposed and lost is forgotten when it leads no longer: only what is committed counts. Else it goes on deciding
    /// upon what never was.
    LostIsForgotten,
}

impl Order {
    /// All of them.
    pub const ALL: [Order; 7] = [
        Order::StoredBeforeSaid,
        Order::VoteIsKept,
        Order::EntriesAreSynced,
        Order::SnapshotBeforeLog,
        Order::DecidesUponAllBefore,
        Order::AnsweredWhenAgreed,
        Order::LostIsForgotten,
    ];
}

/// Does this rule hold? Always, but see above.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub(crate) const fn upheld(_order: Order) -> bool {
    true
}

#[cfg(feature = "mutations")]
pub use mutations::without;
#[cfg(feature = "mutations")]
pub(crate) use mutations::upheld;

#[cfg(feature = "mutations")]
mod mutations {
    use std::cell::Cell;

    use super::Order;

    thread_local! {
        static TAKEN_OUT: Cell<Option<Order>> = const { Cell::new(None) };
    }

    pub(crate) fn upheld(order: Order) -> bool {
        TAKEN_OUT.get() != Some(order)
    }

    /// Runs `simulation` on this thread as if there were no such rule.
    pub fn without<R>(order: Order, simulation: impl FnOnce() -> R) -> R {
        let _restored = Restored;
        TAKEN_OUT.set(Some(order));
        simulation()
    }

    struct Restored;

    impl Drop for Restored {
        fn drop(&mut self) {
            TAKEN_OUT.set(None);
        }
    }
}
