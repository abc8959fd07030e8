//! Byte vectors written by Kafka's own serialisers, the messages they are of, and a small source of seeded numbers.

use std::path::PathBuf;

use chronik_wire::{
    Bytes, BytesMut,
    messages::{self, ApiVersion, KafkaDecode, KafkaEncode},
};

/// One message as Kafka writes it.
pub(crate) struct Vector {
    pub(crate) message: String,
    pub(crate) name: String,
    pub(crate) version: i16,
    pub(crate) bytes: Bytes,
}

/// How many vectors the file holds; fewer means that something was lost on the way.
pub(crate) const VECTOR_COUNT: usize = 1392;

/// All vectors, or `None` on a machine that does not have them (never in CI).
pub(crate) fn vectors() -> Option<Vec<Vector>> {
    let directory = std::env::var_os("CHRONIK_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")), PathBuf::from);
    let path = directory.join("kafka-messages.jsonl");
    let Ok(lines) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "no vectors at {}: set CHRONIK_VECTORS", path.display());
        eprintln!("no vectors at {}: set CHRONIK_VECTORS to hold the codec against Kafka's own bytes", path.display());
        return None;
    };
    Some(lines.lines().map(vector).collect())
}

fn vector(line: &str) -> Vector {
    let json: serde_json::Value = serde_json::from_str(line).expect("one JSON object a line");
    let text = |field: &str| json[field].as_str().expect(field).to_owned();
    Vector {
        message: text("message"),
        name: text("name"),
        version: json["version"].as_i64().expect("version") as i16,
        bytes: unhex(&text("hex")).into(),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("hex")).collect()
}

/// Decodes bytes as a message and encodes it again.
pub(crate) type RoundTrip = fn(Bytes, i16) -> Result<Bytes, String>;

fn round_trip<M: KafkaDecode + KafkaEncode>(bytes: Bytes, version: i16) -> Result<Bytes, String> {
    let version = ApiVersion::new(version);
    let message = M::decode_from_bytes(bytes, version, Default::default()).map_err(|error| error.to_string())?;
    let mut buffer = BytesMut::new();
    message.encode_into(&mut buffer, version).map_err(|error| error.to_string())?;
    Ok(buffer.freeze())
}

/// The round trip of the message with this name.
pub(crate) fn round_trip_of(message: &str) -> Option<RoundTrip> {
    macro_rules! by_name {
        ($($name:ident)*) => {
            match message {
                $(stringify!($name) => Some(round_trip::<messages::$name> as RoundTrip),)*
                _ => None,
            }
        };
    }
    by_name! {
        AbortedTxn AddOffsetsToTxnRequest AddOffsetsToTxnResponse AddPartitionsToTxnRequest
        AddPartitionsToTxnResponse AddRaftVoterRequest AddRaftVoterResponse AllocateProducerIdsRequest
        AllocateProducerIdsResponse AlterClientQuotasRequest AlterClientQuotasResponse AlterConfigsRequest
        AlterConfigsResponse AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse
        AlterPartitionRequest AlterPartitionResponse AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse
        AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse AlterUserScramCredentialsRequest
        AlterUserScramCredentialsResponse ApiVersionsRequest ApiVersionsResponse AssignReplicasToDirsRequest
        AssignReplicasToDirsResponse BeginQuorumEpochRequest BeginQuorumEpochResponse BrokerHeartbeatRequest
        BrokerHeartbeatResponse BrokerRegistrationRequest BrokerRegistrationResponse
        ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse ConsumerGroupHeartbeatRequest
        ConsumerGroupHeartbeatResponse ConsumerProtocolAssignment ConsumerProtocolSubscription
        ControlRecordTypeSchema ControllerRegistrationRequest ControllerRegistrationResponse CreateAclsRequest
        CreateAclsResponse CreateDelegationTokenRequest CreateDelegationTokenResponse CreatePartitionsRequest
        CreatePartitionsResponse CreateTopicsRequest CreateTopicsResponse DefaultPrincipalData
        DeleteAclsRequest DeleteAclsResponse DeleteGroupsRequest DeleteGroupsResponse DeleteRecordsRequest
        DeleteRecordsResponse DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse
        DeleteShareGroupStateRequest DeleteShareGroupStateResponse DeleteTopicsRequest DeleteTopicsResponse
        DescribeAclsRequest DescribeAclsResponse DescribeClientQuotasRequest DescribeClientQuotasResponse
        DescribeClusterRequest DescribeClusterResponse DescribeConfigsRequest DescribeConfigsResponse
        DescribeDelegationTokenRequest DescribeDelegationTokenResponse DescribeGroupsRequest
        DescribeGroupsResponse DescribeLogDirsRequest DescribeLogDirsResponse DescribeProducersRequest
        DescribeProducersResponse DescribeQuorumRequest DescribeQuorumResponse
        DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse DescribeTopicPartitionsRequest
        DescribeTopicPartitionsResponse DescribeTransactionsRequest DescribeTransactionsResponse
        DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse ElectLeadersRequest
        ElectLeadersResponse EndQuorumEpochRequest EndQuorumEpochResponse EndTxnMarker EndTxnRequest
        EndTxnResponse EnvelopeRequest EnvelopeResponse ExpireDelegationTokenRequest
        ExpireDelegationTokenResponse FetchRequest FetchResponse FetchSnapshotRequest FetchSnapshotResponse
        FindCoordinatorRequest FindCoordinatorResponse GetTelemetrySubscriptionsRequest
        GetTelemetrySubscriptionsResponse HeartbeatRequest HeartbeatResponse IncrementalAlterConfigsRequest
        IncrementalAlterConfigsResponse InitProducerIdRequest InitProducerIdResponse
        InitializeShareGroupStateRequest InitializeShareGroupStateResponse JoinGroupRequest JoinGroupResponse
        KRaftVersionRecord LeaderChangeMessage LeaveGroupRequest LeaveGroupResponse ListConfigResourcesRequest
        ListConfigResourcesResponse ListGroupsRequest ListGroupsResponse ListOffsetsRequest
        ListOffsetsResponse ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse
        ListTransactionsRequest ListTransactionsResponse MetadataRequest MetadataResponse OffsetCommitRequest
        OffsetCommitResponse OffsetDeleteRequest OffsetDeleteResponse OffsetFetchRequest OffsetFetchResponse
        OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse ProduceRequest ProduceResponse
        PushTelemetryRequest PushTelemetryResponse ReadShareGroupStateRequest ReadShareGroupStateResponse
        ReadShareGroupStateSummaryRequest ReadShareGroupStateSummaryResponse RemoveRaftVoterRequest
        RemoveRaftVoterResponse RenewDelegationTokenRequest RenewDelegationTokenResponse RequestHeader
        ResponseHeader SaslAuthenticateRequest SaslAuthenticateResponse SaslHandshakeRequest
        SaslHandshakeResponse ShareAcknowledgeRequest ShareAcknowledgeResponse ShareFetchRequest
        ShareFetchResponse ShareGroupDescribeRequest ShareGroupDescribeResponse ShareGroupHeartbeatRequest
        ShareGroupHeartbeatResponse SnapshotFooterRecord SnapshotHeaderRecord StreamsGroupDescribeRequest
        StreamsGroupDescribeResponse StreamsGroupHeartbeatRequest StreamsGroupHeartbeatResponse
        StreamsGroupTopologyDescriptionUpdateRequest StreamsGroupTopologyDescriptionUpdateResponse
        SyncGroupRequest SyncGroupResponse TxnOffsetCommitRequest TxnOffsetCommitResponse
        UnregisterBrokerRequest UnregisterBrokerResponse UpdateFeaturesRequest UpdateFeaturesResponse
        UpdateRaftVoterRequest UpdateRaftVoterResponse VoteRequest VoteResponse VotersRecord
        WriteShareGroupStateRequest WriteShareGroupStateResponse WriteTxnMarkersRequest
        WriteTxnMarkersResponse
    }
}

/// A seeded source of numbers (splitmix64): the same seed, the same run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
