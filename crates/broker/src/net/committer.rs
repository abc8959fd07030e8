//! Writes large groups on a thread of its own, so that the reactor which took them in can read on meanwhile.
//!
//! A reactor commits inline: a hand-off costs more than what a small write makes others wait for. A group of half a megabyte is the
//! other way round. Its write takes several times as long as the hand-off, and the peer that sends so fast fills the socket meanwhile and has to stop.
//!
//! The committer is to a reactor what another reactor is that holds the commit lock: it wakes all who wait when it is done (see
//! `Signal` in `reactor.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use chronik_log::{Commit, Fatal};
use parking_lot::{Condvar, Mutex};

use crate::node::Node;

/// Groups of at least so many bytes are handed over.
const LARGE_GROUP_BYTES: u64 = 512 << 10;

/// The way to the committer's thread.
#[derive(Default)]
pub(crate) struct Committer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The thread is there and listens.
    runs: bool,
    /// Somebody waits for a commit.
    asked: bool,
    /// Somebody waits for a sync of what was written before.
    sync_asked: bool,
    stops: bool,
}

impl Committer {
    /// Hands the group that waits now to the committer's thread, if it is large and there is one. With `sync` all that is written then
    /// is synced too, whatever the group itself asks for.
    ///
    /// The caller has said before that it waits (`Signal`), and is woken after the commit.
    pub(crate) fn takes_over(&self, node: &Node, sync: bool) -> bool {
        if node.storage.unwritten_bytes() < LARGE_GROUP_BYTES {
            return false;
        }
        let mut state = self.state.lock();
        if !state.runs {
            return false;
        }
        state.asked = true;
        state.sync_asked |= sync;
        self.changed.notify_one();
        true
    }

    /// Ends the thread, once it has done what it was asked for. Nobody may wait for a commit any more.
    pub(crate) fn stop(&self) {
        self.state.lock().stops = true;
        self.changed.notify_one();
    }

    /// Waits until somebody asks, and says whether for a sync as well; none if it is to end.
    fn asked(&self) -> Option<bool> {
        let mut state = self.state.lock();
        while !state.asked && !state.stops {
            self.changed.wait(&mut state);
        }
        let sync = std::mem::take(&mut state.sync_asked);
        std::mem::take(&mut state.asked).then_some(sync)
    }
}

/// Starts the committer's thread. It ends with [`Committer::stop`].
pub(crate) fn spawn(node: &Arc<Node>) -> std::io::Result<JoinHandle<()>> {
    node.committer.state.lock().runs = true;
    let thread_node = Arc::clone(node);
    let spawned = std::thread::Builder::new().name("commit".to_owned()).spawn(move || {
        let node = thread_node;
        match catch_unwind(AssertUnwindSafe(|| run(&node))) {
            Ok(Ok(())) => {}
            Ok(Err(fatal)) => node.fail(&fatal),
            Err(_) => node.fail(&"the committer's thread panicked; this is a bug, and the lines above show where"),
        }
        node.committer.state.lock().runs = false;
    });
    if spawned.is_err() {
        node.committer.state.lock().runs = false;
    }
    spawned
}

fn run(node: &Node) -> Result<(), Fatal> {
    while let Some(sync) = node.committer.asked() {
        // A reactor that commits at this moment wakes those that wait itself, and they ask again.
        let began = Instant::now();
        let committed = node.storage.commit()?;
        if matches!(committed, Commit::Done { .. }) {
            node.metrics.wal_sync.observe(began.elapsed());
        }
        if committed != Commit::Busy {
            if sync {
                node.storage.sync_written()?;
            }
            node.wake_reactors(None);
        }
        node.upkeep.ring_if_needed(&node.storage);
    }
    Ok(())
}
