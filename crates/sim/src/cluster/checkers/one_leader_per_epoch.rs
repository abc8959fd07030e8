//! In one epoch of a partition one node leads.

use chronik_state::ids::{BrokerId, LeaderEpoch, PartitionIndex};

use crate::cluster::history::History;

/// A node takes the lead.
pub(in crate::cluster) fn note_leader(history: &mut History, partition: PartitionIndex, epoch: LeaderEpoch, node: (BrokerId, u32)) {
    let first = *history.led.entry((partition, epoch)).or_insert(node);
    if first != node {
        history.broken(|| format!("one leader per epoch: nodes {first:?} and {node:?} lead {partition} in epoch {epoch}"));
    }
}
