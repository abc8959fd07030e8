//! What a consumer has read stays, and stays the same.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for ((place, offset), id) in view.history.shown.iter().filter(|_| view.at_the_end) {
        let leader = view.leader(*place).ok_or_else(|| format!("nobody leads partition {place}"))?;
        match leader.records.get(offset) {
            Some((_, found)) if found == id => {}
            None if *offset < leader.log_start_offset => {}
            found => return Err(format!("record {id} was shown at {place}@{offset}, where {found:?} is")),
        }
    }
    Ok(())
}
