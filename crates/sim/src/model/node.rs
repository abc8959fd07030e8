//! One replica: a log, a role, and what it knows of the metadata.

use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::partition::epochs::LeaderEpochs;
use chronik_state::partition::follower::{self, Follower, Following};
use chronik_state::partition::leader::{self, AgreedPartition, Confirmation, Election, Leader, Rules, Standing};
use chronik_state::partition::stream::{BatchBounds, Frame, SessionId};

use super::world::{LAG_MAX_MS, Version};

/// A record that nobody sent twice.
pub(super) type Value = u8;

/// Records as they lie in a log, with their epochs.
pub(super) type Records = Vec<(LeaderEpoch, Value)>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) up: bool,
    pub(super) id: BrokerId,
    confirmation: Confirmation,
    /// The version of the metadata that registered this process: before it knows that one, it takes no role.
    pub(super) broker_epoch: i64,
    pub(super) log: Records,
    pub(super) durable: usize,
    pub(super) epochs: LeaderEpochs,
    pub(super) high_watermark: Offset,
    /// Up to which version of the metadata it has read.
    pub(super) known: usize,
    pub(super) role: Role,
    /// Produced with acks=all and not yet answered.
    pub(super) waiting: Vec<(Offset, Value)>,
    /// What its followers were told of the high watermark.
    pub(super) told: Vec<(SessionId, Offset)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Role {
    None,
    Leader(Box<Leader>),
    Follower(BrokerId, Box<Follower>),
}

impl Node {
    pub(super) fn new(id: BrokerId, durable: bool) -> Self {
        Node {
            up: true,
            id,
            confirmation: if durable { Confirmation::Durable } else { Confirmation::Written },
            broker_epoch: 0,
            log: Vec::new(),
            durable: 0,
            epochs: LeaderEpochs::default(),
            high_watermark: 0,
            known: 0,
            role: Role::None,
            waiting: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn end(&self) -> Offset {
        self.log.len() as Offset
    }

    /// Takes the role that `version` gives it.
    pub(super) fn lead(&mut self, version: &Version, now_ms: i64) -> leader::Effects {
        let partition = &version.partition;
        self.epochs.assign(partition.leader_epoch, self.end());
        let (leader, effects) = Leader::elect(Election {
            broker_id: self.id,
            broker_epoch: self.broker_epoch,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: version.replicas(),
            in_sync: partition.in_sync.iter().copied().collect(),
            min_in_sync_replicas: partition.min_in_sync_replicas as usize,
            log_start_offset: 0,
            log_end_offset: self.end(),
            durable_end_offset: self.durable as Offset,
            high_watermark: self.high_watermark,
            rules: Rules { confirmation: self.confirmation, lag_max_ms: LAG_MAX_MS },
            now_ms,
        });
        self.high_watermark = leader.high_watermark();
        self.role = Role::Leader(Box::new(leader));
        self.waiting.clear();
        self.told.clear();
        effects
    }

    pub(super) fn follow(&mut self, leader: BrokerId, leader_epoch: LeaderEpoch) {
        let follower = Follower::follow(Following {
            broker_id: self.id,
            broker_epoch: self.broker_epoch,
            leader_epoch,
            log_start_offset: 0,
            log_end_offset: self.end(),
            durable_end_offset: self.durable as Offset,
            high_watermark: self.high_watermark,
        });
        self.role = Role::Follower(leader, Box::new(follower));
        self.waiting.clear();
        self.told.clear();
    }

    /// Carries out what a follower wants done with its log. The records of the frame, if any.
    pub(super) fn carry_out(&mut self, effects: &follower::Effects, records: &[(LeaderEpoch, Value)]) {
        if let Some(end) = effects.truncate_to {
            self.log.truncate(end as usize);
            self.durable = self.durable.min(end as usize);
            self.epochs.truncate_from_end(end);
        }
        assert!(effects.reset_to.is_none(), "nothing is deleted here");
        for (epoch, value) in &records[..effects.append] {
            self.epochs.assign(*epoch, self.log.len() as Offset);
            self.log.push((*epoch, *value));
        }
        if let Role::Follower(_, follower) = &self.role {
            assert_eq!(follower.log_end_offset(), self.log.len() as Offset);
            self.high_watermark = follower.high_watermark();
        }
    }

    /// All that this session has not been sent.
    pub(super) fn frame(&self, session: SessionId) -> Option<(BrokerId, Frame, Records)> {
        let Role::Leader(leader) = &self.role else { return None };
        let (to, from) = leader.next_frame(session)?;
        let records = self.log[from as usize..].to_vec();
        let told = self.told.iter().find(|(id, _)| *id == session).map_or(-1, |(_, told)| *told);
        if records.is_empty() && told >= leader.high_watermark() {
            return None;
        }
        let bounds = |(offset, (epoch, _)): (Offset, &(LeaderEpoch, Value))| BatchBounds { base_offset: offset, last_offset: offset, epoch: *epoch };
        let frame = Frame {
            session,
            expected_end_offset: from,
            previous_epoch: self.epochs.epoch_at(from - 1),
            batches: (from..).zip(&records).map(bounds).collect(),
            high_watermark: leader.high_watermark(),
            log_start_offset: 0,
        };
        Some((to, frame, records))
    }
}

impl Version {
    fn replicas(&self) -> std::collections::BTreeMap<BrokerId, Standing> {
        self.partition.replicas.iter().map(|id| (*id, self.standings[*id as usize])).collect()
    }

    pub(super) fn agreed(&self) -> AgreedPartition {
        AgreedPartition {
            leader_epoch: self.partition.leader_epoch,
            partition_epoch: self.partition.partition_epoch,
            replicas: self.replicas(),
            in_sync: self.partition.in_sync.iter().copied().collect(),
            min_in_sync_replicas: self.partition.min_in_sync_replicas as usize,
        }
    }
}
