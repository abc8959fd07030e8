//! Entries of the log.

use bytes::Bytes;
use raft::eraftpb;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the log; the first is 1.
    pub index: u64,
    /// In which term it was proposed.
    pub term: u64,
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a leader's first entry of its term.
    Nothing,
    /// What the application proposed.
    Data(Bytes),
    /// A change of the membership, as the library encodes it.
    Membership(Bytes),
}

impl From<Entry> for eraftpb::Entry {
    fn from(entry: Entry) -> Self {
        let (entry_type, data) = match entry.payload {
            Payload::Nothing => (eraftpb::EntryType::EntryNormal, Bytes::new()),
            Payload::Data(data) => (eraftpb::EntryType::EntryNormal, data),
            Payload::Membership(data) => (eraftpb::EntryType::EntryConfChangeV2, data),
        };
        eraftpb::Entry {
            entry_type: entry_type.into(),
            index: entry.index,
            term: entry.term,
            data,
            ..eraftpb::Entry::default()
        }
    }
}

impl From<&eraftpb::Entry> for Entry {
    fn from(entry: &eraftpb::Entry) -> Self {
        let payload = match entry.get_entry_type() {
            eraftpb::EntryType::EntryNormal if entry.data.is_empty() => Payload::Nothing,
            eraftpb::EntryType::EntryNormal => Payload::Data(entry.data.clone()),
            // The older form is never proposed here (`Member::change_membership`).
            eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => {
                Payload::Membership(entry.data.clone())
            }
        };
        Entry { index: entry.index, term: entry.term, payload }
    }
}
