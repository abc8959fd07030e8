//! One message each, in the order of the protocol file.

use std::sync::LazyLock;

use bytes::Bytes;
use prost::Enumeration;

/// Accessors in the manner of rust-protobuf: raft-rs is written against them.
macro_rules! accessors {
    ($message:ty { $($kind:ident $field:ident : $type:ty, $get:ident $set:ident $mutable:ident $take:ident;)* }) => {
        impl $message {
            /// An empty message.
            pub fn new_() -> Self {
                Self::default()
            }
            $(accessors!(@$kind $field $type, $get $set $mutable $take);)*
        }
    };
    (@scalar $field:ident $type:ty, $get:ident $set:ident $mutable:ident $take:ident) => {
        /// The field.
        pub fn $get(&self) -> $type {
            self.$field
        }
        /// Sets the field.
        pub fn $set(&mut self, value: $type) {
            self.$field = value;
        }
    };
    (@bytes $field:ident $type:ty, $get:ident $set:ident $mutable:ident $take:ident) => {
        /// The field.
        pub fn $get(&self) -> &[u8] {
            &self.$field
        }
        /// Sets the field.
        pub fn $set(&mut self, value: $type) {
            self.$field = value;
        }
        /// The field, to be changed.
        pub fn $mutable(&mut self) -> &mut $type {
            &mut self.$field
        }
        /// The field, which is empty afterwards.
        pub fn $take(&mut self) -> $type {
            std::mem::take(&mut self.$field)
        }
    };
    (@repeated $field:ident $type:ty, $get:ident $set:ident $mutable:ident $take:ident) => {
        /// The field.
        pub fn $get(&self) -> &[$type] {
            &self.$field
        }
        /// Sets the field.
        pub fn $set(&mut self, value: Vec<$type>) {
            self.$field = value;
        }
        /// The field, to be changed.
        pub fn $mutable(&mut self) -> &mut Vec<$type> {
            &mut self.$field
        }
        /// The field, which is empty afterwards.
        pub fn $take(&mut self) -> Vec<$type> {
            std::mem::take(&mut self.$field)
        }
    };
    (@message $field:ident $type:ty, $get:ident $set:ident $mutable:ident $take:ident) => {
        /// The field, or an empty message.
        pub fn $get(&self) -> &$type {
            static EMPTY: LazyLock<$type> = LazyLock::new(<$type>::default);
            self.$field.as_ref().unwrap_or(&EMPTY)
        }
        /// Sets the field.
        pub fn $set(&mut self, value: $type) {
            self.$field = Some(value);
        }
        /// The field, to be changed.
        pub fn $mutable(&mut self) -> &mut $type {
            self.$field.get_or_insert_default()
        }
        /// The field, which is absent afterwards.
        pub fn $take(&mut self) -> $type {
            self.$field.take().unwrap_or_default()
        }
    };
    (@enumeration $field:ident $type:ty, $get:ident $set:ident $mutable:ident $take:ident) => {
        /// The field; the first value where a later version has one that is not known.
        pub fn $get(&self) -> $type {
            <$type>::try_from(self.$field).unwrap_or_default()
        }
    };
}

/// What an entry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum EntryType {
    /// The application's state.
    EntryNormal = 0,
    /// The membership, in the older form.
    EntryConfChange = 1,
    /// The membership.
    EntryConfChangeV2 = 2,
}

/// One entry of the log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    #[prost(enumeration = "EntryType", tag = "1")]
    pub entry_type: i32,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, tag = "3")]
    pub index: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub context: Bytes,
    #[prost(bool, tag = "5")]
    pub sync_log: bool,
}

accessors!(Entry {
    enumeration entry_type: EntryType, get_entry_type set_entry_type_ mut_entry_type take_entry_type;
    scalar term: u64, get_term set_term mut_term take_term;
    scalar index: u64, get_index set_index mut_index take_index;
    bytes data: Bytes, get_data set_data mut_data take_data;
    bytes context: Bytes, get_context set_context mut_context take_context;
});

/// What a snapshot covers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotMetadata {
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    #[prost(uint64, tag = "2")]
    pub index: u64,
    #[prost(uint64, tag = "3")]
    pub term: u64,
}

accessors!(SnapshotMetadata {
    message conf_state: ConfState, get_conf_state set_conf_state mut_conf_state take_conf_state;
    scalar index: u64, get_index set_index mut_index take_index;
    scalar term: u64, get_term set_term mut_term take_term;
});

/// The state in place of the entries that made it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Snapshot {
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SnapshotMetadata>,
}

accessors!(Snapshot {
    bytes data: Bytes, get_data set_data mut_data take_data;
    message metadata: SnapshotMetadata, get_metadata set_metadata mut_metadata take_metadata;
});

impl Snapshot {
    /// True for one that covers nothing.
    pub fn is_empty(&self) -> bool {
        self.get_metadata().index == 0
    }
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum MessageType {
    MsgHup = 0,
    MsgBeat = 1,
    MsgPropose = 2,
    MsgAppend = 3,
    MsgAppendResponse = 4,
    MsgRequestVote = 5,
    MsgRequestVoteResponse = 6,
    MsgSnapshot = 7,
    MsgHeartbeat = 8,
    MsgHeartbeatResponse = 9,
    MsgUnreachable = 10,
    MsgSnapStatus = 11,
    MsgCheckQuorum = 12,
    MsgTransferLeader = 13,
    MsgTimeoutNow = 14,
    MsgReadIndex = 15,
    MsgReadIndexResp = 16,
    MsgRequestPreVote = 17,
    MsgRequestPreVoteResponse = 18,
}

/// What members say to each other.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    #[prost(enumeration = "MessageType", tag = "1")]
    pub msg_type: i32,
    #[prost(uint64, tag = "2")]
    pub to: u64,
    #[prost(uint64, tag = "3")]
    pub from: u64,
    #[prost(uint64, tag = "4")]
    pub term: u64,
    #[prost(uint64, tag = "5")]
    pub log_term: u64,
    #[prost(uint64, tag = "6")]
    pub index: u64,
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    #[prost(uint64, tag = "15")]
    pub commit_term: u64,
    #[prost(message, optional, tag = "9")]
    pub snapshot: Option<Snapshot>,
    #[prost(uint64, tag = "13")]
    pub request_snapshot: u64,
    #[prost(bool, tag = "10")]
    pub reject: bool,
    #[prost(uint64, tag = "11")]
    pub reject_hint: u64,
    #[prost(bytes = "bytes", tag = "12")]
    pub context: Bytes,
    #[prost(uint64, tag = "14")]
    pub deprecated_priority: u64,
    #[prost(int64, tag = "16")]
    pub priority: i64,
}

accessors!(Message {
    enumeration msg_type: MessageType, get_msg_type set_msg_type_ mut_msg_type take_msg_type;
    scalar to: u64, get_to set_to mut_to take_to;
    scalar from: u64, get_from set_from mut_from take_from;
    scalar term: u64, get_term set_term mut_term take_term;
    scalar log_term: u64, get_log_term set_log_term mut_log_term take_log_term;
    scalar index: u64, get_index set_index mut_index take_index;
    repeated entries: Entry, get_entries set_entries mut_entries take_entries;
    scalar commit: u64, get_commit set_commit mut_commit take_commit;
    scalar commit_term: u64, get_commit_term set_commit_term mut_commit_term take_commit_term;
    message snapshot: Snapshot, get_snapshot set_snapshot mut_snapshot take_snapshot;
    scalar request_snapshot: u64, get_request_snapshot set_request_snapshot mut_request_snapshot take_request_snapshot;
    scalar reject: bool, get_reject set_reject mut_reject take_reject;
    scalar reject_hint: u64, get_reject_hint set_reject_hint mut_reject_hint take_reject_hint;
    bytes context: Bytes, get_context set_context mut_context take_context;
    scalar deprecated_priority: u64, get_deprecated_priority set_deprecated_priority mut_deprecated_priority take_deprecated_priority;
    scalar priority: i64, get_priority set_priority mut_priority take_priority;
});

/// What a member must never forget.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HardState {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}

accessors!(HardState {
    scalar term: u64, get_term set_term mut_term take_term;
    scalar vote: u64, get_vote set_vote mut_vote take_vote;
    scalar commit: u64, get_commit set_commit mut_commit take_commit;
});

/// How a change of the membership comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ConfChangeTransition {
    /// In one step if one is enough.
    Auto = 0,
    /// By way of a joint membership, which ends by itself.
    Implicit = 1,
    /// By way of a joint membership, which the application ends.
    Explicit = 2,
}

/// Who is a member.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfState {
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "2")]
    pub learners: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub voters_outgoing: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    pub learners_next: Vec<u64>,
    #[prost(bool, tag = "5")]
    pub auto_leave: bool,
}

accessors!(ConfState {
    repeated voters: u64, get_voters set_voters mut_voters take_voters;
    repeated learners: u64, get_learners set_learners mut_learners take_learners;
    repeated voters_outgoing: u64, get_voters_outgoing set_voters_outgoing mut_voters_outgoing take_voters_outgoing;
    repeated learners_next: u64, get_learners_next set_learners_next mut_learners_next take_learners_next;
    scalar auto_leave: bool, get_auto_leave set_auto_leave mut_auto_leave take_auto_leave;
});

/// What becomes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ConfChangeType {
    /// A voter.
    AddNode = 0,
    /// Gone.
    RemoveNode = 1,
    /// A learner.
    AddLearnerNode = 2,
}

/// A change of the membership, in the older form.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfChange {
    #[prost(enumeration = "ConfChangeType", tag = "2")]
    pub change_type: i32,
    #[prost(uint64, tag = "3")]
    pub node_id: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub context: Bytes,
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

accessors!(ConfChange {
    enumeration change_type: ConfChangeType, get_change_type set_change_type_ mut_change_type take_change_type;
    scalar node_id: u64, get_node_id set_node_id mut_node_id take_node_id;
    bytes context: Bytes, get_context set_context mut_context take_context;
    scalar id: u64, get_id set_id mut_id take_id;
});

/// One step of a change of the membership.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfChangeSingle {
    #[prost(enumeration = "ConfChangeType", tag = "1")]
    pub change_type: i32,
    #[prost(uint64, tag = "2")]
    pub node_id: u64,
}

accessors!(ConfChangeSingle {
    enumeration change_type: ConfChangeType, get_change_type set_change_type_ mut_change_type take_change_type;
    scalar node_id: u64, get_node_id set_node_id mut_node_id take_node_id;
});

/// A change of the membership.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfChangeV2 {
    #[prost(enumeration = "ConfChangeTransition", tag = "1")]
    pub transition: i32,
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<ConfChangeSingle>,
    #[prost(bytes = "bytes", tag = "3")]
    pub context: Bytes,
}

accessors!(ConfChangeV2 {
    enumeration transition: ConfChangeTransition, get_transition set_transition_ mut_transition take_transition;
    repeated changes: ConfChangeSingle, get_changes set_changes mut_changes take_changes;
    bytes context: Bytes, get_context set_context mut_context take_context;
});
