//! Producer ids that this node may hand out: a block at a time, so that the metadata log hears of one producer in a thousand
//! (KIP-730).

use chronik_state::ids::ProducerId;
use chronik_state::metadata::ProducerIdBlock;
use parking_lot::Mutex;
use thiserror::Error;

use super::{Metadata, SubmitError};
use crate::net::reactor::Reactor;

/// The rest of the block at hand. A restart forgets it: no id twice, some never.
#[derive(Default)]
pub(super) struct ProducerIds {
    block: Mutex<Option<ProducerIdBlock>>,
}

/// Why there is no id.
#[derive(Debug, Error)]
pub(crate) enum NoProducerId {
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Refused(#[from] chronik_state::metadata::MetadataError),
}

impl Metadata {
    /// An id that no producer ever had.
    pub(crate) async fn next_producer_id(&self, reactor: &Reactor) -> Result<ProducerId, NoProducerId> {
        loop {
            if let Some(id) = self.producer_ids.take() {
                return Ok(id);
            }
            if let Some(cluster) = &reactor.node.cluster {
                let block = cluster.allocate_producer_ids().await.map_err(|_| SubmitError::TimedOut)?;
                *self.producer_ids.block.lock() = Some(block);
                continue;
            }
            let (broker, epoch) = (reactor.node.config.node_id, self.broker_epoch());
            let block = self.submit(reactor, |controller| controller.allocate_producer_ids(broker, epoch)).await??;
            // Whoever asked at the same time may have brought a block too; what is left of it is forgotten.
            *self.producer_ids.block.lock() = Some(block);
        }
    }
}

impl ProducerIds {
    fn take(&self) -> Option<ProducerId> {
        let mut block = self.block.lock();
        let rest = block.as_mut().filter(|rest| rest.count > 0)?;
        let id = rest.first;
        rest.first += 1;
        rest.count -= 1;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_each_id_once() {
        let ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        *ids.block.lock() = Some(ProducerIdBlock { first: 7000, count: 3 });
        let given: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(given, [7000, 7001, 7002]);
        assert_eq!(ids.take(), None);
    }
}
