//! Snapshots of the metadata: what its log came to at one offset, so that a start need not read all of it.
//!
//! `metadata/<end offset, 20 digits>-<epoch, 10 digits>.snapshot`, see `docs/format.md`. A snapshot appears whole or not at
//! all: written aside, synced, renamed, and the directory synced. An older one is removed only after that.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use chronik_state::ids::{LeaderEpoch, Offset};
use thiserror::Error;

use crate::disk::{Disk, OpenMode};

const DIRECTORY: &str = "metadata";
const SUFFIX: &str = ".snapshot";
const MAGIC: [u8; 8] = *b"CHKSNAP\0";
/// Version 1 had no membership, and no compression.
const VERSION: u32 = 2;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
/// Magic, version, checksum, end offset, epoch, length of what follows.
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 4 + 8;

/// What the metadata log before `end_offset` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Exclusive: the log goes on with this offset.
    pub end_offset: Offset,
    /// The leader epoch (term) of the record before it.
    pub epoch: LeaderEpoch,
    /// Who belonged to the metadata's Raft group then, in bytes that only the one who wrote them understands; none in a file of
    /// version 1, whose log was no Raft log yet.
    pub membership: Option<Vec<u8>>,
    /// Bytes that only the one who wrote them understands.
    pub payload: Vec<u8>,
}

/// Why a snapshot could not be read or written.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It is not what was written.
    #[error(
        "the metadata snapshot {} is damaged: {reason}\n\n\
         It holds the topics and settings of this node, and nothing else on this disk does.\n\n\
         Fix: restore the file from a backup", path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    /// The disk said no.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The newest snapshot under `data_directory`, if there is one.
///
/// # Errors
/// [`SnapshotError::Damaged`] if it is not whole. An older one is no replacement: the log before the newest may be gone.
pub fn read_latest(disk: &dyn Disk, data_directory: &Path) -> Result<Option<Snapshot>, SnapshotError> {
    let directory = data_directory.join(DIRECTORY);
    let failed = |source| SnapshotError::Io { path: directory.clone(), source };
    disk.create_directory(&directory).map_err(failed)?;
    let names = disk.list(&directory).map_err(failed)?;
    // Both numbers have fixed widths: the greatest name is the newest.
    match names.into_iter().filter(|name| name.ends_with(SUFFIX)).max() {
        Some(name) => read(disk, &directory.join(name)).map(Some),
        None => Ok(None),
    }
}

/// Writes `snapshot`, its payload compressed with zstd or as it is, and removes what it replaces.
///
/// # Errors
/// [`SnapshotError::Io`]; the snapshot before is still there then.
pub fn write(disk: &dyn Disk, data_directory: &Path, snapshot: &Snapshot, compress: bool) -> Result<(), SnapshotError> {
    let directory = data_directory.join(DIRECTORY);
    let name = format!("{:020}-{:010}{SUFFIX}", snapshot.end_offset, snapshot.epoch);
    content(snapshot, compress)
        .and_then(|content| write_files(disk, &directory, &name, &header(snapshot, &content), &content))
        .map_err(|source| SnapshotError::Io { path: directory.join(&name), source })
}

fn write_files(disk: &dyn Disk, directory: &Path, name: &str, header: &[u8], content: &[u8]) -> io::Result<()> {
    // Fine if it is there: opening the storage has made it, and synced that.
    disk.create_directory(directory)?;
    let temporary = directory.join("snapshot.tmp");
    let file = disk.open(&temporary, OpenMode::Write)?;
    file.set_length(0)?;
    file.write_at(&[IoSlice::new(header), IoSlice::new(content)], 0)?;
    file.sync()?;
    disk.rename(&temporary, &directory.join(name))?;
    disk.sync_directory(directory)?;
    for older in disk.list(directory)?.iter().filter(|other| other.ends_with(SUFFIX) && other.as_str() < name) {
        disk.remove(&directory.join(older))?;
    }
    Ok(())
}

/// What follows the header: from version 2 on the membership behind its length (4 bytes), then how the payload is compressed, then
/// the payload.
fn content(snapshot: &Snapshot, compress: bool) -> io::Result<Vec<u8>> {
    let Some(membership) = &snapshot.membership else { return Ok(snapshot.payload.clone()) };
    let mut content = Vec::with_capacity(4 + membership.len() + 1);
    content.extend_from_slice(&(membership.len() as u32).to_be_bytes());
    content.extend_from_slice(membership);
    if compress {
        content.push(ZSTD);
        content.extend_from_slice(&zstd::bulk::compress(&snapshot.payload, ZSTD_LEVEL)?);
    } else {
        content.push(PLAIN);
        content.extend_from_slice(&snapshot.payload);
    }
    Ok(content)
}

fn header(snapshot: &Snapshot, content: &[u8]) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let version: u32 = if snapshot.membership.is_some() { VERSION } else { 1 };
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&version.to_be_bytes());
    bytes[16..24].copy_from_slice(&snapshot.end_offset.to_be_bytes());
    bytes[24..28].copy_from_slice(&snapshot.epoch.to_be_bytes());
    bytes[28..36].copy_from_slice(&(content.len() as u64).to_be_bytes());
    let checksum = checksum(&bytes, content);
    bytes[12..16].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// CRC-32C of the header without its checksum field, then of what follows it.
fn checksum(header: &[u8; HEADER_BYTES], content: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
    crc32c::crc32c_append(crc, content)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Snapshot, SnapshotError> {
    let failed = |source| SnapshotError::Io { path: path.to_owned(), source };
    let damaged = |reason: &str| SnapshotError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let file = disk.open(path, OpenMode::Read).map_err(failed)?;
    let length = file.length().map_err(failed)? as usize;
    let mut bytes = vec![0; length];
    if file.read_at(&mut bytes, 0).map_err(failed)? != length {
        return Err(damaged("it is shorter than its length says"));
    }
    let Some((header, content)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(damaged("it is shorter than a header"));
    };
    if header[..8] != MAGIC {
        return Err(damaged("it does not begin as a snapshot does"));
    }
    let number = |range: std::ops::Range<usize>| header[range].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let version = number(8..12);
    if !(1..=u64::from(VERSION)).contains(&version) {
        return Err(damaged(&format!("its version is {version}, this program reads versions 1 to {VERSION}")));
    }
    if number(28..36) != content.len() as u64 || number(12..16) != u64::from(checksum(header, content)) {
        return Err(damaged("its checksum does not fit its content"));
    }
    let (membership, payload) = match version {
        1 => (None, content.to_vec()),
        _ => split(content).ok_or_else(|| damaged("its membership or its payload cannot be read"))?,
    };
    let (end_offset, epoch) = (number(16..24) as i64, number(24..28) as u32 as i32);
    Ok(Snapshot { end_offset, epoch, membership, payload })
}

fn split(content: &[u8]) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    let (length, rest) = content.split_first_chunk::<4>()?;
    let (membership, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (compression, payload) = rest.split_first()?;
    let payload = match *compression {
        PLAIN => payload.to_vec(),
        // This node wrote it, and its checksum is right.
        ZSTD => zstd::stream::decode_all(payload).ok()?,
        _ => return None,
    };
    Some((Some(membership.to_vec()), payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn snapshot(end_offset: Offset, payload: &[u8]) -> Snapshot {
        Snapshot { end_offset, epoch: 3, membership: Some(b"three".to_vec()), payload: payload.to_vec() }
    }

    #[test]
    fn one_of_version_1_has_no_membership() {
        let directory = tempfile::tempdir().unwrap();
        let first = Snapshot { membership: None, ..snapshot(7, b"\0\0\0\x01 looks like a membership") };
        write(&RealDisk, directory.path(), &first, false).unwrap();
        assert_eq!(read_latest(&RealDisk, directory.path()).unwrap(), Some(first));
    }

    #[test]
    fn the_newest_is_read_and_the_older_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read_latest(&RealDisk, directory.path()).unwrap(), None);
        for (end_offset, payload) in [(9, b"nine".as_slice()), (10, b"ten"), (100, b"")] {
            write(&RealDisk, directory.path(), &snapshot(end_offset, payload), end_offset == 10).unwrap();
            assert_eq!(read_latest(&RealDisk, directory.path()).unwrap(), Some(snapshot(end_offset, payload)));
        }
        assert_eq!(RealDisk.list(&directory.path().join(DIRECTORY)).unwrap().len(), 1);
    }

    #[test]
    fn every_changed_bit_is_found() {
        [false, true].into_iter().for_each(every_changed_bit_is_found_of_one);
    }

    fn every_changed_bit_is_found_of_one(compress: bool) {
        let directory = tempfile::tempdir().unwrap();
        write(&RealDisk, directory.path(), &snapshot(5, b"payload payload payload"), compress).unwrap();
        let name = RealDisk.list(&directory.path().join(DIRECTORY)).unwrap().remove(0);
        let path = directory.path().join(DIRECTORY).join(name);
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            let result = read_latest(&RealDisk, directory.path());
            assert!(matches!(result, Err(SnapshotError::Damaged { .. })), "bit {bit}: {result:?}");
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(read_latest(&RealDisk, directory.path()).is_err(), "cut to {length}");
        }
    }
}
