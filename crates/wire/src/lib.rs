//! Kafka bytes: the codec behind one facade, the table of APIs and versions, bounded decoding.
//!
//! Only this crate knows the codec library. Ninety messages are the codec's own (`messages`); the two that carry records,
//! Produce and Fetch, are read and written here by hand (`produce`, `fetch`), because they decide what a byte costs.
//!
//! Nothing here touches a socket: a frame comes in as [`Bytes`], an answer goes out into a [`BytesMut`].

#[macro_use]
mod build;
mod api;
mod decode;
mod error_code;
pub mod fetch;
mod frame;
pub mod messages;
pub mod produce;
mod reader;
mod writer;

pub use api::{AdvertisedApi, ApiKey, Versions, advertise, api_versions_response, api_versions_unsupported};
pub use bytes::{Bytes, BytesMut};
pub use decode::{DecodeError, Limits};
pub use error_code::ErrorCode;
pub use frame::{
    EncodeError, FrameError, Request, RequestHeader, ResponseHeader, decode_response, encode_request, encode_response,
};
pub use kafka_wire_core::{StrBytes, Uuid};
