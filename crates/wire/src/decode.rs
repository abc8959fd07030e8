//! How much a peer may make us believe: limits on decoding, and the error a bad message becomes.

use kafka_wire_core::{DecodeLimits, Decoder, KafkaDecode};

use crate::{Bytes, messages::ApiVersion};

/// Bounds on one message, chosen so that no request a client sends in earnest meets them.
///
/// Memory: the codec never reserves from a count the peer claims; an element of an array costs at least one byte of the
/// frame. What a frame may grow to is therefore its length times the size of the smallest element, and the length is
/// bounded per API ([`ApiKey::max_request_bytes`](crate::ApiKey::max_request_bytes)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame.
    pub frame_bytes: usize,
    /// Longest string: an int16 says its length where it is stored, so Kafka takes none that is longer, compact or not.
    pub string_bytes: usize,
    /// Most elements of one array.
    pub array_elements: usize,
    /// Most tagged fields of one structure.
    pub tagged_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_bytes: 512 << 20, string_bytes: i16::MAX as usize, array_elements: 1_000_000, tagged_fields: 64 }
    }
}

impl Limits {
    pub(crate) fn codec(self) -> DecodeLimits {
        let mut limits = DecodeLimits::default();
        limits.max_frame_bytes = self.frame_bytes;
        limits.max_bytes_bytes = self.frame_bytes;
        limits.max_string_bytes = self.string_bytes;
        limits.max_array_elements = self.array_elements;
        limits.max_tagged_fields = self.tagged_fields;
        limits.max_tag_bytes = self.frame_bytes;
        limits.max_total_tag_bytes = self.frame_bytes;
        limits
    }
}

/// Why bytes are not the message they claim to be. On a server the connection they came by is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message exists, this version of it does not.
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    /// Truncated, too long, a length that cannot be, text that is none.
    #[error("malformed {message} v{version}: {cause}")]
    Malformed { message: &'static str, version: i16, cause: Malformed },
}

/// What is wrong with the bytes, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Malformed(#[from] kafka_wire_core::DecodeError);

/// Decodes exactly one message from all of `bytes`.
pub(crate) fn decode<M: KafkaDecode + kafka_wire::KafkaMessage>(
    bytes: Bytes,
    version: i16,
    limits: Limits,
) -> Result<M, DecodeError> {
    M::decode_from_bytes(bytes, ApiVersion::new(version), limits.codec())
        .map_err(|cause| DecodeError::from_codec(M::NAME, version, cause))
}

/// Decodes one message from the start of `bytes`. What stands behind it is left alone, as Kafka leaves it: some clients send
/// a body where the version has none.
pub(crate) fn decode_front<M: KafkaDecode + kafka_wire::KafkaMessage>(
    bytes: Bytes,
    version: i16,
    limits: Limits,
) -> Result<M, DecodeError> {
    Decoder::new(bytes, limits.codec())
        .and_then(|mut decoder| M::decode(&mut decoder, ApiVersion::new(version)))
        .map_err(|cause| DecodeError::from_codec(M::NAME, version, cause))
}

impl DecodeError {
    pub(crate) fn from_codec(message: &'static str, version: i16, cause: kafka_wire_core::DecodeError) -> Self {
        match cause {
            kafka_wire_core::DecodeError::UnsupportedVersion { .. } => Self::UnsupportedVersion { message, version },
            cause => Self::Malformed { message, version, cause: Malformed(cause) },
        }
    }
}
