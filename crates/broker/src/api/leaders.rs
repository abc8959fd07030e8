//! Who leads instead, told together with the refusal, so that a client need not ask for metadata first (KIP-951).

use std::collections::BTreeSet;

use chronik_state::ids::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
use chronik_state::metadata::Image;
use chronik_wire::produce::{NodeEndpoint, TopicKey};

use super::brokers;
use crate::dispatch::Connection;
use crate::node::Node;

/// The leaders that one response names.
pub(crate) struct Leaders<'a> {
    image: &'a Image,
    named: BTreeSet<BrokerId>,
}

impl<'a> Leaders<'a> {
    pub(crate) fn of(image: &'a Image) -> Self {
        Leaders { image, named: BTreeSet::new() }
    }

    /// Leader and leader epoch, if somebody leads; the response is to say where that is.
    pub(crate) fn name(&mut self, topic: &TopicKey, partition: PartitionIndex) -> Option<(BrokerId, LeaderEpoch)> {
        let topic = match topic {
            TopicKey::Name(name) => self.image.topic(name),
            TopicKey::Id(id) => self.image.topic_by_id(TopicId(*id)),
        };
        let partition = topic?.partitions.get(&partition)?;
        self.image.broker(partition.leader)?;
        self.named.insert(partition.leader);
        Some((partition.leader, partition.leader_epoch))
    }

    /// Where the client on `connection` reaches those that were named.
    pub(crate) fn endpoints(&self, node: &Node, connection: &Connection) -> Vec<NodeEndpoint> {
        let known = self.named.iter().filter_map(|id| self.image.broker(*id));
        known
            .map(|broker| {
                let brokers::Reachable { id: node_id, host, port, rack, .. } =
                    brokers::reachable(node, connection, broker);
                NodeEndpoint { node_id, host, port, rack }
            })
            .collect()
    }
}
