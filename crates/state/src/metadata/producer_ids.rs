//! Producer ids are handed out in blocks (KIP-730): no id twice, even if a block is lost with its broker.

use alloc::vec;

use crate::ids::{BrokerId, ProducerId};
use crate::metadata::record::{ProducerIdsRecord, Record};
use crate::metadata::{Controller, Decision, MetadataError};

/// Ids of a block.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// Ids that are a broker's to give away: `first` and the ones behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The smallest of them.
    pub first: ProducerId,
    /// How many there are.
    pub count: i64,
}

impl Controller {
    /// Gives a broker a block of ids that nobody ever had.
    pub fn allocate_producer_ids(
        &self,
        broker_id: BrokerId,
        broker_epoch: i64,
    ) -> Decision<Result<ProducerIdBlock, MetadataError>> {
        if let Err(error) = self.check_broker(broker_id, broker_epoch) {
            return Decision::refuse(error);
        }
        let first = self.image.next_producer_id();
        let Some(next) = first.checked_add(PRODUCER_IDS_PER_BLOCK) else {
            return Decision::refuse(MetadataError::InvalidRequest("Exhausted all producer IDs.".into()));
        };
        let record = Record::ProducerIds(ProducerIdsRecord { broker_id, next });
        Decision { records: vec![record], reply: Ok(ProducerIdBlock { first, count: PRODUCER_IDS_PER_BLOCK }) }
    }
}
