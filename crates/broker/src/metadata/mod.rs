//! What topics there are: the metadata log, the machine that decides upon it, and the image that everyone reads.
//!
//! A change is decided by [`Controller`], appended to the metadata log as one batch, and told once that batch is durable and
//! applied. A single node is the only voter: durable here is committed. Raft will stand between the two.

pub(crate) mod codec;
mod load;
mod producer_ids;
mod publish;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use chronik_log::records::BatchBuilder;
use chronik_log::{Append, AppendError, PartitionLog, SyncClass};
use chronik_state::ids::{LeaderEpoch, Offset, TimestampMs};
use chronik_state::metadata::record::Record;
use chronik_state::metadata::{Controller, Decision, Image};
use thiserror::Error;

pub use load::LoadError;
pub(crate) use producer_ids::NoProducerId;

use crate::net::reactor::{Position, Reactor};
use crate::node::{Node, now_ms};

/// The node's view of the cluster's metadata.
pub(crate) struct Metadata {
    image: ArcSwap<Image>,
    log: Arc<PartitionLog>,
    /// In which term this node decides.
    term: LeaderEpoch,
    /// What the metadata log calls this process.
    broker_epoch: i64,
    /// One decision at a time, from its making to its being applied.
    controller: tokio::sync::Mutex<Controller>,
    snapshots: snapshot::Snapshots,
    producer_ids: producer_ids::ProducerIds,
}

/// See [`Metadata::reached`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// In which term this node decides.
    pub(crate) term: LeaderEpoch,
    /// The offset that the next record gets.
    pub(crate) log_end_offset: Offset,
    /// Everything below is committed.
    pub(crate) high_watermark: Offset,
}

/// Why a change did not happen. Nothing of it is in the log.
#[derive(Debug, Error)]
pub(crate) enum SubmitError {
    #[error("the metadata log takes nothing: {0}")]
    Log(#[from] AppendError),
    #[error("the node stops")]
    NodeStops,
}

impl Metadata {
    /// All that is committed and applied. It never changes; ask again for a newer one.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// How far the metadata log has come.
    pub(crate) fn reached(&self) -> Reached {
        Reached {
            term: self.term,
            log_end_offset: self.log.log_end_offset(),
            high_watermark: self.log.high_watermark(),
        }
    }

    /// Decides, makes it durable, applies and publishes it, and only then answers.
    pub(crate) async fn submit<R>(
        &self,
        reactor: &Reactor,
        decide: impl FnOnce(&Controller) -> Decision<R>,
    ) -> Result<R, SubmitError> {
        let mut controller = self.controller.lock().await;
        let decision = decide(&controller);
        if decision.records.is_empty() {
            return Ok(decision.reply);
        }
        let position = append(&self.log, self.term, &decision.records)?;
        let unapplied = Unapplied { node: &reactor.node };
        if reactor.until(position).await.is_err() {
            std::mem::forget(unapplied);
            return Err(SubmitError::NodeStops);
        }
        for record in &decision.records {
            controller.apply(record);
        }
        self.publish(&reactor.node, controller.image().clone(), &decision.records);
        std::mem::forget(unapplied);
        Ok(decision.reply)
    }
}

/// A decision that is in the log and not yet applied. Whoever gives up here, by a panic or otherwise, leaves a node that
/// knows something else than its log says: it must not go on.
struct Unapplied<'a> {
    node: &'a Node,
}

impl Drop for Unapplied<'_> {
    fn drop(&mut self) {
        self.node.fail(&"a metadata change was written to the log and could not be applied; the next start applies it");
    }
}

/// Where groups keep their members and offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Appends the records of one decision as one batch.
fn append(log: &PartitionLog, term: LeaderEpoch, records: &[Record]) -> Result<Position, AppendError> {
    let now_ms = now_ms();
    let batch = batch(records, now_ms);
    let appended =
        log.append(batch.as_valid(), Append { leader_epoch: term, now_ms, sync: SyncClass::Commit, privileged: true })?;
    log.note_high_watermark(appended.last_offset + 1);
    Ok(Position { lsn: appended.lsn, durable: true })
}

fn batch(records: &[Record], now_ms: TimestampMs) -> chronik_log::records::OwnedBatch {
    let mut batch = BatchBuilder::new();
    let mut bytes = Vec::new();
    for record in records {
        bytes.clear();
        codec::encode(record, &mut bytes);
        batch.record(now_ms, None, Some(&bytes), &[]);
    }
    batch.build()
}
