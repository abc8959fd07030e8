//! A follower of one partition: finds the place where its log and the leader's are one, and appends what it is sent.
//!
//! ```text
//!            connected                 Diverged, OutOfRange: cut, ask again
//!   Apart ───────────────▶ Asked ◀───────────────┐
//!     ▲                      │ Stream            │
//!     └──────────────────── Fed ─────────────────┘
//!        connection lost        a frame that does not fit: ask again
//! ```
//! Before it is fed it touches neither high watermark nor log start (KAFKA-14704): what the leader says of them is about
//! another history. It never guesses: a frame has to name where it goes on, and in which epoch.

use crate::ids::{BrokerId, LeaderEpoch, Offset};
use crate::partition::epochs::LeaderEpochs;
use crate::partition::stream::{Ack, Answer, BatchBounds, Frame, Replicate, SessionId, Verdict};
use crate::rule::{Rule, upheld};

/// Whom a node follows, and what it has.
#[derive(Debug, Clone)]
pub struct Following {
    /// This node.
    pub broker_id: BrokerId,
    /// Its incarnation.
    pub broker_epoch: i64,
    /// In which epoch the leader leads.
    pub leader_epoch: LeaderEpoch,
    /// Offset of its first record.
    pub log_start_offset: Offset,
    /// One past its last record.
    pub log_end_offset: Offset,
    /// How much of that is on its disk.
    pub durable_end_offset: Offset,
    /// What it knows of the high watermark.
    pub high_watermark: Offset,
}

/// What an event brought about, in the order in which it is to be carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Effects {
    /// Cut the log and its epochs to end here. The epochs also where the log ends here already (KAFKA-10706). The cut has
    /// to be durable before anything else.
    pub truncate_to: Option<Offset>,
    /// Drop the whole log; it begins and ends here.
    pub reset_to: Option<Offset>,
    /// Append so many batches of the frame, as they are.
    pub append: usize,
    /// Readers may see records below this.
    pub high_watermark: Option<Offset>,
    /// The log begins here now.
    pub log_start_offset: Option<Offset>,
    /// To the leader.
    pub ask: Option<Replicate>,
    /// To the leader.
    pub ack: Option<Ack>,
}

/// A frame that does not fit: the leader has to be asked anew. For the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It goes on elsewhere.
    #[error("a frame that goes on at {expected_end_offset} for a log that ends at {log_end_offset}")]
    Offset {
        /// Named by the frame.
        expected_end_offset: Offset,
        /// Where the log ends.
        log_end_offset: Offset,
    },
    /// Its leader's log has another epoch there.
    #[error("a frame behind epoch {previous} for a log whose last epoch is {last}")]
    Epoch {
        /// Named by the frame.
        previous: LeaderEpoch,
        /// The log's.
        last: LeaderEpoch,
    },
    /// A batch of it goes back, or is of a later leadership.
    #[error("batch {index} of a frame, offsets {base_offset} to {last_offset} of epoch {epoch}, does not follow")]
    Batch {
        /// Which batch.
        index: usize,
        /// Its first offset.
        base_offset: Offset,
        /// Its last.
        last_offset: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// No connection.
    Apart,
    /// Waits for the answer to the question of this number.
    Asked,
    /// The leader's metadata is behind: to be asked again.
    Waits,
    /// Its own metadata is behind: this leadership is over.
    Deposed,
    Fed(SessionId),
}

/// A partition as a follower sees it, under one leadership.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Follower {
    broker_id: BrokerId,
    broker_epoch: i64,
    leader_epoch: LeaderEpoch,
    phase: Phase,
    asks: u32,
    log_start_offset: Offset,
    log_end_offset: Offset,
    durable_end_offset: Offset,
    high_watermark: Offset,
}

impl Follower {
    /// Begins to follow. Nothing is done until there is a connection.
    pub fn follow(following: Following) -> Self {
        let Following { log_start_offset, log_end_offset, .. } = following;
        Follower {
            broker_id: following.broker_id,
            broker_epoch: following.broker_epoch,
            leader_epoch: following.leader_epoch,
            phase: Phase::Apart,
            asks: 0,
            log_start_offset,
            log_end_offset,
            durable_end_offset: following.durable_end_offset.min(log_end_offset),
            high_watermark: following.high_watermark.clamp(log_start_offset, log_end_offset),
        }
    }

    /// The leader's node is connected, or it is time to ask again.
    pub fn on_connected(&mut self, epochs: &LeaderEpochs) -> Effects {
        match self.phase {
            Phase::Apart | Phase::Waits | Phase::Asked => self.ask(epochs),
            Phase::Deposed | Phase::Fed(_) => Effects::default(),
        }
    }

    /// The connection is gone.
    pub fn on_disconnected(&mut self) {
        self.phase = Phase::Apart;
    }

    /// The leader ended the session, or the driver did, for having too much to do.
    pub fn on_session_lost(&mut self, session: SessionId, epochs: &LeaderEpochs) -> Effects {
        match self.phase {
            Phase::Fed(current) if current == session => self.ask(epochs),
            _ => Effects::default(),
        }
    }

    /// The leader's answer. `epochs` are those of the own log.
    pub fn on_answer(&mut self, answer: Answer, epochs: &LeaderEpochs) -> Effects {
        if !self.asks(answer) {
            return Effects::default();
        }
        match answer.verdict {
            Verdict::Fenced => self.phase = Phase::Deposed,
            Verdict::UnknownEpoch => self.phase = Phase::Waits,
            Verdict::OutOfRange { log_start_offset } => return self.reset(log_start_offset),
            Verdict::Diverged { epoch, end_offset } => return self.cut(epoch, end_offset, epochs),
            Verdict::Stream(session) => self.phase = Phase::Fed(session),
        }
        Effects::default()
    }

    /// A frame came, each batch of which is whole. Frames of other sessions are dropped without a word.
    pub fn on_frame(&mut self, frame: &Frame, epochs: &LeaderEpochs) -> (Effects, Result<(), Misfit>) {
        let Some(session) = self.session() else { return (Effects::default(), Ok(())) };
        if session != frame.session && upheld(Rule::FramesOfThisSession) {
            return (Effects::default(), Ok(()));
        }
        let last_epoch = epochs.latest().map(|latest| latest.epoch);
        // Of the record before the frame's: a leader that lost all it had written in its epoch still knows where that began.
        let before = epochs.epoch_at(self.log_end_offset - 1);
        let fits = self.check_place(frame, before).and_then(|()| self.check_batches(frame, last_epoch));
        let Err(misfit) = fits else {
            return (self.take(frame), Ok(()));
        };
        (self.ask(epochs), Err(misfit))
    }

    /// All records below `end_offset` are on this node's disk. The offset was taken before the sync was issued, and after
    /// the last cut.
    pub fn on_durable(&mut self, end_offset: Offset) -> Effects {
        let before = self.durable_end_offset;
        self.durable_end_offset = before.max(end_offset.min(self.log_end_offset));
        let ack = (self.durable_end_offset > before).then(|| self.ack()).flatten();
        Effects { ack, ..Effects::default() }
    }

    /// The log begins at `log_start_offset` now: retention works on every replica for itself.
    pub fn on_log_start(&mut self, log_start_offset: Offset) {
        self.log_start_offset = self.log_start_offset.max(log_start_offset.min(self.log_end_offset));
        self.high_watermark = self.high_watermark.max(self.log_start_offset);
    }

    /// The disk took less than it was told to: the log ends at `log_end_offset`. What is missing is asked for again, after a while.
    pub fn on_refused(&mut self, log_end_offset: Offset) {
        self.log_end_offset = log_end_offset;
        self.durable_end_offset = self.durable_end_offset.min(log_end_offset);
        self.high_watermark = self.high_watermark.min(log_end_offset);
        self.phase = Phase::Waits;
    }

    /// One past the last record that a reader may see here.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// One past the last record.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// How much of the log is on the disk.
    pub fn durable_end_offset(&self) -> Offset {
        self.durable_end_offset
    }

    /// The epoch it follows in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The session it is fed by.
    pub fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Fed(session) => Some(session),
            _ => None,
        }
    }

    /// Does it wait for this answer? One to an earlier question is of no use to it, nor one of an earlier leadership: cut by
    /// what an earlier leader said, its log could lose what is committed.
    pub fn asks(&self, answer: Answer) -> bool {
        let is_of_this = answer.leader_epoch == self.leader_epoch || !upheld(Rule::AnswersOfThisLeadership);
        self.phase == Phase::Asked && is_of_this && answer.ask == self.asks
    }

    /// True while it knows of no connection to its leader.
    pub fn is_apart(&self) -> bool {
        self.phase == Phase::Apart
    }

    /// True if it has to ask again by itself, after a while: the leader did not know of this leadership yet.
    pub fn waits(&self) -> bool {
        self.phase == Phase::Waits
    }

    fn ask(&mut self, epochs: &LeaderEpochs) -> Effects {
        self.ask_with(epochs.latest().map(|latest| latest.epoch))
    }

    fn ask_with(&mut self, last_epoch: Option<LeaderEpoch>) -> Effects {
        self.asks += 1;
        self.phase = Phase::Asked;
        let ask = Replicate {
            ask: self.asks,
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch,
            leader_epoch: self.leader_epoch,
            log_end_offset: self.log_end_offset,
            durable_end_offset: self.durable_end_offset,
            last_epoch,
        };
        Effects { ask: Some(ask), ..Effects::default() }
    }

    /// Its log ends before the leader's begins. The high watermark has to be raised with it: it would be above a log
    /// that is empty, or point to records that nobody has (KAFKA-9491).
    fn reset(&mut self, log_start_offset: Offset) -> Effects {
        self.log_start_offset = log_start_offset;
        self.log_end_offset = log_start_offset;
        self.durable_end_offset = log_start_offset;
        self.high_watermark = log_start_offset;
        Effects { reset_to: Some(log_start_offset), ..self.ask_with(None) }
    }

    /// Cuts to the last point at which both histories can be one: where the leader's epoch ends in either log. Several
    /// rounds may be needed, each of which shortens the log or its epochs.
    fn cut(&mut self, epoch: LeaderEpoch, end_offset: Offset, epochs: &LeaderEpochs) -> Effects {
        let own = epochs.end_offset_for(epoch, self.log_end_offset);
        let cut = match own {
            // Nothing at or below that epoch here: not even the first record is shared.
            None => self.log_start_offset,
            Some(_) if !upheld(Rule::CutByBothHistories) => end_offset,
            Some(own) if own.epoch != epoch => own.end_offset,
            Some(own) => own.end_offset.min(end_offset),
        };
        let cut = cut.min(self.log_end_offset).max(self.log_start_offset);
        self.log_end_offset = cut;
        self.durable_end_offset = self.durable_end_offset.min(cut);
        self.high_watermark = self.high_watermark.min(cut);
        let mut left = epochs.clone();
        left.truncate_from_end(cut);
        let last_epoch = left.latest().map(|latest| latest.epoch);
        Effects { truncate_to: Some(cut), ..self.ask_with(last_epoch) }
    }

    /// `last`: the epoch of the log's last record.
    fn check_place(&self, frame: &Frame, last: Option<LeaderEpoch>) -> Result<(), Misfit> {
        let (expected_end_offset, log_end_offset) = (frame.expected_end_offset, self.log_end_offset);
        if expected_end_offset != log_end_offset {
            return Err(Misfit::Offset { expected_end_offset, log_end_offset });
        }
        // A log that was reset knows no epoch, and a leader whose log begins here knows none before it.
        match (frame.previous_epoch, last) {
            (Some(previous), Some(last)) if previous != last => Err(Misfit::Epoch { previous, last }),
            _ => Ok(()),
        }
    }

    /// No batch may be of a later leadership than the session: a deposed leader that truncates and fetches again while a
    /// send is in progress would ship what its successor wrote (KAFKA-18723). Gaps are legal, compaction makes them.
    fn check_batches(&self, frame: &Frame, last: Option<LeaderEpoch>) -> Result<(), Misfit> {
        let (mut end, mut epoch) = (self.log_end_offset, last.unwrap_or(-1));
        for (index, batch) in frame.batches.iter().enumerate() {
            let BatchBounds { base_offset, last_offset, epoch: of_batch } = *batch;
            // The first batch of a log that was reset may begin before the leader's log does (KAFKA-6975).
            let straddles = index == 0 && self.log_end_offset == self.log_start_offset && base_offset < end && last_offset >= end;
            let follows = (base_offset >= end || straddles) && last_offset >= base_offset;
            if !follows || of_batch < epoch || of_batch > frame.session.leader_epoch {
                return Err(Misfit::Batch { index, base_offset, last_offset, epoch: of_batch });
            }
            (end, epoch) = (last_offset + 1, of_batch);
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame) -> Effects {
        let before = (self.high_watermark, self.log_start_offset);
        if let Some(last) = frame.batches.last() {
            self.log_end_offset = last.last_offset + 1;
        }
        self.log_start_offset = self.log_start_offset.max(frame.log_start_offset.min(self.log_end_offset));
        // What was visible stays visible: after an election the leader's is a lower bound for a while.
        let seen = if upheld(Rule::FollowersWatermarkStays) { self.high_watermark } else { 0 };
        let told = frame.high_watermark.min(self.log_end_offset);
        self.high_watermark = seen.max(told).max(self.log_start_offset);
        Effects {
            append: frame.batches.len(),
            high_watermark: (self.high_watermark > before.0).then_some(self.high_watermark),
            log_start_offset: (self.log_start_offset > before.1).then_some(self.log_start_offset),
            ack: if frame.batches.is_empty() { None } else { self.ack() },
            ..Effects::default()
        }
    }

    fn ack(&self) -> Option<Ack> {
        let session = self.session()?;
        let (written_end_offset, durable_end_offset) = (self.log_end_offset, self.durable_end_offset);
        Some(Ack { session, written_end_offset, durable_end_offset })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// It led in epoch 1, sent its first records and lost them itself; their leader in epoch 2 has them. It knows of epoch 1 and has no record
    /// of it. (Found by the simulated clusters: it asked for ever.)
    #[test]
    fn a_leader_that_lost_all_it_wrote_in_its_epoch_follows() {
        let mut follower = Follower::follow(Following {
            broker_id: 1,
            broker_epoch: 7,
            leader_epoch: 2,
            log_start_offset: 0,
            log_end_offset: 79,
            durable_end_offset: 79,
            high_watermark: 60,
        });
        let mut epochs = LeaderEpochs::default();
        epochs.assign(0, 0);
        epochs.assign(1, 79);
        let asked = follower.on_connected(&epochs).ask.unwrap();
        assert_eq!((asked.log_end_offset, asked.last_epoch), (79, Some(1)));
        let session = SessionId { leader_epoch: 2, number: 1 };
        let _ = follower.on_answer(asked.answer(Verdict::Stream(session)), &epochs);
        let batches = vec![BatchBounds { base_offset: 79, last_offset: 79, epoch: 1 }, BatchBounds { base_offset: 80, last_offset: 80, epoch: 2 }];
        let frame = Frame { session, expected_end_offset: 79, previous_epoch: Some(0), batches, high_watermark: 80, log_start_offset: 0 };
        let (effects, fits) = follower.on_frame(&frame, &epochs);
        assert_eq!((effects.append, fits), (2, Ok(())));
    }

    /// A full disk: what was taken in is less than what the frame brought.
    #[test]
    fn what_the_disk_did_not_take_is_asked_for_again() {
        let mut follower = Follower::follow(Following {
            broker_id: 1,
            broker_epoch: 7,
            leader_epoch: 3,
            log_start_offset: 0,
            log_end_offset: 0,
            durable_end_offset: 0,
            high_watermark: 0,
        });
        let mut epochs = LeaderEpochs::default();
        let asked = follower.on_connected(&epochs).ask.unwrap();
        let session = SessionId { leader_epoch: 3, number: 1 };
        let _ = follower.on_answer(asked.answer(Verdict::Stream(session)), &epochs);
        let batch = |base_offset| BatchBounds { base_offset, last_offset: base_offset + 9, epoch: 3 };
        let batches = vec![batch(0), batch(10)];
        let frame = Frame { session, expected_end_offset: 0, previous_epoch: None, batches, high_watermark: 20, log_start_offset: 0 };
        let (effects, fits) = follower.on_frame(&frame, &epochs);
        assert_eq!((effects.append, effects.high_watermark, fits), (2, Some(20), Ok(())));
        // One of the two.
        epochs.assign(3, 0);
        follower.on_refused(10);
        assert_eq!((follower.log_end_offset(), follower.high_watermark(), follower.session()), (10, 10, None));
        assert!(follower.waits());
        let again = follower.on_connected(&epochs).ask.unwrap();
        assert_eq!((again.log_end_offset, again.durable_end_offset, again.last_epoch), (10, 0, Some(3)));
        assert!(again.ask > asked.ask);
    }
}
