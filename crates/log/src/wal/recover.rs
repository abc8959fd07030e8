//! Opening the write-ahead log: replay what its files hold since the last checkpoint, go on in a new file.
//!
//! A block that is no block is one of two things. Written by the last commit before a crash, it is a *torn tail*:
//! nothing in it was acknowledged, the log ends before it. Followed by something that was written when it was
//! already durable (a later file, or a block whose `synced_lsn` lies beyond it), it is *damage*: acknowledged
//! records are gone, and the node must not start as if they had never been.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;

use super::commit::Writer;
use super::entry::{BLOCK_HEADER_BYTES, COUNT_MAX, BlockHeader, ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FILE_HEADER_BYTES, FileHeader};
use super::files::{Files, Spare, WalFile, file_name, make_spare};
use super::{Lsn, Placing, Wal, WalOptions};
use crate::batch::BatchView;
use crate::chunk::{ChunkPool, ChunkSlice};
use crate::disk::{BLOCK_BYTES, Disk, FileHandle, OpenMode, is_full};
use crate::errors::StorageError;

/// How much is read at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// How far behind a broken block another is looked for that proves it was durable once.
const PROOF_SEARCH_BYTES: u64 = 16 << 20;

/// What the files held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) torn_tail: bool,
}

/// An entry as it is replayed.
pub(crate) struct ReplayedEntry {
    pub(crate) header: EntryHeader,
    pub(crate) payload: ChunkSlice,
}

/// Who takes the entries.
pub(crate) type Replay<'a> = dyn FnMut(ReplayedEntry) -> Result<(), StorageError> + 'a;

/// What is needed to open.
pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) pool: &'a Arc<ChunkPool>,
    pub(crate) options: WalOptions,
    /// Entries before this are in the checkpoint; `None` if there is no checkpoint.
    pub(crate) replay_lsn: Option<Lsn>,
    /// Everything before this was durable when the checkpoint was written.
    pub(crate) durable_lsn: Lsn,
    /// Leave the entry checksums out: for the test that this is noticed.
    pub(crate) trust_entries: bool,
}

impl Opening<'_> {
    /// Replays every entry from `replay_lsn` on, in order, and opens the log behind the last one.
    pub(crate) fn open(self, replay: &mut Replay<'_>) -> Result<(Wal, Replayed), StorageError> {
        let directory = self.options.directory.clone();
        let found = Found::list(self.disk.as_ref(), self.pool, &directory)?;
        if !found.files.is_empty() {
            // As names: a file may be removed because a later one is there.
            self.disk.sync_directory(&directory).map_err(StorageError::io("syncing", &directory))?;
        }
        let files = self.needed(found.files)?;
        let mut replayed = Replayed::default();
        let mut end_lsn = self.replay_lsn.unwrap_or(0);
        for (index, file) in files.iter().enumerate() {
            let next_start = files.get(index + 1).map(|next| next.header.start_lsn);
            end_lsn = self.scan(file, next_start, replay, &mut replayed)?;
        }
        if let Some(last) = files.last() {
            // What was read may be in the page cache only, and is about to be built upon.
            last.handle.sync().map_err(StorageError::io("syncing", &last.path))?;
        }
        let wal = self.go_on(files, found.spares, end_lsn, &replayed)?;
        Ok((wal, replayed))
    }

    /// The files from the one that holds `replay_lsn` on; older ones were only waiting to be taken back.
    fn needed(&self, mut files: Vec<FoundFile>) -> Result<Vec<FoundFile>, StorageError> {
        let replay_lsn = self.replay_lsn.unwrap_or(0);
        let first = files.iter().rposition(|file| file.header.start_lsn <= replay_lsn);
        let Some(first) = first else {
            if files.is_empty() && self.replay_lsn.is_none() {
                return Ok(files);
            }
            return Err(damaged(&self.options.directory, 0, format!("no file of the write-ahead log holds position {replay_lsn}")));
        };
        for old in files.drain(..first) {
            self.disk.remove(&old.path).map_err(StorageError::io("removing", &old.path))?;
        }
        for pair in files.windows(2) {
            if pair[1].header.sequence != pair[0].header.sequence + 1 {
                return Err(damaged(&pair[0].path, 0, "the file that followed it is missing".into()));
            }
        }
        Ok(files)
    }

    /// Replays one file and returns the LSN at which its entries end.
    fn scan(&self, file: &FoundFile, next_start: Option<Lsn>, replay: &mut Replay<'_>, replayed: &mut Replayed) -> Result<Lsn, StorageError> {
        let mut scanner = Scanner::new(file, self.pool).map_err(StorageError::io("reading", &file.path))?;
        let mut walk = Walk {
            position: FILE_HEADER_BYTES as u64,
            lsn: file.header.start_lsn,
            end_lsn: next_start,
            replay_lsn: self.replay_lsn.unwrap_or(0),
            trust_entries: self.trust_entries,
        };
        loop {
            if walk.is_at_end() {
                return Ok(walk.lsn);
            }
            let step = walk.block(&mut scanner, replay, replayed).map_err(|error| error.at(&file.path))?;
            match step {
                Step::Whole => {}
                Step::Nothing | Step::Broken => return self.end_of(file, &walk, &mut scanner, step, replayed),
            }
        }
    }

    /// A block is missing or broken: the end of the log, or damage?
    fn end_of(&self, file: &FoundFile, walk: &Walk, scanner: &mut Scanner<'_>, step: Step, replayed: &mut Replayed) -> Result<Lsn, StorageError> {
        let what = || format!("the entry at log position {} cannot be read", walk.lsn);
        if walk.end_lsn.is_some() || walk.lsn < self.durable_lsn {
            return Err(damaged(&file.path, walk.position, what()));
        }
        let proof = scanner.proof_of_durability(walk.position, walk.lsn).map_err(StorageError::io("reading", &file.path))?;
        if let Some(position) = proof {
            let what = format!("{}, but was durable when byte {position} was written", what());
            return Err(damaged(&file.path, walk.position, what));
        }
        replayed.torn_tail = step == Step::Broken;
        Ok(walk.lsn)
    }

    /// The log, going on in a file of its own: what a torn tail left behind is never written after.
    fn go_on(self, files: Vec<FoundFile>, spares: Spares, end_lsn: Lsn, replayed: &Replayed) -> Result<Wal, StorageError> {
        let Spares { mut spares, mut next_number } = spares;
        let directory = self.options.directory.clone();
        let sequence = files.last().map_or(1, |file| file.header.sequence + 1);
        for unfinished in spares.extract_if(.., |spare| spare.length < self.options.file_bytes) {
            self.disk.remove(&unfinished.path).map_err(StorageError::io("removing", &unfinished.path))?;
        }
        let spare = match spares.pop() {
            Some(spare) => spare,
            None => {
                next_number += 1;
                self.first_file(&directory.join(format!("{next_number:010}.spare")))?
            }
        };
        let mut live: std::collections::VecDeque<_> = files.into_iter().map(FoundFile::into_live).collect();
        let file = Arc::new(WalFile::new(sequence, spare, end_lsn, &self.options));
        file.activate(self.disk.as_ref(), &directory, self.pool).map_err(StorageError::io("creating", &file.path))?;
        live.push_back(Arc::clone(&file));
        Ok(Wal {
            disk: Arc::clone(self.disk),
            options: self.options,
            pool: Arc::clone(self.pool),
            placing: Mutex::new(Placing {
                next_lsn: end_lsn,
                file: Arc::clone(&file),
                position: FILE_HEADER_BYTES as u64,
                placed: replayed.bytes,
                spares,
                chunk: None,
                open: None,
                sealed: Vec::new(),
            }),
            writer: Mutex::new(Writer { file, unsynced: false }),
            files: Mutex::new(Files { live, next_spare: next_number }),
            appended: AtomicU64::new(end_lsn),
            written: AtomicU64::new(end_lsn),
            durable: AtomicU64::new(end_lsn),
            placed: AtomicU64::new(replayed.bytes),
            wants_spare: AtomicBool::new(false),
            fatal: OnceLock::new(),
            waker: OnceLock::new(),
        })
    }

    /// A file to start with, in milliseconds: space, but no zeros. On a full disk only the header's block: the
    /// node starts, serves what it has, and takes records when there is room.
    fn first_file(&self, path: &Path) -> Result<Spare, StorageError> {
        match make_spare(self.disk.as_ref(), path, self.options.file_bytes, None) {
            Err(error) if is_full(&error) => {
                let handle = self.disk.open(path, OpenMode::Wal).map_err(StorageError::io("creating", path))?;
                Ok(Spare { handle, path: path.to_owned(), length: FILE_HEADER_BYTES as u64 })
            }
            other => other.map_err(StorageError::io("creating", path)),
        }
    }
}

/// What lies in the directory.
struct Found {
    files: Vec<FoundFile>,
    spares: Spares,
}

/// The files that are none of the log's yet.
#[derive(Default)]
struct Spares {
    spares: Vec<Spare>,
    next_number: u64,
}

/// A file of the log, oldest first in lists.
struct FoundFile {
    path: PathBuf,
    handle: FileHandle,
    header: FileHeader,
    length: u64,
}

impl FoundFile {
    fn into_live(self) -> Arc<WalFile> {
        Arc::new(WalFile {
            handle: self.handle,
            spare_path: self.path.clone(),
            path: self.path,
            sequence: self.header.sequence,
            salt: self.header.salt,
            start_lsn: self.header.start_lsn,
            length: self.length,
        })
    }
}

impl Found {
    fn list(disk: &dyn Disk, pool: &Arc<ChunkPool>, directory: &Path) -> Result<Self, StorageError> {
        let mut found = Found { files: Vec::new(), spares: Spares::default() };
        let mut names = disk.list(directory).map_err(StorageError::io("listing", directory))?;
        names.sort_unstable();
        for name in names {
            let path = directory.join(&name);
            if let Some(number) = name.strip_suffix(".spare") {
                let spares = &mut found.spares;
                let number = number.parse().ok().filter(|number| *number <= COUNT_MAX);
                spares.next_number = spares.next_number.max(number.unwrap_or(0));
                let handle = disk.open(&path, OpenMode::Wal).map_err(StorageError::io("opening", &path))?;
                let length = handle.length().map_err(StorageError::io("reading", &path))?;
                spares.spares.push(Spare { handle, path, length });
            } else if name.ends_with(".wal") {
                found.files.push(open_file(disk, pool, &name, path)?);
            }
        }
        Ok(found)
    }
}

fn open_file(disk: &dyn Disk, pool: &Arc<ChunkPool>, name: &str, path: PathBuf) -> Result<FoundFile, StorageError> {
    let handle = disk.open(&path, OpenMode::Wal).map_err(StorageError::io("opening", &path))?;
    let length = handle.length().map_err(StorageError::io("reading", &path))?;
    let block = read_range(handle.as_ref(), pool, 0, FILE_HEADER_BYTES).map_err(StorageError::io("reading", &path))?;
    let header = FileHeader::read(&block).map_err(|error| damaged(&path, 0, error.to_string()))?;
    if name != file_name(header.sequence) {
        return Err(damaged(&path, 0, format!("its header says it is {}", file_name(header.sequence))));
    }
    Ok(FoundFile { path, handle, header, length })
}

fn damaged(path: &Path, position: u64, what: String) -> StorageError {
    StorageError::Damaged { path: path.to_owned(), position, what }
}

/// Reads an aligned range; what lies beyond the file's end is zeros.
fn read_range(file: &dyn crate::disk::DiskFile, pool: &Arc<ChunkPool>, position: u64, length: usize) -> io::Result<ChunkSlice> {
    let mut range = pool.take(length).take(length);
    range.fill_zero();
    file.read_at(range.bytes_mut(), position)?;
    Ok(range.freeze())
}

/// What was found at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A block, all of which was replayed.
    Whole,
    /// No block of this file: the place where the next one would have been written.
    Nothing,
    /// A block that is not whole.
    Broken,
}

/// Where the scan of a file stands.
struct Walk {
    position: u64,
    lsn: Lsn,
    /// Where the next file starts: entries of this one from there on do not count.
    end_lsn: Option<Lsn>,
    replay_lsn: Lsn,
    trust_entries: bool,
}

/// What stops a scan: the disk, or who takes the entries.
enum WalkError {
    Disk(io::Error),
    Replay(StorageError),
}

impl WalkError {
    fn at(self, path: &Path) -> StorageError {
        match self {
            WalkError::Disk(error) => StorageError::io("reading", path)(error),
            WalkError::Replay(error) => error,
        }
    }
}

impl Walk {
    fn is_at_end(&self) -> bool {
        self.end_lsn.is_some_and(|end| self.lsn >= end)
    }

    /// Replays the block at the current position and moves behind it.
    fn block(&mut self, scanner: &mut Scanner<'_>, replay: &mut Replay<'_>, replayed: &mut Replayed) -> Result<Step, WalkError> {
        let Some(header) = scanner.header(self.position).map_err(WalkError::Disk)? else { return Ok(Step::Nothing) };
        if header.lsn != self.lsn {
            return Ok(Step::Nothing);
        }
        let total = (BLOCK_HEADER_BYTES + header.payload_bytes as usize).next_multiple_of(BLOCK_BYTES);
        if self.position + total as u64 > scanner.length.next_multiple_of(BLOCK_BYTES as u64) {
            return Ok(Step::Broken);
        }
        let block_end = header.lsn + u64::from(header.payload_bytes);
        if block_end > self.replay_lsn {
            let block = scanner.bytes(self.position, total).map_err(WalkError::Disk)?;
            let payload = block.slice(BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + header.payload_bytes as usize);
            if !self.entries(&payload, header.salt, replay, replayed)? {
                return Ok(Step::Broken);
            }
        }
        self.lsn = if self.is_at_end() { self.lsn } else { block_end };
        self.position += total as u64;
        Ok(Step::Whole)
    }

    /// Replays the entries of a block; false at the first that is not whole.
    fn entries(&mut self, payload: &ChunkSlice, salt: u64, replay: &mut Replay<'_>, replayed: &mut Replayed) -> Result<bool, WalkError> {
        let mut at = 0;
        while at < payload.len() && !self.is_at_end() {
            let Some((header, bytes)) = self.entry(payload, at, salt) else { return Ok(false) };
            at += header.total_bytes();
            if self.lsn >= self.replay_lsn {
                replayed.entries += 1;
                replayed.bytes += header.total_bytes() as u64;
                replay(ReplayedEntry { header, payload: bytes }).map_err(WalkError::Replay)?;
            }
            self.lsn += header.total_bytes() as u64;
        }
        Ok(true)
    }

    /// The entry at `at` of a block's payload, if it is whole and the one expected.
    fn entry(&self, block: &ChunkSlice, at: usize, salt: u64) -> Option<(EntryHeader, ChunkSlice)> {
        let header = EntryHeader::read(&block[at..])?;
        if header.lsn != self.lsn || at + header.total_bytes() > block.len() {
            return None;
        }
        let payload = block.slice(at + header.payload_at()..at + header.total_bytes());
        let whole = EntryHeader::verify(&block[at..at + ENTRY_HEADER_BYTES], salt, &payload) && is_whole(&header, &payload);
        (whole || self.trust_entries).then_some((header, payload))
    }
}

/// What the entry's own checksum leaves to the batch's.
fn is_whole(header: &EntryHeader, payload: &[u8]) -> bool {
    if header.kind != EntryKind::Batch {
        return true;
    }
    BatchView::parse(payload).is_ok_and(|batch| batch.bytes().len() == payload.len() && batch.verify().is_ok())
}

/// Reads a file in windows.
struct Scanner<'a> {
    file: &'a FoundFile,
    pool: &'a Arc<ChunkPool>,
    length: u64,
    window: Option<(u64, ChunkSlice)>,
}

impl<'a> Scanner<'a> {
    fn new(file: &'a FoundFile, pool: &'a Arc<ChunkPool>) -> io::Result<Self> {
        Ok(Scanner { length: file.length, file, pool, window: None })
    }

    /// `length` bytes at an aligned position.
    fn bytes(&mut self, position: u64, length: usize) -> io::Result<ChunkSlice> {
        if let Some((start, window)) = &self.window
            && position >= *start
            && position + length as u64 <= start + window.len() as u64
        {
            let at = (position - start) as usize;
            return Ok(window.slice(at..at + length));
        }
        let rest = self.length.saturating_sub(position).next_multiple_of(BLOCK_BYTES as u64);
        let size = length.max(rest.min(WINDOW_BYTES as u64) as usize);
        let window = read_range(self.file.handle.as_ref(), self.pool, position, size)?;
        self.window = Some((position, window.clone()));
        Ok(window.slice(0..length))
    }

    fn header(&mut self, position: u64) -> io::Result<Option<BlockHeader>> {
        if position + BLOCK_BYTES as u64 > self.length.next_multiple_of(BLOCK_BYTES as u64) {
            return Ok(None);
        }
        let block = self.bytes(position, BLOCK_BYTES)?;
        Ok(BlockHeader::read(&block[..BLOCK_HEADER_BYTES], self.file.header.salt))
    }

    /// Where a later block lies that was written when the entry at `lsn` was already durable, if anywhere.
    fn proof_of_durability(&mut self, position: u64, lsn: Lsn) -> io::Result<Option<u64>> {
        let end = self.length.min(position + PROOF_SEARCH_BYTES);
        let mut at = position;
        while at < end {
            if self.header(at)?.is_some_and(|header| header.lsn > lsn && header.synced_lsn > lsn) {
                return Ok(Some(at));
            }
            at += BLOCK_BYTES as u64;
        }
        Ok(None)
    }
}
