//! The crash property: whatever a storage was doing when its machine stopped, what it finds afterwards is exactly
//! what it had decided up to one position of the write-ahead log, and that position is not before the last it
//! had called durable.
//!
//! For every log that means: all acknowledged batches, once, in order, byte for byte; nothing that was never
//! appended; the same log start, epochs and producers. Opening a second time finds the same again.

mod model;
mod run;
mod workload;

pub use run::{Failure, Outcome, Plan, Statistics, run, run_traced};
