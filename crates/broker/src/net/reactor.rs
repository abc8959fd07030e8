//! One thread with its sockets: it reads, decides, appends, syncs and answers without handing a request on.
//!
//! Appends of one turn share one sync. A connection that appended leaves its replies parked here by log
//! position; the committer, a task that queues behind all that the same turn made ready, writes and syncs
//! whatever waits, inline, and releases exactly what the sync covers. When another reactor is committing,
//! this one is woken as soon as that ends and looks again.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use chronik_log::{Commit, Fatal, Lsn};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::error;

use super::buffer::BufferPool;
use super::connection;
use crate::metrics::ThreadMetrics;
use crate::node::Node;
use crate::partition::Partition;

/// What other threads may touch of a reactor.
///
/// Whoever has committed reads `waiting` after giving up the commit lock, with a full fence between; a
/// reactor sets it before trying that lock. So one that found the lock taken is never left asleep.
#[derive(Default)]
pub(crate) struct Signal {
    /// Appends of this reactor wait for a commit.
    waiting: AtomicBool,
    /// Wakes its committer.
    wake: Notify,
    /// How often somebody asked whether the thread lives.
    asked: AtomicU64,
    /// Which of the questions it has answered.
    answered: AtomicU64,
}

/// How far the log must have come before something may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The log position behind the append.
    pub(crate) lsn: Lsn,
    /// Whether it must be on disk, or only written.
    pub(crate) durable: bool,
}

/// The node can no longer keep its promises and goes down.
#[derive(Debug)]
pub(crate) struct NodeFailed;

/// A thread's own state: never shared, so never locked.
pub(crate) struct Reactor {
    pub(crate) node: Arc<Node>,
    pub(crate) buffers: BufferPool,
    index: usize,
    connections: Cell<usize>,
    durable: RefCell<Releases>,
    written: RefCell<Releases>,
}

/// What waits for the log to come to a position, first come first.
#[derive(Default)]
struct Releases {
    readers: VecDeque<(Lsn, Arc<Partition>, i64)>,
    writers: VecDeque<(Lsn, Rc<Notify>)>,
}

impl Releases {
    /// What is waited for first.
    fn first(&self) -> Option<Lsn> {
        let (reader, writer) = (self.readers.front().map(|reader| reader.0), self.writers.front().map(|writer| writer.0));
        reader.into_iter().chain(writer).min()
    }
}

/// A connection that was accepted for a reactor.
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    /// Where the peer reached us.
    pub(crate) local: SocketAddr,
}

impl Reactor {
    pub(crate) fn new(node: Arc<Node>, index: usize) -> Rc<Self> {
        Rc::new(Reactor {
            node,
            buffers: BufferPool::default(),
            index,
            connections: Cell::new(0),
            durable: RefCell::default(),
            written: RefCell::default(),
        })
    }

    /// What this thread counts.
    pub(crate) fn metrics(&self) -> &ThreadMetrics {
        self.node.metrics.thread(self.index)
    }

    /// Serves what it is dealt until the node stops and the last connection has ended.
    pub(crate) async fn run(self: Rc<Self>, mut accepted: UnboundedReceiver<Accepted>) {
        let committing = Rc::clone(&self);
        let committer = tokio::task::spawn_local(async move {
            if let Err(reason) = contained(pin!(Rc::clone(&committing).commit_loop())).await {
                // Nobody else writes what this thread has taken in.
                committing.node.fail(&format_args!("committing panicked; this is a bug: {reason}"));
            }
        });
        if self.index == 0 {
            tokio::task::spawn_local(keep_groups_time(Rc::clone(&self)));
        }
        let ended = Rc::new(Notify::new());
        while let Some(accepted) = accepted.recv().await {
            self.spawn_connection(accepted, &ended);
        }
        while self.connections.get() > 0 {
            ended.notified().await;
        }
        committer.abort();
    }

    fn spawn_connection(self: &Rc<Self>, accepted: Accepted, ended: &Rc<Notify>) {
        self.connections.set(self.connections.get() + 1);
        let (reactor, ended) = (Rc::clone(self), Rc::clone(ended));
        tokio::task::spawn_local(async move {
            let peer = accepted.peer;
            let serving = pin!(connection::serve(Rc::clone(&reactor), accepted));
            if let Err(reason) = contained(serving).await {
                error!(%peer, reason, "connection closed: serving it panicked; this is a bug");
            }
            reactor.connections.set(reactor.connections.get() - 1);
            reactor.node.connection_ended();
            if reactor.connections.get() == 0 {
                reactor.buffers.clear();
                ended.notify_one();
            }
        });
    }

    /// Readers of `partition` may see up to `end_offset` once the log has come to `position`.
    pub(crate) fn show_at(&self, position: Position, partition: &Arc<Partition>, end_offset: i64) {
        let mut releases = self.releases(position).borrow_mut();
        releases.readers.push_back((position.lsn, Arc::clone(partition), end_offset));
        drop(releases);
        self.ask_for_commit();
    }

    /// Wakes `waiter` once the log has come to `position`.
    pub(crate) fn wake_at(&self, position: Position, waiter: &Rc<Notify>) {
        self.releases(position).borrow_mut().writers.push_back((position.lsn, Rc::clone(waiter)));
        self.ask_for_commit();
    }

    /// True once the log has come to `position`.
    pub(crate) fn reached(&self, position: Position) -> bool {
        position.lsn <= self.node.reached(position.durable)
    }

    /// Returns once the log has come to `position`.
    ///
    /// # Errors
    /// If the node failed: it never will.
    pub(crate) async fn until(&self, position: Position) -> Result<(), NodeFailed> {
        let waiter = Rc::new(Notify::new());
        let mut stopping = self.node.stopping();
        while !self.reached(position) {
            // Before waiting for a change: the failure may be older than the receiver of changes.
            if self.node.has_failed() {
                return Err(NodeFailed);
            }
            self.wake_at(position, &waiter);
            tokio::select! {
                () = waiter.notified() => {}
                _ = stopping.changed() => {}
            }
        }
        Ok(())
    }

    fn releases(&self, position: Position) -> &RefCell<Releases> {
        if position.durable { &self.durable } else { &self.written }
    }

    fn ask_for_commit(&self) {
        let signal = &self.node.signals[self.index];
        // Set before the committer tries the lock: whoever holds it then looks here after letting go.
        if !signal.waiting.swap(true, Ordering::SeqCst) {
            signal.wake.notify_one();
        }
    }

    async fn commit_loop(self: Rc<Self>) {
        loop {
            let signal = &self.node.signals[self.index];
            signal.wake.notified().await;
            signal.answer();
            match self.commit() {
                Ok(()) => {}
                Err(fatal) => return self.node.fail(&fatal),
            }
            self.node.upkeep.ring_if_needed(&self.node.storage);
        }
    }

    fn commit(&self) -> Result<(), Fatal> {
        // Before the hand-over: what it leaves is still said to wait, and so is woken.
        self.release();
        if self.node.committer.takes_over(&self.node, self.waits_for_sync()) {
            return Ok(());
        }
        let began = Instant::now();
        match self.node.storage.commit()? {
            Commit::Busy => {
                self.release();
                return Ok(());
            }
            Commit::Done { .. } => self.node.metrics.wal_sync.observe(began.elapsed()),
            Commit::Idle => {}
        }
        if self.release() {
            // All of it is written, so what is left waits for a sync that nobody else may ever ask for: it was appended
            // when its topic did not, and is a retry's original, or shares a request with records that do.
            self.node.storage.sync_written()?;
            self.release();
        }
        // Also after a commit that found nothing: whoever came meanwhile found the log taken.
        self.node.wake_reactors(Some(self.index));
        Ok(())
    }

    /// True if something that is written already has to be synced. While large groups keep coming, this thread does not come to
    /// ask for it itself.
    fn waits_for_sync(&self) -> bool {
        self.durable.borrow().first().is_some_and(|first| first <= self.node.reached(false))
    }

    /// Lets go what the log has covered; true if something is left. That waits for the reactor that is committing now,
    /// which wakes this one.
    fn release(&self) -> bool {
        let left_durable = release_up_to(&self.durable, self.node.reached(true), true);
        let left_written = release_up_to(&self.written, self.node.reached(false), false);
        let left = left_durable || left_written;
        if !left {
            self.node.signals[self.index].waiting.store(false, Ordering::SeqCst);
        }
        left
    }
}

/// The outcome of `future`, or what it said when it panicked: one connection's misfortune is not that of the others.
async fn contained<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Result<T, String> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(said(panic.as_ref()))),
    })
    .await
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why").to_owned()
}

/// One task of the node, on its first thread.
async fn keep_groups_time(reactor: Rc<Reactor>) {
    let keeper = Rc::clone(&reactor);
    let task = tokio::task::spawn_local(async move { keeper.node.coordinator.keep_time(&keeper).await });
    if task.await.is_err_and(|error| error.is_panic()) {
        reactor.node.fail(&"the task that keeps the time of groups panicked; this is a bug, and the lines above show where");
    }
}

impl Signal {
    /// Wakes the reactor's committer if it has something to wait for.
    pub(crate) fn wake_if_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Asks its thread whether it lives: the number of the question.
    pub(crate) fn ask_for_life(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        number
    }

    /// Whether the thread has answered that question, or a later one.
    pub(crate) fn has_answered(&self, number: u64) -> bool {
        self.answered.load(Ordering::SeqCst) >= number
    }

    fn answer(&self) {
        self.answered.store(self.asked.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

/// Releases all at or below `reached`; true if something is left.
fn release_up_to(releases: &RefCell<Releases>, reached: Lsn, durable: bool) -> bool {
    let mut releases = releases.borrow_mut();
    // Readers first: who learns that a record was taken may ask for it at once.
    while releases.readers.front().is_some_and(|(lsn, ..)| *lsn <= reached) {
        let (lsn, partition, end_offset) = releases.readers.pop_front().expect("just seen");
        partition.confirm(lsn, end_offset, durable);
    }
    while releases.writers.front().is_some_and(|(lsn, _)| *lsn <= reached) {
        let (_, waiter) = releases.writers.pop_front().expect("just seen");
        waiter.notify_one();
    }
    !releases.readers.is_empty() || !releases.writers.is_empty()
}

#[cfg(test)]
mod tests;
