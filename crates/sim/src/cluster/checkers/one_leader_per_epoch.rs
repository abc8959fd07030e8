//! In one epoch of a partition one node leads.

use chronik_state::ids::{BrokerId, LeaderEpoch};

use crate::cluster::history::History;
use crate::cluster::places::Place;

/// A node takes the lead.
pub(in crate::cluster) fn note_leader(history: &mut History, place: Place, epoch: LeaderEpoch, node: (BrokerId, u32)) {
    let first = *history.led.entry((place, epoch)).or_insert(node);
    if first != node {
        history.broken(|| format!("one leader per epoch: nodes {first:?} and {node:?} lead {place} in epoch {epoch}"));
    }
}
