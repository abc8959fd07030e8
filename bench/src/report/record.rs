//! One JSON file for each figure, with the conditions under which it was taken.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::figure::Outcome;
use crate::figures;

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
    /// How long it took.
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

    /// All that lie in a directory, in the order of the registry.
    pub(crate) fn read_all(directory: &Path) -> Result<Vec<Record>> {
        let names =
            figures::ALL.iter().map(|figure| figure.name).chain(figures::APART.iter().map(|figure| figure.name));
        let paths = names.map(|name| directory.join(format!("{name}.json"))).filter(|path| path.exists());
        paths
            .map(|path| {
                let text = fs::read_to_string(&path)?;
                serde_json::from_str(&text).with_context(|| path.display().to_string())
            })
            .collect()
    }
}
