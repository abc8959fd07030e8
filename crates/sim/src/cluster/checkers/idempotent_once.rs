//! What an idempotent producer sends is in the log once, however often it was sent.

use std::collections::BTreeMap;

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for (place, _) in view.partitions.iter().filter(|_| view.at_the_end) {
        let Some(leader) = view.leader(*place) else { continue };
        let mut seen = BTreeMap::new();
        for (offset, (_, id)) in leader.records.iter().filter(|(_, (_, id))| view.history.idempotent.contains(id)) {
            if let Some(before) = seen.insert(id, offset) {
                return Err(format!("record {id} is at {place}@{before} and at {offset}"));
            }
        }
    }
    Ok(())
}
