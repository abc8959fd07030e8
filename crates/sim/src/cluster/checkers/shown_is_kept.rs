//! What a consumer has read stays, and stays the same.

use super::View;

pub(super) fn check(view: &View) -> Result<(), String> {
    for ((partition, offset), id) in view.history.shown.iter().filter(|_| view.at_the_end) {
        let log = view.leader_log(*partition).ok_or_else(|| format!("nobody leads partition {partition}"))?;
        match log.get(offset) {
            Some((_, found)) if found == id => {}
            found => return Err(format!("record {id} was shown at {partition}@{offset}, where {found:?} is")),
        }
    }
    Ok(())
}
