//! What a leader and a follower say to each other of one partition.
//!
//! The leader pushes. Where Kafka's follower proves with every fetch which epoch and offset it goes on from, here every
//! frame has to carry both: a connection outlives leader epochs, and frames of an old leadership may arrive after the
//! change. Whatever bears a session that is not the current one is dropped, on both sides.
//!
//! ```text
//!   follower                         leader
//!      │ ── Replicate(end, last epoch) ─▶ │   diverged? too far behind? of another epoch?
//!      │ ◀──────── Answer::Stream(session) │   accepted: this is its first confirmation
//!      │ ◀─ Frame(session, expected end) ─ │
//!      │ ── Ack(session, written, durable) ▶
//! ```

use alloc::vec::Vec;

use crate::ids::{BrokerId, LeaderEpoch, Offset};

/// One stretch of frames from a leader to a follower: the leader's epoch, and a number that it never gives twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// In which the leader leads.
    pub leader_epoch: LeaderEpoch,
    /// The how manieth session of that leadership, from 1.
    pub number: u32,
}

/// A follower asks to be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Replicate {
    /// Comes back with the answer, with the leader epoch, so that an answer to an earlier question is not taken for this
    /// one's.
    pub ask: u32,
    /// Who asks.
    pub broker_id: BrokerId,
    /// Which incarnation of it (KIP-903).
    pub broker_epoch: i64,
    /// The leadership it knows of.
    pub leader_epoch: LeaderEpoch,
    /// One past its last record.
    pub log_end_offset: Offset,
    /// How much of that is on its disk.
    pub durable_end_offset: Offset,
    /// The newest epoch in its cache; none for a log that never held a record.
    pub last_epoch: Option<LeaderEpoch>,
}

impl Replicate {
    /// The answer to this question.
    pub fn answer(&self, verdict: Verdict) -> Answer {
        Answer { leader_epoch: self.leader_epoch, ask: self.ask, verdict }
    }
}

/// What the leader says to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The question's: numbers begin anew with each leadership, and what was said of another one's log is not about this
    /// one's.
    pub leader_epoch: LeaderEpoch,
    /// The question's.
    pub ask: u32,
    /// See there.
    pub verdict: Verdict,
}

/// How a follower is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It knows of an older leadership only: it waits for its metadata.
    Fenced,
    /// The leader's metadata is behind: it is asked again later. Nobody has failed.
    UnknownEpoch,
    /// Its log ends before the leader's begins: it starts anew there.
    OutOfRange {
        /// Where the leader's log begins.
        log_start_offset: Offset,
    },
    /// Its history is another one: it cuts, and asks again (KIP-101, KIP-279).
    Diverged {
        /// The largest epoch, not above the follower's last, that the leader knows.
        epoch: LeaderEpoch,
        /// Where that ends in the leader's log.
        end_offset: Offset,
    },
    /// Frames follow, from the log end that was named.
    Stream(SessionId),
}

/// What a frame says of one of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchBounds {
    /// Its first offset.
    pub base_offset: Offset,
    /// Its last.
    pub last_offset: Offset,
    /// The leader that wrote it first.
    pub epoch: LeaderEpoch,
}

/// Records for a follower, or without batches only news of the leader's offsets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// To which stretch of frames it belongs.
    pub session: SessionId,
    /// Where the follower's log ends before it.
    pub expected_end_offset: Offset,
    /// The epoch of the record before that, as the leader knows it: none where its log begins here.
    pub previous_epoch: Option<LeaderEpoch>,
    /// In order.
    pub batches: Vec<BatchBounds>,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// Where the leader's log begins.
    pub log_start_offset: Offset,
}

/// How far a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ack {
    /// The session it is fed by.
    pub session: SessionId,
    /// One past the last record in its log.
    pub written_end_offset: Offset,
    /// How much of that is on its disk: taken before the sync was issued.
    pub durable_end_offset: Offset,
}
