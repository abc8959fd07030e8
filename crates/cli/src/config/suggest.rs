//! Did you mean: the known name that is nearest to what was written.

/// The candidate nearest to `written`, if one is near enough to be worth naming.
pub(crate) fn closest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let tolerated = (written.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(&written, &candidate.to_lowercase()), candidate))
        .filter(|(steps, _)| *steps <= tolerated)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["advertise", "addresses", "data_dir"];
        assert_eq!(closest("advertize", names.into_iter()), Some("advertise"));
        assert_eq!(closest("adresses", names.into_iter()), Some("addresses"));
        assert_eq!(closest("datadir", names.into_iter()), Some("data_dir"));
        assert_eq!(closest("replicas", names.into_iter()), None);
    }
}
