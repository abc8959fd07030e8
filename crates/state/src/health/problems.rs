//! What is wrong, in words, and what to do about it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Condition, Examination, NodeHealth, NodeState};
use crate::ids::BrokerId;

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// There is less in reserve than was asked for.
    Degraded,
    /// Something is not served.
    Unavailable,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name, for machines.
    pub code: &'static str,
    /// What is wrong, in a sentence.
    pub title: String,
    /// What to do.
    pub fix: String,
    /// Of how many nodes or partitions.
    pub count: usize,
    /// Some of them, by name.
    pub examples: Vec<String>,
}

/// Names that a problem gives.
const EXAMPLES_MAX: usize = 5;

/// Every code that a problem may have.
pub const CODES: [&str; 11] = [
    "NO_METADATA_LEADER",
    "OFFLINE_PARTITIONS",
    "UNDER_MIN_ISR",
    "UNDER_REPLICATED",
    "NODE_DOWN",
    "NODE_UNREACHABLE",
    "NODE_WAITING",
    "NODE_FENCED",
    "NODE_STOPPING",
    "NODE_ABSENT",
    "NOT_PREFERRED_LEADERS",
];

impl Severity {
    /// As it stands in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "NOTE",
            Severity::Degraded => "DEGRADED",
            Severity::Unavailable => "UNAVAILABLE",
        }
    }
}

/// Everything, the worst first.
pub(super) fn all(examination: &Examination) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(no_metadata_leader(examination));
    problems.extend(offline(examination));
    problems.extend(under_min_in_sync(examination));
    problems.extend(examination.nodes.values().filter_map(|node| of_node(node, examination.metadata_leader.is_some())));
    problems.extend(under_replicated(examination));
    problems.extend(not_preferred(examination));
    problems.sort_by_key(|problem| core::cmp::Reverse(problem.severity));
    problems
}

fn no_metadata_leader(examination: &Examination) -> Option<Problem> {
    if examination.metadata_leader.is_some() {
        return None;
    }
    let nodes = examination.nodes.len();
    let away: BTreeSet<BrokerId> = away(examination).collect();
    let (majority, here) = (nodes / 2 + 1, nodes - away.len());
    let fix = match here < majority {
        true => format!("start {}; {majority} of {nodes} have to be up", nodes_text(&away)),
        false => "an election takes a second or two: ask again; if it lasts, the nodes do not reach each other's `raft` addresses: read \
                  their logs"
            .to_string(),
    };
    Some(Problem {
        severity: Severity::Unavailable,
        code: "NO_METADATA_LEADER",
        title: format!(
            "nobody leads the metadata, {here} of {nodes} nodes are there: no topic can be changed, no leader be elected"
        ),
        fix,
        count: away.len(),
        examples: away.iter().take(EXAMPLES_MAX).map(|id| format!("node {id}")).collect(),
    })
}

fn offline(examination: &Examination) -> Option<Problem> {
    let partitions = first_of(examination, Condition::Offline, examination.counts.offline)?;
    let missing = away_among(examination, Condition::Offline);
    let fix = match missing.is_empty() {
        true => {
            "wait until their replicas are let in; an unclean election would bring them back at the price of records"
                .to_string()
        }
        false => format!("start {}: the records are there", nodes_text(&missing)),
    };
    Some(Problem {
        severity: Severity::Unavailable,
        code: "OFFLINE_PARTITIONS",
        title: format!("{partitions}: nobody serves {}", them(examination.counts.offline)),
        fix,
        count: examination.counts.offline,
        examples: examples(examination, Condition::Offline),
    })
}

fn under_min_in_sync(examination: &Examination) -> Option<Problem> {
    let partitions = first_of(examination, Condition::UnderMinInSync, examination.counts.under_min_in_sync)?;
    Some(Problem {
        severity: Severity::Unavailable,
        code: "UNDER_MIN_ISR",
        title: format!(
            "{partitions}: fewer replicas in sync than min.insync.replicas; no write with acks=all is confirmed"
        ),
        fix: bring_back(examination, Condition::UnderMinInSync),
        count: examination.counts.under_min_in_sync,
        examples: examples(examination, Condition::UnderMinInSync),
    })
}

fn under_replicated(examination: &Examination) -> Option<Problem> {
    let affected =
        examination.affected.iter().filter(|affected| affected.condition == Condition::UnderReplicated).count();
    let partitions = first_of(examination, Condition::UnderReplicated, affected)?;
    let behind = &examination.behind;
    let copies = match behind.copies.iter().next() {
        Some((in_sync, replicas)) if behind.copies.len() == 1 => format!("{in_sync} of {replicas} copies in sync"),
        _ => "fewer copies in sync than assigned".to_string(),
    };
    let minimum = match behind.minima.iter().next() {
        Some(minimum) if behind.minima.len() == 1 => format!(" (min.insync.replicas={minimum})"),
        _ => String::new(),
    };
    Some(Problem {
        severity: Severity::Degraded,
        code: "UNDER_REPLICATED",
        title: format!("{partitions}: {copies}; writes continue{minimum}"),
        fix: bring_back(examination, Condition::UnderReplicated),
        count: affected,
        examples: examples(examination, Condition::UnderReplicated),
    })
}

fn not_preferred(examination: &Examination) -> Option<Problem> {
    let partitions = some_partitions(examination.counts.not_preferred)?;
    let them = them(examination.counts.not_preferred);
    Some(Problem {
        severity: Severity::Note,
        code: "NOT_PREFERRED_LEADERS",
        count: examination.counts.not_preferred,
        examples: Vec::new(),
        title: format!("{partitions}: another replica leads than the preferred one"),
        fix: format!(
            "nothing: the preferred ones get {them} back within five minutes. At once: kafka-leader-election.sh --election-type preferred \
             --all-topic-partitions --bootstrap-server HOST:PORT"
        ),
    })
}

fn of_node(node: &NodeHealth, metadata_is_led: bool) -> Option<Problem> {
    let id = node.id;
    let silent = node.silent_ms.map(|ms| format!(", not heard for {}", time_text(ms))).unwrap_or_default();
    let (code, title, fix) = match node.state {
        NodeState::Up => return None,
        NodeState::Down => (
            "NODE_DOWN",
            format!("node {id} is down{silent}"),
            format!("start node {id}; if it does not come up, its log says why"),
        ),
        NodeState::Unreachable if !metadata_is_led => (
            "NODE_DOWN",
            format!("node {id} does not answer"),
            format!("start node {id}; if it runs, look at the network between"),
        ),
        NodeState::Unreachable => (
            "NODE_UNREACHABLE",
            format!("node {id} does not answer here, and the cluster has not given it up"),
            format!(
                "ask again; if the others still hear node {id}, look at the network between here and its `kafka` address"
            ),
        ),
        NodeState::Waiting => (
            "NODE_WAITING",
            format!("node {id} accepts connections and does not answer"),
            format!("read the log of node {id}: it says for whom it waits"),
        ),
        NodeState::Fenced => (
            "NODE_FENCED",
            format!("node {id} answers, and is not let in"),
            format!("it is catching up with the metadata; if that lasts, the log of node {id} says why"),
        ),
        NodeState::Stopping => (
            "NODE_STOPPING",
            format!("node {id} is stopping: others lead in its place"),
            format!("start node {id} again once it has stopped"),
        ),
        NodeState::Absent => (
            "NODE_ABSENT",
            format!("node {id} is listed and has never joined"),
            format!("start node {id} with the file that lists it"),
        ),
    };
    Some(Problem {
        severity: Severity::Degraded,
        code,
        title,
        fix,
        count: 1,
        examples: Vec::from([format!("node {id}")]),
    })
}

/// What to do about replicas that are not in sync.
fn bring_back(examination: &Examination, condition: Condition) -> String {
    let away = away_among(examination, condition);
    if !away.is_empty() {
        return format!("start {}", nodes_text(&away));
    }
    let behind = examination.behind.of.get(&condition).cloned().unwrap_or_default();
    format!("{} catching up; if that lasts, look at disk and network there", are(&behind))
}

/// Nodes that do not serve, among those whose replicas are missing.
fn away_among(examination: &Examination, condition: Condition) -> BTreeSet<BrokerId> {
    let missing = examination.behind.of.get(&condition).cloned().unwrap_or_default();
    missing.into_iter().filter(|id| !examination.serves(*id)).collect()
}

fn away(examination: &Examination) -> impl Iterator<Item = BrokerId> {
    examination.nodes.keys().copied().filter(|id| !examination.serves(*id))
}

fn examples(examination: &Examination, condition: Condition) -> Vec<String> {
    let of_it = examination.affected.iter().filter(|affected| affected.condition == condition);
    of_it.take(EXAMPLES_MAX).map(|affected| format!("{}-{}", affected.topic, affected.partition)).collect()
}

/// How many partitions, and the first of them by name.
fn first_of(examination: &Examination, condition: Condition, count: usize) -> Option<String> {
    let first = examination.affected.iter().find(|affected| affected.condition == condition);
    let many = some_partitions(count)?;
    Some(match first {
        Some(first) => format!("{many} ({}-{}{})", first.topic, first.partition, if count > 1 { ", …" } else { "" }),
        None => many,
    })
}

fn some_partitions(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 partition".to_string()),
        _ => Some(format!("{count} partitions")),
    }
}

fn them(count: usize) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

fn nodes_text(ids: &BTreeSet<BrokerId>) -> String {
    let listed: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match listed.len() {
        1 => format!("node {}", listed[0]),
        _ => format!("nodes {}", listed.join(", ")),
    }
}

fn are(ids: &BTreeSet<BrokerId>) -> String {
    let verb = if ids.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", nodes_text(ids))
}

/// A time in the unit that suits it.
fn time_text(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}
