//! Load for a Kafka broker, and how long it took: what `chronik-server bench` and the benchmark of this tree put on a
//! broker, ours or another.
//!
//! ```text
//! Cluster ── create_topic ──> Target ──┬── produce ─────> Produced
//!                                      ├── consume ─────> Consumed
//!                                      └── end_to_end ──> both
//! ```
//! Batches are made before a run and sent as they are; a thread turns one loop over all of its connections. What the load
//! itself costs is mostly the kernel's part of it.
//!
//! Not here: a client for applications (no retries, no groups, no transactions), and any notion of which broker is better.

mod batch;
mod cluster;
mod consume;
mod end_to_end;
mod errors;
mod frames;
mod latency;
mod pace;
mod produce;
mod socket;
mod target;
mod turn;

pub use batch::{BatchShape, Compression};
pub use cluster::Cluster;
pub use consume::{ConsumeLoad, Consumed, Offsets, consume};
pub use end_to_end::end_to_end;
pub use errors::LoadError;
pub use latency::Latencies;
pub use produce::{ProduceLoad, Produced, Rhythm, produce};
pub use target::{Target, Until};
