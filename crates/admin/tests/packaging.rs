//! The dashboard and the alerts that are shipped speak of metrics that exist, by labels that they have.

use std::collections::BTreeSet;
use std::path::Path;

use chronik_broker::{Kind, METRICS, Metric};
use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every expression of the dashboard, with the panel that it is in.
fn of_dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/chronik.json")).expect("JSON");
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title} shows nothing");
        found.extend(targets.iter().map(|target| (title.to_owned(), target["expr"].as_str().expect("an expression").to_owned())));
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables").iter().filter(|found| found["type"] == "query") {
        let query = variable["query"]["query"].as_str().expect("a query");
        found.push((variable["name"].to_string(), query.to_owned()));
    }
    found
}

/// Every expression of the alerts, with the alert's name.
fn of_alerts() -> Vec<(String, String)> {
    let rules = read("packaging/prometheus/chronik.rules.yml");
    let mut found = Vec::new();
    let mut alert = None;
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            assert!(alert.replace(name.to_owned()).is_none(), "{name}: the alert before it has no expression");
        }
        if let Some(expression) = line.strip_prefix("expr: ") {
            found.push((alert.take().expect("an expression belongs to an alert"), expression.to_owned()));
        }
    }
    found
}

/// Words of an expression outside of quotes.
fn words(expression: &str) -> Vec<String> {
    let unquoted: String = expression.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    unquoted.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The metric that a name in an expression stands for.
fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().copied().find(|metric| {
        let suffixes: &[&str] = match metric.kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Summary => &["", "_sum", "_count"],
        };
        suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(metric.name))
    })
}

/// What Prometheus and Grafana bring along.
const LANGUAGE: &[&str] = &[
    "max", "min", "sum", "topk", "by", "rate", "increase", "histogram_quantile", "label_values", "$__rate_interval", "up", "job",
    "instance", "le", "quantile",
];

#[test]
fn every_name_exists() {
    let all = of_dashboard().into_iter().chain(of_alerts());
    for (title, expression) in all {
        let words = words(&expression);
        let labels: BTreeSet<&str> = words.iter().filter_map(|word| metric(word)).flat_map(|metric| metric.labels).copied().collect();
        for word in &words {
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            let is_known = is_number || metric(word).is_some() || labels.contains(word.as_str()) || LANGUAGE.contains(&word.as_str());
            assert!(is_known, "{title}: `{word}` is no metric, and no label of one, in {expression}");
        }
    }
}

#[test]
fn the_dashboard_shows_what_is_promised() {
    let shown: BTreeSet<String> = of_dashboard().iter().flat_map(|(_, expression)| words(expression)).collect();
    for name in [
        // Topology, lag, elections, commit latency, in-sync sizes; request latency and throughput.
        "chronik_raft_leader_count",
        "chronik_raft_follower_lag_entries",
        "chronik_replica_lag_seconds",
        "chronik_raft_elections_total",
        "chronik_raft_commit_latency_ms",
        "chronik_raft_isr_size",
        "chronik_kafka_request_duration_seconds_bucket",
        "chronik_kafka_node_bytes_total",
    ] {
        assert!(shown.contains(name), "no panel shows {name}");
    }
}

#[test]
fn every_promised_name_is_in_the_table() {
    for name in [
        "chronik_raft_leader_count",
        "chronik_raft_follower_count",
        "chronik_raft_isr_size",
        "chronik_raft_follower_lag_entries",
        "chronik_raft_follower_lag_ms",
        "chronik_raft_election_count",
        "chronik_raft_election_latency_ms",
        "chronik_raft_commit_latency_ms",
        "chronik_raft_snapshot_count",
        "chronik_raft_snapshot_size_bytes",
        "chronik_raft_snapshot_apply_latency_ms",
        "chronik_raft_rpc_latency_ms",
        "chronik_raft_rpc_errors_total",
        "leader_changes_total",
        "follower_discovery_time",
    ] {
        assert!(METRICS.iter().any(|metric| metric.name == name), "{name} is promised");
    }
}

#[test]
fn what_is_not_there_is_found() {
    assert!(metric("chronik_raft_leader_count_total").is_none());
    assert!(metric("chronik_wal_fsync_duration_seconds").is_none(), "a histogram has buckets, a sum and a count");
    assert!(words("sum by (api) (x{a=~\"b c\"}[5m])").iter().eq(["sum", "by", "api", "x", "a", "5m"]));
}
