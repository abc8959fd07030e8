//! What nodes of a cluster say to each other by gRPC. Every message carries the version of its sender; fields are only ever
//! added, with a meaning when they are absent, so that two versions run together.

use chronik_consensus::Message as RaftMessage;
use prost::Message;

/// What this program speaks.
pub(crate) const VERSION: u32 = 1;

/// Where a node is reached.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Address {
    #[prost(string, tag = "1")]
    pub(crate) host: String,
    #[prost(uint32, tag = "2")]
    pub(crate) port: u32,
}

/// Who a node is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Introduction {
    #[prost(int32, tag = "1")]
    pub(crate) node_id: i32,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) directory_id: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub(crate) kafka: Option<Address>,
    #[prost(message, optional, tag = "4")]
    pub(crate) wal: Option<Address>,
    #[prost(message, optional, tag = "5")]
    pub(crate) raft: Option<Address>,
    /// The ids of its [[peers]], ascending; empty if it does not say.
    #[prost(int32, repeated, tag = "6")]
    pub(crate) peers: Vec<i32>,
}

/// Asked before a cluster is founded, of every node that its file names.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IntroduceRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) from: Option<Introduction>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct IntroduceResponse {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) from: Option<Introduction>,
    /// The cluster it belongs to; empty before it is founded.
    #[prost(string, tag = "3")]
    pub(crate) cluster_id: String,
    /// Whether the asker's directory belongs to that cluster.
    #[prost(bool, tag = "4")]
    pub(crate) knows_you: bool,
}

/// Messages of the metadata's Raft group, in order.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RaftRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, repeated, tag = "2")]
    pub(crate) messages: Vec<RaftMessage>,
    /// In the first batch of a stream: the cluster that the sender belongs to.
    #[prost(string, tag = "3")]
    pub(crate) cluster_id: String,
}

/// The stream has ended.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RaftResponse {}

/// A message of the Raft group that carries a snapshot: by itself, so that it does not hold up the others.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) message: Option<RaftMessage>,
    /// The cluster that the sender belongs to.
    #[prost(string, tag = "3")]
    pub(crate) cluster_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotResponse {}

/// A process wants to be a broker (KIP-631).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RegisterRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) from: Option<Introduction>,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) incarnation_id: Vec<u8>,
    #[prost(string, optional, tag = "4")]
    pub(crate) rack: Option<String>,
    /// The broker epoch of the process before, if that was stopped in good order: all that it wrote is there.
    #[prost(int64, optional, tag = "5")]
    pub(crate) stopped_epoch: Option<i64>,
    #[prost(string, tag = "6")]
    pub(crate) cluster_id: String,
    /// What its own configuration says of when a record counts as acknowledged (`[storage] sync`): true for after it is on disk.
    #[prost(bool, tag = "7")]
    pub(crate) syncs_first: bool,
}

/// Why the metadata leader did not do what it was asked for; 0 where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Refusal {
    None = 0,
    /// Somebody else leads.
    NotController = 1,
    /// The broker epoch is not the registered one.
    StaleBrokerEpoch = 2,
    /// Another live process has this node's number.
    Duplicate = 3,
    /// It belongs to another cluster.
    OtherCluster = 4,
    /// It could not be committed.
    NotCommitted = 5,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RegisterResponse {
    #[prost(enumeration = "Refusal", tag = "1")]
    pub(crate) refusal: i32,
    #[prost(int64, tag = "2")]
    pub(crate) broker_epoch: i64,
}

/// A broker lives, and says how far it is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeartbeatRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(int32, tag = "2")]
    pub(crate) node_id: i32,
    #[prost(int64, tag = "3")]
    pub(crate) broker_epoch: i64,
    /// The last entry of the metadata log that it has applied.
    #[prost(uint64, tag = "4")]
    pub(crate) applied_index: u64,
    /// It wants to stop, and others to lead (KIP-841).
    #[prost(bool, tag = "5")]
    pub(crate) shuts_down: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeartbeatResponse {
    #[prost(enumeration = "Refusal", tag = "1")]
    pub(crate) refusal: i32,
    #[prost(bool, tag = "2")]
    pub(crate) fenced: bool,
    /// It leads nothing any more and may stop.
    #[prost(bool, tag = "3")]
    pub(crate) may_stop: bool,
}

/// Leaders ask for other in-sync sets (KIP-497).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AlterPartitionsRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(int32, tag = "2")]
    pub(crate) node_id: i32,
    #[prost(int64, tag = "3")]
    pub(crate) broker_epoch: i64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) proposals: Vec<InSyncProposal>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InSyncProposal {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) topic_id: Vec<u8>,
    #[prost(int32, tag = "2")]
    pub(crate) partition: i32,
    #[prost(int32, tag = "3")]
    pub(crate) leader_epoch: i32,
    #[prost(int32, tag = "4")]
    pub(crate) partition_epoch: i32,
    #[prost(message, repeated, tag = "5")]
    pub(crate) in_sync: Vec<InSyncMember>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InSyncMember {
    #[prost(int32, tag = "1")]
    pub(crate) node_id: i32,
    #[prost(int64, tag = "2")]
    pub(crate) broker_epoch: i64,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Altered {
    /// Nothing was changed, and nothing will be: it may be asked for again.
    Refused = 0,
    /// The record is newer than the proposal, perhaps by the proposal itself: the metadata tells.
    SeeMetadata = 1,
    /// The metadata leader's own metadata is behind: to be asked again.
    AskAgain = 2,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AlterPartitionsResponse {
    #[prost(enumeration = "Refusal", tag = "1")]
    pub(crate) refusal: i32,
    /// One for each proposal.
    #[prost(enumeration = "Altered", repeated, tag = "2")]
    pub(crate) outcomes: Vec<i32>,
}

/// A broker needs ids for producers (KIP-730).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AllocateProducerIdsRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(int32, tag = "2")]
    pub(crate) node_id: i32,
    #[prost(int64, tag = "3")]
    pub(crate) broker_epoch: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AllocateProducerIdsResponse {
    #[prost(enumeration = "Refusal", tag = "1")]
    pub(crate) refusal: i32,
    #[prost(int64, tag = "2")]
    pub(crate) first: i64,
    #[prost(int64, tag = "3")]
    pub(crate) count: i64,
}

/// A client's request that only the metadata leader can serve, as the client sent it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ForwardRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// Header and body, without the length in front.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) frame: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ForwardResponse {
    #[prost(enumeration = "Refusal", tag = "1")]
    pub(crate) refusal: i32,
    /// The client's answer, as it goes over the wire.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) frame: bytes::Bytes,
    /// The entry of the metadata log that holds what was changed: whoever has applied it sees the change.
    #[prost(uint64, tag = "3")]
    pub(crate) applied_index: u64,
}
