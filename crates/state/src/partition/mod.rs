//! The rules of one partition: who may append, what is committed, where histories part.

pub mod epochs;
pub mod leader;
pub mod producers;
