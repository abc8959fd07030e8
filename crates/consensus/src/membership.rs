//! Who belongs to the group.

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};

/// The members by their ids. While it is changed in one go (a joint membership), `outgoing` and `next` hold the other half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Who votes and counts.
    pub voters: Vec<u64>,
    /// Who gets the log and does not count.
    pub learners: Vec<u64>,
    /// Who counts as well until the change is through.
    pub outgoing: Vec<u64>,
    /// Who becomes a learner once it is.
    pub next: Vec<u64>,
    /// Whether the joint membership ends by itself.
    pub auto_leave: bool,
}

impl Membership {
    /// These voters and nobody else.
    pub fn of(voters: impl IntoIterator<Item = u64>) -> Membership {
        Membership { voters: voters.into_iter().collect(), ..Membership::default() }
    }

    /// Whether a change has begun and not ended.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// For storage next to the applied index.
    pub fn encode(&self) -> Vec<u8> {
        ConfState::from(self.clone()).encode_to_vec()
    }

    /// What [`Membership::encode`] gave.
    pub fn decode(bytes: &[u8]) -> Result<Membership, prost::DecodeError> {
        Ok(ConfState::decode(bytes)?.into())
    }
}

impl From<Membership> for ConfState {
    fn from(membership: Membership) -> Self {
        ConfState {
            voters: membership.voters,
            learners: membership.learners,
            voters_outgoing: membership.outgoing,
            learners_next: membership.next,
            auto_leave: membership.auto_leave,
        }
    }
}

impl From<ConfState> for Membership {
    fn from(state: ConfState) -> Self {
        Membership {
            voters: state.voters,
            learners: state.learners,
            outgoing: state.voters_outgoing,
            next: state.learners_next,
            auto_leave: state.auto_leave,
        }
    }
}

/// One step of a change. Several in one proposal go by way of a joint membership, which ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Gets the log without counting; a voter becomes a learner.
    Learner(u64),
    /// Counts from now on.
    Voter(u64),
    /// Belongs to the group no longer. Its id is never used again.
    Remove(u64),
}

/// The library's form of a change.
pub(crate) fn proposal(changes: &[Change]) -> ConfChangeV2 {
    let step = |change: &Change| {
        let (change_type, node_id) = match *change {
            Change::Learner(id) => (ConfChangeType::AddLearnerNode, id),
            Change::Voter(id) => (ConfChangeType::AddNode, id),
            Change::Remove(id) => (ConfChangeType::RemoveNode, id),
        };
        ConfChangeSingle { change_type: change_type.into(), node_id }
    };
    ConfChangeV2 { changes: changes.iter().map(step).collect(), ..ConfChangeV2::default() }
}

/// What an entry of the membership kind changes.
pub(crate) fn decode_change(data: &Bytes) -> Result<ConfChangeV2, prost::DecodeError> {
    ConfChangeV2::decode(data.clone())
}
