//! From what the nodes said to facts, and from those to the verdict.

use std::collections::BTreeMap;

use chronik_state::health::{Examination, Health, NodeFacts, NodeState, PartitionFacts};

use super::gather::Found;
use super::speaker::Silence;

/// The verdict upon what was found.
pub(super) fn examine(found: &Found) -> Health {
    let leader = found.quorum.as_ref().map(|quorum| quorum.leader);
    let mut examination = Examination::new(leader, nodes(found));
    for topic in &found.metadata.topics {
        let Some(name) = topic.name.as_ref().map(|name| name.as_str()).filter(|_| topic.error_code == 0) else {
            continue;
        };
        for partition in &topic.partitions {
            examination.partition(&PartitionFacts {
                topic: name,
                partition: partition.partition_index,
                leader: (partition.leader_id >= 0).then_some(partition.leader_id),
                replicas: &partition.replica_nodes,
                in_sync: &partition.isr_nodes,
                min_in_sync: found.minima.get(name).copied(),
            });
        }
    }
    examination.finish()
}

/// Those that are registered, and those of the list that are not.
fn nodes(found: &Found) -> Vec<NodeFacts> {
    let heard = |id| found.quorum.as_ref().and_then(|quorum| quorum.voters.get(&id)?.heard_ms_ago);
    let serves = |id| found.metadata.brokers.iter().any(|broker| broker.node_id == id);
    let registered = found.cluster.brokers.iter().map(|broker| {
        let id = broker.broker_id;
        let state = match (found.own.get(&id), broker.is_fenced) {
            (Some(Err(Silence::NoAnswer)), true) => NodeState::Waiting,
            (Some(Err(_)) | None, true) => NodeState::Down,
            (Some(Err(_)) | None, false) => NodeState::Unreachable,
            (Some(Ok(_)), true) => NodeState::Fenced,
            (Some(Ok(_)), false) if !serves(id) => NodeState::Stopping,
            (Some(Ok(_)), false) => NodeState::Up,
        };
        (id, NodeFacts { id, state, silent_ms: heard(id) })
    });
    let mut nodes: BTreeMap<i32, NodeFacts> = registered.collect();
    for (target, silence) in &found.silent {
        let Some(id) = target.id else { continue };
        let state = match silence {
            Silence::NoAnswer => NodeState::Waiting,
            Silence::NotReached(_) => NodeState::Absent,
        };
        nodes.entry(id).or_insert(NodeFacts { id, state, silent_ms: None });
    }
    nodes.into_values().collect()
}

/// Records that each node's replicas lack, where both it and the leaders told.
pub(super) fn lags(found: &Found) -> BTreeMap<i32, u64> {
    let mut lags: BTreeMap<i32, u64> = BTreeMap::new();
    for id in found.own.iter().filter(|(_, own)| own.is_ok()).map(|(id, _)| *id) {
        lags.insert(id, 0);
    }
    for topic in &found.metadata.topics {
        let Some(name) = topic.name.as_ref() else { continue };
        for partition in &topic.partitions {
            let key = (name.to_string(), partition.partition_index);
            let end = |id: i32| found.own.get(&id)?.as_ref().ok()?.ends.get(&key).copied();
            let Some(leader_end) = end(partition.leader_id) else { continue };
            for id in partition.replica_nodes.iter().filter(|id| **id != partition.leader_id) {
                if let (Some(end), Some(lag)) = (end(*id), lags.get_mut(id)) {
                    *lag = lag.saturating_add(u64::try_from(leader_end.saturating_sub(end)).unwrap_or(0));
                }
            }
        }
    }
    lags
}
