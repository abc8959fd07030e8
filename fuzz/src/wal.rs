//! The write-ahead log as a torn, rotten or forged disk leaves it: recovery takes what is whole, refuses what was
//! durable and is gone, and invents nothing.

use crate::Plain;
use crate::archive::{self, File, Kind};
use crate::memory::Limits;
use crate::random::Random;
use crate::{forge, storage};

/// Several storages on disks that keep every file twice.
pub const LIMITS: Limits = Limits { fixed_bytes: 32 << 20, bytes_per_byte: 256 };

/// Opens a storage on the write-ahead log (and checkpoint) in `bytes`, see `archive.rs`.
///
/// # Panics
/// If a promise of recovery is broken.
pub fn run(bytes: &[u8]) {
    let files: Vec<File> = archive::unpack(bytes);
    let of_log = files.into_iter().filter(|file| matches!(file.kind, Kind::Wal | Kind::Spare | Kind::Checkpoint));
    storage::live(&of_log.collect::<Vec<_>>());
}

/// Changes files, blocks, entries or bytes; then mostly mends positions, lengths and checksums.
pub fn mutate(bytes: &mut [u8], size: usize, size_max: usize, seed: u32, plain: Plain) -> usize {
    let mut random = Random::new(seed);
    forge::mutate(bytes, size, size_max, &mut random, plain, |kind| matches!(kind, Kind::Wal | Kind::Checkpoint))
}

/// What a storage writes: commits of all sizes, several logs, deletions and cuts, files in a row.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    crate::lives::seeds(|kind| matches!(kind, Kind::Wal | Kind::Spare | Kind::Checkpoint), false)
}
