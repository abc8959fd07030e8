//! A leader and its followers: who is fed, from where on, and how far they are.

use super::{Confirmation, Effects, Leader, Replica};
use crate::ids::{BrokerId, Offset, TimestampMs};
use crate::partition::epochs::LeaderEpochs;
use crate::partition::stream::{Ack, Answer, Replicate, SessionId, Verdict};
use crate::rule::{Rule, upheld};

/// How far a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Confirmed {
    /// One past the last record in its log.
    pub written: Offset,
    /// How much of that is on its disk.
    pub durable: Offset,
}

/// How far a follower is behind its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Records that it lacks.
    pub records: i64,
    /// Since when it has not had everything; none for one that had not yet in this leadership.
    pub behind_ms: Option<i64>,
}

impl Confirmed {
    /// What of it counts on this topic.
    pub(super) fn counted(self, confirmation: Confirmation) -> Offset {
        match confirmation {
            Confirmation::Durable => self.durable,
            Confirmation::Written => self.written,
        }
    }
}

/// A follower that is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// The question that it was opened upon.
    ask: u32,
    /// Of the incarnation that asked: only it may be proposed for the in-sync set (KIP-903).
    pub(super) broker_epoch: i64,
    /// One past the last record that was sent.
    sent_end_offset: Offset,
}

impl Leader {
    /// A follower asks to be fed. Leadership and epoch are looked at first, then whether it is a replica at all
    /// (KAFKA-13837, KAFKA-14078); `epochs` are those of the leader's log, its own epoch among them.
    pub fn on_replicate(&mut self, asked: &Replicate, epochs: &LeaderEpochs, now_ms: TimestampMs) -> (Answer, Effects) {
        let mut effects = Effects::default();
        let verdict = match self.refuse(asked, epochs) {
            Some(verdict) => verdict,
            None => self.open(asked, now_ms, &mut effects),
        };
        (asked.answer(verdict), effects)
    }

    /// The follower of this session, and where its next frame begins; none if the session is not current.
    pub fn next_frame(&self, session: SessionId) -> Option<(BrokerId, Offset)> {
        let replica = self.fed_by(session)?;
        Some((replica.broker_id, replica.session?.sent_end_offset))
    }

    /// The session that `replica` is fed by.
    pub fn session_of(&self, replica: BrokerId) -> Option<SessionId> {
        Some(self.follower(replica)?.session?.id)
    }

    /// How far `replica` is behind; none while it has confirmed nothing in this leadership.
    pub fn lag_of(&self, replica: BrokerId, now_ms: TimestampMs) -> Option<Lag> {
        let replica = self.follower(replica)?;
        let confirmed = replica.confirmed?;
        let has_all = confirmed.counted(self.rules.confirmation) >= self.log_end_offset;
        let behind_ms = if has_all { Some(0) } else { replica.caught_up_ms.map(|at_ms| now_ms.saturating_sub(at_ms).max(0)) };
        Some(Lag { records: (self.log_end_offset - confirmed.written).max(0), behind_ms })
    }

    /// Records up to `end_offset` were put on their way. False if the session is over: nothing is to be sent.
    pub fn on_sent(&mut self, session: SessionId, end_offset: Offset) -> bool {
        match self.session_mut(session) {
            Some(session) => {
                session.sent_end_offset = session.sent_end_offset.max(end_offset);
                true
            }
            None => false,
        }
    }

    /// A follower says how far it is. One that names what it was not sent, or goes back, does not keep the protocol: its
    /// session ends.
    pub fn on_ack(&mut self, ack: Ack, now_ms: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        let Some(replica) = self.fed_by(ack.session) else { return effects };
        let (id, before, sent) = (replica.broker_id, replica.confirmed, replica.session.map_or(0, |session| session.sent_end_offset));
        let forward = before.is_none_or(|before| before.written <= ack.written_end_offset && before.durable <= ack.durable_end_offset);
        if !forward || ack.written_end_offset > sent || ack.durable_end_offset > ack.written_end_offset {
            self.end_session(id, &mut effects);
            return effects;
        }
        self.confirm(id, Confirmed { written: ack.written_end_offset, durable: ack.durable_end_offset }, now_ms, &mut effects);
        effects
    }

    /// The connection of this session broke, or it was closed for falling too far behind. What its follower has
    /// confirmed stays confirmed.
    pub fn on_session_lost(&mut self, session: SessionId, now_ms: TimestampMs) -> Effects {
        let mut effects = Effects::default();
        if let Some(id) = self.fed_by(session).map(|replica| replica.broker_id) {
            self.end_session(id, &mut effects);
            // One who was about to join need not be waited for any more.
            self.advance(now_ms, &mut effects);
        }
        effects
    }

    fn refuse(&self, asked: &Replicate, epochs: &LeaderEpochs) -> Option<Verdict> {
        if asked.leader_epoch < self.leader_epoch {
            return Some(Verdict::Fenced);
        }
        if asked.leader_epoch > self.leader_epoch || self.follower(asked.broker_id).is_none() {
            return Some(Verdict::UnknownEpoch);
        }
        if self.has_answered_later(asked) {
            // Nobody waits for the answer: an earlier connection is read behind a later one.
            return Some(Verdict::UnknownEpoch);
        }
        if asked.log_end_offset < self.log_start_offset {
            return Some(Verdict::OutOfRange { log_start_offset: self.log_start_offset });
        }
        let Some(last_epoch) = asked.last_epoch else {
            // No record, so none that differs; only its place may be wrong.
            let is_ahead = asked.log_end_offset > self.log_end_offset;
            return is_ahead.then_some(Verdict::OutOfRange { log_start_offset: self.log_start_offset });
        };
        let Some(end) = epochs.end_offset_for(last_epoch, self.log_end_offset) else {
            // An epoch above the one it says it follows: undefined is never guessed.
            return Some(Verdict::UnknownEpoch);
        };
        let diverged = match upheld(Rule::HistoriesCompared) {
            true => end.epoch < last_epoch || end.end_offset < asked.log_end_offset,
            false => self.log_end_offset < asked.log_end_offset,
        };
        diverged.then_some(Verdict::Diverged { epoch: end.epoch, end_offset: end.end_offset })
    }

    fn has_answered_later(&self, asked: &Replicate) -> bool {
        let session = self.follower(asked.broker_id).and_then(|replica| replica.session);
        session.is_some_and(|session| (session.broker_epoch, session.ask) > (asked.broker_epoch, asked.ask))
    }

    /// An accepted question is itself the first confirmation, and the only one that may lie before an earlier one: the
    /// follower may have lost what it only had in memory.
    fn open(&mut self, asked: &Replicate, now_ms: TimestampMs, effects: &mut Effects) -> Verdict {
        self.end_session(asked.broker_id, effects);
        self.sessions_opened += 1;
        let id = SessionId { leader_epoch: self.leader_epoch, number: self.sessions_opened };
        let session = Session { id, ask: asked.ask, broker_epoch: asked.broker_epoch, sent_end_offset: asked.log_end_offset };
        let log_end_offset = self.log_end_offset;
        let replica = self.follower_mut(asked.broker_id).expect("looked at in `refuse`");
        replica.session = Some(session);
        replica.mark = Some((now_ms, log_end_offset));
        let confirmed = Confirmed { written: asked.log_end_offset, durable: asked.durable_end_offset };
        self.confirm(asked.broker_id, confirmed, now_ms, effects);
        Verdict::Stream(id)
    }

    fn confirm(&mut self, id: BrokerId, confirmed: Confirmed, now_ms: TimestampMs, effects: &mut Effects) {
        let counted = confirmed.counted(self.rules.confirmation);
        let log_end_offset = self.log_end_offset;
        let replica = self.follower_mut(id).expect("a session belongs to a replica");
        replica.confirmed = Some(confirmed);
        replica.caught_up(counted, log_end_offset, now_ms);
        self.advance(now_ms, effects);
        self.consider_expanding(id, now_ms, effects);
    }

    /// Before the first record that they lack is appended, followers have everything.
    pub(super) fn mark_followers(&mut self, before: Offset, now_ms: TimestampMs) {
        let confirmation = self.rules.confirmation;
        let log_end_offset = self.log_end_offset;
        for replica in &mut self.followers {
            let Some(confirmed) = replica.confirmed else { continue };
            if confirmed.counted(confirmation) >= before {
                replica.caught_up_ms = replica.caught_up_ms.max(Some(now_ms));
            }
            if replica.mark.is_none() {
                replica.mark = Some((now_ms, log_end_offset));
            }
        }
    }

    /// Has it had everything within the time that is allowed? "It said something lately" is not enough.
    pub(super) fn has_everything(&self, replica: &Replica, now_ms: TimestampMs) -> bool {
        let counted = replica.confirmed.map(|confirmed| confirmed.counted(self.rules.confirmation));
        counted.is_some_and(|counted| counted >= self.log_end_offset)
            || replica.caught_up_ms.is_some_and(|caught_up_ms| now_ms.saturating_sub(caught_up_ms) <= self.rules.lag_max_ms)
    }

    pub(super) fn end_session(&mut self, id: BrokerId, effects: &mut Effects) {
        if let Some(session) = self.follower_mut(id).and_then(|replica| replica.session.take()) {
            effects.ended.push(session.id);
        }
    }

    fn fed_by(&self, session: SessionId) -> Option<&Replica> {
        self.followers.iter().find(|replica| replica.session.is_some_and(|current| is_same(current.id, session)))
    }

    fn session_mut(&mut self, session: SessionId) -> Option<&mut Session> {
        self.followers.iter_mut().filter_map(|replica| replica.session.as_mut()).find(|current| current.id == session)
    }
}

fn is_same(one: SessionId, other: SessionId) -> bool {
    one == other || (one.number == other.number && !upheld(Rule::SessionsOfThisLeadership))
}

impl Replica {
    fn caught_up(&mut self, counted: Offset, log_end_offset: Offset, now_ms: TimestampMs) {
        if counted >= log_end_offset {
            self.caught_up_ms = self.caught_up_ms.max(Some(now_ms));
            self.mark = None;
        } else if let Some((marked_ms, _)) = self.mark.filter(|(_, marked)| counted >= *marked) {
            self.caught_up_ms = self.caught_up_ms.max(Some(marked_ms));
            self.mark = Some((now_ms, log_end_offset));
        }
    }
}
