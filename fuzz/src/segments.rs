//! Segments and their indexes as a torn, rotten or forged disk leaves them: an index is never believed against its
//! segment, and no batch is given out that is not whole and in its place.

use crate::Plain;
use crate::archive::{self, Kind};
use crate::memory::Limits;
use crate::random::Random;
use crate::{forge, storage};

/// Several storages on disks that keep every file twice.
pub const LIMITS: Limits = Limits { fixed_bytes: 32 << 20, bytes_per_byte: 256 };

/// Opens a storage on the data directory in `bytes`, see `archive.rs`.
///
/// # Panics
/// If a promise of reading is broken.
pub fn run(bytes: &[u8]) {
    storage::live(&archive::unpack(bytes));
}

/// Changes segments and indexes, now and then the rest; then mostly mends lengths and checksums.
pub fn mutate(bytes: &mut [u8], size: usize, size_max: usize, seed: u32, plain: Plain) -> usize {
    let mut random = Random::new(seed);
    let all = random.one_in(8);
    forge::mutate(bytes, size, size_max, &mut random, plain, |kind| all || matches!(kind, Kind::Segment(_) | Kind::Index(_)))
}

/// What a storage writes: sealed and active segments, with and without their indexes.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    crate::lives::seeds(|_| true, true)
}
