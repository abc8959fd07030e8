//! When the next request is due. A schedule knows nothing of answers: what a slow broker delays is late, not left out.

/// Requests at even distances from a beginning.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    start_ns: f64,
    interval_ns: f64,
    next: u64,
}

impl Pace {
    pub(crate) fn new(start_ns: f64, interval_ns: f64) -> Pace {
        Pace { start_ns, interval_ns, next: 0 }
    }

    /// When the next request is due, in nanoseconds of the run's clock.
    pub(crate) fn due_ns(&self) -> u64 {
        // From the beginning each time: rounding must not add up.
        (self.start_ns + self.interval_ns * self.next as f64) as u64
    }

    pub(crate) fn advance(&mut self) {
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances() {
        let mut pace = Pace::new(100.0, 1e9 / 3.0);
        let mut due = Vec::new();
        for _ in 0..4 {
            due.push(pace.due_ns());
            pace.advance();
        }
        assert_eq!(due, [100, 333_333_433, 666_666_766, 1_000_000_100]);
    }
}
