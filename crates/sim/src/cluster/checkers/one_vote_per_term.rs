//! A member gives its vote once in a term, however often it stops in between.

use chronik_consensus::Voted;

use crate::cluster::history::History;

/// A vote is given.
pub(in crate::cluster) fn note_vote(history: &mut History, vote: Voted) {
    let Voted { term, by, to } = vote;
    let first = *history.votes.entry((by, term)).or_insert(to);
    if first != to {
        history.broken(|| format!("one vote per term: member {by:#x} votes for {first:#x} and for {to:#x} in term {term}"));
    }
}
