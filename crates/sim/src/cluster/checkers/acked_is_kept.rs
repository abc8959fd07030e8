//! A record that was acknowledged with acks=all is where its producer was told, once everything has healed.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for (id, (partition, offset)) in view.history.acked.iter().filter(|_| view.at_the_end) {
        let log = view.leader_log(*partition).ok_or_else(|| format!("nobody leads partition {partition}"))?;
        match log.get(offset) {
            Some((_, found)) if found == id => {}
            found => return Err(format!("record {id} was acknowledged at {partition}@{offset}, where {found:?} is")),
        }
    }
    Ok(())
}
