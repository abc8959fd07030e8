//! Is the cluster well? Facts in, a verdict out, and for everything that is not as it should be what to do about it.
//!
//! Who asks from outside knows which nodes answer; a node knows what the metadata says. Both come here with what they know, so that
//! there is one answer.

mod problems;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ids::BrokerId;

pub use problems::{CODES, Problem, Severity};

/// The answer in a word. Ordered: the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All is as it should be.
    Healthy = 0,
    /// Everything is served, with less in reserve than was asked for.
    Degraded = 1,
    /// Something is not served: a partition, writes to one, or changes of the metadata.
    Unavailable = 2,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// It serves.
    Up,
    /// It answers, and the cluster has not let it in (again).
    Fenced,
    /// It is on its way out, others lead in its place.
    Stopping,
    /// It does not answer who asks; the cluster has not given it up.
    Unreachable,
    /// The cluster has given it up.
    Down,
    /// It accepts connections and answers nothing: it waits for other nodes.
    Waiting,
    /// It is meant to be part of the cluster, and never was.
    Absent,
}

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its number.
    pub id: BrokerId,
    /// How it stands.
    pub state: NodeState,
    /// Since the metadata leader heard it, in milliseconds; none if that is not known.
    pub silent_ms: Option<u64>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFacts<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its index.
    pub partition: i32,
    /// Who leads; none if nobody does.
    pub leader: Option<BrokerId>,
    /// Assigned brokers, the preferred leader first.
    pub replicas: &'a [BrokerId],
    /// Those that are in sync.
    pub in_sync: &'a [BrokerId],
    /// The topic's `min.insync.replicas`; none if that is not known.
    pub min_in_sync: Option<i32>,
}

/// What is wrong with a partition; the worst of it. Ordered: the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// It lacks copies, and takes writes.
    UnderReplicated,
    /// It takes no writes with `acks=all`.
    UnderMinInSync,
    /// Nobody serves it.
    Offline,
}

/// A cluster, examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The answer in a word.
    pub verdict: Verdict,
    /// Who leads the metadata; none if nobody does.
    pub metadata_leader: Option<BrokerId>,
    /// Every node by ascending number.
    pub nodes: Vec<NodeHealth>,
    /// How many of what.
    pub counts: Counts,
    /// Partitions that are not as they should be, in the order in which they came.
    pub affected: Vec<Affected>,
    /// What is wrong, the worst first, and what to do about it.
    pub problems: Vec<Problem>,
}

/// A node and its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeHealth {
    /// Its number.
    pub id: BrokerId,
    /// How it stands.
    pub state: NodeState,
    /// Since the metadata leader heard it, in milliseconds.
    pub silent_ms: Option<u64>,
    /// Partitions that it leads.
    pub leaders: usize,
    /// Partitions of which it is the preferred leader.
    pub preferred: usize,
    /// Partitions that it keeps.
    pub replicas: usize,
    /// Partitions of which its replica is in sync.
    pub in_sync: usize,
}

/// How many of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Topics.
    pub topics: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Partitions that nobody serves.
    pub offline: usize,
    /// Partitions with fewer replicas in sync than assigned, the offline ones among them.
    pub under_replicated: usize,
    /// Partitions with fewer replicas in sync than `min.insync.replicas`, the offline ones not among them.
    pub under_min_in_sync: usize,
    /// Partitions that another leads than is meant to, though that one could.
    pub not_preferred: usize,
}

/// A partition that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// What is wrong.
    pub condition: Condition,
    /// Who leads; none if nobody does.
    pub leader: Option<BrokerId>,
    /// Assigned brokers.
    pub replicas: Vec<BrokerId>,
    /// Those that are in sync.
    pub in_sync: Vec<BrokerId>,
    /// The topic's `min.insync.replicas`, where known.
    pub min_in_sync: Option<i32>,
}

/// An examination under way: nodes at the beginning, partitions one by one.
#[derive(Debug)]
pub struct Examination {
    metadata_leader: Option<BrokerId>,
    nodes: BTreeMap<BrokerId, NodeHealth>,
    counts: Counts,
    last_topic: Option<String>,
    affected: Vec<Affected>,
    behind: Behind,
}

/// Which nodes keep partitions from being whole.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Brokers whose replicas are missing from in-sync sets, by what that makes of the partition.
    pub(super) of: BTreeMap<Condition, BTreeSet<BrokerId>>,
    /// (in sync, assigned) of the partitions that merely lack copies.
    pub(super) copies: BTreeSet<(usize, usize)>,
    /// `min.insync.replicas` of the same.
    pub(super) minima: BTreeSet<i32>,
}

impl Verdict {
    /// As it stands in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Healthy => "HEALTHY",
            Verdict::Degraded => "DEGRADED",
            Verdict::Unavailable => "UNAVAILABLE",
        }
    }

    /// As a number, for what counts: 0, 1 and 2, from good to bad.
    pub fn level(self) -> u8 {
        self as u8
    }
}

impl NodeState {
    /// All of them.
    pub const ALL: [NodeState; 7] = [
        NodeState::Up,
        NodeState::Fenced,
        NodeState::Stopping,
        NodeState::Unreachable,
        NodeState::Down,
        NodeState::Waiting,
        NodeState::Absent,
    ];

    /// As it stands in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeState::Up => "up",
            NodeState::Fenced => "fenced",
            NodeState::Stopping => "stopping",
            NodeState::Unreachable => "unreachable",
            NodeState::Down => "down",
            NodeState::Waiting => "waiting",
            NodeState::Absent => "absent",
        }
    }
}

impl Condition {
    /// As it stands in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::UnderReplicated => "under_replicated",
            Condition::UnderMinInSync => "under_min_in_sync",
            Condition::Offline => "offline",
        }
    }
}

impl Examination {
    /// Begins with the nodes: those that are registered, and those that are meant to be.
    pub fn new(metadata_leader: Option<BrokerId>, nodes: impl IntoIterator<Item = NodeFacts>) -> Self {
        let node = |NodeFacts { id, state, silent_ms }| {
            (id, NodeHealth { id, state, silent_ms, leaders: 0, preferred: 0, replicas: 0, in_sync: 0 })
        };
        Examination {
            metadata_leader,
            nodes: nodes.into_iter().map(node).collect(),
            counts: Counts::default(),
            last_topic: None,
            affected: Vec::new(),
            behind: Behind::default(),
        }
    }

    /// Takes a partition in. Each comes once, those of one topic after each other.
    pub fn partition(&mut self, partition: &PartitionFacts<'_>) {
        if self.last_topic.as_deref() != Some(partition.topic) {
            self.last_topic = Some(partition.topic.to_string());
            self.counts.topics += 1;
        }
        self.counts.partitions += 1;
        self.count_shares(partition);
        let Some(condition) = self.condition(partition) else {
            self.counts.not_preferred += usize::from(self.is_led_by_another(partition));
            return;
        };
        let missing: Vec<BrokerId> = partition
            .replicas
            .iter()
            .copied()
            .filter(|id| !partition.in_sync.contains(id) || !self.serves(*id))
            .collect();
        self.counts.under_replicated += usize::from(!missing.is_empty());
        match condition {
            Condition::Offline => self.counts.offline += 1,
            Condition::UnderMinInSync => self.counts.under_min_in_sync += 1,
            Condition::UnderReplicated => {
                self.behind.copies.insert((partition.replicas.len() - missing.len(), partition.replicas.len()));
                self.behind.minima.extend(partition.min_in_sync);
            }
        }
        self.behind.of.entry(condition).or_default().extend(missing);
        self.affected.push(Affected {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            condition,
            leader: partition.leader,
            replicas: partition.replicas.to_vec(),
            in_sync: partition.in_sync.to_vec(),
            min_in_sync: partition.min_in_sync,
        });
    }

    /// The verdict.
    pub fn finish(self) -> Health {
        let problems = problems::all(&self);
        let worst = problems.iter().map(|problem| problem.severity).max();
        Health {
            verdict: match worst {
                None | Some(Severity::Note) => Verdict::Healthy,
                Some(Severity::Degraded) => Verdict::Degraded,
                Some(Severity::Unavailable) => Verdict::Unavailable,
            },
            metadata_leader: self.metadata_leader,
            nodes: self.nodes.into_values().collect(),
            counts: self.counts,
            affected: self.affected,
            problems,
        }
    }

    fn count_shares(&mut self, partition: &PartitionFacts<'_>) {
        if let Some(node) = partition.leader.and_then(|id| self.nodes.get_mut(&id)) {
            node.leaders += 1;
        }
        if let Some(node) = partition.replicas.first().and_then(|id| self.nodes.get_mut(id)) {
            node.preferred += 1;
        }
        for id in partition.replicas {
            if let Some(node) = self.nodes.get_mut(id) {
                node.replicas += 1;
                node.in_sync += usize::from(partition.in_sync.contains(id));
            }
        }
    }

    fn condition(&self, partition: &PartitionFacts<'_>) -> Option<Condition> {
        if !partition.leader.is_some_and(|id| self.serves(id)) {
            return Some(Condition::Offline);
        }
        let in_sync = partition.in_sync.iter().filter(|id| self.serves(**id)).count();
        // More than there are replicas are never waited for.
        let minimum = partition.min_in_sync.map(|min| usize::try_from(min).unwrap_or(0).min(partition.replicas.len()));
        if minimum.is_some_and(|minimum| in_sync < minimum) {
            return Some(Condition::UnderMinInSync);
        }
        (in_sync < partition.replicas.len()).then_some(Condition::UnderReplicated)
    }

    /// Whether what the metadata says of a node can still be true: while nobody leads the metadata, nobody is given up.
    fn serves(&self, id: BrokerId) -> bool {
        match self.nodes.get(&id).map(|node| node.state) {
            Some(NodeState::Down | NodeState::Waiting | NodeState::Absent) => false,
            Some(NodeState::Unreachable) => self.metadata_leader.is_some(),
            Some(NodeState::Up | NodeState::Fenced | NodeState::Stopping) | None => true,
        }
    }

    fn is_led_by_another(&self, partition: &PartitionFacts<'_>) -> bool {
        let preferred = partition.replicas.first();
        preferred.is_some_and(|id| partition.leader != Some(*id) && partition.in_sync.contains(id) && self.serves(*id))
    }
}
