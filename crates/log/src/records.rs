//! Records inside a batch: building them, and reading them within bounds.

mod builder;

pub use builder::{BatchBuilder, Header, OwnedBatch};
