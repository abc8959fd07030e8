//! A member of the metadata's Raft group still has, when it comes back, what it said it had stored. Only a later leader may have had
//! it replaced.

use chronik_consensus::Stored;

use crate::cluster::history::History;

/// A member confirms.
pub(in crate::cluster) fn note_stored(history: &mut History, stored: Stored) {
    let newest = history.stored.entry(stored.by).or_insert((0, 0));
    *newest = (*newest).max((stored.term, stored.index));
}

/// A later leader sends entries or a snapshot: what the member confirmed to an earlier one may go, also if the power fails before what comes
/// in its place is on the disk. Whoever was elected without it shows that it was never committed.
pub(in crate::cluster) fn note_overruled(history: &mut History, member: u64, term: u64) {
    let newest = history.stored.entry(member).or_insert((0, 0));
    if term > newest.0 {
        *newest = (term, 0);
    }
}

/// A member comes back with a log that ends here.
pub(in crate::cluster) fn check_stored(history: &History, member: u64, last: (u64, u64)) -> Result<(), String> {
    let confirmed = history.stored.get(&member).copied().unwrap_or((0, 0));
    let replaced = last.0 > confirmed.0;
    if replaced || last.1 >= confirmed.1 {
        return Ok(());
    }
    let ((term, index), (last_term, last_index)) = (confirmed, last);
    Err(format!(
        "what a member confirmed is kept: {member:#x} confirmed entry {index} in term {term}, and ends at {last_index} of term {last_term}"
    ))
}
