//! What was found, for people and for machines.

use chronik_state::health::{Affected, Health, NodeHealth, NodeState, Severity};
use serde_json::{Value as Json, json};

use super::arguments::StatusOutput;
use super::examine::lags;
use super::gather::{Found, Own, address};
use crate::print::{Column, aligned, harmless};

/// Partitions that a table names, unless all are asked for.
const PARTITIONS_SHOWN: usize = 10;

/// One document, with the keys of `/api/v1/cluster`; what is not known is null.
pub(super) fn json(found: &Found, health: &Health) -> Json {
    let counts = &health.counts;
    let problems = health.problems.iter().map(|problem| {
        json!({
            "code": problem.code,
            "severity": problem.severity.as_str(),
            "count": problem.count,
            "title": problem.title,
            "fix": problem.fix,
            "examples": problem.examples,
        })
    });
    let silent =
        found.silent.iter().map(|(target, silence)| json!({ "address": target.address, "why": silence.to_string() }));
    json!({
        "verdict": health.verdict.as_str(),
        "cluster_id": found.cluster.cluster_id.as_str(),
        "answered_by": found.answered_by,
        "metadata": {
            "leader": health.metadata_leader,
            "term": found.quorum.as_ref().map(|quorum| quorum.term),
        },
        "nodes": health.nodes.iter().map(|node| node_json(found, health, node)).collect::<Vec<_>>(),
        "topics": counts.topics,
        "partitions": counts.partitions,
        "offline_partitions": counts.offline,
        "under_min_isr_partitions": counts.under_min_in_sync,
        "under_replicated_partitions": counts.under_replicated,
        "not_preferred_partitions": counts.not_preferred,
        "affected_partitions": health.affected.iter().map(affected_json).collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "not_reached": silent.collect::<Vec<_>>(),
    })
}

fn node_json(found: &Found, health: &Health, node: &NodeHealth) -> Json {
    let broker = found.cluster.brokers.iter().find(|broker| broker.broker_id == node.id);
    let own = own(found, node.id);
    let voter = found.quorum.as_ref().and_then(|quorum| quorum.voters.get(&node.id));
    json!({
        "id": node.id,
        "state": node.state.as_str(),
        "kafka": kafka(found, node.id),
        "rack": broker.and_then(|broker| broker.rack.as_ref()).map(|rack| rack.as_str()),
        "leads_metadata": health.metadata_leader == Some(node.id),
        "metadata_lag_entries": voter.map(|voter| voter.lag_entries),
        "heard_ms_ago": node.silent_ms,
        "leaders": node.leaders,
        "preferred": node.preferred,
        "replicas": node.replicas,
        "out_of_sync": node.replicas - node.in_sync,
        "lag_records": lags(found).get(&node.id),
        "log_bytes": own.map(|own| own.log_bytes),
        "disk_total_bytes": own.and_then(|own| own.disk_total_bytes),
        "disk_free_bytes": own.and_then(|own| own.disk_free_bytes),
    })
}

fn affected_json(affected: &Affected) -> Json {
    json!({
        "topic": affected.topic,
        "partition": affected.partition,
        "condition": affected.condition.as_str(),
        "leader": affected.leader,
        "replicas": affected.replicas,
        "in_sync": affected.in_sync,
        "min_insync_replicas": affected.min_in_sync,
    })
}

/// The verdict, the nodes, what is not whole, and what to do.
pub(super) fn table(found: &Found, health: &Health, output: StatusOutput) -> String {
    let wide = output == StatusOutput::Wide;
    let mut text = headline(found, health);
    text.push('\n');
    text.push_str(&nodes(found, health, wide));
    if !health.affected.is_empty() {
        text.push('\n');
        text.push_str(&partitions(health, wide));
    }
    let (problems, notes): (Vec<_>, Vec<_>) =
        health.problems.iter().partition(|problem| problem.severity > Severity::Note);
    for (heading, mark, listed) in [("PROBLEMS", '!', problems), ("NOTES", '·', notes)] {
        if !listed.is_empty() {
            text.push_str(&format!("\n{heading}\n"));
        }
        for problem in listed {
            text.push_str(&format!(" {mark} {}\n   -> {}\n", harmless(&problem.title), harmless(&problem.fix)));
        }
    }
    text
}

fn headline(found: &Found, health: &Health) -> String {
    let nodes = health.nodes.len();
    let away = health.nodes.iter().filter(|node| node.state != NodeState::Up).count();
    let mut parts = vec![many(nodes, "node")];
    if away > 0 {
        parts[0].push_str(&format!(", {away} not up"));
    }
    parts.push(format!("{}, {}", many(health.counts.topics, "topic"), many(health.counts.partitions, "partition")));
    format!(
        "{}  cluster {}  {}\n",
        health.verdict.as_str(),
        harmless(found.cluster.cluster_id.as_str()),
        parts.join(" · ")
    )
}

fn many(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(count as u64))
}

fn nodes(found: &Found, health: &Health, wide: bool) -> String {
    let mut columns = vec![
        Column::right("NODE"),
        Column::left("STATE"),
        Column::left("METADATA"),
        Column::right("LEADERS"),
        Column::right("REPLICAS"),
        Column::right("IN SYNC"),
        Column::right("LAG"),
        Column::right("LOG"),
        Column::right("DISK"),
    ];
    if wide {
        columns.extend([
            Column::right("PREFERRED"),
            Column::right("METADATA LAG"),
            Column::left("RACK"),
            Column::left("KAFKA"),
        ]);
    }
    let lags = lags(found);
    let row = |node: &NodeHealth| {
        let own = own(found, node.id);
        let voter = found.quorum.as_ref().and_then(|quorum| quorum.voters.get(&node.id));
        let state = match node.state {
            NodeState::Up => "up".to_owned(),
            other => other.as_str().to_uppercase(),
        };
        let role = match (health.metadata_leader == Some(node.id), voter) {
            (true, _) => "leader",
            (false, Some(_)) => "voter",
            (false, None) => "-",
        };
        let mut row = vec![
            node.id.to_string(),
            state,
            role.to_owned(),
            grouped(node.leaders as u64),
            grouped(node.replicas as u64),
            grouped(node.in_sync as u64),
            lags.get(&node.id).map_or_else(unknown, |lag| grouped(*lag)),
            own.map_or_else(unknown, |own| bytes(own.log_bytes)),
            own.and_then(disk).unwrap_or_else(unknown),
        ];
        if wide {
            let broker = found.cluster.brokers.iter().find(|broker| broker.broker_id == node.id);
            let rack = broker.and_then(|broker| broker.rack.as_ref()).map_or("-", |rack| rack.as_str());
            row.extend([
                grouped(node.preferred as u64),
                voter.map_or_else(unknown, |voter| grouped(u64::try_from(voter.lag_entries).unwrap_or(0))),
                rack.to_owned(),
                kafka(found, node.id).unwrap_or_else(unknown),
            ]);
        }
        row
    };
    aligned(&columns, &health.nodes.iter().map(row).collect::<Vec<_>>())
}

fn partitions(health: &Health, wide: bool) -> String {
    let columns = [
        Column::left("TOPIC"),
        Column::right("PARTITION"),
        Column::left("CONDITION"),
        Column::right("LEADER"),
        Column::left("REPLICAS"),
        Column::left("IN SYNC"),
        Column::right("MIN"),
    ];
    // The worst first.
    let mut affected: Vec<&Affected> = health.affected.iter().collect();
    affected.sort_by_key(|affected| std::cmp::Reverse(affected.condition));
    let shown = if wide { affected.len() } else { PARTITIONS_SHOWN };
    let row = |affected: &&Affected| {
        vec![
            affected.topic.clone(),
            affected.partition.to_string(),
            affected.condition.as_str().replace('_', " "),
            affected.leader.map_or_else(|| "-".to_owned(), |leader| leader.to_string()),
            listed(&affected.replicas),
            listed(&affected.in_sync),
            affected.min_in_sync.map_or_else(unknown, |minimum| minimum.to_string()),
        ]
    };
    let mut text = aligned(&columns, &affected.iter().take(shown).map(row).collect::<Vec<_>>());
    if affected.len() > shown {
        text.push_str(&format!("… and {} more: -o wide\n", grouped((affected.len() - shown) as u64)));
    }
    text
}

fn own(found: &Found, id: i32) -> Option<&Own> {
    found.own.get(&id)?.as_ref().ok()
}

fn kafka(found: &Found, id: i32) -> Option<String> {
    let broker = found.cluster.brokers.iter().find(|broker| broker.broker_id == id);
    let listed = || Some(found.silent.iter().find(|(target, _)| target.id == Some(id))?.0.address.clone());
    broker.map(|broker| address(&broker.host, broker.port)).or_else(listed)
}

fn disk(own: &Own) -> Option<String> {
    let (total, free) = (own.disk_total_bytes.filter(|total| *total > 0)?, own.disk_free_bytes?);
    Some(format!("{} % of {}", total.saturating_sub(free).saturating_mul(100) / total, bytes(total)))
}

fn listed(ids: &[i32]) -> String {
    if ids.is_empty() { "-".to_owned() } else { ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") }
}

fn unknown() -> String {
    "?".to_owned()
}

/// Digits in threes.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let groups: Vec<String> = (!head.is_empty()).then(|| head.to_owned()).into_iter().chain(groups).collect();
    groups.join(" ")
}

/// A size in the unit that suits it.
fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes as f64;
    let mut unit = "B";
    for larger in units {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if amount < 10.0 => format!("{amount:.1} {unit}"),
        _ => format!("{amount:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor() {
        let table = aligned(&[Column::left("TOPIC")], &[vec!["a\u{1b}[2Jb\nc".to_owned()]]);
        assert_eq!(table, "TOPIC\na\u{fffd}[2Jb\u{fffd}c\n");
    }

    #[test]
    fn numbers_and_sizes_are_read_at_a_glance() {
        assert_eq!([0, 12, 123, 1_842, 1_234_567].map(grouped), ["0", "12", "123", "1 842", "1 234 567"]);
        assert_eq!([0, 1023, 1536, 61 << 30, 2 << 40].map(bytes), ["0 B", "1023 B", "1.5 KiB", "61 GiB", "2.0 TiB"]);
    }
}
