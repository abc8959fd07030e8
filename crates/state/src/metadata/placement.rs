//! Which brokers get the replicas of a new partition: round robin, so that leaders are spread evenly.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::BrokerId;
use crate::metadata::image::Image;

/// Replicas for `count` partitions, the preferred leader of each first; `start` is how many partitions were placed
/// before. Brokers that may lead come first, fenced ones only fill up. Errors are in Kafka's words.
pub(crate) fn place(
    image: &Image,
    start: usize,
    count: usize,
    replication_factor: usize,
) -> Result<Vec<Vec<BrokerId>>, String> {
    let active: Vec<BrokerId> = image.active_brokers().map(|broker| broker.id).collect();
    let fenced: Vec<BrokerId> = image.brokers().filter(|broker| !broker.may_lead()).map(|broker| broker.id).collect();
    let registered = active.len() + fenced.len();
    if active.is_empty() {
        return Err("All brokers are currently fenced.".into());
    }
    if replication_factor > registered {
        return Err(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {registered} \
             broker(s) are registered."
        ));
    }
    let ring = |turn: usize| {
        let rotated = active.iter().cycle().skip(turn % active.len()).take(active.len());
        rotated.chain(&fenced).copied().take(replication_factor).collect()
    };
    Ok((start..start + count).map(ring).collect())
}
