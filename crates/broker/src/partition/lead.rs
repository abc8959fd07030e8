//! A leader's work for its followers: it answers who asks to be fed, cuts frames from its log, and hears how far they are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chronik_log::batch::batches;
use chronik_log::{ReadError, ReadRequest};
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::partition::leader::{Effects, Lag, NotEnoughReplicas, Outcome};
use chronik_state::partition::stream::{Ack, Answer, Frame, Replicate, SessionId, Verdict};
use thiserror::Error;

use super::Partition;
use super::append::Refused;
use super::role::Role;
use crate::node::{now_ms, steady_ms};

/// Bytes of records in one frame, one batch apart.
const FRAME_BYTES: usize = 256 << 10;
/// Bytes that one session may have on the way: sent, and not confirmed.
const CREDIT_BYTES: usize = 4 << 20;

/// A session as the connection sees it that carries it.
pub(crate) struct Fed {
    session: SessionId,
    told_high_watermark: Offset,
    told_log_start_offset: Offset,
    /// Where each frame ends that is on its way, and its bytes.
    on_the_way: VecDeque<(Offset, usize)>,
    bytes_on_the_way: usize,
}

impl Fed {
    pub(crate) fn by(session: SessionId) -> Self {
        Fed {
            session,
            told_high_watermark: -1,
            told_log_start_offset: -1,
            on_the_way: VecDeque::new(),
            bytes_on_the_way: 0,
        }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    pub(crate) fn bytes_on_the_way(&self) -> usize {
        self.bytes_on_the_way
    }

    /// What was sent up to `end_offset` has come. True if that makes room for what had none.
    pub(crate) fn has_come(&mut self, end_offset: Offset) -> bool {
        let was_full = !self.has_room();
        while let Some((_, bytes)) = self.on_the_way.front().copied().filter(|(end, _)| *end <= end_offset) {
            self.on_the_way.pop_front();
            self.bytes_on_the_way -= bytes;
        }
        was_full && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.bytes_on_the_way < CREDIT_BYTES
    }

    fn sent(&mut self, frame: &Frame, bytes: usize) {
        self.told_high_watermark = frame.high_watermark;
        self.told_log_start_offset = frame.log_start_offset;
        if let Some(last) = frame.batches.last() {
            self.on_the_way.push_back((last.last_offset + 1, bytes));
            self.bytes_on_the_way += bytes;
        }
    }
}

/// What there is to send in a session.
pub(crate) enum Shipment {
    /// A frame and its batches; there may be more.
    Frame(Frame, Vec<u8>),
    /// Nothing, or nothing for which there is room.
    Nothing,
    /// The session is over.
    Over,
}

/// A record that was taken is not committed, and will not be in this leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NotCommitted {
    #[error("another broker leads the partition by now")]
    NotLeader,
    #[error("the records were appended, but {0}")]
    NotEnoughReplicas(#[from] NotEnoughReplicas),
    #[error("not all in-sync replicas have taken the records in time")]
    TimedOut,
}

impl Partition {
    /// May a write with acks=all begin?
    pub(crate) fn check_in_sync(&self) -> Result<(), Refused> {
        match &*self.role.lock() {
            Role::Leader(leader) => Ok(leader.check_in_sync()?),
            _ => Err(Refused::NotLeader),
        }
    }

    /// What became of records up to `end_offset` that were taken in `leader_epoch`; none while that is open.
    pub(crate) fn committed(&self, end_offset: Offset, leader_epoch: LeaderEpoch) -> Option<Result<(), NotCommitted>> {
        match &*self.role.lock() {
            Role::Leader(leader) if leader.leader_epoch() == leader_epoch => {
                let reached = leader.high_watermark() >= end_offset;
                reached.then(|| leader.check_in_sync_after_append().map_err(NotCommitted::from))
            }
            _ => Some(Err(NotCommitted::NotLeader)),
        }
    }

    /// Whether records wait for other replicas.
    pub(crate) fn is_replicated(&self) -> bool {
        self.link.get().is_some()
    }

    /// The other replicas, if this node leads.
    pub(crate) fn followers(&self) -> Vec<BrokerId> {
        match &*self.role.lock() {
            Role::Leader(leader) => leader.followers().collect(),
            _ => Vec::new(),
        }
    }

    /// The in-sync followers that hold the record at `offset`, with how far they are (KIP-392); none if this node does not lead.
    pub(crate) fn holders_of(&self, offset: Offset) -> Vec<(BrokerId, Offset)> {
        let Role::Leader(leader) = &*self.role.lock() else { return Vec::new() };
        let known = |id: BrokerId| Some((id, leader.confirmed(id)?.written));
        leader.in_sync().skip(1).filter_map(known).filter(|(_, end)| *end >= offset).collect()
    }

    /// How far each follower is behind that has confirmed anything, if this node leads.
    pub(crate) fn lags(&self) -> Vec<(BrokerId, Lag)> {
        let Role::Leader(leader) = &*self.role.lock() else { return Vec::new() };
        let now_ms = steady_ms();
        leader.followers().filter_map(|id| Some((id, leader.lag_of(id, now_ms)?))).collect()
    }

    /// A follower asks to be fed.
    pub(crate) fn on_replicate(self: &Arc<Self>, asked: &Replicate) -> Answer {
        let mut role = self.role.lock();
        let (answer, effects) = match &mut *role {
            Role::Leader(leader) => {
                leader.on_log_start(self.log.log_start_offset());
                let id = asked.broker_id;
                let is_awaited = leader.confirmed(id).is_none() && leader.in_sync().any(|member| member == id);
                let (answer, effects) = leader.on_replicate(asked, &self.log.epochs(), steady_ms());
                if is_awaited && matches!(answer.verdict, Verdict::Stream(_)) {
                    self.count_discovery();
                }
                (answer, effects)
            }
            role => {
                let is_over = role.leader_epoch() > asked.leader_epoch;
                (asked.answer(if is_over { Verdict::Fenced } else { Verdict::UnknownEpoch }), Effects::default())
            }
        };
        let after = self.carry_out(&role, effects);
        drop(role);
        self.finish(after);
        answer
    }

    /// A follower that the set counts on has found this leader.
    fn count_discovery(&self) {
        let Some(link) = self.link.get() else { return };
        let took_ms = steady_ms().saturating_sub(link.led_since_ms.load(Ordering::Relaxed));
        link.shared.discovery.observe(Duration::from_millis(took_ms.max(0).unsigned_abs()));
    }

    /// A follower says how far it is.
    pub(crate) fn on_ack(self: &Arc<Self>, ack: Ack) {
        self.change(|role| match role {
            Role::Leader(leader) => {
                let effects = leader.on_ack(ack, steady_ms());
                if !effects.ended.is_empty() {
                    tracing::warn!(partition = %self.id, ?ack, "a follower confirms what it was not sent, or goes back: it has to ask anew");
                }
                effects
            }
            _ => Effects::default(),
        });
    }

    /// The connection of this session is gone.
    pub(crate) fn on_session_lost(self: &Arc<Self>, session: SessionId) {
        self.change(|role| match role {
            Role::Leader(leader) => leader.on_session_lost(session, steady_ms()),
            _ => Effects::default(),
        });
    }

    /// The log's start has moved: followers are told at once.
    pub(crate) fn on_log_start(self: &Arc<Self>) {
        let Some(link) = self.link.get() else { return };
        if let Role::Leader(leader) = &mut *self.role.lock() {
            leader.on_log_start(self.log.log_start_offset());
        }
        self.is_ready(link);
    }

    /// Time has passed.
    pub(crate) fn on_tick(self: &Arc<Self>) {
        let Some(link) = self.link.get() else { return };
        let lost = link.lost_proposal.swap(NO_PROPOSAL, Ordering::AcqRel);
        self.change(|role| {
            let Role::Leader(leader) = role else { return Effects::default() };
            leader.on_log_start(self.log.log_start_offset());
            let mut effects = leader.on_tick(steady_ms());
            if lost != NO_PROPOSAL {
                effects.propose = leader.on_proposal_lost(lost).propose.or(effects.propose);
            }
            effects
        });
        if link.told_log_start.swap(self.log.log_start_offset(), Ordering::AcqRel) < self.log.log_start_offset() {
            self.is_ready(link);
        }
    }

    /// The controller answered the proposal made upon `partition_epoch`; none if no answer came, and then it is made again
    /// after a while.
    pub(crate) fn on_outcome(self: &Arc<Self>, partition_epoch: i32, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else {
            self.link.get().into_iter().for_each(|link| link.lost_proposal.store(partition_epoch, Ordering::Release));
            return;
        };
        self.change(|role| match role {
            Role::Leader(leader) => leader.on_outcome(partition_epoch, outcome, steady_ms()),
            _ => Effects::default(),
        });
    }

    /// The next frame of a session, as far as its follower has room; none with records if there is no room at all
    /// (`room`). What a frame says of offsets is of one moment (KAFKA-7104).
    pub(crate) fn next_shipment(&self, fed: &mut Fed, room: bool) -> Result<Shipment, ReadError> {
        let (from, high_watermark) = {
            let Role::Leader(leader) = &*self.role.lock() else { return Ok(Shipment::Over) };
            let Some((_, from)) = leader.next_frame(fed.session) else { return Ok(Shipment::Over) };
            (from, leader.high_watermark())
        };
        let log_start_offset = self.log.log_start_offset();
        let has_records = from < self.log.log_end_offset() && room && fed.has_room();
        let has_news = fed.told_high_watermark < high_watermark || fed.told_log_start_offset < log_start_offset;
        if !has_records && !has_news {
            return Ok(Shipment::Nothing);
        }
        let bytes = if has_records { self.read_for_replica(from)? } else { Vec::new() };
        let frame = Frame {
            session: fed.session,
            expected_end_offset: from,
            previous_epoch: self.log.epoch_at(from - 1),
            batches: batches(&bytes).map_while(|batch| Some(super::bounds(&batch.ok()?))).collect(),
            high_watermark,
            log_start_offset,
        };
        // Whether it is still the same leadership: in between the log may have been cut, and another one be appended to.
        let end_offset = frame.batches.last().map_or(from, |last| last.last_offset + 1);
        let is_current = match &mut *self.role.lock() {
            Role::Leader(leader) => leader.on_sent(fed.session, end_offset),
            _ => false,
        };
        if !is_current {
            return Ok(Shipment::Over);
        }
        fed.sent(&frame, bytes.len());
        Ok(Shipment::Frame(frame, bytes))
    }

    fn read_for_replica(&self, offset: Offset) -> Result<Vec<u8>, ReadError> {
        let request = ReadRequest {
            offset,
            max_bytes: FRAME_BYTES,
            end_offset: Offset::MAX,
            at_least_one: true,
            now_ms: now_ms(),
        };
        let outcome = self.log.read(request)?;
        outcome.to_vec().map_err(|source| ReadError::Io { path: self.id.to_string().into(), source })
    }
}

/// No proposal is lost.
pub(super) const NO_PROPOSAL: i32 = -1;
