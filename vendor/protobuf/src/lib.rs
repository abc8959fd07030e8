//! Three methods of protobuf 2 that raft-rs calls, for every message of prost.
//!
//! `raft` 0.7 depends on `protobuf` 2, which overflows the stack on hostile input (RUSTSEC-2024-0437), for these alone.

/// A message that could not be read or written.
pub type ProtobufError = prost::DecodeError;

/// What raft-rs asks of a message.
pub trait Message {
    /// Bytes of its encoding.
    fn compute_size(&self) -> u32;
    /// Its encoding.
    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError>;
    /// Reads fields over those that are there.
    fn merge_from_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtobufError>;
}

impl<M: prost::Message> Message for M {
    fn compute_size(&self) -> u32 {
        u32::try_from(self.encoded_len()).unwrap_or(u32::MAX)
    }

    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError> {
        Ok(self.encode_to_vec())
    }

    fn merge_from_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtobufError> {
        self.merge(bytes)
    }
}
