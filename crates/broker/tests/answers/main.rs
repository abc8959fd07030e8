//! A node at its boundary: requests in every version, and everything it answers, held against
//! transcripts in `testdata/answers`.
//!
//! The same requests can be put to Apache Kafka: `ANSWERS_FROM=127.0.0.1:9092 cargo test -p chronik-broker --test answers`
//! shows where it answers differently (node 1, no topics, `log.retention.hours` and the like at their defaults). What is known
//! to differ, and why, stands in `testdata/answers/README.md`. `UPDATE_TRANSCRIPTS=1` writes down what the node says now.

mod ask;
mod cluster;
mod configs;
mod metadata;
mod node;
mod offsets;
mod records;
mod replicas;
mod requests;
mod topics;
