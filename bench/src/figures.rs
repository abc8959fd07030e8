//! All figures, in the order in which they are taken and shown.

mod produce;

use crate::figure::Figure;

pub(crate) const ALL: &[Figure] = &[produce::SYNCED, produce::UNSYNCED];
