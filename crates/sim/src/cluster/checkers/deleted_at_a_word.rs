//! No log begins behind what somebody wanted deleted.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for ((place, node), replica) in &view.replicas {
        let deleted = view.history.deleted.get(place).copied().unwrap_or(0);
        if replica.log_start_offset > deleted {
            let begins = replica.log_start_offset;
            return Err(format!("the log of {place} on node {node} begins at {begins}, records before {deleted} were deleted"));
        }
    }
    Ok(())
}
