//! Whoever may be elected holds everything that was acknowledged with acks=all.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for (place, agreed) in &view.partitions {
        for node in agreed.in_sync.iter().chain(agreed.eligible_leaders.iter()) {
            let Some(replica) = view.replicas.get(&(*place, *node)) else { continue };
            let acked = view.history.acked.iter().filter(|(_, spot)| spot.0 == *place && spot.1 >= replica.log_start_offset);
            for (id, (_, offset)) in acked {
                if replica.records.get(offset).is_none_or(|(_, found)| found != id) {
                    let found = replica.records.get(offset);
                    return Err(format!("node {node} may lead {place} and has {found:?} at {offset} for record {id}"));
                }
            }
        }
    }
    Ok(())
}
