//! How long something took, how often: counts in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets in nanoseconds, inclusive; behind them is one without a bound.
pub(crate) const BOUNDS_NS: [u64; 18] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Counts of durations.
#[derive(Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// What a histogram held at some moment, or several of them together.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    counts: [u64; BUCKETS],
    sum_ns: u64,
}

impl Histogram {
    /// Counts one duration, from any thread.
    pub(crate) fn observe(&self, took: Duration) {
        let ns = nanoseconds(took);
        self.counts[bucket(ns)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// Counts one duration, from the one thread that ever does: costs no locked instruction.
    pub(crate) fn observe_alone(&self, took: Duration) {
        let ns = nanoseconds(took);
        add_alone(&self.counts[bucket(ns)], 1);
        add_alone(&self.sum_ns, ns);
    }

    /// Adds what is counted here to `snapshot`.
    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) {
        for (sum, count) in snapshot.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Relaxed);
        }
        snapshot.sum_ns += self.sum_ns.load(Relaxed);
    }

    /// What is counted now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.add_to(&mut snapshot);
        snapshot
    }
}

/// Adds to a number that only this thread changes.
pub(crate) fn add_alone(number: &AtomicU64, more: u64) {
    number.store(number.load(Relaxed).wrapping_add(more), Relaxed);
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

fn bucket(ns: u64) -> usize {
    BOUNDS_NS.partition_point(|bound| *bound < ns)
}

impl Snapshot {
    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in seconds.
    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Upper bound in seconds of each bucket that has one, with how many lie at or below it.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut below = 0;
        BOUNDS_NS.iter().zip(&self.counts).map(move |(bound, count)| {
            below += count;
            (*bound as f64 / 1e9, below)
        })
    }

    /// The duration in seconds that a share of all stays within, taken to be spread evenly within its bucket; NaN of none.
    /// What lies behind the last bound counts as that bound.
    pub(crate) fn quantile_seconds(&self, share: f64) -> f64 {
        let rank = share * self.count() as f64;
        let mut below = 0.0;
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (from, to) = (lower_bound_ns(index), upper_bound_ns(index));
            if below + *count as f64 >= rank {
                return (from + (to - from) * ((rank - below) / *count as f64)) / 1e9;
            }
            below += *count as f64;
        }
        f64::NAN
    }
}

fn lower_bound_ns(bucket: usize) -> f64 {
    bucket.checked_sub(1).map_or(0.0, |before| BOUNDS_NS[before] as f64)
}

fn upper_bound_ns(bucket: usize) -> f64 {
    BOUNDS_NS[bucket.min(BOUNDS_NS.len() - 1)] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_bucket_that_it_fits() {
        let histogram = Histogram::default();
        for us in [50, 51, 900, 1_000, 40_000_000] {
            histogram.observe(Duration::from_micros(us));
            histogram.observe_alone(Duration::from_micros(us));
        }
        let snapshot = histogram.snapshot();
        let below: Vec<_> = snapshot.cumulative().collect();
        assert_eq!(below[0], (0.000_05, 2));
        assert_eq!(below[1], (0.000_1, 4));
        assert_eq!(below[4], (0.001, 8));
        assert_eq!(below[17], (30.0, 8), "the longest lies behind all bounds");
        assert_eq!(snapshot.count(), 10);
        assert!((snapshot.sum_seconds() - 80.004_002).abs() < 1e-9);
    }

    #[test]
    fn quantiles_lie_where_the_counts_do() {
        let histogram = Histogram::default();
        assert!(histogram.snapshot().quantile_seconds(0.5).is_nan());
        (0..99).for_each(|_| histogram.observe(Duration::from_millis(2)));
        histogram.observe(Duration::from_millis(200));
        let snapshot = histogram.snapshot();
        let p50 = snapshot.quantile_seconds(0.5);
        assert!((0.001..0.002_5).contains(&p50), "{p50}");
        assert!(snapshot.quantile_seconds(0.99) <= 0.002_5);
        assert!((0.1..=0.25).contains(&snapshot.quantile_seconds(0.999)));
        histogram.observe(Duration::from_secs(3600));
        assert_eq!(histogram.snapshot().quantile_seconds(1.0), 30.0);
    }
}
