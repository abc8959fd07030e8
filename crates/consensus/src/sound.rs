//! What a message of another member may be like. The library trusts its peers: a number that cannot be makes it panic, or is written to
//! disk and makes every later start panic. Who can send messages here at all is another matter; nobody shall be able to do that with one.

use raft::eraftpb::{EntryType, Message, MessageType};

use crate::NotTaken;
use crate::membership::decode_change;

/// Terms are leader epochs of the log's batches too. No group gets there by elections.
const TERM_MAX: u64 = i32::MAX as u64;
/// Nor there by entries.
const INDEX_MAX: u64 = u64::MAX / 2;

/// `last_index`: of the receiver's log.
pub(crate) fn check(message: &Message, last_index: u64) -> Result<(), NotTaken> {
    let unsound = |what| Err(NotTaken::Unsound(what));
    if message.term > TERM_MAX || message.log_term > TERM_MAX {
        return unsound("a term that no group comes to");
    }
    if message.index > INDEX_MAX || message.commit > INDEX_MAX || message.reject_hint > INDEX_MAX {
        return unsound("an index that no log comes to");
    }
    match message.get_msg_type() {
        MessageType::MsgAppend => check_entries(message),
        MessageType::MsgHeartbeat if message.commit > last_index => unsound("that this member confirmed what it never had"),
        MessageType::MsgAppendResponse if !message.reject && message.index > last_index => {
            unsound("that it has what was never sent")
        }
        MessageType::MsgSnapshot => check_snapshot(message),
        MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgTimeoutNow => Ok(()),
        // Proposals and questions go to the leader by other ways, and the rest is for the library's own use.
        _ => Err(NotTaken::Foreign),
    }
}

fn check_entries(message: &Message) -> Result<(), NotTaken> {
    let unsound = |what| Err(NotTaken::Unsound(what));
    let mut term = message.log_term;
    for (entry, index) in message.entries.iter().zip(message.index + 1..) {
        if entry.index != index {
            return unsound("entries with a gap");
        }
        if entry.term < term || entry.term > message.term {
            return unsound("entries of terms in no order");
        }
        term = entry.term;
        let is_change = entry.get_entry_type() != EntryType::EntryNormal;
        if is_change && decode_change(&entry.data).is_err() {
            return unsound("a change of the membership that is none");
        }
    }
    Ok(())
}

fn check_snapshot(message: &Message) -> Result<(), NotTaken> {
    let metadata = message.snapshot.as_ref().and_then(|snapshot| snapshot.metadata.as_ref());
    let Some(metadata) = metadata else { return Err(NotTaken::Unsound("a snapshot of nothing")) };
    let has_voters = metadata.conf_state.as_ref().is_some_and(|state| !state.voters.is_empty());
    if !has_voters || metadata.index == 0 || metadata.index > INDEX_MAX || metadata.term > message.term {
        return Err(NotTaken::Unsound("a snapshot of nothing"));
    }
    Ok(())
}
