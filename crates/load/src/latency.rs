//! Latencies in a histogram of high dynamic range: three significant digits from a nanosecond to an hour.

use std::time::Duration;

use hdrhistogram::Histogram;

const LONGEST_NS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// How long things took. Longer than an hour is counted as an hour.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Latencies(Histogram::new_with_bounds(1, LONGEST_NS, SIGNIFICANT_DIGITS).expect("the bounds are sound"))
    }
}

impl Latencies {
    /// Counts one thing that took so long.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency.as_nanos().try_into().unwrap_or(LONGEST_NS), 1);
    }

    pub(crate) fn record_many(&mut self, ns: u64, times: u64) {
        self.0.saturating_record_n(ns.max(1), times);
    }

    /// Adds what another run, or another thread, has counted.
    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in microseconds that so many of a hundred did not exceed (0 when nothing was counted).
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1e3
    }

    /// The mean in microseconds.
    pub fn mean_us(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// The longest in microseconds.
    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_distribution() {
        let mut latencies = Latencies::default();
        for microseconds in 1..=100_000 {
            latencies.record(Duration::from_micros(microseconds));
        }
        for (percentile, expected_us) in [(50.0, 50_000.0), (90.0, 90_000.0), (99.0, 99_000.0), (99.9, 99_900.0)] {
            let found = latencies.percentile_us(percentile);
            assert!((found / expected_us - 1.0).abs() < 0.001, "p{percentile}: {found}");
        }
        assert!((latencies.mean_us() / 50_000.5 - 1.0).abs() < 0.001);
        assert!((latencies.max_us() / 100_000.0 - 1.0).abs() < 0.001);
        assert_eq!(latencies.count(), 100_000);
    }

    #[test]
    fn parts_add_up_and_what_is_too_long_is_not_lost() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        one.record(Duration::from_micros(10));
        other.record(Duration::from_secs(10_000));
        other.record(Duration::ZERO);
        one.add(&other);
        assert_eq!(one.count(), 3);
        assert!((one.max_us() / 3.6e9 - 1.0).abs() < 0.001);
        assert!((one.percentile_us(50.0) - 10.0).abs() < 0.1);
    }
}
