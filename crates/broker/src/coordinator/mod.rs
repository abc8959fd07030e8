//! Groups, on `__consumer_offsets`.

use crate::settings::Settings;

/// The node's part in coordinating groups.
pub(crate) struct Coordinator {}

impl Coordinator {
    pub(crate) fn new(_settings: &Settings) -> Self {
        Coordinator {}
    }
}
