//! The rules of one partition: who may append, what is committed, where histories part, how copies are kept.

pub mod epochs;
pub mod follower;
pub mod leader;
pub mod producers;
pub mod stream;
