//! Whoever may be elected holds everything that was acknowledged with acks=all.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for (partition, agreed) in &view.partitions {
        for node in agreed.in_sync.iter().chain(agreed.eligible_leaders.iter()) {
            let Some(replica) = view.replicas.get(&(*partition, *node)) else { continue };
            let acked = view.history.acked.iter().filter(|(_, place)| place.0 == *partition);
            for (id, (_, offset)) in acked {
                if replica.records.get(offset).is_none_or(|(_, found)| found != id) {
                    let found = replica.records.get(offset);
                    return Err(format!("node {node} may lead {partition} and has {found:?} at {offset} for record {id}"));
                }
            }
        }
    }
    Ok(())
}
