//! Samples of two systems, taken in turns, and what may be said about them.

/// Pairs of figures for the same load, one from each system, taken next to each other.
#[derive(Default)]
pub(crate) struct Pairs {
    ours: Vec<f64>,
    floor: Vec<f64>,
}

impl Pairs {
    pub(crate) fn add(&mut self, ours: f64, floor: f64) {
        self.ours.push(ours);
        self.floor.push(floor);
    }

    pub(crate) fn ours(&self) -> f64 {
        median(&self.ours)
    }

    pub(crate) fn floor(&self) -> f64 {
        median(&self.floor)
    }

    /// The median of the ratios within each pair: what both had in common drops out.
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.ratios())
    }

    /// Smallest and largest ratio.
    pub(crate) fn spread(&self) -> (f64, f64) {
        let ratios = self.ratios();
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        (low, high)
    }

    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect()
    }
}

/// The middle of the values; of an even number, the mean of the two in the middle. NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_was_slow_on_both_sides_does_not_move_the_ratio() {
        let mut pairs = Pairs::default();
        for slow in [1.0, 10.0, 1.0, 1.0] {
            pairs.add(3.0 * slow, 2.0 * slow);
        }
        assert_eq!(pairs.ratio(), 1.5);
        assert_eq!(pairs.spread(), (1.5, 1.5));
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
