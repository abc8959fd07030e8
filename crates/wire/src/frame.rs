//! Frames: a length, a header, a body. Requests in, responses out; and the other way round for clients.
//!
//! ```text
//! request   i32 length | i16 api key | i16 version | i32 correlation id | nullable string client id | [tags] | body
//! response  i32 length | i32 correlation id | [tags] | body
//! ```
//! The tags are there in flexible versions only; the header of an ApiVersions response never has them, so that a client
//! can read it before it knows what the server speaks (KIP-511).

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::{KafkaMessage, KafkaRequest, KafkaResponse};
use kafka_wire_core::{Encoder, KafkaDecode, KafkaEncode, StrBytes};

use crate::{
    ApiKey,
    decode::{DecodeError, Limits, decode, decode_front},
    messages::ApiVersion,
    reader::Reader,
};

/// Who asks what, in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: ApiKey,
    pub api_version: i16,
    pub correlation_id: i32,
    /// `None` when the client sent null; Kafka treats that like an empty name.
    pub client_id: Option<StrBytes>,
}

/// A request whose header has been read and whose body has not.
#[derive(Clone, Debug)]
pub struct Request {
    pub header: RequestHeader,
    /// The rest of the frame.
    pub body: Bytes,
}

/// Why a frame cannot be answered at all. The connection it came by is to be closed, as Kafka does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("malformed request header: {0}")]
    Header(crate::decode::Malformed),
    #[error("unknown API key {api_key} (version {api_version})")]
    UnknownApi { api_key: i16, api_version: i16 },
    #[error("{api_key} version {api_version} is not served")]
    UnsupportedVersion { api_key: ApiKey, api_version: i16 },
}

/// Why a message cannot be put on the wire: always a bug of the one who built it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("cannot encode {message} v{version}: {cause}")]
    Message { message: &'static str, version: i16, cause: kafka_wire_core::EncodeError },
    #[error("a frame of {bytes} bytes is longer than its length field can say")]
    TooLong { bytes: usize },
}

impl Request {
    /// Reads the header of a frame (given without its length). The body keeps referring to the frame's memory.
    ///
    /// An ApiVersions request is let through in any version: it is answered with `UNSUPPORTED_VERSION` in version 0
    /// ([`api_versions_unsupported`](crate::api_versions_unsupported)), see [`RequestHeader::is_supported`]. Produce 0
    /// to 2 are refused like any other version that is not served, although they are advertised (KAFKA-18659).
    pub fn parse(frame: Bytes) -> Result<Self, FrameError> {
        let (header, body) = Self::split(&frame)?;
        let body = frame.slice_ref(body);
        Ok(Self { header, body })
    }

    /// The same where the frame is only borrowed: its header, and the body behind it.
    pub fn split(frame: &[u8]) -> Result<(RequestHeader, &[u8]), FrameError> {
        let mut reader = Reader::new(frame);
        let malformed = |cause: kafka_wire_core::DecodeError| FrameError::Header(cause.into());
        let key = reader.i16().map_err(malformed)?;
        let api_version = reader.i16().map_err(malformed)?;
        let correlation_id = reader.i32().map_err(malformed)?;
        let api_key = ApiKey::from_code(key).ok_or(FrameError::UnknownApi { api_key: key, api_version })?;
        if !api_key.accepts_header(api_version) {
            return Err(FrameError::UnsupportedVersion { api_key, api_version });
        }
        // The client id keeps the old form of a string even in the flexible header.
        let client_id = reader.nullable_string().map_err(malformed)?;
        if api_key.request_header_version(api_version) >= 2 {
            reader.skip_tagged_fields().map_err(malformed)?;
        }
        let client_id = client_id.map(StrBytes::from);
        let header = RequestHeader { api_key, api_version, correlation_id, client_id };
        Ok((header, &frame[reader.position()..]))
    }

    /// Decodes the body as `M`, which must be the request of this API. Bytes behind it are left alone, as Kafka does.
    pub fn decode<M: KafkaRequest + KafkaMessage + KafkaDecode>(&self) -> Result<M, DecodeError> {
        debug_assert_eq!(M::API_KEY.value(), self.header.api_key.code());
        decode_front(self.body.clone(), self.header.api_version, Limits::default())
    }
}

impl RequestHeader {
    /// Whether this version of the API is served; false only for ApiVersions (see [`Request::parse`]).
    pub fn is_supported(&self) -> bool {
        self.api_key.served().contains(self.api_version)
    }
}

/// Writes a whole response frame behind what is in `buffer`. On an error the buffer is as it was.
pub fn encode_response<M: KafkaResponse + KafkaEncode>(
    buffer: &mut BytesMut,
    header: &RequestHeader,
    response: &M,
) -> Result<(), EncodeError> {
    debug_assert_eq!(M::API_KEY.value(), header.api_key.code());
    framed(buffer, |buffer| {
        put_response_header(buffer, header);
        put_message(buffer, response, header.api_version)
    })
}

/// Writes a whole request frame behind what is in `buffer`. On an error the buffer is as it was.
pub fn encode_request<M: KafkaRequest + KafkaEncode>(
    buffer: &mut BytesMut,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &M,
    api_version: i16,
) -> Result<(), EncodeError> {
    framed(buffer, |buffer| {
        let version = ApiVersion::new(api_version);
        buffer.put_i16(M::API_KEY.value());
        buffer.put_i16(api_version);
        buffer.put_i32(correlation_id);
        match client_id {
            None => buffer.put_i16(-1),
            Some(name) => {
                let length = i16::try_from(name.len()).map_err(|_| EncodeError::TooLong { bytes: name.len() })?;
                buffer.put_i16(length);
                buffer.put_slice(name.as_bytes());
            }
        }
        if M::is_flexible(version) {
            buffer.put_u8(0);
        }
        put_message(buffer, request, api_version)
    })
}

/// The head of a response, for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    pub correlation_id: i32,
}

/// Decodes a response frame (given without its length) to a request of `api_key` in `api_version`.
pub fn decode_response<M: KafkaResponse + KafkaDecode>(
    frame: Bytes,
    api_version: i16,
) -> Result<(ResponseHeader, M), DecodeError> {
    let malformed = |cause| DecodeError::from_codec(M::NAME, api_version, cause);
    let version = ApiVersion::new(api_version);
    let mut reader = Reader::new(&frame);
    let correlation_id = reader.i32().map_err(malformed)?;
    if M::is_flexible(version) && M::API_KEY.value() != ApiKey::ApiVersions.code() {
        reader.skip_tagged_fields().map_err(malformed)?;
    }
    let body = frame.slice(reader.position()..);
    Ok((ResponseHeader { correlation_id }, decode(body, api_version, Limits::default())?))
}

/// The header of a response to `header`, without the length before it.
pub(crate) fn put_response_header(buffer: &mut BytesMut, header: &RequestHeader) {
    buffer.put_i32(header.correlation_id);
    if header.api_key.response_header_version(header.api_version) >= 1 {
        buffer.put_u8(0);
    }
}

/// Runs `write` between a reserved length field and its filling in; takes everything back on an error.
pub(crate) fn framed(
    buffer: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    buffer.put_i32(0);
    let result = write(buffer).and_then(|()| patch_length(buffer, start, 0));
    if result.is_err() {
        buffer.truncate(start);
    }
    result
}

/// Fills in the length field at `start`; `elsewhere` bytes of the frame are not in the buffer.
pub(crate) fn patch_length(buffer: &mut BytesMut, start: usize, elsewhere: usize) -> Result<(), EncodeError> {
    let bytes = buffer.len() - start - 4 + elsewhere;
    let length = i32::try_from(bytes).map_err(|_| EncodeError::TooLong { bytes })?;
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn put_message<M: KafkaMessage + KafkaEncode>(
    buffer: &mut BytesMut,
    message: &M,
    version: i16,
) -> Result<(), EncodeError> {
    message.encode(&mut Encoder::new(buffer), ApiVersion::new(version)).map_err(|cause| EncodeError::Message {
        message: M::NAME,
        version,
        cause,
    })
}
