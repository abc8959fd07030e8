//! What is answered, as documents: keys and codes do not change within a major version.

use chronik_broker::{ClusterReport, NodeReport, Reason, health};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Surface;

/// Why there is no answer (RFC 9457).
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    fix: String,
}

const DOCS: &str = "docs/operate/http.md";

impl Problem {
    pub(crate) fn not_found(surface: Surface, paths: &[&str]) -> Problem {
        let fix = match surface {
            Surface::Whole => format!("ask for one of {}", paths.join(", ")),
            Surface::Metrics => "ask for /metrics: this port serves nothing else".to_owned(),
        };
        let detail = "nothing is served under this path".to_owned();
        Problem { status: StatusCode::NOT_FOUND, code: "NOT_FOUND", title: "not found", detail, fix }
    }

    pub(crate) fn method() -> Problem {
        Problem {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "METHOD_NOT_ALLOWED",
            title: "method not allowed",
            detail: "nothing can be changed here".to_owned(),
            fix: "use GET".to_owned(),
        }
    }

    pub(crate) fn body() -> Problem {
        Problem {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "BODY_NOT_ALLOWED",
            title: "a body is not allowed",
            detail: "the request has a body, which is not read".to_owned(),
            fix: "send the request without one".to_owned(),
        }
    }

    pub(crate) fn starting(reasons: &[Reason]) -> Problem {
        let detail = reasons.iter().map(|reason| reason.detail.as_str()).collect::<Vec<_>>().join("; ");
        Problem {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: reasons.first().map_or("STARTING", |reason| reason.code),
            title: "the node knows nothing yet",
            detail,
            fix: "ask again, or see at /readyz what it waits for".to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let Problem { status, code, title, detail, fix } = self;
        json!({ "status": status.as_u16(), "code": code, "title": title, "detail": detail, "fix": fix, "docs": DOCS })
    }
}

pub(crate) fn alive() -> Value {
    json!({ "status": "alive" })
}

pub(crate) fn silent(threads: &[String]) -> Value {
    json!({ "status": "stuck", "silent_threads": threads })
}

pub(crate) fn ready() -> Value {
    json!({ "status": "ready", "reasons": [] })
}

pub(crate) fn unready(reasons: &[Reason]) -> Value {
    let reasons: Vec<_> = reasons.iter().map(|reason| json!({ "code": reason.code, "detail": reason.detail })).collect();
    json!({ "status": "not_ready", "reasons": reasons })
}

pub(crate) fn version() -> Value {
    json!({ "name": "chronik-server", "version": VERSION })
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn is_unavailable(report: &ClusterReport) -> bool {
    report.health.verdict.level() == 2
}

/// The cluster as one of its nodes sees it: the verdict first, as it is also read by people.
#[derive(Serialize)]
pub(crate) struct Cluster<'a> {
    verdict: &'static str,
    problems: Vec<ProblemOf<'a>>,
    cluster_id: &'a str,
    answered_by: i32,
    version: &'static str,
    metadata: Metadata,
    topics: usize,
    partitions: usize,
    offline_partitions: usize,
    under_min_isr_partitions: usize,
    under_replicated_partitions: usize,
    not_preferred_partitions: usize,
    nodes: Vec<Node<'a>>,
    affected_partitions: Vec<Affected<'a>>,
}

#[derive(Serialize)]
struct Metadata {
    leader: Option<i32>,
    term: i32,
}

#[derive(Serialize)]
struct ProblemOf<'a> {
    severity: &'static str,
    code: &'static str,
    title: &'a str,
    fix: &'a str,
    count: usize,
    examples: &'a [String],
}

#[derive(Serialize)]
struct Node<'a> {
    id: i32,
    state: &'static str,
    leads_metadata: bool,
    leaders: usize,
    preferred: usize,
    replicas: usize,
    out_of_sync: usize,
    lag_records: Option<i64>,
    heard_ms_ago: Option<u64>,
    rack: Option<&'a str>,
    kafka: Option<&'a str>,
    wal: Option<&'a str>,
    raft: Option<&'a str>,
    uptime_ms: Option<u64>,
    version: Option<&'static str>,
    disk_total_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Affected<'a> {
    topic: &'a str,
    partition: i32,
    condition: &'static str,
    leader: Option<i32>,
    replicas: &'a [i32],
    in_sync: &'a [i32],
    min_insync_replicas: Option<i32>,
}

/// Partitions that one answer names; the counts are of all.
const AFFECTED_MAX: usize = 1000;

impl<'a> Cluster<'a> {
    pub(crate) fn of(report: &'a ClusterReport) -> Self {
        let health = &report.health;
        let counts = &health.counts;
        Cluster {
            verdict: health.verdict.as_str(),
            problems: health.problems.iter().map(ProblemOf::of).collect(),
            cluster_id: &report.cluster_id,
            answered_by: report.answered_by,
            version: VERSION,
            metadata: Metadata { leader: health.metadata_leader, term: report.term },
            topics: counts.topics,
            partitions: counts.partitions,
            offline_partitions: counts.offline,
            under_min_isr_partitions: counts.under_min_in_sync,
            under_replicated_partitions: counts.under_replicated,
            not_preferred_partitions: counts.not_preferred,
            nodes: report.nodes.iter().map(|node| Node::of(node, health.metadata_leader)).collect(),
            affected_partitions: health.affected.iter().take(AFFECTED_MAX).map(Affected::of).collect(),
        }
    }
}

impl<'a> ProblemOf<'a> {
    fn of(problem: &'a health::Problem) -> Self {
        let health::Problem { severity, code, title, fix, count, examples } = problem;
        ProblemOf { severity: severity.as_str(), code, title, fix, count: *count, examples }
    }
}

impl<'a> Node<'a> {
    fn of(node: &'a NodeReport, metadata_leader: Option<i32>) -> Self {
        let NodeReport { health, rack, kafka, wal, raft, lag_records, own } = node;
        let disk = own.and_then(|own| own.disk);
        Node {
            id: health.id,
            state: health.state.as_str(),
            leads_metadata: metadata_leader == Some(health.id),
            leaders: health.leaders,
            preferred: health.preferred,
            replicas: health.replicas,
            out_of_sync: health.replicas - health.in_sync,
            lag_records: *lag_records,
            heard_ms_ago: health.silent_ms,
            rack: rack.as_deref(),
            kafka: kafka.as_deref(),
            wal: wal.as_deref(),
            raft: raft.as_deref(),
            uptime_ms: own.map(|own| own.uptime_ms),
            version: own.map(|_| VERSION),
            disk_total_bytes: disk.map(|(total, _)| total),
            disk_free_bytes: disk.map(|(_, free)| free),
        }
    }
}

impl<'a> Affected<'a> {
    fn of(affected: &'a health::Affected) -> Self {
        let health::Affected { topic, partition, condition, leader, replicas, in_sync, min_in_sync } = affected;
        Affected {
            topic,
            partition: *partition,
            condition: condition.as_str(),
            leader: *leader,
            replicas,
            in_sync,
            min_insync_replicas: *min_in_sync,
        }
    }
}
