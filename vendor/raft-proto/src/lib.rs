//! The messages of raft-rs (`eraftpb.proto`, version 0.7: field numbers and types are those), written for prost 0.14, with
//! the accessors that raft-rs calls. No build script and no `protoc`.

mod conf_change;
pub mod eraftpb;

pub use conf_change::{ConfChangeI, conf_state_eq, new_conf_change_single, parse_conf_change, stringify_conf_change};

/// What users of raft-rs import.
pub mod prelude {
    pub use crate::eraftpb::{
        ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType,
        HardState, Message, MessageType, Snapshot, SnapshotMetadata,
    };
}

/// Conversions.
pub mod util {
    use crate::eraftpb::ConfState;

    impl<V, L> From<(V, L)> for ConfState
    where
        V: IntoIterator<Item = u64>,
        L: IntoIterator<Item = u64>,
    {
        fn from((voters, learners): (V, L)) -> Self {
            ConfState {
                voters: voters.into_iter().collect(),
                learners: learners.into_iter().collect(),
                ..ConfState::default()
            }
        }
    }
}
