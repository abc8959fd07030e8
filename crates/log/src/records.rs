//! Records inside a batch: building them, and reading them within bounds.

mod builder;
mod reader;

pub use builder::{BatchBuilder, Header, OwnedBatch};
pub use reader::{Record, RecordError, Records, read};
