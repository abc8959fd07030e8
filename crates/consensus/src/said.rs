//! What messages say, for those who watch a group from outside.

use raft::eraftpb::{Message, MessageType};

/// A vote: nobody gives two of one term to different members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voted {
    pub term: u64,
    pub by: u64,
    pub to: u64,
}

/// The vote that a message gives, if it gives one: to another member, or to oneself by standing for election.
pub fn voted(message: &Message) -> Option<Voted> {
    match message.get_msg_type() {
        MessageType::MsgRequestVoteResponse if !message.reject => {
            Some(Voted { term: message.term, by: message.from, to: message.to })
        }
        MessageType::MsgRequestVote => Some(Voted { term: message.term, by: message.from, to: message.from }),
        _ => None,
    }
}

/// A member has stored everything up to an entry, in the term of a leader: it must not forget that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub term: u64,
    pub by: u64,
    pub index: u64,
}

/// What a message confirms, if it does.
pub fn stored(message: &Message) -> Option<Stored> {
    // Without an index it only says that its sender is in a later term.
    let confirms = message.get_msg_type() == MessageType::MsgAppendResponse && !message.reject && message.index > 0;
    confirms.then_some(Stored { term: message.term, by: message.from, index: message.index })
}
