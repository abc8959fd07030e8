//! Holding what was answered against what was asked.

use chronik_wire::messages;
use chronik_wire::produce::ProduceRequest;
use chronik_wire::{ApiKey, Bytes, Request, decode_response};

use super::frames;

/// Checks the answers on one connection.
///
/// # Panics
/// If one does not decode in the version of its request, comes out of order, or is missing.
pub(super) fn check(asked: &[u8], answered: &[u8]) {
    let mut answers = frames(answered).into_iter().peekable();
    let answered_bytes: usize = frames(answered).iter().map(|frame| frame.len() + 4).sum();
    // A connection that is closed for a broken request is closed behind a whole answer.
    assert_eq!(answered_bytes, answered.len(), "an answer is cut short");
    let mut may_be_closed = false;
    for frame in frames(asked) {
        let request = Request::parse(Bytes::copy_from_slice(frame));
        let expected = request.as_ref().map_or(Expected::Closed, expected);
        if expected == Expected::Nothing {
            // What is wrong with it can be told by closing the connection only.
            may_be_closed = true;
            continue;
        }
        let Some(answer) = answers.next() else {
            let is_missing = expected == Expected::Answer && !may_be_closed;
            assert!(!is_missing, "a request that is served is not answered: {:?}", request.expect("it was parsed").header);
            return;
        };
        assert_ne!(expected, Expected::Closed, "a request that cannot be read is answered");
        let request = request.expect("it was parsed");
        let id = i32::from_be_bytes(*answer.first_chunk().expect("an answer has a header"));
        assert_eq!(id, request.header.correlation_id, "answers come in the order of requests");
        let version = if request.header.is_supported() { request.header.api_version } else { 0 };
        decode(request.header.api_key, version, answer);
    }
    assert!(answers.next().is_none(), "there are more answers than requests");
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// It must be answered.
    Answer,
    /// The connection is closed.
    Closed,
    /// There is none, and the next request is served.
    Nothing,
}

fn expected(request: &Request) -> Expected {
    let header = &request.header;
    match header.api_key {
        ApiKey::Produce => match ProduceRequest::parse(&request.body, header.api_version) {
            Ok(produce) if produce.acks() == 0 => Expected::Nothing,
            // What its records are is another question, and may be answered with an error or not at all.
            Ok(_) => Expected::Answer,
            Err(_) => Expected::Closed,
        },
        ApiKey::ApiVersions if !header.is_supported() => Expected::Answer,
        _ => asked(request),
    }
}

macro_rules! apis {
    ($($name:ident $request:ident $response:ident;)*) => {
        /// Whether there is a handler for it.
        pub(super) fn is_served(api: ApiKey) -> bool {
            api == ApiKey::Produce || matches!(api, $(ApiKey::$name)|*)
        }

        fn asked(request: &Request) -> Expected {
            let decodes = match request.header.api_key {
                $(ApiKey::$name => request.decode::<messages::$request>().is_ok(),)*
                _ => false,
            };
            if decodes { Expected::Answer } else { Expected::Closed }
        }

        fn decode(api: ApiKey, version: i16, answer: &[u8]) {
            let frame = Bytes::copy_from_slice(answer);
            let decoded = match api {
                ApiKey::Produce => decode_response::<messages::ProduceResponse>(frame, version).map(drop),
                $(ApiKey::$name => decode_response::<messages::$response>(frame, version).map(drop),)*
                other => panic!("{other} is not served, and answered"),
            };
            decoded.unwrap_or_else(|error| panic!("the answer to {api} {version} does not decode: {error}"));
        }
    };
}

apis! {
    AlterConfigs AlterConfigsRequest AlterConfigsResponse;
    AlterPartitionReassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
    AlterReplicaLogDirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
    ApiVersions ApiVersionsRequest ApiVersionsResponse;
    CreatePartitions CreatePartitionsRequest CreatePartitionsResponse;
    CreateTopics CreateTopicsRequest CreateTopicsResponse;
    DeleteGroups DeleteGroupsRequest DeleteGroupsResponse;
    DeleteRecords DeleteRecordsRequest DeleteRecordsResponse;
    DeleteTopics DeleteTopicsRequest DeleteTopicsResponse;
    DescribeCluster DescribeClusterRequest DescribeClusterResponse;
    DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse;
    DescribeGroups DescribeGroupsRequest DescribeGroupsResponse;
    DescribeLogDirs DescribeLogDirsRequest DescribeLogDirsResponse;
    DescribeProducers DescribeProducersRequest DescribeProducersResponse;
    DescribeQuorum DescribeQuorumRequest DescribeQuorumResponse;
    DescribeTopicPartitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
    ElectLeaders ElectLeadersRequest ElectLeadersResponse;
    Fetch FetchRequest FetchResponse;
    FindCoordinator FindCoordinatorRequest FindCoordinatorResponse;
    Heartbeat HeartbeatRequest HeartbeatResponse;
    IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
    InitProducerId InitProducerIdRequest InitProducerIdResponse;
    JoinGroup JoinGroupRequest JoinGroupResponse;
    LeaveGroup LeaveGroupRequest LeaveGroupResponse;
    ListConfigResources ListConfigResourcesRequest ListConfigResourcesResponse;
    ListGroups ListGroupsRequest ListGroupsResponse;
    ListOffsets ListOffsetsRequest ListOffsetsResponse;
    ListPartitionReassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
    Metadata MetadataRequest MetadataResponse;
    OffsetCommit OffsetCommitRequest OffsetCommitResponse;
    OffsetDelete OffsetDeleteRequest OffsetDeleteResponse;
    OffsetFetch OffsetFetchRequest OffsetFetchResponse;
    OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
    SyncGroup SyncGroupRequest SyncGroupResponse;
    UpdateFeatures UpdateFeaturesRequest UpdateFeaturesResponse;
}
