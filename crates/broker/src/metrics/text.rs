//! The text that scrapers read: the Prometheus exposition format, version 0.0.4.

use std::fmt::Write;

use super::catalogue::{Detail, Kind, Metric};
use super::histogram::Snapshot;

/// What summaries tell.
const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99)];

/// An answer to a scraper, as it grows.
pub(super) struct Text {
    out: String,
    detail: Detail,
    series_max: usize,
    series: usize,
    dropped: usize,
}

/// One metric of it.
pub(super) struct Family<'a> {
    text: &'a mut Text,
    metric: &'static Metric,
}

impl Text {
    pub(super) fn new(detail: Detail, series_max: usize) -> Self {
        Text { out: String::new(), detail, series_max, series: 0, dropped: 0 }
    }

    /// Whether this much detail is wanted.
    pub(super) fn tells(&self, detail: Detail) -> bool {
        detail <= self.detail
    }

    /// Begins a metric. What is above the wanted detail leaves no trace.
    pub(super) fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        if self.tells(metric.detail) {
            let (name, kind) = (metric.name, metric.kind.as_str());
            let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        Family { text: self, metric }
    }

    /// A metric of one number.
    pub(super) fn one(&mut self, metric: &'static Metric, value: f64) {
        self.family(metric).sample(&[], value);
    }

    pub(super) fn series(&self) -> usize {
        self.series
    }

    pub(super) fn dropped(&self) -> usize {
        self.dropped
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

impl Family<'_> {
    /// A line; `labels` are the values of the metric's labels.
    pub(super) fn sample(&mut self, labels: &[&str], value: f64) {
        debug_assert!(matches!(self.metric.kind, Kind::Counter | Kind::Gauge));
        if self.has_room(1) {
            self.line("", labels, None, value);
        }
    }

    /// The lines of a histogram.
    pub(super) fn histogram(&mut self, labels: &[&str], counted: &Snapshot) {
        debug_assert_eq!(self.metric.kind, Kind::Histogram);
        let count = counted.count() as f64;
        for (bound, below) in counted.cumulative() {
            self.line("_bucket", labels, Some(("le", &bound.to_string())), below as f64);
        }
        self.line("_bucket", labels, Some(("le", "+Inf")), count);
        self.line("_sum", labels, None, counted.sum_seconds());
        self.line("_count", labels, None, count);
    }

    /// The lines of a summary in seconds times `scale`.
    pub(super) fn quantiles(&mut self, labels: &[&str], counted: &Snapshot, scale: f64) {
        debug_assert_eq!(self.metric.kind, Kind::Summary);
        for (name, share) in QUANTILES {
            self.line("", labels, Some(("quantile", name)), counted.quantile_seconds(share) * scale);
        }
        self.line("_sum", labels, None, counted.sum_seconds() * scale);
        self.line("_count", labels, None, counted.count() as f64);
    }

    /// What tells of the node as a whole is always told: there is a bounded number of it.
    fn has_room(&mut self, lines: usize) -> bool {
        let text = &mut *self.text;
        if !text.tells(self.metric.detail) {
            return false;
        }
        let fits = self.metric.detail == Detail::Node || text.series + lines <= text.series_max;
        if !fits {
            text.dropped += lines;
        }
        fits
    }

    fn line(&mut self, suffix: &str, labels: &[&str], extra: Option<(&str, &str)>, value: f64) {
        assert_eq!(labels.len(), self.metric.labels.len(), "{}: a value for each label", self.metric.name);
        let text = &mut *self.text;
        text.series += 1;
        text.out.push_str(self.metric.name);
        text.out.push_str(suffix);
        let named = self.metric.labels.iter().copied().zip(labels.iter().copied()).chain(extra);
        let mut separator = '{';
        for (name, value) in named {
            text.out.push(separator);
            separator = ',';
            let _ = write!(text.out, "{name}=\"");
            push_escaped(&mut text.out, value);
            text.out.push('"');
        }
        if separator == ',' {
            text.out.push('}');
        }
        // Rust writes NaN as the format does; there are no infinities.
        let _ = writeln!(text.out, " {value}");
    }
}

fn push_escaped(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::catalogue::*;
    use super::super::histogram::Histogram;
    use super::*;

    #[test]
    fn lines_are_what_scrapers_read() {
        let mut text = Text::new(Detail::Partition, 100);
        text.one(&LEADER_ID, -1.0);
        text.family(&GROUP_MEMBERS).sample(&["a \"b\" \\ \n c"], 2.0);
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        text.family(&FSYNC_DURATION).histogram(&[], &histogram.snapshot());
        text.family(&COMMIT_LATENCY).quantiles(&[], &histogram.snapshot(), 1e3);
        assert_eq!(text.series(), 1 + 1 + 21 + 5);
        let out = text.finish();
        for line in [
            "# TYPE chronik_raft_leader_id gauge",
            "chronik_raft_leader_id -1",
            "chronik_group_members{group=\"a \\\"b\\\" \\\\ \\n c\"} 2",
            "chronik_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 0",
            "chronik_wal_fsync_duration_seconds_bucket{le=\"0.0025\"} 1",
            "chronik_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 1",
            "chronik_wal_fsync_duration_seconds_sum 0.002",
            "chronik_wal_fsync_duration_seconds_count 1",
            "chronik_raft_commit_latency_ms_count 1",
        ] {
            assert!(out.lines().any(|found| found == line), "{line}\n---\n{out}");
        }
        assert!(out.contains("chronik_raft_commit_latency_ms{quantile=\"0.99\"} 2.4"), "{out}");
    }

    #[test]
    fn there_are_as_many_lines_as_are_wanted_and_those_of_the_node_always() {
        let mut text = Text::new(Detail::Partition, 3);
        for topic in ["a", "b", "c", "d", "e"] {
            text.family(&TOPIC_RECORDS).sample(&[topic], 1.0);
        }
        text.one(&TERM, 1.0);
        assert_eq!((text.series(), text.dropped()), (4, 2));
        let mut text = Text::new(Detail::Topic, 100);
        text.family(&ISR_SIZE).sample(&["a", "0"], 3.0);
        text.family(&TOPIC_RECORDS).sample(&["a"], 3.0);
        assert_eq!((text.series(), text.dropped()), (1, 0));
        assert!(!text.finish().contains("isr_size"), "what is not told leaves no trace");
    }
}
