//! One JSON file for each figure, with the conditions under which it was taken.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::figure::Outcome;

/// A figure as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) figure: String,
    pub(crate) about: String,
    /// Day and minute of its start, UTC.
    pub(crate) date: String,
    /// Commit of the tree that was measured.
    pub(crate) commit: String,
    pub(crate) machine: String,
    /// Of Apache Kafka, as its jars say.
    pub(crate) seconds: f64,
    pub(crate) outcome: Outcome,
}

impl Record {
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}.json", self.figure));
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}
