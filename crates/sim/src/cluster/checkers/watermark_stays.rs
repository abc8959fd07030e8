//! The high watermark that readers of a node see does not fall while its process lives.

use chronik_state::ids::{BrokerId, Offset};

use crate::cluster::history::History;
use crate::cluster::places::Place;

/// A replica shows this high watermark.
pub(in crate::cluster) fn note_watermark(history: &mut History, at: (BrokerId, u32, Place), high_watermark: Offset) {
    let before = history.watermarks.insert(at, high_watermark).unwrap_or(0);
    if high_watermark < before {
        history.broken(|| format!("a high watermark stays: node {}, partition {}: {before}, then {high_watermark}", at.0, at.2));
    }
}
