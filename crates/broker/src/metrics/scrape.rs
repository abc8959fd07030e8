//! An answer to a scraper: what was counted, and what the node's state says at this moment.

use std::sync::Arc;

use chronik_state::health::NodeState;
use chronik_state::ids::{BrokerId, LogId};
use chronik_state::metadata::Image;
use chronik_state::partition::leader::Lag;
use chronik_wire::ApiKey;
use tonic::Code;

use super::catalogue::*;
use super::histogram::Snapshot;
use super::text::Text;
use super::{Metrics, Outcome, Rpc};
use crate::node::Node;
use crate::observe::report;
use crate::partition::Partition;

/// The listener that clients come in by.
const LISTENER: &str = "PLAINTEXT";

/// What a node knows of another; the other states are those of who knocks from outside.
const SEEN_FROM_INSIDE: [NodeState; 4] = [NodeState::Up, NodeState::Stopping, NodeState::Down, NodeState::Absent];

/// All metrics of the node as text.
pub(crate) fn scrape(node: &Node) -> String {
    let mut text = Text::new(node.config.metrics.detail, node.config.metrics.series_max);
    let image = node.metadata.image();
    health(&mut text, node, &image);
    kafka(&mut text, node);
    replication(&mut text, node);
    raft(&mut text, node, &image);
    rpcs(&mut text, &node.metrics);
    own(&mut text, node);
    if text.tells(Detail::Topic) {
        topics(&mut text, node, &image);
        groups(&mut text, node, &image);
    }
    if text.tells(Detail::Partition) {
        partitions(&mut text, node, &image);
    }
    let (series, dropped) = (text.series(), text.dropped());
    text.one(&SERIES, series as f64);
    text.one(&SERIES_DROPPED, dropped as f64);
    text.finish()
}

fn health(text: &mut Text, node: &Node, image: &Image) {
    let health = report::health(node, image);
    text.one(&HEALTH_STATUS, f64::from(health.verdict.level()));
    let mut nodes = text.family(&NODES);
    for state in SEEN_FROM_INSIDE {
        let count = health.nodes.iter().filter(|found| found.state == state).count();
        nodes.sample(&[state.as_str()], count as f64);
    }
    text.one(&TOPICS, image.topic_count() as f64);
    text.one(&PARTITIONS, image.partition_count() as f64);
    text.one(&OFFLINE_PARTITIONS, health.counts.offline as f64);
    text.one(&UNDER_REPLICATED, health.counts.under_replicated as f64);
    text.one(&UNDER_MIN_ISR, health.counts.under_min_in_sync as f64);
}

fn kafka(text: &mut Text, node: &Node) {
    let metrics = &node.metrics;
    let mut requests = text.family(&REQUEST_DURATION);
    for api in ApiKey::ALL {
        for outcome in Outcome::ALL {
            if let Some(counted) = metrics.requests(*api, outcome) {
                requests.histogram(&[api.name(), outcome.as_str()], &counted);
            }
        }
    }
    let mut bytes = text.family(&NODE_BYTES);
    bytes.sample(&["in"], metrics.sum(|thread| &thread.bytes_in) as f64);
    bytes.sample(&["out"], metrics.sum(|thread| &thread.bytes_out) as f64);
    text.one(&NODE_RECORDS, metrics.sum(|thread| &thread.records_in) as f64);
    let connections = node.connections.load(std::sync::atomic::Ordering::Relaxed);
    text.family(&CONNECTIONS).sample(&[LISTENER], connections as f64);
    text.family(&FSYNC_DURATION).histogram(&[], &metrics.wal_sync.snapshot());
}

fn replication(text: &mut Text, node: &Node) {
    let metrics = &node.metrics;
    text.one(&ISR_SHRINKS, metrics.isr_shrinks.value() as f64);
    text.one(&ISR_EXPANDS, metrics.isr_expands.value() as f64);
    text.one(&LEADER_CHANGES, metrics.leader_changes.value() as f64);
    let discovery = node.replication.shared.discovery.snapshot();
    text.family(&DISCOVERY_DURATION).histogram(&[], &discovery);
    text.family(&DISCOVERY_TIME).quantiles(&[], &discovery, 1.0);
}

fn raft(text: &mut Text, node: &Node, image: &Image) {
    let (mut leads, mut follows) = (0, 0);
    for id in node.partitions.ids() {
        match image.partition(id.topic, id.partition) {
            Some(partition) if partition.leader == node.config.node_id => leads += 1,
            Some(partition) if partition.leader >= 0 => follows += 1,
            _ => {}
        }
    }
    let node_id = node.config.node_id.to_string();
    text.family(&LEADER_COUNT).sample(&[&node_id], f64::from(leads));
    text.family(&FOLLOWER_COUNT).sample(&[&node_id], f64::from(follows));
    text.one(&LEADER_ID, f64::from(report::metadata_leader(node).unwrap_or(-1)));
    text.one(&TERM, f64::from(node.metadata.reached().term));
    text.one(&APPLIED_INDEX, node.metadata.applied_index() as f64);
    let (elections, without) = match &node.cluster {
        Some(cluster) => (cluster.elections.leaders.value(), cluster.elections.without.snapshot()),
        None => (0, Snapshot::default()),
    };
    text.one(&ELECTIONS, elections as f64);
    text.family(&ELECTION_DURATION).histogram(&[], &without);
    text.family(&ELECTION_LATENCY).quantiles(&[], &without, 1e3);
    let committed = node.metrics.metadata_commit.snapshot();
    text.family(&COMMIT_DURATION).histogram(&[], &committed);
    text.family(&COMMIT_LATENCY).quantiles(&[], &committed, 1e3);
    let snapshots = &node.metrics.snapshots;
    let mut count = text.family(&SNAPSHOT_COUNT);
    count.sample(&["own"], snapshots.taken.value() as f64);
    count.sample(&["leader"], snapshots.installed.value() as f64);
    text.one(&SNAPSHOT_SIZE, snapshots.last_bytes.load(std::sync::atomic::Ordering::Relaxed) as f64);
    let applied = snapshots.apply.snapshot();
    text.family(&SNAPSHOT_APPLY_DURATION).histogram(&[], &applied);
    text.family(&SNAPSHOT_APPLY_LATENCY).quantiles(&[], &applied, 1e3);
}

fn rpcs(text: &mut Text, metrics: &Metrics) {
    let used = || Rpc::ALL.into_iter().filter_map(|rpc| Some((rpc, metrics.rpcs[rpc as usize].get()?)));
    let mut durations = text.family(&RPC_DURATION);
    used().for_each(|(rpc, counted)| durations.histogram(&[rpc.as_str()], &counted.answered.snapshot()));
    let mut latencies = text.family(&RPC_LATENCY);
    used().for_each(|(rpc, counted)| latencies.quantiles(&[rpc.as_str()], &counted.answered.snapshot(), 1e3));
    let mut errors = text.family(&RPC_ERRORS);
    for (rpc, counted) in used() {
        for (code, failed) in counted.failed.iter().enumerate().filter(|(_, failed)| failed.value() > 0) {
            // Debug is the only way to a code's name; tonic's own tests rely on it, too.
            let error = format!("{:?}", Code::from_i32(code as i32));
            errors.sample(&[rpc.as_str(), &error], failed.value() as f64);
        }
    }
}

fn own(text: &mut Text, node: &Node) {
    // A file system that does not tell is no reason to tell nothing else.
    if let Ok(space) = node.storage.disk_space() {
        text.one(&DISK_FREE, space.usable_bytes as f64);
        text.one(&DISK_TOTAL, space.total_bytes as f64);
    }
    text.family(&BUILD_INFO).sample(&[env!("CARGO_PKG_VERSION")], 1.0);
    text.one(&UPTIME, node.metrics.began.elapsed().as_secs_f64());
}

fn topics(text: &mut Text, node: &Node, image: &Image) {
    let mut rows = Vec::new();
    for topic in image.topics() {
        let held = topic.partitions.iter().filter_map(|(index, _)| node.partitions.partition(LogId { topic: topic.id, partition: *index }));
        let sums = held.fold([0, 0, 0], |[bytes_in, bytes_out, records], partition| match partition.traffic_so_far() {
            None => [bytes_in, bytes_out, records],
            Some(traffic) => [
                bytes_in + traffic.bytes_in.value(),
                bytes_out + traffic.bytes_out.value(),
                records + traffic.records_in.value(),
            ],
        });
        if sums != [0, 0, 0] {
            rows.push((Arc::clone(&topic.name), sums));
        }
    }
    let mut bytes = text.family(&TOPIC_BYTES);
    for (topic, [bytes_in, bytes_out, _]) in &rows {
        bytes.sample(&["in", topic], *bytes_in as f64);
        bytes.sample(&["out", topic], *bytes_out as f64);
    }
    let mut records = text.family(&TOPIC_RECORDS);
    rows.iter().for_each(|(topic, [_, _, count])| records.sample(&[topic], *count as f64));
}

fn groups(text: &mut Text, node: &Node, image: &Image) {
    let groups = node.coordinator.census(text.tells(Detail::Partition));
    let mut members = text.family(&GROUP_MEMBERS);
    groups.iter().for_each(|group| members.sample(&[&group.group_id], group.members as f64));
    let mut rebalances = text.family(&GROUP_REBALANCES);
    groups.iter().for_each(|group| rebalances.sample(&[&group.group_id], f64::from(group.generation_id)));
    if !text.tells(Detail::Partition) {
        return;
    }
    let mut lags = text.family(&GROUP_LAG);
    for group in &groups {
        for (name, committed) in &group.committed {
            let Some(topic) = image.topic(name) else { continue };
            for committed in committed {
                let id = LogId { topic: topic.id, partition: committed.partition };
                let Some(held) = node.partitions.partition(id) else { continue };
                let lag = (held.high_watermark() - committed.offset).max(0);
                lags.sample(&[&group.group_id, name, &committed.partition.to_string()], lag as f64);
            }
        }
    }
}

/// A partition that this node leads.
struct Led {
    topic: Arc<str>,
    partition: String,
    in_sync: usize,
    elections: i32,
    followers: Vec<(String, Lag)>,
}

fn partitions(text: &mut Text, node: &Node, image: &Image) {
    let led = led(node, image);
    let mut sizes = text.family(&ISR_SIZE);
    led.iter().for_each(|led| sizes.sample(&[&led.topic, &led.partition], led.in_sync as f64));
    let mut elections = text.family(&ELECTION_COUNT);
    led.iter().for_each(|led| elections.sample(&[&led.topic, &led.partition], f64::from(led.elections)));
    let behind_ms = |lag: &Lag| lag.behind_ms.map(|ms| ms as f64);
    lag_lines(text, &REPLICA_LAG, &led, |lag| Some(behind_ms(lag)? / 1e3));
    lag_lines(text, &FOLLOWER_LAG_ENTRIES, &led, |lag| Some(lag.records as f64));
    lag_lines(text, &FOLLOWER_LAG_MS, &led, behind_ms);
}

fn lag_lines(text: &mut Text, metric: &'static Metric, led: &[Led], value: impl Fn(&Lag) -> Option<f64>) {
    let mut family = text.family(metric);
    for led in led {
        for (follower, lag) in &led.followers {
            if let Some(value) = value(lag) {
                family.sample(&[&led.topic, &led.partition, follower], value);
            }
        }
    }
}

fn led(node: &Node, image: &Image) -> Vec<Led> {
    let mut led = Vec::new();
    for topic in image.topics() {
        for (index, agreed) in topic.partitions.iter().filter(|(_, agreed)| agreed.leader == node.config.node_id) {
            let held = node.partitions.partition(LogId { topic: topic.id, partition: *index });
            led.push(Led {
                topic: Arc::clone(&topic.name),
                partition: index.to_string(),
                in_sync: agreed.in_sync.len(),
                elections: agreed.leader_epoch,
                followers: held.as_deref().map(Partition::lags).unwrap_or_default().into_iter().map(named).collect(),
            });
        }
    }
    led
}

fn named((id, lag): (BrokerId, Lag)) -> (String, Lag) {
    (id.to_string(), lag)
}
