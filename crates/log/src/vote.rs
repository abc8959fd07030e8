//! What a member of the metadata's Raft group must never forget: the newest term that it has seen, and whom it voted for in it.
//!
//! `metadata/vote`, see `docs/format.md`. Written aside, synced, renamed, and the directory synced, so that it is the old one or the new one
//! after a crash. A member that forgets a vote may give a second one in the same term, and then two leaders decide
//! (Ongaro, "Consensus: Bridging Theory and Practice", §3.4).

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::disk::{Disk, OpenMode};

const DIRECTORY: &str = "metadata";
const NAME: &str = "vote";
const TEMPORARY: &str = "vote.tmp";
const MAGIC: [u8; 8] = *b"CHKVOTE\0";
const VERSION: u32 = 1;
/// Magic, version, checksum, term, vote.
const BYTES: usize = 8 + 4 + 4 + 8 + 8;

/// A term, and the vote given in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    pub term: u64,
    /// The member's id; 0 for nobody.
    pub voted_for: u64,
}

/// Why it could not be read or written.
#[derive(Debug, Error)]
pub enum VoteError {
    /// It is not what was written.
    #[error(
        "{}: {reason}\n\n\
         It says whom this node voted for. Without it the node could vote twice and two metadata leaders decide, so it does not start.\n\n\
         Fix: restore the file from a backup of the same node, or remove this node from the cluster and add it anew with an empty data directory",
        path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    /// The disk said no.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// What was written last under `data_directory`; nothing if nothing ever was.
///
/// # Errors
/// [`VoteError::Damaged`] if it is not whole.
pub fn read(disk: &dyn Disk, data_directory: &Path) -> Result<Option<Vote>, VoteError> {
    let directory = data_directory.join(DIRECTORY);
    let path = directory.join(NAME);
    let failed = |source| VoteError::Io { path: path.clone(), source };
    let damaged = |reason: &str| VoteError::Damaged { path: path.clone(), reason: reason.to_owned() };
    disk.create_directory(&directory).map_err(failed)?;
    if !disk.list(&directory).map_err(failed)?.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let file = disk.open(&path, OpenMode::Read).map_err(failed)?;
    let mut bytes = [0; BYTES];
    let length = file.length().map_err(failed)?;
    if length != BYTES as u64 || file.read_at(&mut bytes, 0).map_err(failed)? != BYTES {
        return Err(damaged(&format!("it has {length} bytes and should have {BYTES}")));
    }
    let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    if bytes[..8] != MAGIC {
        return Err(damaged("it does not begin as such a file does"));
    }
    if number(8..12) != u64::from(VERSION) {
        return Err(damaged(&format!("its version is {}, this program reads version {VERSION}", number(8..12))));
    }
    if number(12..16) != u64::from(checksum(&bytes)) {
        return Err(damaged("its checksum does not fit its content"));
    }
    Ok(Some(Vote { term: number(16..24), voted_for: number(24..32) }))
}

/// Writes `vote`. It is on disk when this returns.
///
/// # Errors
/// [`VoteError::Io`]: what is on disk is the vote before or this one, so nothing may be told to anybody.
pub fn write(disk: &dyn Disk, data_directory: &Path, vote: Vote) -> Result<(), VoteError> {
    let directory = data_directory.join(DIRECTORY);
    write_files(disk, &directory, vote)
        .map_err(|source| VoteError::Io { path: directory.join(NAME), source })
}

fn write_files(disk: &dyn Disk, directory: &Path, vote: Vote) -> io::Result<()> {
    // Fine if it is there: opening the storage has made it, and synced that.
    disk.create_directory(directory)?;
    let temporary = directory.join(TEMPORARY);
    let file = disk.open(&temporary, OpenMode::Write)?;
    file.set_length(0)?;
    file.write_at(&[IoSlice::new(&encode(vote))], 0)?;
    file.sync()?;
    disk.rename(&temporary, &directory.join(NAME))?;
    disk.sync_directory(directory)
}

fn encode(vote: Vote) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
    bytes[16..24].copy_from_slice(&vote.term.to_be_bytes());
    bytes[24..32].copy_from_slice(&vote.voted_for.to_be_bytes());
    let checksum = checksum(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// CRC-32C of everything but the checksum's own place.
fn checksum(bytes: &[u8; BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn the_last_one_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&RealDisk, directory.path()).unwrap(), None);
        for (term, voted_for) in [(1, 7), (2, 0), (u64::MAX, u64::MAX)] {
            let vote = Vote { term, voted_for };
            write(&RealDisk, directory.path(), vote).unwrap();
            assert_eq!(read(&RealDisk, directory.path()).unwrap(), Some(vote));
        }
        assert_eq!(RealDisk.list(&directory.path().join(DIRECTORY)).unwrap(), [NAME]);
    }

    #[test]
    fn every_changed_bit_and_every_length_is_found() {
        let directory = tempfile::tempdir().unwrap();
        write(&RealDisk, directory.path(), Vote { term: 5, voted_for: 3 }).unwrap();
        let path = directory.path().join(DIRECTORY).join(NAME);
        let good = std::fs::read(&path).unwrap();
        let is_damaged = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            matches!(read(&RealDisk, directory.path()), Err(VoteError::Damaged { .. }))
        };
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(is_damaged(&bad), "bit {bit}");
        }
        assert!((0..good.len()).all(|length| is_damaged(&good[..length])));
        assert!(is_damaged(&[good.as_slice(), &[0]].concat()));
    }
}
