//! One replica: what its machine decides is done to its log, and what the log says is told to the machine.
//!
//! No clock, no network, no world: events and time in, messages and answers out. It knows nothing of the simulator.

mod follow;
mod ship;

use std::collections::VecDeque;
use std::sync::Arc;

use chronik_log::batch::{ValidBatch, batches};
use chronik_log::{Append, AppendError, Lsn, PartitionLog, SyncClass};
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::{Image, Partition};
use chronik_state::partition::follower::{Follower, Following};
use chronik_state::partition::leader::{self, AgreedPartition, Confirmation, Election, Leader, NotEnoughReplicas, Outcome, Proposal, Rules, Standing};
use chronik_state::partition::stream::{Ack, Answer, Frame, Replicate, SessionId, Verdict};

use ship::Fed;

/// What replicas of one partition say to each other.
#[derive(Debug, Clone)]
pub enum Message {
    /// A follower asks to be fed.
    Replicate(Replicate),
    /// The leader answers.
    Answer(Answer),
    /// Records, or news of offsets; with the batches' bytes.
    Frame(Frame, Vec<u8>),
    /// How far a follower is.
    Ack(Ack),
    /// The leader has ended the session: what its follower lacks is gone.
    Over(SessionId),
}

/// What came of an event.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be sent, in order.
    pub messages: Vec<(BrokerId, Message)>,
    /// For the controller.
    pub propose: Option<Proposal>,
    /// Appends that are answered now: their tickets.
    pub answered: Vec<(u64, Result<Offset, Refused>)>,
}

/// Why a write is not answered with its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not the leader here, or not any more.
    NotLeader,
    /// Fewer in-sync replicas than asked for, before the append or behind it.
    NotEnoughReplicas,
    /// The producer's sequence does not fit.
    Sequence,
    /// The disk is full.
    Full,
}

/// The disk failed: the node stops.
#[derive(Debug)]
pub struct DiskFailed;

/// A partition on one node.
pub struct Replica {
    log: Arc<PartitionLog>,
    broker_id: BrokerId,
    broker_epoch: i64,
    rules: Rules,
    role: Role,
    /// What was appended and is not yet on the disk: where it ends in either log.
    syncing: VecDeque<(Lsn, Offset)>,
    durable_end_offset: Offset,
    high_watermark: Offset,
    /// Writes with acks=all that wait for the high watermark.
    parked: Vec<Parked>,
    fed: Vec<Fed>,
}

enum Role {
    None,
    Leader(Box<Leader>),
    Follower(BrokerId, Box<Follower>),
}

struct Parked {
    ticket: u64,
    base_offset: Offset,
    end_offset: Offset,
    /// acks=1: on this disk is enough.
    alone: bool,
}

impl Replica {
    /// Begins with a log as it was found at the start: all of it is on the disk.
    pub fn new(log: Arc<PartitionLog>, broker_id: BrokerId, broker_epoch: i64, rules: Rules) -> Self {
        Replica {
            durable_end_offset: log.log_end_offset(),
            high_watermark: log.high_watermark(),
            log,
            broker_id,
            broker_epoch,
            rules,
            role: Role::None,
            syncing: VecDeque::new(),
            parked: Vec::new(),
            fed: Vec::new(),
        }
    }

    /// The partition's log.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// One past the last record that a reader may see.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The epoch it leads in, if it does.
    pub fn leads_in(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Leader(leader) => Some(leader.leader_epoch()),
            _ => None,
        }
    }

    /// Does a leader know the high watermark, so that latest offsets can be told?
    pub fn knows_high_watermark(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.high_watermark_is_known())
    }

    /// Whom it follows.
    pub fn follows(&self) -> Option<BrokerId> {
        match &self.role {
            Role::Follower(leader, _) => Some(*leader),
            _ => None,
        }
    }

    /// A follower without a connection to its leader.
    pub fn is_apart(&self) -> bool {
        matches!(&self.role, Role::Follower(_, follower) if follower.is_apart())
    }

    /// Records before `offset`, of those that readers may see, are deleted; where the log begins then. Only the leader does that.
    pub fn delete_records(&mut self, offset: Offset, now_ms: i64) -> Result<Effects, DiskFailed> {
        let Role::Leader(leader) = &mut self.role else { return Ok(Effects::default()) };
        match self.log.advance_log_start(offset.min(leader.high_watermark())) {
            Ok(_) => leader.on_log_start(self.log.log_start_offset()),
            Err(AppendError::Fatal(_)) => return Err(DiskFailed),
            Err(_) => {}
        }
        Ok(self.carry_out(leader::Effects::default(), now_ms))
    }

    /// The metadata says this of the partition.
    pub fn on_metadata(&mut self, partition: &Partition, image: &Image, now_ms: i64) -> Effects {
        let epoch = partition.leader_epoch;
        let agreed = AgreedPartition::of(partition, image);
        match &mut self.role {
            Role::Leader(leader) if leader.leader_epoch() == epoch => {
                let standings = leader.on_brokers(|id| Some(Standing::of(id, image)), now_ms);
                let agreed = leader.on_partition(agreed, now_ms);
                let mut effects = self.carry_out(standings, now_ms);
                effects.extend(self.carry_out(agreed, now_ms));
                effects
            }
            Role::Follower(_, follower) if follower.leader_epoch() == epoch => Effects::default(),
            _ => self.take_role(partition, agreed, now_ms),
        }
    }

    /// A node that this one follows can be reached (again), or it is time to ask again.
    pub fn on_reachable(&mut self, peer: BrokerId) -> Effects {
        let Role::Follower(leader, follower) = &mut self.role else { return Effects::default() };
        if *leader != peer {
            return Effects::default();
        }
        let effects = follower.on_connected(&self.log.epochs());
        self.follow_up(effects, &[], 0).unwrap_or_default()
    }

    /// The connection to a node broke.
    pub fn on_disconnected(&mut self, peer: BrokerId, now_ms: i64) -> Effects {
        match &mut self.role {
            Role::Follower(leader, follower) if *leader == peer => {
                follower.on_disconnected();
                Effects::default()
            }
            Role::Leader(leader) => match leader.session_of(peer) {
                Some(session) => {
                    let effects = leader.on_session_lost(session, now_ms);
                    self.carry_out(effects, now_ms)
                }
                None => Effects::default(),
            },
            _ => Effects::default(),
        }
    }

    /// A message came.
    pub fn on_message(&mut self, from: BrokerId, message: Message, now_ms: i64) -> Result<Effects, DiskFailed> {
        match (message, &mut self.role) {
            (Message::Replicate(asked), Role::Leader(leader)) => {
                leader.on_log_start(self.log.log_start_offset());
                let (answer, effects) = leader.on_replicate(&asked, &self.log.epochs(), now_ms);
                let mut done = Effects { messages: vec![(from, Message::Answer(answer))], ..Effects::default() };
                done.extend(self.carry_out(effects, now_ms));
                Ok(done)
            }
            (Message::Replicate(asked), role) => {
                let is_over = matches!(role, Role::Follower(_, follower) if follower.leader_epoch() > asked.leader_epoch);
                let verdict = if is_over { Verdict::Fenced } else { Verdict::UnknownEpoch };
                Ok(Effects { messages: vec![(from, Message::Answer(asked.answer(verdict)))], ..Effects::default() })
            }
            (Message::Answer(answer), Role::Follower(leader, follower)) if *leader == from => {
                follower.on_log_start(self.log.log_start_offset());
                let effects = follower.on_answer(answer, &self.log.epochs());
                self.follow_up(effects, &[], now_ms)
            }
            (Message::Frame(frame, bytes), Role::Follower(leader, follower)) if *leader == from => {
                let Some(whole) = verified(&bytes) else { return Ok(Effects::default()) };
                follower.on_log_start(self.log.log_start_offset());
                let (effects, _misfit) = follower.on_frame(&frame, &self.log.epochs());
                self.follow_up(effects, &whole, now_ms)
            }
            (Message::Over(session), Role::Follower(leader, follower)) if *leader == from => {
                let effects = follower.on_session_lost(session, &self.log.epochs());
                self.follow_up(effects, &[], now_ms)
            }
            (Message::Ack(ack), Role::Leader(leader)) => {
                let effects = leader.on_ack(ack, now_ms);
                if let Some(fed) = self.fed.iter_mut().find(|fed| fed.session == ack.session) {
                    fed.ends.retain(|end| *end > ack.written_end_offset);
                }
                Ok(self.carry_out(effects, now_ms))
            }
            _ => Ok(Effects::default()),
        }
    }

    /// A producer writes; the ticket comes back with the answer.
    pub fn produce(&mut self, batch: ValidBatch<'_>, all_replicas: bool, ticket: u64, now_ms: i64) -> Result<Effects, DiskFailed> {
        let refuse = |refused| Ok(Effects { answered: vec![(ticket, Err(refused))], ..Effects::default() });
        let Role::Leader(leader) = &mut self.role else { return refuse(Refused::NotLeader) };
        if all_replicas && leader.check_in_sync().is_err() {
            return refuse(Refused::NotEnoughReplicas);
        }
        let append = Append { leader_epoch: leader.leader_epoch(), now_ms, sync: class(self.rules), privileged: true };
        let appended = match self.log.append(batch, append) {
            Ok(appended) => appended,
            Err(AppendError::Producer(_)) => return refuse(Refused::Sequence),
            Err(AppendError::Full) => return refuse(Refused::Full),
            Err(_) => return Err(DiskFailed),
        };
        let end_offset = appended.last_offset + 1;
        let effects = leader.on_append(self.log.log_end_offset(), now_ms);
        if !appended.duplicate {
            self.syncing.push_back((appended.lsn, end_offset));
        }
        self.parked.push(Parked { ticket, base_offset: appended.base_offset, end_offset, alone: !all_replicas });
        Ok(self.carry_out(effects, now_ms))
    }

    /// The node itself writes, as the leader of `leader_epoch` and with enough replicas in sync, or not at all; where that begins.
    pub fn append_own(&mut self, batch: ValidBatch<'_>, leader_epoch: LeaderEpoch, now_ms: i64) -> Result<(Option<Offset>, Effects), DiskFailed> {
        let Role::Leader(leader) = &mut self.role else { return Ok((None, Effects::default())) };
        if leader.leader_epoch() != leader_epoch || leader.check_in_sync().is_err() {
            return Ok((None, Effects::default()));
        }
        let append = Append { leader_epoch, now_ms, sync: class(self.rules), privileged: true };
        let appended = match self.log.append(batch, append) {
            Ok(appended) => appended,
            Err(AppendError::Fatal(_)) => return Err(DiskFailed),
            Err(_) => return Ok((None, Effects::default())),
        };
        let effects = leader.on_append(self.log.log_end_offset(), now_ms);
        self.syncing.push_back((appended.lsn, appended.last_offset + 1));
        Ok((Some(appended.base_offset), self.carry_out(effects, now_ms)))
    }

    /// Everything before `durable` in the write-ahead log is on the disk.
    pub fn on_durable(&mut self, durable: Lsn, now_ms: i64) -> Effects {
        let mut reached = None;
        while let Some((_, end)) = self.syncing.front().copied().filter(|(lsn, _)| *lsn <= durable) {
            self.syncing.pop_front();
            reached = Some(end);
        }
        let Some(end) = reached else { return Effects::default() };
        self.durable_end_offset = end;
        match &mut self.role {
            Role::Leader(leader) => {
                let effects = leader.on_durable(end, now_ms);
                self.carry_out(effects, now_ms)
            }
            Role::Follower(_, follower) => {
                let effects = follower.on_durable(end);
                self.follow_up(effects, &[], now_ms).unwrap_or_default()
            }
            Role::None => Effects::default(),
        }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now_ms: i64) -> Effects {
        match &mut self.role {
            Role::Leader(leader) => {
                let effects = leader.on_tick(now_ms);
                self.carry_out(effects, now_ms)
            }
            Role::Follower(leader, follower) if follower.waits() => {
                let peer = *leader;
                self.on_reachable(peer)
            }
            _ => Effects::default(),
        }
    }

    /// The controller answered a proposal; none if no answer came.
    pub fn on_outcome(&mut self, partition_epoch: i32, outcome: Option<Outcome>, now_ms: i64) -> Effects {
        let Role::Leader(leader) = &mut self.role else { return Effects::default() };
        let effects = match outcome {
            Some(outcome) => leader.on_outcome(partition_epoch, outcome, now_ms),
            None => leader.on_proposal_lost(partition_epoch),
        };
        self.carry_out(effects, now_ms)
    }

    fn take_role(&mut self, partition: &Partition, agreed: AgreedPartition, now_ms: i64) -> Effects {
        let mut done = Effects::default();
        done.answered.extend(self.parked.drain(..).map(|parked| (parked.ticket, Err(Refused::NotLeader))));
        self.fed.clear();
        let (log_start_offset, log_end_offset) = (self.log.log_start_offset(), self.log.log_end_offset());
        if partition.leader == self.broker_id {
            // Before anyone is answered: the epoch begins here.
            self.log.begin_epoch(agreed.leader_epoch);
            let (leader, effects) = Leader::elect(Election {
                broker_id: self.broker_id,
                broker_epoch: self.broker_epoch,
                leader_epoch: agreed.leader_epoch,
                partition_epoch: agreed.partition_epoch,
                replicas: agreed.replicas,
                in_sync: agreed.in_sync,
                min_in_sync_replicas: agreed.min_in_sync_replicas,
                log_start_offset,
                log_end_offset,
                durable_end_offset: self.durable_end_offset,
                high_watermark: self.high_watermark,
                rules: self.rules,
                now_ms,
            });
            self.role = Role::Leader(Box::new(leader));
            done.extend(self.carry_out(effects, now_ms));
        } else if partition.leader >= 0 {
            let follower = Follower::follow(Following {
                broker_id: self.broker_id,
                broker_epoch: self.broker_epoch,
                leader_epoch: agreed.leader_epoch,
                log_start_offset,
                log_end_offset,
                durable_end_offset: self.durable_end_offset,
                high_watermark: self.high_watermark,
            });
            self.role = Role::Follower(partition.leader, Box::new(follower));
        } else {
            self.role = Role::None;
        }
        done
    }

    fn carry_out(&mut self, effects: leader::Effects, now_ms: i64) -> Effects {
        let mut done = Effects { propose: effects.propose, ..Effects::default() };
        self.fed.retain(|fed| !effects.ended.contains(&fed.session));
        let Role::Leader(leader) = &self.role else { return done };
        self.high_watermark = leader.high_watermark();
        self.log.note_high_watermark(self.high_watermark);
        let after: Result<(), NotEnoughReplicas> = leader.check_in_sync_after_append();
        let own_end = match self.rules.confirmation {
            Confirmation::Durable => self.durable_end_offset,
            Confirmation::Written => self.log.log_end_offset(),
        };
        let high_watermark = self.high_watermark;
        self.parked.retain(|parked| {
            let reached = if parked.alone { own_end } else { high_watermark };
            let is_done = parked.end_offset <= reached;
            if is_done {
                let enough = parked.alone || after.is_ok();
                let answer = if enough { Ok(parked.base_offset) } else { Err(Refused::NotEnoughReplicas) };
                done.answered.push((parked.ticket, answer));
            }
            !is_done
        });
        self.ship(&mut done, now_ms);
        done
    }
}

impl Effects {
    /// Adds what came of a later event.
    pub fn extend(&mut self, later: Effects) {
        self.messages.extend(later.messages);
        self.answered.extend(later.answered);
        self.propose = later.propose.or(self.propose.take());
    }
}

fn class(rules: Rules) -> SyncClass {
    match rules.confirmation {
        Confirmation::Durable => SyncClass::Commit,
        Confirmation::Written => SyncClass::Interval,
    }
}

/// Each batch with its checksum found right; none if one is not.
fn verified(bytes: &[u8]) -> Option<Vec<ValidBatch<'_>>> {
    batches(bytes).map(|batch| batch.ok()?.verify().ok()).collect()
}
