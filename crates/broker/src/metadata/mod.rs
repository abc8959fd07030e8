//! What topics there are: the metadata log, the machine that decides upon it, and the image that everyone reads.
//!
//! A change is decided by [`Controller`] on the node that leads the metadata's Raft group, appended to the metadata log as one
//! entry, and told once that entry is committed and applied. A single node is a group of one: the same code.

mod load;
mod producer_ids;
mod publish;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chronik_consensus::NotTaken;
pub(crate) use chronik_council::offset_of;
use chronik_council::{Applied, Change, Council, CouncilError};
use chronik_log::{Lsn, PartitionLog};
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::record::Record;
use chronik_state::metadata::{Controller, Decision, Image};
use thiserror::Error;
use tokio::sync::{MutexGuard, oneshot};

pub use load::LoadError;
pub(crate) use load::{TICK_MS, directory_id, raft_id};
pub(crate) use producer_ids::NoProducerId;

use crate::cluster::Cluster;
use crate::net::reactor::{Position, Reactor};
use crate::node::{Node, now_ms};

/// The node's view of the cluster's metadata.
pub(crate) struct Metadata {
    image: ArcSwap<Image>,
    log: Arc<PartitionLog>,
    /// Copies of what the council says, for those who do not wait for it.
    term: AtomicU64,
    applied_index: AtomicU64,
    applied_bytes: AtomicU64,
    /// What the metadata log calls this process; −1 until it has been registered.
    broker_epoch: AtomicI64,
    /// One event at a time, with all that comes of it.
    council: tokio::sync::Mutex<Council>,
    /// Nobody else belongs to the group.
    alone: bool,
    /// Whether others on this node are told of changes: on one of several nodes only once it has been registered, for until
    /// then what it knows may be old.
    is_published: AtomicBool,
    snapshots: snapshot::Snapshots,
    producer_ids: producer_ids::ProducerIds,
    commit_timeout: Duration,
}

/// See [`Metadata::reached`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The newest term that is known.
    pub(crate) term: LeaderEpoch,
    /// The offset that the next record gets.
    pub(crate) log_end_offset: Offset,
    /// Everything below is committed.
    pub(crate) high_watermark: Offset,
}

/// Why a change did not happen, or is not known to have.
#[derive(Debug, Error)]
pub(crate) enum SubmitError {
    #[error("this node does not lead the metadata")]
    NotController,
    #[error("the metadata takes nothing at the moment: {0}")]
    Busy(String),
    #[error("another node leads the metadata by now; whether the change was made is seen in the metadata")]
    Lost,
    #[error("too few nodes confirmed the change in time; it may be made yet")]
    TimedOut,
    #[error("the node stops")]
    NodeStops,
}

impl From<NotTaken> for SubmitError {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::NotLeader => SubmitError::NotController,
            other => SubmitError::Busy(other.to_string()),
        }
    }
}

impl Metadata {
    /// All that is committed and applied. It never changes; ask again for a newer one.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// At a start, before anything runs: where the brokers are that this node knows of.
    pub(crate) fn introduce_brokers(&self, cluster: &Cluster) {
        let council = self.council.try_lock().expect("nothing runs yet");
        cluster.on_image(council.applied(), true);
    }

    /// Nothing happens in the Raft group on this node while this is held.
    pub(crate) async fn quiet(&self) -> MutexGuard<'_, Council> {
        self.council.lock().await
    }

    /// See [`Controller::may_stop`].
    pub(crate) async fn may_stop(&self, broker: BrokerId) -> bool {
        self.council.lock().await.decider().is_some_and(|controller| controller.may_stop(broker))
    }

    /// How far the metadata log has come.
    pub(crate) fn reached(&self) -> Reached {
        Reached {
            term: self.term.load(Ordering::Relaxed) as LeaderEpoch,
            log_end_offset: self.log.log_end_offset(),
            high_watermark: self.log.high_watermark(),
        }
    }

    /// The members of the metadata's Raft group that vote, with the offset that each gets next, as far as this node knows: all of
    /// them on the leader, only itself elsewhere.
    pub(crate) async fn voters(&self) -> Vec<(u64, Offset)> {
        let council = self.council.lock().await;
        let (own, voters) = (council.member.id(), council.member.membership().voters);
        let mut known = council.member.matched();
        if known.is_empty() {
            known.push((own, council.standing().last_index));
        }
        known.retain(|(id, _)| voters.contains(id));
        // Entries begin at 2: one that has none gets offset 0 next.
        known.into_iter().map(|(id, index)| (id, (offset_of(index) + 1).max(0))).collect()
    }

    /// The last entry that is applied here.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied_index.load(Ordering::Acquire)
    }

    /// Which incarnation of the broker this process is; −1 until it has been registered.
    pub(crate) fn broker_epoch(&self) -> i64 {
        self.broker_epoch.load(Ordering::Acquire)
    }

    /// Decides, makes it durable on a majority, applies and publishes it, and only then answers.
    pub(crate) async fn submit<R>(
        &self,
        reactor: &Reactor,
        decide: impl FnOnce(&Controller) -> Decision<R>,
    ) -> Result<R, SubmitError> {
        self.submit_at(reactor, |controller, _| decide(controller)).await
    }

    /// As [`Metadata::submit`], for a decision that has to know which offset of the metadata log it gets.
    pub(crate) async fn submit_at<R>(
        &self,
        reactor: &Reactor,
        decide: impl FnOnce(&Controller, Offset) -> Decision<R>,
    ) -> Result<R, SubmitError> {
        let mut council = self.council.lock().await;
        let offset = offset_of(council.next_index());
        // Perhaps leader since a moment ago: what came before is being applied.
        let decision = decide(council.decider().ok_or(SubmitError::NotController)?, offset);
        let (tell, committed) = oneshot::channel();
        let proposed = Instant::now();
        // Nobody listens any more where the client has gone.
        let tell = move |is_it| _ = tell.send(is_it);
        if decision.records.is_empty() {
            // Still it may have been decided upon what is not agreed on yet.
            council.when_agreed(tell);
        } else {
            council.propose(&decision.records, tell)?;
            self.settle(&mut council, reactor).await?;
        }
        drop(council);
        match tokio::time::timeout(self.commit_timeout, committed).await {
            Ok(Ok(true)) => {
                reactor.node.metrics.metadata_commit.observe(proposed.elapsed());
                Ok(decision.reply)
            }
            Ok(Ok(false)) => Err(SubmitError::Lost),
            // The council is gone only with the node.
            Ok(Err(_)) => Err(SubmitError::NodeStops),
            Err(_) => Err(SubmitError::TimedOut),
        }
    }

    /// An event of the Raft group, with all that comes of it.
    pub(crate) async fn attend<R>(
        &self,
        reactor: &Reactor,
        event: impl FnOnce(&mut Council) -> R,
    ) -> Result<R, SubmitError> {
        let mut council = self.council.lock().await;
        let outcome = event(&mut council);
        self.settle(&mut council, reactor).await?;
        Ok(outcome)
    }

    async fn settle(&self, council: &mut Council, reactor: &Reactor) -> Result<(), SubmitError> {
        let node = &reactor.node;
        let unfinished = Unfinished { node };
        let sync = async |lsn: Lsn| {
            reactor.until(Position { lsn, durable: true }).await.map_err(|_| CouncilError::NodeStops)
        };
        let settled = council.settle(now_ms(), sync, |applied| self.take_in(node, applied)).await;
        std::mem::forget(unfinished);
        if self.alone {
            council.forget_entries();
        }
        self.copy_from(council);
        if let Some(cluster) = &node.cluster {
            let decides = council.decider().is_some();
            cluster.observe(council.standing(), decides, council.applied_index());
        }
        match settled {
            Ok(()) => Ok(()),
            Err(CouncilError::NodeStops) => Err(SubmitError::NodeStops),
            Err(error) => {
                node.fail(&error);
                Err(SubmitError::NodeStops)
            }
        }
    }

    fn take_in(&self, node: &Node, applied: Applied) {
        let Applied { image, change, .. } = applied;
        let _taking = matches!(change, Change::Whole).then(|| Installing { node, began: Instant::now() });
        if let Some(cluster) = &node.cluster {
            let has_brokers = |record: &Record| matches!(record, Record::Broker(_));
            let is_changed = match &change {
                Change::Records(records) => records.iter().any(has_brokers),
                Change::Whole => true,
            };
            cluster.on_image(&image, is_changed);
            if !self.is_published.load(Ordering::Acquire) {
                return self.take_in_first(node, cluster, image);
            }
        }
        match change {
            Change::Records(records) => self.publish(node, image, &records),
            Change::Whole => self.publish_whole(node, image),
        }
    }

    /// Before this process has been registered the node shows nothing of what it knows, and leads nothing: an old image could
    /// make it lead, or delete partitions that were created since.
    fn take_in_first(&self, node: &Node, cluster: &Cluster, image: Image) {
        let own = image.broker(node.config.node_id).filter(|broker| broker.incarnation_id == cluster.incarnation_id);
        let Some(epoch) = own.map(|broker| broker.epoch) else { return };
        self.broker_epoch.store(epoch, Ordering::Release);
        self.is_published.store(true, Ordering::Release);
        self.publish_whole(node, image);
        cluster.has_joined();
    }

    fn copy_from(&self, council: &Council) {
        self.term.store(council.standing().term, Ordering::Relaxed);
        self.applied_bytes.store(council.applied_bytes(), Ordering::Relaxed);
        self.applied_index.store(council.applied_index(), Ordering::Release);
    }
}

/// A leader's snapshot is being taken in.
struct Installing<'a> {
    node: &'a Node,
    began: Instant,
}

impl Drop for Installing<'_> {
    fn drop(&mut self) {
        let snapshots = &self.node.metrics.snapshots;
        snapshots.installed.add(1);
        snapshots.apply.observe(self.began.elapsed());
    }
}

/// A round of the Raft group that has begun and not ended. Whoever gives up here, by a panic or otherwise, leaves a node that
/// knows something else than its log says: it must not go on.
struct Unfinished<'a> {
    node: &'a Node,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.node.fail(&"a metadata change was written to the log and could not be applied; the next start applies it");
    }
}

/// Where groups keep their members and offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
