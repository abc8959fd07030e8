//! What is answered, as documents: keys and codes do not change within a major version.

use chronik_broker::{ClusterReport, NodeReport, Reason};
use hyper::StatusCode;
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

/// The cluster as one of its nodes sees it.
pub(crate) fn cluster(report: &ClusterReport) -> Value {
    let health = &report.health;
    let counts = &health.counts;
    let problem = |problem: &chronik_broker::health::Problem| {
        json!({
            "severity": problem.severity.as_str(), "code": problem.code, "title": problem.title, "fix": problem.fix,
            "count": problem.count, "examples": problem.examples,
        })
    };
    let affected = |affected: &chronik_broker::health::Affected| {
        json!({
            "topic": affected.topic, "partition": affected.partition, "condition": affected.condition.as_str(), "leader": affected.leader,
            "replicas": affected.replicas, "in_sync": affected.in_sync, "min_insync_replicas": affected.min_in_sync,
        })
    };
    json!({
        "verdict": health.verdict.as_str(),
        "cluster_id": report.cluster_id,
        "answered_by": report.answered_by,
        "version": VERSION,
        "metadata": { "leader": health.metadata_leader, "term": report.term },
        "topics": counts.topics,
        "partitions": counts.partitions,
        "offline_partitions": counts.offline,
        "under_min_isr_partitions": counts.under_min_in_sync,
        "under_replicated_partitions": counts.under_replicated,
        "not_preferred_partitions": counts.not_preferred,
        "problems": health.problems.iter().map(problem).collect::<Vec<_>>(),
        "nodes": report.nodes.iter().map(|node| self::node(node, health.metadata_leader)).collect::<Vec<_>>(),
        "affected_partitions": health.affected.iter().take(AFFECTED_MAX).map(affected).collect::<Vec<_>>(),
    })
}

/// Partitions that one answer names; the counts are of all.
const AFFECTED_MAX: usize = 1000;

fn node(node: &NodeReport, metadata_leader: Option<i32>) -> Value {
    let NodeReport { health, rack, kafka, wal, raft, lag_records, own } = node;
    let disk = own.and_then(|own| own.disk);
    json!({
        "id": health.id,
        "state": health.state.as_str(),
        "rack": rack,
        "kafka": kafka,
        "wal": wal,
        "raft": raft,
        "leads_metadata": metadata_leader == Some(health.id),
        "leaders": health.leaders,
        "preferred": health.preferred,
        "replicas": health.replicas,
        "out_of_sync": health.replicas - health.in_sync,
        "heard_ms_ago": health.silent_ms,
        "lag_records": lag_records,
        "uptime_ms": own.map(|own| own.uptime_ms),
        "version": own.map(|_| VERSION),
        "disk_total_bytes": disk.map(|(total, _)| total),
        "disk_free_bytes": disk.map(|(_, free)| free),
    })
}
