//! Which name was meant.

use alloc::vec::Vec;

/// The known name that takes the fewest edits, if those are few for its length.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let measured = known.map(|candidate| (edits(name, candidate), candidate));
    let (distance, candidate) = measured.min()?;
    (distance <= candidate.len().div_ceil(4)).then_some(candidate)
}

/// Insertions, deletions and replacements between two names (Levenshtein). A name far longer than any there is costs
/// nothing.
fn edits(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    if from.len().abs_diff(to.len()) > 16 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, left) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
