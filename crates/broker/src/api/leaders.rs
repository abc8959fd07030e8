//! Who leads instead, told together with the refusal, so that a client need not ask for metadata first (KIP-951).

use std::collections::BTreeSet;

use chronik_state::ids::{BrokerId, LeaderEpoch, LogId, PartitionIndex, TopicId};
use chronik_state::metadata::Image;
use chronik_wire::produce::{NodeEndpoint, TopicKey};

use super::brokers;
use crate::dispatch::Connection;
use crate::node::Node;

/// The leaders that one response names.
pub(crate) struct Leaders<'a> {
    node: &'a Node,
    image: &'a Image,
    named: BTreeSet<BrokerId>,
}

impl<'a> Leaders<'a> {
    pub(crate) fn of(node: &'a Node, image: &'a Image) -> Self {
        Leaders { node, image, named: BTreeSet::new() }
    }

    /// Leader and leader epoch, if somebody leads; the response is to say where that is.
    pub(crate) fn name(&mut self, topic: &TopicKey, partition: PartitionIndex) -> Option<(BrokerId, LeaderEpoch)> {
        let topic = match topic {
            TopicKey::Name(name) => self.image.topic(name),
            TopicKey::Id(id) => self.image.topic_by_id(TopicId(*id)),
        };
        let topic = topic?;
        let agreed = topic.partitions.get(&partition)?;
        // A replica hears of a change before the image has it: who was refused because of that is not to be sent back.
        let followed = self.node.partitions.partition(LogId { topic: topic.id, partition }).and_then(|held| held.leader());
        let (leader, leader_epoch) = followed.unwrap_or((agreed.leader, agreed.leader_epoch));
        self.image.broker(leader).filter(|broker| broker.id != self.node.config.node_id)?;
        self.named.insert(leader);
        Some((leader, leader_epoch))
    }

    /// Where the client on `connection` reaches those that were named.
    pub(crate) fn endpoints(&self, connection: &Connection) -> Vec<NodeEndpoint> {
        let known = self.named.iter().filter_map(|id| self.image.broker(*id));
        known
            .map(|broker| {
                let brokers::Reachable { id: node_id, host, port, rack, .. } =
                    brokers::reachable(self.node, connection, broker);
                NodeEndpoint { node_id, host, port, rack }
            })
            .collect()
    }
}
