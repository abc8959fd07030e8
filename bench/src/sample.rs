//! Samples of several systems, taken in turns, and what may be said about them.

use serde::{Deserialize, Serialize};

/// What one system gave in each round. Rounds go together: the n-th sample of each system is from the same minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Samples {
    pub(crate) values: Vec<f64>,
    /// Load average of the machine when each was taken.
    pub(crate) loads: Vec<f64>,
}

/// A median and the interval that holds the true one in at least 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Samples {
    /// A sample that was just taken.
    pub(crate) fn add(&mut self, value: f64) {
        self.values.push(value);
        self.loads.push(crate::machine::load_average().unwrap_or(f64::NAN));
    }

    pub(crate) fn middle(&self) -> Middle {
        middle(&self.values)
    }

    /// These over others, round by round: what both had in common drops out.
    pub(crate) fn over(&self, others: &Samples) -> Vec<f64> {
        self.values.iter().zip(&others.values).map(|(one, other)| one / other).collect()
    }
}

/// Median and interval of values. The interval lies between two of the values, chosen by the binomial distribution, which
/// asks nothing of the shape of theirs. Fewer than six cannot give 95 %: then it is all of them.
pub(crate) fn middle(values: &[f64]) -> Middle {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return Middle { median: f64::NAN, low: f64::NAN, high: f64::NAN };
    };
    let cut = outside(sorted.len());
    Middle { median: (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0, low: sorted[cut], high: sorted[last - cut] }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    middle(values).median
}

/// How many of `count` sorted values may be left out at each end while the rest hold the median with 95 %: as many as a
/// fair coin thrown `count` times shows heads with at most 2.5 %.
fn outside(count: usize) -> usize {
    let mut chance = 0.5f64.powi(count as i32);
    let mut sum = 0.0;
    for heads in 0..count {
        sum += chance;
        if sum > 0.025 {
            return heads.saturating_sub(1);
        }
        chance *= (count - heads) as f64 / (heads + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples { values: values.to_vec(), loads: vec![0.0; values.len()] }
    }

    #[test]
    fn a_round_that_was_slow_on_both_sides_does_not_move_the_ratio() {
        let ours = samples(&[3.0, 30.0, 3.0]);
        let floor = samples(&[2.0, 20.0, 2.0]);
        assert_eq!(ours.over(&floor), [1.5, 1.5, 1.5]);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_interval_leaves_out_what_tables_of_the_sign_test_say() {
        // Conover, Practical Nonparametric Statistics, table of the sign test at 5 % in two tails.
        let left_out: Vec<usize> = [5, 6, 8, 9, 11, 12, 20, 25].map(outside).to_vec();
        assert_eq!(left_out, [0, 0, 0, 1, 1, 2, 5, 7]);
    }

    #[test]
    fn the_interval_holds_the_median() {
        let values: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(middle(&values), Middle { median: 5.0, low: 2.0, high: 8.0 });
    }
}
