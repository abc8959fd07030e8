//! How the last run ended: a mark that says that it was stopped, and everything synced before.
//!
//! `metadata/clean`, see `docs/format.md`. Written last of all when a node stops, with the epoch that the metadata log calls the
//! process; taken away at the next start, with the directory synced, before anything else is written (KIP-966, "unclean
//! recovery"; Kafka's `CleanShutdownFileHandler` does not sync the directory). A mark that outlived a crash would make a replica
//! count as whole that has lost its end.

use std::io::{self, IoSlice};
use std::path::Path;

use crate::disk::{Disk, OpenMode};

const DIRECTORY: &str = "metadata";
const NAME: &str = "clean";
const TEMPORARY: &str = "clean.tmp";
const MAGIC: [u8; 8] = *b"CHKCLEAN";
/// Magic, broker epoch, checksum.
const BYTES: usize = 8 + 8 + 4;

/// The epoch of the process that was stopped in good order, if the last one was; the mark is gone when this returns.
///
/// # Errors
/// What the disk said: whether the mark is still there is not known then.
pub fn take(disk: &dyn Disk, data_directory: &Path) -> io::Result<Option<i64>> {
    let directory = data_directory.join(DIRECTORY);
    disk.create_directory(&directory)?;
    let path = directory.join(NAME);
    if !disk.list(&directory)?.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let file = disk.open(&path, OpenMode::Read)?;
    let mut bytes = [0; BYTES];
    let is_whole = file.length()? == BYTES as u64 && file.read_at(&mut bytes, 0)? == BYTES;
    disk.remove(&path)?;
    disk.sync_directory(&directory)?;
    let (rest, checksum) = bytes.split_at(BYTES - 4);
    // One that is not what was written says nothing.
    let is_ours = is_whole && rest[..8] == MAGIC && checksum == crc32c::crc32c(rest).to_be_bytes();
    let epoch = *rest.last_chunk::<8>().expect("it is longer");
    Ok(is_ours.then(|| i64::from_be_bytes(epoch)))
}

/// Says that the process of this epoch has stopped. Everything that it wrote is on disk before this is called.
///
/// # Errors
/// What the disk said: the next start then takes this run's end for a crash.
pub fn leave(disk: &dyn Disk, data_directory: &Path, broker_epoch: i64) -> io::Result<()> {
    let directory = data_directory.join(DIRECTORY);
    disk.create_directory(&directory)?;
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&broker_epoch.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_be_bytes());
    let temporary = directory.join(TEMPORARY);
    let file = disk.open(&temporary, OpenMode::Write)?;
    file.set_length(0)?;
    file.write_at(&[IoSlice::new(&bytes)], 0)?;
    file.sync()?;
    disk.rename(&temporary, &directory.join(NAME))?;
    disk.sync_directory(&directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn a_mark_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(take(&RealDisk, directory.path()).unwrap(), None);
        leave(&RealDisk, directory.path(), 17).unwrap();
        leave(&RealDisk, directory.path(), 18).unwrap();
        assert_eq!(take(&RealDisk, directory.path()).unwrap(), Some(18));
        assert_eq!(take(&RealDisk, directory.path()).unwrap(), None);
    }

    #[test]
    fn a_damaged_mark_says_nothing_and_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(DIRECTORY).join(NAME);
        for at in 0..BYTES {
            leave(&RealDisk, directory.path(), 17).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(take(&RealDisk, directory.path()).unwrap(), None, "byte {at}");
            std::fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(take(&RealDisk, directory.path()).unwrap(), None, "cut to {at}");
            assert!(!path.exists());
        }
    }
}
