//! Which APIs there are, which of their versions Kafka 4.x serves, and what a node says about itself.
//!
//! One table. A version stands in it only if the codec both decodes and encodes it (a test holds the table against the
//! codec). What a node advertises is computed from the handlers that are registered, so nothing can be advertised that
//! nobody answers.

use bytes::BytesMut;

use crate::{
    EncodeError, ErrorCode, RequestHeader, encode_response,
    messages::{ApiVersionsResponse, api_versions_response},
};

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

impl Versions {
    pub const fn new(min: i16, max: i16) -> Self {
        assert!(min <= max);
        Self { min, max }
    }

    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

macro_rules! apis {
    ($($name:ident = $code:literal, $min:literal..=$max:literal, flexible $flexible:literal;)*) => {
        /// An API that clients (or the tools of an operator) call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $code,)*
        }

        impl ApiKey {
            /// Every API of the table, in the order of its numbers.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this number, or `None` if the table has none.
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name for it, e.g. `Produce`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The versions that are served where the API is registered.
            pub const fn served(self) -> Versions {
                match self { $(Self::$name => Versions::new($min, $max),)* }
            }

            const fn first_flexible_version(self) -> i16 {
                match self { $(Self::$name => $flexible,)* }
            }
        }
    };
}

// Versions: what Apache Kafka 4.3 answers to ApiVersions on a client listener, except AddRaftVoter and the like, which stand
// here only so that their numbers have names. Later schemas the codec knows (ApiVersions 5, InitProducerId 6,
// TxnOffsetCommit 6, DeleteGroups 3) are not stable there.
apis! {
    Produce = 0, 3..=13, flexible 9;
    Fetch = 1, 4..=18, flexible 12;
    ListOffsets = 2, 1..=11, flexible 6;
    Metadata = 3, 0..=13, flexible 9;
    OffsetCommit = 8, 2..=10, flexible 8;
    OffsetFetch = 9, 1..=10, flexible 6;
    FindCoordinator = 10, 0..=6, flexible 3;
    JoinGroup = 11, 0..=9, flexible 6;
    Heartbeat = 12, 0..=4, flexible 4;
    LeaveGroup = 13, 0..=5, flexible 4;
    SyncGroup = 14, 0..=5, flexible 4;
    DescribeGroups = 15, 0..=6, flexible 5;
    ListGroups = 16, 0..=5, flexible 3;
    SaslHandshake = 17, 0..=1, flexible 32767;
    ApiVersions = 18, 0..=4, flexible 3;
    CreateTopics = 19, 2..=7, flexible 5;
    DeleteTopics = 20, 1..=6, flexible 4;
    DeleteRecords = 21, 0..=2, flexible 2;
    InitProducerId = 22, 0..=5, flexible 2;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4;
    AddPartitionsToTxn = 24, 0..=5, flexible 3;
    AddOffsetsToTxn = 25, 0..=4, flexible 3;
    EndTxn = 26, 0..=5, flexible 3;
    WriteTxnMarkers = 27, 1..=2, flexible 1;
    TxnOffsetCommit = 28, 0..=5, flexible 3;
    DescribeAcls = 29, 1..=3, flexible 2;
    CreateAcls = 30, 1..=3, flexible 2;
    DeleteAcls = 31, 1..=3, flexible 2;
    DescribeConfigs = 32, 1..=4, flexible 4;
    AlterConfigs = 33, 0..=2, flexible 2;
    AlterReplicaLogDirs = 34, 1..=2, flexible 2;
    DescribeLogDirs = 35, 1..=5, flexible 2;
    SaslAuthenticate = 36, 0..=2, flexible 2;
    CreatePartitions = 37, 0..=3, flexible 2;
    CreateDelegationToken = 38, 1..=3, flexible 2;
    RenewDelegationToken = 39, 1..=2, flexible 2;
    ExpireDelegationToken = 40, 1..=2, flexible 2;
    DescribeDelegationToken = 41, 1..=3, flexible 2;
    DeleteGroups = 42, 0..=2, flexible 2;
    ElectLeaders = 43, 0..=2, flexible 2;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1;
    AlterPartitionReassignments = 45, 0..=1, flexible 0;
    ListPartitionReassignments = 46, 0..=0, flexible 0;
    OffsetDelete = 47, 0..=0, flexible 32767;
    DescribeClientQuotas = 48, 0..=1, flexible 1;
    AlterClientQuotas = 49, 0..=1, flexible 1;
    DescribeUserScramCredentials = 50, 0..=0, flexible 0;
    AlterUserScramCredentials = 51, 0..=0, flexible 0;
    DescribeQuorum = 55, 0..=2, flexible 0;
    UpdateFeatures = 57, 0..=2, flexible 0;
    DescribeCluster = 60, 0..=2, flexible 0;
    DescribeProducers = 61, 0..=0, flexible 0;
    UnregisterBroker = 64, 0..=0, flexible 0;
    DescribeTransactions = 65, 0..=0, flexible 0;
    ListTransactions = 66, 0..=2, flexible 0;
    ConsumerGroupHeartbeat = 68, 0..=1, flexible 0;
    ConsumerGroupDescribe = 69, 0..=1, flexible 0;
    GetTelemetrySubscriptions = 71, 0..=0, flexible 0;
    PushTelemetry = 72, 0..=0, flexible 0;
    ListConfigResources = 74, 0..=1, flexible 0;
    DescribeTopicPartitions = 75, 0..=0, flexible 0;
    ShareGroupHeartbeat = 76, 1..=1, flexible 0;
    ShareGroupDescribe = 77, 1..=1, flexible 0;
    ShareFetch = 78, 1..=2, flexible 0;
    ShareAcknowledge = 79, 1..=2, flexible 0;
    AddRaftVoter = 80, 0..=1, flexible 0;
    RemoveRaftVoter = 81, 0..=0, flexible 0;
    StreamsGroupHeartbeat = 88, 0..=0, flexible 0;
    StreamsGroupDescribe = 89, 0..=0, flexible 0;
    DescribeShareGroupOffsets = 90, 0..=1, flexible 0;
    AlterShareGroupOffsets = 91, 0..=0, flexible 0;
    DeleteShareGroupOffsets = 92, 0..=0, flexible 0;
}

/// Longest request other than Produce, in bytes. Decoded, a frame can take some seventy times its length (arrays of strings
/// of no length, a byte each), so what a stranger may send is kept well below `socket.request.max.bytes`, which is meant
/// for records. A Fetch of a hundred thousand partitions fits.
const REQUEST_BYTES_MAX: usize = 4 << 20;

impl ApiKey {
    /// The number as it stands on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The versions ApiVersions names for this API. Wider than what is served for Produce only: librdkafka turns off
    /// compression unless version 0 is named (KAFKA-18659).
    pub const fn advertised(self) -> Versions {
        match self {
            Self::Produce => Versions::new(0, self.served().max),
            _ => self.served(),
        }
    }

    /// 2 in flexible versions, 1 before.
    pub const fn request_header_version(self, api_version: i16) -> i16 {
        if api_version >= self.first_flexible_version() { 2 } else { 1 }
    }

    /// 1 in flexible versions, 0 before, and always 0 for ApiVersions (KIP-511).
    pub const fn response_header_version(self, api_version: i16) -> i16 {
        match self {
            Self::ApiVersions => 0,
            _ if api_version >= self.first_flexible_version() => 1,
            _ => 0,
        }
    }

    /// Longest frame accepted for this API when records may take up to `socket_request_max_bytes`.
    pub fn max_request_bytes(self, socket_request_max_bytes: usize) -> usize {
        match self {
            Self::Produce => socket_request_max_bytes,
            _ => socket_request_max_bytes.min(REQUEST_BYTES_MAX),
        }
    }

    /// Whether a frame with this version is read further than its version: only ApiVersions answers to versions it does
    /// not know; for everything else Kafka closes the connection, also for the Produce versions it advertises and does
    /// not serve.
    pub(crate) const fn accepts_header(self, api_version: i16) -> bool {
        match self {
            Self::ApiVersions => true,
            _ => self.served().contains(api_version),
        }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One line of what a node says it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvertisedApi {
    pub api_key: ApiKey,
    pub versions: Versions,
}

/// What a node with handlers for `registered` advertises, in the order of the API numbers.
pub fn advertise(registered: impl IntoIterator<Item = ApiKey>) -> Vec<AdvertisedApi> {
    let mut apis: Vec<_> =
        registered.into_iter().map(|api_key| AdvertisedApi { api_key, versions: api_key.advertised() }).collect();
    apis.sort_by_key(|api| api.api_key);
    apis.dedup();
    apis
}

/// The answer to ApiVersions in a version that is served.
///
/// Without features: `finalized_features_epoch` −1 says that none are known (KIP-584) until the caller tells some.
pub fn api_versions_response(apis: &[AdvertisedApi]) -> ApiVersionsResponse {
    message!(ApiVersionsResponse { api_keys: apis.iter().map(advertised_line).collect() })
}

/// Writes the answer to ApiVersions in a version that is not served: `UNSUPPORTED_VERSION` in version 0 whatever was
/// asked, naming only the versions of ApiVersions itself so that the client can ask again (KIP-511).
pub fn api_versions_unsupported(buffer: &mut BytesMut, header: &RequestHeader) -> Result<(), EncodeError> {
    let own = AdvertisedApi { api_key: ApiKey::ApiVersions, versions: ApiKey::ApiVersions.advertised() };
    let response = message!(ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![advertised_line(&own)],
    });
    encode_response(buffer, &RequestHeader { api_version: 0, ..header.clone() }, &response)
}

fn advertised_line(api: &AdvertisedApi) -> api_versions_response::ApiVersion {
    message!(api_versions_response::ApiVersion {
        api_key: api.api_key.code(),
        min_version: api.versions.min,
        max_version: api.versions.max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{self, ApiVersion};

    #[test]
    fn the_codec_reads_and_writes_every_version_of_the_table() {
        for api in ApiKey::ALL {
            let descriptor = messages::API_DESCRIPTORS
                .iter()
                .find(|descriptor| descriptor.api_key.value() == api.code())
                .unwrap_or_else(|| panic!("{api} is not in the codec"));
            let (request, response) = (descriptor.request, descriptor.response);
            assert_eq!(request.name, format!("{api}Request"));
            for version in api.served().min..=api.served().max {
                assert!(request.supported_versions.contains(ApiVersion::new(version)), "{api} {version}");
                assert!(response.supported_versions.contains(ApiVersion::new(version)), "{api} {version}");
            }
        }
    }

    #[test]
    fn header_versions_are_those_of_the_codec() {
        for descriptor in messages::API_DESCRIPTORS {
            let Some(api) = ApiKey::from_code(descriptor.api_key.value()) else {
                continue;
            };
            for version in api.served().min..=api.served().max {
                let flexible =
                    descriptor.flexible_versions.is_some_and(|range| range.contains(ApiVersion::new(version)));
                assert_eq!(api.request_header_version(version), if flexible { 2 } else { 1 }, "{api} {version}");
                let expected = if flexible && api != ApiKey::ApiVersions { 1 } else { 0 };
                assert_eq!(api.response_header_version(version), expected, "{api} {version}");
            }
        }
    }

    #[test]
    fn only_what_is_registered_is_advertised() {
        let apis = advertise([ApiKey::Metadata, ApiKey::Produce, ApiKey::Metadata]);
        assert_eq!(
            apis,
            [
                AdvertisedApi { api_key: ApiKey::Produce, versions: Versions::new(0, 13) },
                AdvertisedApi { api_key: ApiKey::Metadata, versions: Versions::new(0, 13) },
            ]
        );
        let response = api_versions_response(&apis);
        assert_eq!(response.api_keys.len(), 2);
        assert_eq!(response.finalized_features_epoch, -1);
    }

    #[test]
    fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
        let header =
            RequestHeader { api_key: ApiKey::ApiVersions, api_version: 99, correlation_id: 5, client_id: None };
        let mut buffer = BytesMut::new();
        api_versions_unsupported(&mut buffer, &header).expect("encodes");
        let expected = [0, 0, 0, 16, 0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
        assert_eq!(&buffer[..], expected);
    }
}
