//! What a shard writes to its log. The broker encodes these in Kafka's own formats (`GroupMetadataKey/Value`,
//! `OffsetCommitKey/Value`), so this is also their content.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};

/// One record: a key and what it now stands for; `None` is a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupRecord {
    Group { group_id: String, value: Option<GroupValue> },
    Offset { group_id: String, topic: String, partition: PartitionIndex, value: Option<OffsetValue> },
}

impl GroupRecord {
    /// Roughly the bytes it takes in the log.
    pub fn bytes(&self) -> usize {
        match self {
            GroupRecord::Group { group_id, value } => {
                let members = value.iter().flat_map(|value| &value.members);
                KEY_BYTES + group_id.len() + members.map(MemberValue::bytes).sum::<usize>()
            }
            GroupRecord::Offset { group_id, topic, value, .. } => {
                let metadata = value.as_ref().map_or(0, |value| value.metadata.len());
                offset_bytes(group_id, topic, metadata)
            }
        }
    }
}

/// Of what is neither text nor opaque in a record.
const KEY_BYTES: usize = 64;

/// Roughly the bytes that one committed offset takes in the log.
pub(super) fn offset_bytes(group_id: &str, topic: &str, metadata_bytes: usize) -> usize {
    KEY_BYTES + group_id.len() + topic.len() + metadata_bytes
}

impl MemberValue {
    fn bytes(&self) -> usize {
        let texts = self.member_id.len() + self.client_id.len() + self.client_host.len();
        KEY_BYTES + texts + self.subscription.len() + self.assignment.len()
    }
}

/// A classic group as it stands still: stable with its assignment, or empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupValue {
    /// Empty for a group that never had a member.
    pub protocol_type: String,
    /// Counts the rebalances.
    pub generation_id: i32,
    /// None for an empty group.
    pub protocol_name: Option<String>,
    /// None for an empty group.
    pub leader: Option<String>,
    /// When the group came into this state; older records do not say.
    pub state_timestamp_ms: Option<TimestampMs>,
    /// In the order of their ids.
    pub members: Vec<MemberValue>,
}

/// One member of a stable group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberValue {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The member's metadata under the chosen protocol.
    pub subscription: Vec<u8>,
    pub assignment: Vec<u8>,
}

/// A committed offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetValue {
    /// The next one to read.
    pub offset: Offset,
    /// Of the last record read, −1 if unknown (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// Whatever the client keeps here.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp_ms: TimestampMs,
    /// Only if the client set a retention of its own.
    pub expire_timestamp_ms: Option<TimestampMs>,
}
