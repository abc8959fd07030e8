//! In one term one member leads the metadata's Raft group.

use crate::cluster::history::History;

/// A member leads.
pub(in crate::cluster) fn note_raft_leader(history: &mut History, term: u64, member: u64) {
    let first = *history.raft_leaders.entry(term).or_insert(member);
    if first != member {
        history.broken(|| format!("one metadata leader per term: members {first:#x} and {member:#x} lead in term {term}"));
    }
}
