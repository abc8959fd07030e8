//! Records inside a batch: building them, and reading them within bounds.

mod builder;
mod compression;
mod reader;

pub use builder::{BatchBuilder, Header, OwnedBatch};
pub use compression::decompress;
pub use reader::{Record, RecordError, Records, check_layout, read, read_from};
