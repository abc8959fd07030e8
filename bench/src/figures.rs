//! All figures, in the order in which they are taken and shown.

mod cluster;
mod fetch;
mod idle;
mod latency;
mod librdkafka;
mod many_producers;
mod one_record;
mod partitions;
mod produce;
mod restart;
mod shapes;
mod start;

use crate::figure::Figure;

pub(crate) const ALL: &[Figure] = &[
    idle::FIGURE,
    start::FIGURE,
    partitions::FIGURE,
    restart::FIGURE,
    produce::SYNCED,
    produce::UNSYNCED,
    one_record::FIGURE,
    many_producers::FIGURE,
    fetch::FIGURE,
    librdkafka::FIGURE,
    latency::PRODUCE,
    latency::END_TO_END,
    shapes::FIGURE,
];

/// Figures that are only taken when they are named.
pub(crate) const APART: &[Figure] = &[crate::long::FIGURE, cluster::FIGURE];

/// What a change to the server is looked at with: a few minutes, and nothing to be fetched.
pub(crate) const QUICK: &[Figure] =
    &[idle::FIGURE, start::FIGURE, produce::SYNCED, produce::UNSYNCED, one_record::FIGURE, fetch::FIGURE];
