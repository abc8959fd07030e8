//! What is asked of a group and what it answers: Kafka's requests without their bytes and versions.

use alloc::string::String;
use alloc::vec::Vec;

use super::classic::GroupState;
use crate::ids::{LeaderEpoch, Offset, PartitionIndex};

/// The generation of a caller that is no member (KIP-211: "simple" groups and administrators).
pub const NO_GENERATION: i32 = -1;

/// Names one waiting request to the driver, which chose it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);

/// Why a group refuses; each stands for the Kafka error of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupError {
    #[error("the coordinator cannot write to its log now")]
    CoordinatorNotAvailable,
    #[error("another node coordinates this group")]
    NotCoordinator,
    #[error("a group needs a name")]
    InvalidGroupId,
    #[error("the session timeout is outside what the node allows")]
    InvalidSessionTimeout,
    #[error("so many offsets do not fit into one commit")]
    InvalidCommitOffsetSize,
    #[error("no such member")]
    UnknownMemberId,
    #[error("the group is in another generation")]
    IllegalGeneration,
    #[error("the group speaks another protocol")]
    InconsistentGroupProtocol,
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    #[error("join again with the member id given here")]
    MemberIdRequired,
    #[error("another member has taken over this instance id")]
    FencedInstanceId,
    #[error("the group is full")]
    GroupMaxSizeReached,
    #[error("no such group")]
    GroupIdNotFound,
    #[error("the group has members")]
    NonEmptyGroup,
    #[error("the group reads this topic")]
    GroupSubscribedToTopic,
    #[error("the metadata of the offset is too long")]
    OffsetMetadataTooLarge,
    #[error("no client asks like this")]
    UnknownServerError,
}

/// One way to assign, and what a member has to say under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// Name of the assignor, such as `range`.
    pub name: String,
    /// Opaque here, but for the topics of a `consumer` subscription.
    pub metadata: Vec<u8>,
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Which group.
    pub group_id: String,
    /// Empty for a member that has none yet.
    pub member_id: String,
    /// Of a static member (KIP-345).
    pub group_instance_id: Option<String>,
    /// As the client calls itself.
    pub client_id: String,
    /// Where it calls from.
    pub client_host: String,
    /// `consumer`, `connect`, ….
    pub protocol_type: String,
    /// In the order in which the member prefers them.
    pub protocols: Vec<Protocol>,
    /// After so much silence the member is gone.
    pub session_timeout_ms: i32,
    /// So long it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// True where a new member must first be told its id and join again with it (KIP-394: version 4 and up).
    pub requires_known_member_id: bool,
    /// True where a leader may be told to keep the assignment (KIP-814: version 9 and up).
    pub supports_skipping_assignment: bool,
    /// Random; becomes part of the member id if one is to be made.
    pub fresh_id: u128,
}

/// JoinGroup's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinReply {
    /// Why it failed.
    pub error: Option<GroupError>,
    /// −1 if it failed.
    pub generation_id: i32,
    /// Of the whole group.
    pub protocol_type: Option<String>,
    /// The one that was voted for.
    pub protocol_name: Option<String>,
    /// Empty if there is none.
    pub leader: String,
    /// The leader need not assign (KIP-814).
    pub skip_assignment: bool,
    /// Whom this answer is for.
    pub member_id: String,
    /// For the leader alone: everybody.
    pub members: Vec<JoinedMember>,
}

impl JoinReply {
    /// The answer to a join that failed.
    pub fn refused(error: GroupError, member_id: &str) -> Self {
        JoinReply {
            error: Some(error),
            generation_id: NO_GENERATION,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: String::from(member_id),
            members: Vec::new(),
        }
    }
}

/// What a leader is told of each member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinedMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub metadata: Vec<u8>,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Which group.
    pub group_id: String,
    /// As JoinGroup gave it.
    pub generation_id: i32,
    /// As JoinGroup gave it.
    pub member_id: String,
    /// Of a static member (KIP-345).
    pub group_instance_id: Option<String>,
    /// If given, must be the group's (KIP-559).
    pub protocol_type: Option<String>,
    /// If given, must be the group's (KIP-559).
    pub protocol_name: Option<String>,
    /// From the leader: member id and its share.
    pub assignments: Vec<(String, Vec<u8>)>,
}

/// SyncGroup's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncReply {
    pub error: Option<GroupError>,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Vec<u8>,
}

impl SyncReply {
    /// The answer to a sync that failed.
    pub fn refused(error: GroupError) -> Self {
        SyncReply { error: Some(error), protocol_type: None, protocol_name: None, assignment: Vec::new() }
    }
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
}

/// Somebody who leaves, or is made to leave.
#[derive(Clone, Debug)]
pub struct LeavingMember {
    /// Empty if only the instance id is known, as an administrator does it.
    pub member_id: String,
    /// Of a static member (KIP-345).
    pub group_instance_id: Option<String>,
}

/// LeaveGroup's answer: for the whole, or per member in the order asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaveReply {
    pub error: Option<GroupError>,
    pub members: Vec<LeftMember>,
}

/// What became of one that was to leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub error: Option<GroupError>,
}

/// OffsetCommit, for partitions that exist.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// Which group; one that does not exist is made if the caller is no member.
    pub group_id: String,
    /// [`NO_GENERATION`] from a caller that is no member.
    pub generation_id: i32,
    /// Empty from a caller that is no member.
    pub member_id: String,
    /// Of a static member (KIP-345).
    pub group_instance_id: Option<String>,
    /// Versions 2 to 4 may say how long the offsets shall live.
    pub retention_time_ms: Option<i64>,
    /// From version 9 on a missing group is GROUP_ID_NOT_FOUND, before that ILLEGAL_GENERATION.
    pub knows_group_id_not_found: bool,
    /// By topic name.
    pub topics: Vec<(String, Vec<CommitPartition>)>,
}

/// Where a group has come to in one partition.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    pub partition: PartitionIndex,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: Option<String>,
}

/// A result for each partition, by topic, in the order asked.
pub type PartitionResults = Vec<(String, Vec<(PartitionIndex, Option<GroupError>)>)>;

/// OffsetFetch's answer for one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedOffset {
    pub partition: PartitionIndex,
    /// −1 if nothing is committed.
    pub offset: Offset,
    /// −1 if unknown.
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
}

/// A group as ListGroups shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    pub state: GroupState,
    pub group_type: GroupType,
}

/// A group in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupCensus<'a> {
    pub group_id: &'a str,
    pub members: usize,
    /// How many rebalances it has been through.
    pub generation_id: i32,
}

/// By which protocol a group is run (KIP-848).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupType {
    /// Join, sync, heartbeat: the clients assign.
    Classic,
}

impl GroupType {
    /// As ListGroups names it.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
        }
    }
}

/// A group as DescribeGroups shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDescription {
    pub state: GroupState,
    pub protocol_type: String,
    /// Empty while the group is not stable.
    pub protocol_name: String,
    pub members: Vec<MemberDescription>,
}

/// A member as DescribeGroups shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberDescription {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty while the group is not stable.
    pub metadata: Vec<u8>,
    pub assignment: Vec<u8>,
}

/// The answer to one ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
    Heartbeat(Result<(), GroupError>),
    Leave(LeaveReply),
    Commit(Result<PartitionResults, GroupError>),
    DeleteOffsets(Result<PartitionResults, GroupError>),
    DeleteGroup(Result<(), GroupError>),
}

impl Reply {
    /// The same kind of answer, saying that it failed.
    pub(super) fn refused(&self, error: GroupError) -> Reply {
        match self {
            Reply::Join(_) => Reply::Join(JoinReply::refused(error, "")),
            Reply::Sync(_) => Reply::Sync(SyncReply::refused(error)),
            Reply::Heartbeat(_) => Reply::Heartbeat(Err(error)),
            Reply::Leave(_) => Reply::Leave(LeaveReply { error: Some(error), members: Vec::new() }),
            Reply::Commit(_) => Reply::Commit(Err(error)),
            Reply::DeleteOffsets(_) => Reply::DeleteOffsets(Err(error)),
            Reply::DeleteGroup(_) => Reply::DeleteGroup(Err(error)),
        }
    }
}
