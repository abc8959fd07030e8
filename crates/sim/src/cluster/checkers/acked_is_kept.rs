//! A record that was acknowledged with acks=all is where its producer was told, once everything has healed.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for (id, (place, offset)) in view.history.acked.iter().filter(|_| view.at_the_end) {
        let leader = view.leader(*place).ok_or_else(|| format!("nobody leads partition {place}"))?;
        match leader.records.get(offset) {
            Some((_, found)) if found == id => {}
            None if *offset < leader.log_start_offset => {}
            found => return Err(format!("record {id} was acknowledged at {place}@{offset}, where {found:?} is")),
        }
    }
    Ok(())
}
