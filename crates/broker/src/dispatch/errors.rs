//! The one place where what went wrong becomes a Kafka error code.
//!
//! Each mapping is a `match` without a default arm: a new error does not compile before someone has
//! decided what a client is told.

use chronik_log::{AppendError, ReadError};
use chronik_state::fetch_session::FetchSessionError;
use chronik_state::group::GroupError;
use chronik_state::metadata::MetadataError;
use chronik_state::partition::producers::ProducerError;
use chronik_wire::ErrorCode;

use crate::metadata::{NoProducerId, SubmitError};
use crate::partition::append::Refused;
use crate::partition::lead::NotCommitted;
use crate::partition::read::NotGiven;

/// A code, and the words that go with it where the response has room for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code.name()),
            None => f.write_str(self.code.name()),
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Failure { code, message: None }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let code = match &refused {
            Refused::Invalid(_) | Refused::WithoutKey { .. } => ErrorCode::InvalidRecord,
            Refused::Corrupt(_) => ErrorCode::CorruptMessage,
            Refused::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Refused::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            Refused::CompressionNotAllowed => ErrorCode::UnsupportedCompressionType,
            Refused::NotLeader => ErrorCode::NotLeaderOrFollower,
            Refused::NotEnoughReplicas(_) => ErrorCode::NotEnoughReplicas,
            Refused::Transactional => ErrorCode::InvalidTxnState,
            Refused::Producer(error) => producer(error),
            Refused::Log(error) => append(error),
        };
        Failure { code, message: Some(refused.to_string()) }
    }
}

impl From<NotCommitted> for Failure {
    fn from(error: NotCommitted) -> Self {
        let code = match &error {
            NotCommitted::NotLeader => ErrorCode::NotLeaderOrFollower,
            NotCommitted::NotEnoughReplicas(_) => ErrorCode::NotEnoughReplicasAfterAppend,
            NotCommitted::TimedOut => ErrorCode::RequestTimedOut,
        };
        Failure { code, message: Some(error.to_string()) }
    }
}

impl From<MetadataError> for Failure {
    fn from(error: MetadataError) -> Self {
        let code = match &error {
            MetadataError::InvalidTopic(_) => ErrorCode::InvalidTopicException,
            MetadataError::TopicAlreadyExists(_) => ErrorCode::TopicAlreadyExists,
            MetadataError::UnknownTopicOrPartition(_) => ErrorCode::UnknownTopicOrPartition,
            MetadataError::UnknownTopicId(_) => ErrorCode::UnknownTopicId,
            MetadataError::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            MetadataError::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
            MetadataError::InvalidReplicaAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            MetadataError::InvalidConfig(_) => ErrorCode::InvalidConfig,
            MetadataError::InvalidRequest(_) => ErrorCode::InvalidRequest,
            MetadataError::PolicyViolation(_) => ErrorCode::PolicyViolation,
            MetadataError::InvalidUpdateVersion(_) => ErrorCode::InvalidUpdateVersion,
            MetadataError::BrokerIdNotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
            MetadataError::StaleBrokerEpoch(_) => ErrorCode::StaleBrokerEpoch,
            MetadataError::InconsistentClusterId(_) => ErrorCode::InconsistentClusterId,
            MetadataError::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
            MetadataError::PreferredLeaderNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
            MetadataError::EligibleLeadersNotAvailable => ErrorCode::EligibleLeadersNotAvailable,
            // Said without a word, as Kafka does.
            MetadataError::NoReassignmentInProgress => return ErrorCode::NoReassignmentInProgress.into(),
        };
        Failure { code, message: Some(error.to_string()) }
    }
}

impl From<NoProducerId> for Failure {
    fn from(error: NoProducerId) -> Self {
        match error {
            NoProducerId::Submit(error) => error.into(),
            NoProducerId::Refused(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let code = match &error {
            SubmitError::NotController => ErrorCode::NotController,
            // Retriable.
            SubmitError::Busy(_) => ErrorCode::RequestTimedOut,
            // The client finds out by asking again.
            SubmitError::Lost => ErrorCode::NotController,
            SubmitError::TimedOut => ErrorCode::RequestTimedOut,
            // Whether it happened will be seen after the restart; a client finds out by asking again.
            SubmitError::NodeStops => ErrorCode::RequestTimedOut,
        };
        Failure { code, message: Some(error.to_string()) }
    }
}

/// What a producer is told about its sequence or epoch.
fn producer(error: &ProducerError) -> ErrorCode {
    match error {
        ProducerError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        ProducerError::OutOfOrderSequence { .. } | ProducerError::NewEpochNotAtZero { .. } => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        ProducerError::Malformed { .. } => ErrorCode::InvalidRecord,
        ProducerError::TransactionOpen { .. } => ErrorCode::InvalidTxnState,
    }
}

/// What a producer is told when the log takes nothing.
pub(crate) fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Producer(error) => producer(error),
        // Retriable, and not of the kind that makes clients look for another leader.
        AppendError::Full => ErrorCode::KafkaStorageError,
        AppendError::Deleted => ErrorCode::UnknownTopicOrPartition,
        // The node is going down; another attempt finds it restarted.
        AppendError::Fatal(_) => ErrorCode::KafkaStorageError,
    }
}

/// What a consumer is told when the log gives nothing.
pub(crate) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
        ReadError::Deleted => ErrorCode::UnknownTopicOrPartition,
        ReadError::Io { .. } => ErrorCode::KafkaStorageError,
    }
}

/// What a reader is told.
pub(crate) fn not_given(error: &NotGiven) -> ErrorCode {
    match error {
        NotGiven::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        NotGiven::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        NotGiven::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        NotGiven::NotHereYet => ErrorCode::OffsetNotAvailable,
        NotGiven::Log(error) => read(error),
    }
}

/// What a member, or whoever asks about groups, is told.
pub(crate) fn group(error: GroupError) -> ErrorCode {
    match error {
        GroupError::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::InvalidCommitOffsetSize => ErrorCode::InvalidCommitOffsetSize,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::UnknownServerError => ErrorCode::UnknownServerError,
    }
}

/// What a client is told about its fetch session.
pub(crate) fn fetch_session(error: &FetchSessionError) -> ErrorCode {
    match error {
        FetchSessionError::IdNotFound { .. } => ErrorCode::FetchSessionIdNotFound,
        FetchSessionError::InvalidEpoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
        FetchSessionError::TopicId { .. } => ErrorCode::FetchSessionTopicIdError,
    }
}
