//! The checkpoint: what every log looked like at some position of the write-ahead log, so that only what came
//! after has to be replayed.
//!
//! The file is itself a log, of groups of rows. A group counts whole or not at all; later rows replace earlier
//! ones; when most of the file is replaced, it is written anew beside itself and renamed. Byte map: `docs/format.md`.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik_state::ids::LogId;
use rustc_hash::FxHashMap;

use crate::disk::{Disk, FileHandle, OpenMode};
use crate::errors::StorageError;
use crate::wal::Lsn;

mod row;

pub(crate) use row::{ActiveRow, Row, RowChange};

const GROUP_MAGIC: [u8; 4] = *b"CHCP";
const GROUP_VERSION: u16 = 1;
const GROUP_HEADER_BYTES: usize = 64;
/// Groups begin at multiples of this: a torn one never shares a sector with the one before.
const GROUP_ALIGNMENT: usize = 512;
/// No file gets there, and what follows could not be counted.
const SEQUENCE_MAX: u64 = u64::MAX / 2;
/// The file is rewritten when it is this much larger than what it says.
const REWRITE_SLACK_BYTES: u64 = 1 << 20;

/// What the last whole group left.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) rows: FxHashMap<LogId, Row>,
    /// Replay starts here.
    pub(crate) replay_lsn: Lsn,
    /// It was written by a clean stop.
    pub(crate) clean: bool,
}

/// The file, for adding groups.
pub(crate) struct CheckpointFile {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    path: PathBuf,
    handle: Option<FileHandle>,
    length: u64,
    /// Length after the last rewrite.
    base_length: u64,
    sequence: u64,
}

/// What a group says beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupInfo {
    pub(crate) replay_lsn: Lsn,
    pub(crate) clean: bool,
}

impl CheckpointFile {
    /// Reads the file in `directory`; `None` if there is none yet.
    pub(crate) fn open(disk: &Arc<dyn Disk>, directory: &Path) -> Result<(Self, Option<Loaded>), StorageError> {
        let path = directory.join("checkpoint");
        let mut file = CheckpointFile {
            disk: Arc::clone(disk),
            directory: directory.to_owned(),
            handle: None,
            length: 0,
            base_length: 0,
            sequence: 0,
            path,
        };
        let names = disk.list(directory).map_err(StorageError::io("listing", directory))?;
        if !names.iter().any(|name| name == "checkpoint") {
            return Ok((file, None));
        }
        let loaded = file.load()?;
        Ok((file, Some(loaded)))
    }

    pub(crate) fn exists(&self) -> bool {
        self.handle.is_some()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// True when the next group should hold all rows, because it will be the first of a new file.
    pub(crate) fn wants_rewrite(&self) -> bool {
        self.handle.is_none() || self.length > 2 * self.base_length + REWRITE_SLACK_BYTES
    }

    /// Adds a group, durably.
    pub(crate) fn append(&mut self, info: GroupInfo, rows: &[RowChange]) -> io::Result<()> {
        let handle = Arc::clone(self.handle.as_ref().expect("the first group is written by a rewrite"));
        let group = encode_group(self.sequence + 1, info, rows);
        handle.write_at(&[IoSlice::new(&group)], self.length)?;
        handle.sync()?;
        self.sequence += 1;
        self.length += group.len() as u64;
        Ok(())
    }

    /// Writes a new file with one group of all rows, and puts it in the place of the old one.
    pub(crate) fn rewrite(&mut self, info: GroupInfo, rows: &[RowChange]) -> io::Result<()> {
        let fresh = self.directory.join("checkpoint.new");
        let handle = self.disk.open(&fresh, OpenMode::Write)?;
        handle.set_length(0)?;
        let group = encode_group(self.sequence + 1, info, rows);
        handle.write_at(&[IoSlice::new(&group)], 0)?;
        handle.sync()?;
        self.disk.rename(&fresh, &self.path)?;
        self.disk.sync_directory(&self.directory)?;
        self.handle = Some(handle);
        self.sequence += 1;
        self.length = group.len() as u64;
        self.base_length = self.length;
        Ok(())
    }

    fn load(&mut self) -> Result<Loaded, StorageError> {
        let handle = self.disk.open(&self.path, OpenMode::Write).map_err(StorageError::io("opening", &self.path))?;
        let bytes = read_all(&handle).map_err(StorageError::io("reading", &self.path))?;
        let mut loaded = Loaded::default();
        let mut at = 0;
        while let Some(group) = Group::decode(&bytes[at..]) {
            if at > 0 && group.sequence != self.sequence + 1 {
                break;
            }
            self.sequence = group.sequence;
            group.apply(&mut loaded).map_err(|what| self.damaged(at, what))?;
            at += group.total_bytes();
            self.base_length = if self.base_length == 0 { at as u64 } else { self.base_length };
        }
        // Half of it is left for those that follow: one at the very end would be followed by groups that no start believes.
        if self.sequence > SEQUENCE_MAX / 2 {
            return Err(self.damaged(0, "its groups have numbers that no file gets to".into()));
        }
        if at == 0 || self.has_group_behind(&bytes, at) {
            return Err(self.damaged(at, "a checkpoint that was durable cannot be read".into()));
        }
        if bytes.len() > at {
            handle.set_length(at as u64).map_err(StorageError::io("cutting", &self.path))?;
        }
        // What was read may be in the page cache only, and files are about to be removed because of it.
        handle.sync().map_err(StorageError::io("syncing", &self.path))?;
        self.length = at as u64;
        self.handle = Some(handle);
        Ok(loaded)
    }

    /// A group is only written after the one before it is durable, so one behind a broken one is proof of damage.
    fn has_group_behind(&self, bytes: &[u8], at: usize) -> bool {
        (at..bytes.len()).step_by(GROUP_ALIGNMENT).skip(1).any(|position| {
            Group::decode(&bytes[position..]).is_some_and(|group| group.sequence > self.sequence + 1)
        })
    }

    fn damaged(&self, position: usize, what: String) -> StorageError {
        StorageError::Damaged { path: self.path.clone(), position: position as u64, what }
    }
}

/// A group as it lies in the file.
struct Group<'a> {
    sequence: u64,
    info: GroupInfo,
    rows: u32,
    payload: &'a [u8],
}

impl<'a> Group<'a> {
    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..GROUP_HEADER_BYTES)?;
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
        let version = u16::from_le_bytes([header[4], header[5]]);
        if header[..4] != GROUP_MAGIC || version != GROUP_VERSION || u32_at(60) != crc32c::crc32c(&header[..60]) {
            return None;
        }
        if u64_at(8) > SEQUENCE_MAX {
            return None;
        }
        let length = usize::try_from(u64_at(16)).ok()?;
        let payload = bytes.get(GROUP_HEADER_BYTES..GROUP_HEADER_BYTES.checked_add(length)?)?;
        if crc32c::crc32c(payload) != u32_at(56) {
            return None;
        }
        let info = GroupInfo { replay_lsn: u64_at(24), clean: header[6] & 1 != 0 };
        let group = Group { sequence: u64_at(8), info, rows: u32_at(32), payload };
        // Written in one piece: where the filling behind the rows is missing, the group was never synced.
        (group.total_bytes() <= bytes.len()).then_some(group)
    }

    fn total_bytes(&self) -> usize {
        (GROUP_HEADER_BYTES + self.payload.len()).next_multiple_of(GROUP_ALIGNMENT)
    }

    fn apply(&self, loaded: &mut Loaded) -> Result<(), String> {
        let mut rest = self.payload;
        for _ in 0..self.rows {
            let change = RowChange::decode(&mut rest).ok_or("a row does not decode")?;
            match change {
                RowChange::Set(row) => drop(loaded.rows.insert(row.log, *row)),
                RowChange::Removed(log) => drop(loaded.rows.remove(&log)),
            }
        }
        loaded.replay_lsn = self.info.replay_lsn;
        loaded.clean = self.info.clean;
        Ok(())
    }
}

fn encode_group(sequence: u64, info: GroupInfo, rows: &[RowChange]) -> Vec<u8> {
    let mut group = vec![0; GROUP_HEADER_BYTES];
    rows.iter().for_each(|row| row.encode(&mut group));
    let (header, payload) = group.split_at_mut(GROUP_HEADER_BYTES);
    header[0..4].copy_from_slice(&GROUP_MAGIC);
    header[4..6].copy_from_slice(&GROUP_VERSION.to_le_bytes());
    header[6] = u8::from(info.clean);
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    header[16..24].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    header[24..32].copy_from_slice(&info.replay_lsn.to_le_bytes());
    header[32..36].copy_from_slice(&(rows.len() as u32).to_le_bytes());
    header[56..60].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let crc = crc32c::crc32c(&header[..60]);
    header[60..64].copy_from_slice(&crc.to_le_bytes());
    group.resize(group.len().next_multiple_of(GROUP_ALIGNMENT), 0);
    group
}

fn read_all(handle: &FileHandle) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; handle.length()? as usize];
    let count = handle.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}
