//! The cluster's metadata as an oracle: one linear log, decided by the real controller, that is at times not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use chronik_state::ids::{BrokerId, PartitionIndex, TopicId};
use chronik_state::metadata::alter_partition::{AlterError, AlterPartitions};
use chronik_state::metadata::record::Record;
use chronik_state::metadata::{
    BrokerRegistration, Controller, ControllerSettings, CreatableTopic, CreateTopics, Decision, Image, PartitionAssignment,
    Restart,
};
use chronik_state::partition::leader::{AgreedPartition, Outcome, Proposal};

/// A broker that is not heard of for so long is fenced.
const SESSION_MS: i64 = 1_500;

/// What a node asks of the controller.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Register { incarnation: u32, directory: u8 },
    Heartbeat { epoch: i64, applied: usize },
    Alter { epoch: i64, partition: PartitionIndex, proposal: Proposal },
}

/// What it hears.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Registered { epoch: i64 },
    Altered { partition: PartitionIndex, upon: i32, outcome: Option<Outcome> },
}

pub(super) struct Metadata {
    controller: Controller,
    /// Each decision's records.
    log: Vec<Arc<[Record]>>,
    heard: BTreeMap<BrokerId, i64>,
    away_until_ms: i64,
}

impl Metadata {
    pub(super) fn new() -> Self {
        let controller = Controller::new(ControllerSettings::default(), Image::default());
        Metadata { controller, log: Vec::new(), heard: BTreeMap::new(), away_until_ms: 0 }
    }

    /// What is agreed now, whoever knows of it.
    pub(super) fn image(&self) -> &Image {
        self.controller.image()
    }

    /// The decisions from `index` on.
    pub(super) fn from(&self, index: usize) -> &[Arc<[Record]>] {
        &self.log[index..]
    }

    pub(super) fn create_topic(&mut self, topic_id: TopicId, assignments: Vec<Vec<BrokerId>>, configs: Vec<(&str, &str)>) {
        let assignments = assignments.into_iter().zip(0..);
        let topic = CreatableTopic {
            name: "t".into(),
            topic_id,
            partitions: -1,
            replication_factor: -1,
            assignments: assignments.map(|(replicas, partition)| PartitionAssignment { partition, replicas }).collect(),
            configs: configs.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect(),
        };
        let decision = self.controller.create_topics(&CreateTopics { topics: vec![topic], validate_only: false });
        self.take(decision).into_iter().for_each(|created| _ = created.expect("a topic is created"));
    }

    /// Another controller takes over after a while: until then nothing is decided, and every broker gets a new session.
    pub(super) fn change_controller(&mut self, until_ms: i64) {
        self.away_until_ms = self.away_until_ms.max(until_ms);
    }

    pub(super) fn is_away(&self, now_ms: i64) -> bool {
        now_ms < self.away_until_ms
    }

    /// Decides; nothing comes back where nobody decides.
    pub(super) fn ask(&mut self, from: BrokerId, topic: TopicId, command: Command, now_ms: i64) -> Option<Reply> {
        if self.is_away(now_ms) {
            return None;
        }
        match command {
            Command::Register { incarnation, directory } => Some(self.register(from, incarnation, directory, now_ms)),
            Command::Heartbeat { epoch, applied } => {
                self.heartbeat(from, epoch, applied, now_ms);
                None
            }
            Command::Alter { epoch, partition, proposal } => {
                let upon = proposal.partition_epoch;
                let outcome = self.alter(from, epoch, topic, partition, proposal);
                Some(Reply::Altered { partition, upon, outcome })
            }
        }
    }

    /// Fences who is silent.
    pub(super) fn on_tick(&mut self, now_ms: i64) {
        if self.is_away(now_ms) {
            self.heard.values_mut().for_each(|heard| *heard = now_ms);
            return;
        }
        let silent: Vec<BrokerId> =
            self.heard.iter().filter(|(_, heard)| now_ms - **heard > SESSION_MS).map(|(id, _)| *id).collect();
        for id in silent {
            let Some(broker) = self.image().broker(id) else { continue };
            let decision = self.controller.fence_broker(id, broker.epoch);
            _ = self.take(decision);
        }
    }

    fn register(&mut self, id: BrokerId, incarnation: u32, directory: u8, now_ms: i64) -> Reply {
        let mut incarnation_id = [0; 16];
        incarnation_id[..4].copy_from_slice(&incarnation.to_be_bytes());
        let registration = BrokerRegistration {
            id,
            incarnation_id,
            directory_id: [directory; 16],
            endpoints: Vec::new(),
            rack: None,
            restart: Restart::Crash,
            confirms_unsynced: false,
            fenced: true,
        };
        let decision = self.controller.register_broker(&registration, self.log.len() as i64);
        let epoch = self.take(decision);
        self.heard.insert(id, now_ms);
        Reply::Registered { epoch }
    }

    fn heartbeat(&mut self, id: BrokerId, epoch: i64, applied: usize, now_ms: i64) {
        let Some(broker) = self.image().broker(id).filter(|broker| broker.epoch == epoch) else { return };
        let is_fenced = broker.fenced;
        self.heard.insert(id, now_ms);
        if is_fenced && applied as i64 > epoch {
            let decision = self.controller.unfence_broker(id, epoch);
            _ = self.take(decision);
        }
    }

    fn alter(&mut self, id: BrokerId, epoch: i64, topic: TopicId, partition: PartitionIndex, proposal: Proposal) -> Option<Outcome> {
        let command = AlterPartitions { broker_id: id, broker_epoch: epoch, proposals: vec![(topic, partition, proposal)] };
        let decision = self.controller.alter_partitions(&command);
        let reply = self.take(decision).ok()?.remove(0);
        match reply {
            Ok(agreed) => Some(Outcome::Agreed(AgreedPartition::of(&agreed, self.image()))),
            Err(AlterError::IneligibleReplica(_) | AlterError::Invalid) => Some(Outcome::Refused),
            Err(AlterError::Behind) => None,
            Err(_) => Some(Outcome::Outdated),
        }
    }

    fn take<R>(&mut self, decision: Decision<R>) -> R {
        if !decision.records.is_empty() {
            decision.records.iter().for_each(|record| self.controller.apply(record));
            self.log.push(decision.records.into());
        }
        decision.reply
    }
}
