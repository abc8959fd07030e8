//! The files of the write-ahead log: spare ones made ready in the background, used ones taken back.
//!
//! `wal/<sequence>.wal` holds entries; `wal/<number>.spare` is a file made ready. A spare becomes a log file
//! by getting a header, then its name, then a sync of the directory, in that order: whatever is named `.wal` has
//! a valid header, or is damaged.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Writer;
use super::entry::{FILE_HEADER_BYTES, FileHeader, Lsn};
use super::{NewEntry, ReserveError, Wal, WalOptions};
use crate::disk::{BLOCK_BYTES, Disk, FileHandle, OpenMode, is_full};
use crate::errors::Fatal;

/// Zeros are written in pieces of this size when a file is made ready.
const PREWRITE_BYTES: usize = 1 << 20;
/// How many files are kept ready.
const SPARES_MAX: usize = 2;

/// A file with space of its own, not yet part of the log.
pub(crate) struct Spare {
    pub(crate) handle: FileHandle,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// A file of the log.
pub(crate) struct WalFile {
    pub(crate) handle: FileHandle,
    /// Its name before it had a header.
    pub(crate) spare_path: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) sequence: u64,
    pub(crate) salt: u64,
    pub(crate) start_lsn: Lsn,
    pub(crate) length: u64,
}

/// All files that may still be needed, and the number of the next spare one.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) live: VecDeque<Arc<WalFile>>,
    pub(crate) next_spare: u64,
}

impl WalFile {
    /// The file that follows `previous` when its next entry has `start_lsn`.
    pub(crate) fn after(previous: &WalFile, spare: Spare, start_lsn: Lsn, options: &WalOptions) -> Self {
        Self::new(previous.sequence + 1, spare, start_lsn, options)
    }

    pub(crate) fn new(sequence: u64, spare: Spare, start_lsn: Lsn, options: &WalOptions) -> Self {
        WalFile {
            path: options.directory.join(file_name(sequence)),
            spare_path: spare.path,
            salt: options.seed.map_or(0, |seed| salt(seed, sequence)),
            handle: spare.handle,
            sequence,
            start_lsn,
            length: spare.length,
        }
    }

    /// Makes it part of the log: header, name, directory, each durable before the next.
    pub(crate) fn activate(&self, disk: &dyn Disk, directory: &Path, pool: &Arc<crate::chunk::ChunkPool>) -> io::Result<()> {
        let mut header = pool.take(FILE_HEADER_BYTES).take(FILE_HEADER_BYTES);
        header.fill_zero();
        FileHeader { sequence: self.sequence, salt: self.salt, start_lsn: self.start_lsn }.write(header.bytes_mut());
        self.handle.write_durable(&[IoSlice::new(&header.freeze())], 0)?;
        disk.rename(&self.spare_path, &self.path)?;
        disk.sync_directory(directory)
    }
}

impl Wal {
    /// Prewrites a file for the time after the current one, if none is ready. Slow; for a background thread.
    /// Returns whether it did anything.
    pub(crate) fn prepare(&self) -> Result<bool, ReserveError> {
        if let Some(fatal) = self.fatal() {
            return Err(fatal.clone().into());
        }
        let needed = self.needs_spare();
        if needed {
            let spare = self.new_spare(self.options.file_bytes, true)?;
            self.placing.lock().spares.push(spare);
        }
        self.wants_spare.store(false, Ordering::Relaxed);
        Ok(needed)
    }

    /// True when no file is ready for the time after the current one.
    pub(crate) fn needs_spare(&self) -> bool {
        self.placing.lock().spares.is_empty()
    }

    /// Finds a file in which `entry` fits: space without zeros, as there is no time to write any. What the node itself
    /// has to say gets a file of just the size it needs where the disk has no room for a whole one: a full disk must not
    /// keep a node from starting.
    pub(super) fn secure_space(&self, entry: &NewEntry) -> Result<(), ReserveError> {
        let (bytes, _) = entry.bytes_at(super::BLOCK_HEADER_BYTES);
        let block = super::BLOCK_HEADER_BYTES + bytes;
        let needed = (FILE_HEADER_BYTES + block.next_multiple_of(BLOCK_BYTES)) as u64 + self.options.reserve_bytes;
        let needed = needed.next_multiple_of(BLOCK_BYTES as u64);
        let spare = match self.new_spare(self.options.file_bytes.max(needed), false) {
            Err(ReserveError::Full) if entry.privileged => self.new_spare(needed, false)?,
            other => other?,
        };
        self.placing.lock().spares.push(spare);
        Ok(())
    }

    /// Takes back the files of which no entry at or after `replay_lsn` needs anything.
    pub(crate) fn recycle(&self, replay_lsn: Lsn) -> Result<(), Fatal> {
        loop {
            let Some(file) = self.pop_before(replay_lsn) else { return Ok(()) };
            self.take_back(&file).map_err(|error| self.stop(Fatal::io("recycling", &file.path, &error)))?;
        }
    }

    fn pop_before(&self, replay_lsn: Lsn) -> Option<Arc<WalFile>> {
        let mut files = self.files.lock();
        let next = files.live.get(1)?;
        if next.start_lsn > replay_lsn {
            return None;
        }
        files.live.pop_front()
    }

    fn take_back(&self, file: &WalFile) -> io::Result<()> {
        let usual = file.length == self.options.file_bytes;
        if !usual || self.placing.lock().spares.len() >= SPARES_MAX {
            return self.disk.remove(&file.path);
        }
        let path = self.spare_path();
        self.disk.rename(&file.path, &path)?;
        self.disk.sync_directory(&self.options.directory)?;
        let handle = Arc::clone(&file.handle);
        self.placing.lock().spares.push(Spare { handle, path, length: file.length });
        Ok(())
    }

    fn spare_path(&self) -> PathBuf {
        let mut files = self.files.lock();
        files.next_spare += 1;
        self.options.directory.join(format!("{:010}.spare", files.next_spare))
    }

    fn new_spare(&self, length: u64, prewrite: bool) -> Result<Spare, ReserveError> {
        let path = self.spare_path();
        let made = make_spare(self.disk.as_ref(), &path, length, prewrite.then_some(&self.pool));
        made.map_err(|error| {
            // Half a spare is no loss: the next start removes what this fails to.
            let _ = self.disk.remove(&path);
            if is_full(&error) {
                return ReserveError::Full;
            }
            self.stop(Fatal::io("preparing", &path, &error)).into()
        })
    }
}

impl Writer {
    /// Goes over to `file`, after everything in the file before it is durable.
    pub(super) fn enter(&mut self, wal: &Wal, file: &Arc<WalFile>) -> io::Result<()> {
        if self.unsynced {
            self.file.handle.sync()?;
            self.unsynced = false;
        }
        file.activate(wal.disk.as_ref(), &wal.options.directory, &wal.pool)?;
        wal.files.lock().live.push_back(Arc::clone(file));
        self.file = Arc::clone(file);
        Ok(())
    }
}

/// Makes a file of `length` bytes that are its own; written with zeros if there is time for it.
pub(super) fn make_spare(
    disk: &dyn Disk,
    path: &Path,
    length: u64,
    prewrite: Option<&Arc<crate::chunk::ChunkPool>>,
) -> io::Result<Spare> {
    let handle = disk.open(path, OpenMode::Wal)?;
    handle.allocate(length)?;
    if let Some(pool) = prewrite {
        let piece_bytes = PREWRITE_BYTES.min(length as usize);
        let mut zeros = pool.take(piece_bytes).take(piece_bytes);
        zeros.fill_zero();
        let zeros = zeros.freeze();
        let mut position = 0;
        while position < length {
            let piece = &zeros[..PREWRITE_BYTES.min((length - position) as usize)];
            handle.write_at(&[IoSlice::new(piece)], position)?;
            position += piece.len() as u64;
        }
        handle.sync()?;
    }
    Ok(Spare { handle, path: path.to_owned(), length })
}

/// The name of the file with this sequence number.
pub(super) fn file_name(sequence: u64) -> String {
    format!("{sequence:020}.wal")
}

/// A number that no earlier life of a file had, and that nobody who only sends records can guess if `seed` is secret.
fn salt(seed: u64, sequence: u64) -> u64 {
    let mut mixed = seed ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
