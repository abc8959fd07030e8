//! What is to be done after events, in the order in which it must be done.

use bytes::Bytes;
use raft::eraftpb::Message;

use crate::{Entry, Membership, SavedSnapshot};

/// What a member must never forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term that it has seen.
    pub term: u64,
    /// Whom it voted for in that term; 0 for nobody.
    pub vote: u64,
    /// The last entry known to be committed. May be older than the truth: it needs no sync of its own.
    pub commit: u64,
}

/// One round. Its fields stand in the order in which they are carried out; then [`crate::Member::done`].
///
/// It could lose data to send `messages_after_sync` before what stands above them is on disk: a vote that is forgotten elects two
/// leaders of one term, an acknowledgement that is forgotten commits an entry which is on too few disks (correctness: a member never
/// takes back what it has said).
#[derive(Debug, Default)]
pub struct Work {
    /// A leader's messages: may leave at once, before anything is written (thesis, §10.2.1).
    pub messages: Vec<Message>,
    /// Takes the place of the log and of the application's state. Never together with `committed`.
    pub snapshot: Option<SavedSnapshot>,
    /// To be written from the first one's index on; whatever the log holds from there is cut off.
    pub entries: Vec<Entry>,
    /// To be written with them.
    pub hard_state: Option<HardState>,
    /// Whether all of it must be on disk, in one sync, before anything below is done.
    pub must_sync: bool,
    /// Votes and acknowledgements.
    pub messages_after_sync: Vec<Message>,
    /// To be applied, in order.
    pub committed: Vec<Committed>,
}

/// What becomes possible once a round's entries are on disk: more messages, then more to apply.
#[derive(Debug, Default)]
pub struct Rest {
    pub messages: Vec<Message>,
    pub committed: Vec<Committed>,
}

/// A committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub index: u64,
    pub term: u64,
    pub effect: Effect,
}

/// What a committed entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Changes the application's state.
    Data(Bytes),
    /// The group is this from now on.
    Membership(Membership),
}
