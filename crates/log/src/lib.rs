//! The node's record, write-ahead and metadata files: the only crate that opens them.
