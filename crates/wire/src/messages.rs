//! The messages of the protocol, as the codec generates them from Kafka's own schemas.
//!
//! Structs are `#[non_exhaustive]`: build them with [`message!`](crate::message). Each message `FooRequest` has a module
//! `foo_request` with the structs it is made of.

pub use kafka_wire::*;
pub use kafka_wire_core::{ApiVersion, KafkaDecode, KafkaEncode, TaggedFields};
