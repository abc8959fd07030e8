//! A follower's work: what its machine decides is done to its log, and what the log says is told to the machine.
//!
//! What it has to say waits here, one question and one confirmation at most, until the connection from its leader takes it: a
//! later one says all that an earlier one did.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chronik_log::batch::ValidBatch;
use chronik_log::{AppendError, CutError, Fatal, Lsn, Replicate as AppendReplica, SyncClass};
use chronik_state::ids::{BrokerId, LeaderEpoch, Offset};
use chronik_state::metadata::configs::SyncPolicy;
use chronik_state::partition::follower::{Effects, Follower, Misfit};
use chronik_state::partition::stream::{Ack, Answer, Frame, Replicate, SessionId};
use thiserror::Error;

use super::role::Role;
use super::{Aftermath, Partition};
use crate::net::reactor::Position;
use crate::node::now_ms;

/// A partition that another node leads.
pub(super) struct Following {
    pub(super) leader: BrokerId,
    pub(super) follower: Follower,
    /// Waits to be sent.
    ask: Option<Replicate>,
    /// Waits to be sent.
    confirms: bool,
    /// What the leader has been told, or will be by what waits here.
    told: Told,
}

#[derive(Clone, Copy, Default)]
struct Told {
    written_end_offset: Offset,
    durable_end_offset: Offset,
}

/// What a follower has to say to its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Ask(Replicate),
    Ack(Ack),
}

/// What came of a frame.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// What was appended: when it may be confirmed, and up to which offset.
    pub(crate) appended: Option<(Position, Offset)>,
    /// It did not fit, and the leader is asked anew.
    pub(crate) misfit: Option<Misfit>,
    /// The leader is to be asked again after a while.
    pub(crate) waits: bool,
}

/// The log cannot do what it is told.
#[derive(Debug, Error)]
pub(crate) enum FollowError {
    #[error("{0}")]
    Fatal(#[from] Fatal),
    #[error("the log of {log} could not be cut: {source}")]
    Cut { log: chronik_state::ids::LogId, source: CutError },
}

impl Following {
    pub(super) fn of(leader: BrokerId, follower: Follower) -> Self {
        Following { leader, follower, ask: None, confirms: false, told: Told::default() }
    }

    pub(super) fn high_watermark(&self) -> Offset {
        self.follower.high_watermark()
    }

    /// All before `end_offset` is written, and on disk if `durable`. True if the leader is to be told.
    pub(super) fn confirm(&mut self, end_offset: Offset, durable: bool) -> bool {
        if durable {
            // What it would have to say is said below, in its time.
            let _ = self.follower.on_durable(end_offset);
        }
        let written_end_offset = end_offset.min(self.follower.log_end_offset());
        self.tell(written_end_offset)
    }

    /// Has the leader told how far the log is, if that is news to it.
    fn tell(&mut self, written_end_offset: Offset) -> bool {
        let told = Told {
            written_end_offset: self.told.written_end_offset.max(written_end_offset),
            durable_end_offset: self.told.durable_end_offset.max(self.follower.durable_end_offset()),
        };
        let is_news = told.written_end_offset > self.told.written_end_offset
            || told.durable_end_offset > self.told.durable_end_offset;
        if self.follower.session().is_none() || !is_news {
            return false;
        }
        self.told = told;
        self.confirms = true;
        true
    }

    fn asks(&mut self, ask: Replicate) {
        self.told = Told { written_end_offset: ask.log_end_offset, durable_end_offset: ask.durable_end_offset };
        self.confirms = false;
        self.ask = Some(ask);
    }

    fn says(&mut self) -> Option<Says> {
        if let Some(ask) = self.ask.take() {
            return Some(Says::Ask(ask));
        }
        let session = self.follower.session().filter(|_| std::mem::take(&mut self.confirms))?;
        let Told { written_end_offset, durable_end_offset } = self.told;
        Some(Says::Ack(Ack { session, written_end_offset, durable_end_offset }))
    }
}

impl Partition {
    /// Whom it follows, if it does.
    pub(crate) fn follows(&self) -> Option<BrokerId> {
        match &*self.role.lock() {
            Role::Follower(following) => Some(following.leader),
            _ => None,
        }
    }

    /// Whom it follows, and in which leadership.
    pub(crate) fn leader(&self) -> Option<(BrokerId, LeaderEpoch)> {
        match &*self.role.lock() {
            Role::Follower(following) => Some((following.leader, following.follower.leader_epoch())),
            _ => None,
        }
    }

    /// `peer` is connected, and `ask_again` says that it may be time for another question.
    pub(crate) fn on_connected(self: &Arc<Self>, peer: BrokerId, ask_again: bool) {
        self.follow(peer, |partition, following| {
            let due = following.follower.is_apart() || (ask_again && following.follower.waits());
            if due {
                let effects = following.follower.on_connected(&partition.log.epochs());
                effects.ask.into_iter().for_each(|ask| following.asks(ask));
            }
            Aftermath { ready: due, ..Aftermath::default() }
        });
    }

    /// The connection from `peer` is gone.
    pub(crate) fn on_disconnected(self: &Arc<Self>, peer: BrokerId) {
        self.follow(peer, |_, following| {
            following.follower.on_disconnected();
            (following.ask, following.confirms) = (None, false);
            Aftermath::default()
        });
    }

    /// What `peer` is to hear, if it is followed.
    pub(crate) fn says_to(&self, peer: BrokerId) -> Option<Says> {
        match &mut *self.role.lock() {
            Role::Follower(following) if following.leader == peer => following.says(),
            _ => None,
        }
    }

    /// The leader has ended the session.
    pub(crate) fn on_session_over(self: &Arc<Self>, peer: BrokerId, session: SessionId) {
        self.follow(peer, |partition, following| {
            let effects = following.follower.on_session_lost(session, &partition.log.epochs());
            let ready = effects.ask.is_some();
            effects.ask.into_iter().for_each(|ask| following.asks(ask));
            Aftermath { ready, ..Aftermath::default() }
        });
    }

    /// The leader's answer; a cut that it asks for is on the disk when this returns. `durable` tells how far the write-ahead
    /// log is then.
    pub(crate) fn on_answer(
        self: &Arc<Self>,
        peer: BrokerId,
        answer: Answer,
        durable: impl Fn() -> Lsn,
    ) -> Result<Followed, FollowError> {
        let mut role = self.role.lock();
        let Role::Follower(following) = &mut *role else { return Ok(Followed::default()) };
        if following.leader != peer {
            return Ok(Followed::default());
        }
        following.follower.on_log_start(self.log.log_start_offset());
        let effects = following.follower.on_answer(answer, &self.log.epochs());
        let cut = effects.truncate_to.is_some() || effects.reset_to.is_some();
        if cut {
            self.cut(&effects)?;
            self.link.get().expect("a follower has one").cut_lsn.store(durable(), Ordering::Release);
        }
        assert_eq!(
            following.follower.log_end_offset(),
            self.log.log_end_offset(),
            "machine and log of {} agree",
            self.id
        );
        let mut ready = effects.ask.is_some();
        effects.ask.into_iter().for_each(|ask| following.asks(ask));
        // What came to the disk since the question was asked.
        ready |= following.tell(0);
        let waits = following.follower.waits();
        if cut {
            self.show(&role);
        }
        drop(role);
        self.finish(Aftermath { wake: cut, ready, propose: None });
        Ok(Followed { waits, ..Followed::default() })
    }

    /// Records, or news. `batches` are those that `frame` speaks of, each found whole.
    pub(crate) fn on_frame(
        self: &Arc<Self>,
        peer: BrokerId,
        frame: &Frame,
        batches: &[ValidBatch<'_>],
    ) -> Result<Followed, FollowError> {
        let mut role = self.role.lock();
        let Role::Follower(following) = &mut *role else { return Ok(Followed::default()) };
        if following.leader != peer {
            return Ok(Followed::default());
        }
        following.follower.on_log_start(self.log.log_start_offset());
        let (effects, fits) = following.follower.on_frame(frame, &self.log.epochs());
        let mut followed = Followed { misfit: fits.err(), ..Followed::default() };
        let mut ready = effects.ask.is_some();
        effects.ask.into_iter().for_each(|ask| following.asks(ask));
        followed.appended = match self.append_all(&batches[..effects.append]) {
            Ok(appended) => appended,
            Err(AppendError::Fatal(fatal)) => return Err(fatal.into()),
            Err(error) => {
                tracing::warn!(partition = %self.id, "records of the leader are not taken: {error}");
                following.follower.on_refused(self.log.log_end_offset());
                followed.waits = true;
                ready = false;
                None
            }
        };
        assert_eq!(
            following.follower.log_end_offset(),
            self.log.log_end_offset(),
            "machine and log of {} agree",
            self.id
        );
        let wake = effects.high_watermark.is_some();
        if let Some(log_start_offset) = effects.log_start_offset.filter(|_| !followed.waits) {
            self.advance_log_start(log_start_offset)?;
        }
        if wake {
            self.show(&role);
        }
        drop(role);
        self.finish(Aftermath { wake, ready, propose: None });
        Ok(followed)
    }

    fn append_all(&self, batches: &[ValidBatch<'_>]) -> Result<Option<(Position, Offset)>, AppendError> {
        let durable = self.settings().sync == SyncPolicy::Commit;
        let sync = if durable { SyncClass::Commit } else { SyncClass::Interval };
        let now_ms = now_ms();
        let mut appended = None;
        for batch in batches {
            let lsn = self.log.append_replica(*batch, AppendReplica { now_ms, sync, privileged: true })?;
            appended = Some((Position { lsn, durable }, batch.last_offset() + 1));
        }
        Ok(appended)
    }

    /// Records that the leader no longer has go here too, in the leader's time: whether that is on the disk is of no weight.
    fn advance_log_start(&self, log_start_offset: Offset) -> Result<(), Fatal> {
        match self.log.advance_log_start(log_start_offset) {
            Err(AppendError::Fatal(fatal)) => Err(fatal),
            _ => Ok(()),
        }
    }

    fn cut(&self, effects: &Effects) -> Result<(), FollowError> {
        let done = match (effects.truncate_to, effects.reset_to) {
            (Some(offset), _) => self.truncate(offset),
            (None, Some(offset)) => {
                tracing::info!(partition = %self.id, offset, "the log ends before its leader's begins, and begins anew there");
                self.log.reset_to(offset)
            }
            (None, None) => Ok(()),
        };
        done.map_err(|error| match error {
            CutError::Fatal(fatal) => FollowError::Fatal(fatal),
            source => FollowError::Cut { log: self.id, source },
        })
    }

    fn truncate(&self, offset: Offset) -> Result<(), CutError> {
        let (log_end_offset, high_watermark) = (self.log.log_end_offset(), self.log.high_watermark());
        if offset < high_watermark {
            tracing::error!(partition = %self.id, offset, high_watermark, "records that were visible are cut off: their leader was elected without them");
        } else if offset < log_end_offset {
            tracing::info!(partition = %self.id, offset, log_end_offset, "records that the leader does not have are cut off");
        }
        self.log.truncate_to(offset, now_ms())
    }

    fn follow(self: &Arc<Self>, peer: BrokerId, work: impl FnOnce(&Self, &mut Following) -> Aftermath) {
        let mut role = self.role.lock();
        let Role::Follower(following) = &mut *role else { return };
        if following.leader != peer {
            return;
        }
        let after = work(self, following);
        drop(role);
        self.finish(after);
    }
}
