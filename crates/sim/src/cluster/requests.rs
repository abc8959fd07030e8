//! What is asked of the metadata leader, and how it decides: by the real controller, upon everything decided so far.

use chronik_council::offset_of;
use chronik_state::ids::{BrokerId, PartitionIndex, TimestampMs};
use chronik_state::metadata::alter_partition::{AlterError, AlterPartitions};
use chronik_state::metadata::record::Record;
use chronik_state::metadata::{
    BrokerRegistration, ClusterStart, Controller, CreatableTopic, CreateTopics, ElectionType, MetadataError, PartitionAssignment, Restart,
    SupportedFeature,
};
use chronik_state::partition::leader::{Outcome, Proposal};

use super::places::{Place, log_id, topic_name};
use super::seat::{CLUSTER, Seat};

/// A broker that is not heard of for so long is fenced.
const SESSION_MS: i64 = 1_500;
/// A leader that did not look for so long did not run: what the others said in that time is still to be read.
const STALLED_MS: i64 = 500;

/// Who asks, and hears the answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// A process of a node.
    Node(BrokerId, u32),
    /// A client.
    Client,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Register { incarnation: [u8; 16], directory: [u8; 16] },
    Heartbeat { epoch: i64, applied: u64 },
    Alter { epoch: i64, place: Place, proposal: Proposal },
    CreateTopic { topic: PartitionIndex, assignments: Vec<Vec<BrokerId>>, sync: &'static str },
    /// The preferred replica is to lead again.
    Elect { place: Place },
}

/// What the asker hears.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Altered { place: Place, upon: i32, outcome: Option<Outcome> },
    Created { topic: PartitionIndex },
}

/// What is to be agreed on, and what the asker hears then.
pub(super) type Decided = (Vec<Record>, Option<Reply>);

impl Seat {
    /// Decides, if it is this node's to decide; nothing comes back where it is not.
    pub(super) fn decide(&mut self, from: Option<BrokerId>, request: Request, now_ms: TimestampMs) -> Option<Decided> {
        let next_offset = offset_of(self.council.next_index());
        let controller = self.council.decider()?;
        match (request, from) {
            (Request::Register { incarnation, directory }, Some(id)) => {
                let registration = registration(id, incarnation, directory);
                let admitted = controller.admit_broker(&cluster_start(), &registration, None, next_offset);
                let epoch = admitted.reply.ok()?;
                self.heard.insert(id, (epoch, now_ms));
                Some((admitted.records, None))
            }
            (Request::Heartbeat { epoch, applied }, Some(id)) => {
                let broker = controller.image().broker(id).filter(|broker| broker.epoch == epoch)?;
                let is_let_in = broker.fenced && offset_of(applied) >= epoch;
                let records = if is_let_in { controller.unfence_broker(id, epoch).records } else { Vec::new() };
                self.heard.insert(id, (epoch, now_ms));
                Some((records, None))
            }
            (Request::Alter { epoch, place, proposal }, Some(id)) => Some(alter(controller, id, epoch, place, proposal)),
            (Request::CreateTopic { topic, assignments, sync }, _) => Some(create_topic(controller, topic, assignments, sync)),
            (Request::Elect { place }, _) => {
                let partitions = [(topic_name(place), log_id(place).partition)];
                Some((controller.elect_leaders(ElectionType::Preferred, &partitions).records, None))
            }
            (Request::Register { .. } | Request::Heartbeat { .. } | Request::Alter { .. }, None) => None,
        }
    }

    /// Brokers that have been silent for too long leave every in-sync set: one at a time. Those never heard begin their session now.
    pub(super) fn fence_silent(&mut self, own: BrokerId, now_ms: TimestampMs) -> Option<Vec<Record>> {
        let term = self.council.standing().term;
        let stalled = now_ms - std::mem::replace(&mut self.looked_ms, now_ms) > STALLED_MS;
        if std::mem::replace(&mut self.heard_in_term, term) != term || stalled {
            self.heard.clear();
        }
        let controller = self.council.decider()?;
        for broker in controller.image().brokers().filter(|broker| !broker.fenced && broker.id != own) {
            let session = self.heard.entry(broker.id).or_insert((broker.epoch, now_ms));
            if session.0 != broker.epoch {
                *session = (broker.epoch, now_ms);
            }
            if now_ms - session.1 > SESSION_MS {
                return Some(controller.fence_broker(broker.id, broker.epoch).records);
            }
        }
        None
    }
}

fn cluster_start() -> ClusterStart {
    ClusterStart { cluster_id: CLUSTER.into(), features: SupportedFeature::levels_at_birth() }
}

fn registration(id: BrokerId, incarnation_id: [u8; 16], directory_id: [u8; 16]) -> BrokerRegistration {
    BrokerRegistration {
        id,
        incarnation_id,
        directory_id,
        endpoints: Vec::new(),
        rack: None,
        restart: Restart::Crash,
        confirms_unsynced: false,
        fenced: true,
    }
}

fn alter(controller: &Controller, id: BrokerId, epoch: i64, place: Place, proposal: Proposal) -> Decided {
    let upon = proposal.partition_epoch;
    let at = log_id(place);
    let command = AlterPartitions { broker_id: id, broker_epoch: epoch, proposals: vec![(at.topic, at.partition, proposal)] };
    let decision = controller.alter_partitions(&command);
    let outcome = match decision.reply.map(|mut replies| replies.remove(0)) {
        Ok(Err(AlterError::IneligibleReplica(_) | AlterError::Invalid)) => Some(Outcome::Refused),
        Ok(Err(AlterError::Behind)) | Err(_) => None,
        // Agreed or not: the record comes to the leader as to everybody.
        Ok(Ok(_) | Err(_)) => Some(Outcome::Outdated),
    };
    (decision.records, Some(Reply::Altered { place, upon, outcome }))
}

fn create_topic(controller: &Controller, topic: PartitionIndex, assignments: Vec<Vec<BrokerId>>, sync: &str) -> Decided {
    let assignments = assignments.into_iter().zip(0..);
    let place = super::places::place(topic, 0);
    let topic_wanted = CreatableTopic {
        name: topic_name(place),
        topic_id: log_id(place).topic,
        partitions: -1,
        replication_factor: -1,
        assignments: assignments.map(|(replicas, partition)| PartitionAssignment { partition, replicas }).collect(),
        configs: [("min.insync.replicas", "2"), ("chronik.sync", sync)].map(|(name, value)| (name.into(), Some(value.into()))).into(),
    };
    let decision = controller.create_topics(&CreateTopics { topics: vec![topic_wanted], validate_only: false });
    // One that is there already was created by an earlier request of the same client, which heard no answer.
    let is_there = matches!(decision.reply[0], Ok(_) | Err(MetadataError::TopicAlreadyExists(_)));
    (decision.records, is_there.then_some(Reply::Created { topic }))
}
