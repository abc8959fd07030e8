//! The node's one write-ahead log: every append of every partition goes through it.
//!
//! ```text
//!  append ── reserve (short lock) ── copy ──┐            chunk in memory ─► tail of the log
//!  append ── reserve ── copy ───────────────┤                 │ commit: one write, one sync
//!  append ── reserve ── copy ───────────────┘                 ▼
//!                                           file header │ block │ block │ block │ (prewritten)
//! ```
//!
//! An entry's bytes are copied once, into the chunk from which they are written to disk and from which
//! consumers at the tail are served. Positions: `durable ≤ written ≤ appended`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use chronik_state::ids::{LogId, TimestampMs};
use parking_lot::Mutex;

use crate::chunk::{BlockWriter, ChunkPool, ChunkRange, ChunkSlice, ChunkWriter, SealedBlock};
use crate::disk::{BLOCK_BYTES, Disk};
use crate::errors::Fatal;

pub(crate) mod commit;
pub(crate) mod entry;
pub(crate) mod files;
pub(crate) mod recover;

pub use entry::Lsn;
use entry::{BLOCK_HEADER_BYTES, ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FILE_HEADER_BYTES};
use files::{Spare, WalFile};

/// When an append counts as acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncClass {
    /// When it is on disk: the commit that writes it syncs it.
    #[default]
    Commit,
    /// When it is written; a timer syncs later (Kafka's own habit).
    Interval,
}

/// How the write-ahead log is laid out.
#[derive(Debug, Clone)]
pub(crate) struct WalOptions {
    pub(crate) directory: PathBuf,
    /// Size of a file; one is made larger only for a batch that needs it.
    pub(crate) file_bytes: u64,
    /// What the end of each file keeps for metadata when the disk is full.
    pub(crate) reserve_bytes: u64,
    /// Mixed into each file's salt. None only to see what happens when all have the same.
    pub(crate) seed: Option<u64>,
}

/// See the module.
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    options: WalOptions,
    pool: Arc<ChunkPool>,
    placing: Mutex<Placing>,
    writer: Mutex<commit::Writer>,
    /// Files that hold entries since the last checkpoint, oldest first, the current one last.
    files: Mutex<files::Files>,
    appended: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    /// Bytes of blocks placed since the start, headers and padding counted: what files and memory are used up by.
    placed: AtomicU64,
    /// The current file is so far used that the next one should be ready, and is not.
    wants_spare: AtomicBool,
    fatal: OnceLock<Fatal>,
    /// Wakes those whose [`Wal::commit`] found upkeep at it.
    waker: OnceLock<Waker>,
}

/// See [`Storage::wake_committers_with`](crate::Storage::wake_committers_with).
type Waker = Box<dyn Fn() + Send + Sync>;

/// Where the next entry goes: the only state that all partitions share on the append path.
struct Placing {
    next_lsn: Lsn,
    file: Arc<WalFile>,
    /// Where in `file` the next block begins.
    position: u64,
    /// Bytes of all blocks before it.
    placed: u64,
    spares: Vec<Spare>,
    chunk: Option<ChunkWriter>,
    open: Option<OpenBlock>,
    sealed: Vec<PlacedBlock>,
}

/// A block that still takes entries.
struct OpenBlock {
    memory: BlockWriter,
    header: ChunkRange,
    lsn: Lsn,
    entries: u32,
    class: SyncClass,
}

/// A block with its place on disk, waiting for a commit.
struct PlacedBlock {
    memory: SealedBlock,
    header: ChunkRange,
    file: Arc<WalFile>,
    position: u64,
    lsn: Lsn,
    payload_bytes: u32,
    entries: u32,
    class: SyncClass,
}

/// A place for one entry, to be filled outside the lock.
pub(crate) struct Reserved {
    range: ChunkRange,
    lsn: Lsn,
    salt: u64,
    gap_bytes: u16,
}

/// What to append, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewEntry {
    pub(crate) kind: EntryKind,
    pub(crate) log: LogId,
    pub(crate) now_ms: TimestampMs,
    pub(crate) payload_bytes: usize,
    pub(crate) class: SyncClass,
    /// May use the space kept for metadata.
    pub(crate) privileged: bool,
    /// Where in a disk block the payload should begin, if that matters: where it will in its segment.
    pub(crate) lies_at: Option<u16>,
}

impl NewEntry {
    /// Bytes of the entry if it begins `at` bytes behind the beginning of its block, and of the gap in it.
    fn bytes_at(&self, at: usize) -> (usize, u16) {
        let payload_at = at + ENTRY_HEADER_BYTES;
        let gap = self.lies_at.map_or(0, |wanted| (usize::from(wanted) + BLOCK_BYTES - payload_at % BLOCK_BYTES) % BLOCK_BYTES);
        (ENTRY_HEADER_BYTES + gap + self.payload_bytes, gap as u16)
    }
}

/// An entry that has its place in the log.
pub(crate) struct Written {
    /// The payload, in the memory it will be written from.
    pub(crate) payload: ChunkSlice,
    /// What must be durable for the entry to be: where it ends.
    pub(crate) end_lsn: Lsn,
}

/// Why an entry found no place.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReserveError {
    #[error("no space left for the write-ahead log")]
    Full,
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl Wal {
    /// Where the next entry would begin.
    pub(crate) fn appended_lsn(&self) -> Lsn {
        self.appended.load(Ordering::Acquire)
    }

    /// Everything before this has been given to the operating system.
    pub(crate) fn written_lsn(&self) -> Lsn {
        self.written.load(Ordering::Acquire)
    }

    /// Everything before this survives a power cut.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable.load(Ordering::Acquire)
    }

    /// Bytes of blocks placed since the start, headers and padding counted.
    pub(crate) fn placed_bytes(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// True when the next file should be made ready now.
    pub(crate) fn wants_spare(&self) -> bool {
        self.wants_spare.load(Ordering::Relaxed)
    }

    /// Why the log has stopped for good, if it has.
    pub(crate) fn fatal(&self) -> Option<&Fatal> {
        self.fatal.get()
    }

    /// Stops the log for good; the first reason stands.
    pub(crate) fn stop(&self, reason: Fatal) -> Fatal {
        self.fatal.get_or_init(|| reason).clone()
    }

    /// Gives an entry its place. The caller keeps its own log locked, so that one log's entries stand in
    /// the order of its decisions.
    pub(crate) fn reserve(&self, entry: &NewEntry) -> Result<Reserved, ReserveError> {
        loop {
            if let Some(fatal) = self.fatal() {
                return Err(fatal.clone().into());
            }
            if let Some(reserved) = self.try_reserve(entry) {
                return Ok(reserved);
            }
            self.secure_space(entry)?;
        }
    }

    /// Copies the payload to its place, lets `patch` change it there, and seals the entry.
    pub(crate) fn write(&self, reserved: Reserved, entry: &NewEntry, payload: &[u8], patch: impl FnOnce(&mut [u8])) -> Written {
        let Reserved { mut range, lsn, salt, gap_bytes } = reserved;
        let mut header = range.split_front(ENTRY_HEADER_BYTES);
        range.split_front(usize::from(gap_bytes)).fill_zero();
        range.fill(payload);
        patch(range.bytes_mut());
        header.fill_zero();
        let written = EntryHeader {
            kind: entry.kind,
            log: entry.log,
            lsn,
            appended_ms: entry.now_ms,
            gap_bytes,
            payload_bytes: payload.len() as u32,
        };
        written.write(header.bytes_mut(), salt, range.bytes_mut());
        let end_lsn = lsn + written.total_bytes() as u64;
        Written { payload: range.freeze(), end_lsn }
    }

    /// Under the lock: a range of the open block, or of a new one; `None` when a file must be found first.
    fn try_reserve(&self, entry: &NewEntry) -> Option<Reserved> {
        let mut placing = self.placing.lock();
        let tail = if entry.privileged { 0 } else { self.options.reserve_bytes };
        if !placing.fits_open(entry, tail) {
            placing.seal_open();
            let (bytes, _) = entry.bytes_at(BLOCK_HEADER_BYTES);
            if !placing.make_room(BLOCK_HEADER_BYTES + bytes, tail, &self.options) {
                return None;
            }
            placing.open_block(BLOCK_HEADER_BYTES + bytes, &self.pool);
        }
        let reserved = placing.take(entry);
        if placing.spares.is_empty() && placing.position > self.options.file_bytes / 4 {
            self.wants_spare.store(true, Ordering::Relaxed);
        }
        let open = placing.open.as_ref().map_or(0, |open| open.memory.length());
        self.placed.store(placing.placed + open.next_multiple_of(BLOCK_BYTES) as u64, Ordering::Relaxed);
        self.appended.store(placing.next_lsn, Ordering::Release);
        Some(reserved)
    }
}

impl Placing {
    fn fits_open(&self, entry: &NewEntry, tail: u64) -> bool {
        let Some(open) = &self.open else { return false };
        let (bytes, _) = entry.bytes_at(open.memory.length());
        let on_disk = (open.memory.length() + bytes).next_multiple_of(BLOCK_BYTES) as u64;
        open.memory.remaining() >= bytes && self.position + on_disk + tail <= self.file.length
    }

    /// Ends the open block and gives it its place in the file.
    fn seal_open(&mut self) {
        let Some(open) = self.open.take() else { return };
        let payload_bytes = (open.memory.length() - BLOCK_HEADER_BYTES) as u32;
        let (memory, chunk) = open.memory.seal();
        self.chunk = (chunk.remaining() > 0).then_some(chunk);
        let position = self.position;
        self.position += memory.length() as u64;
        self.placed += memory.length() as u64;
        self.sealed.push(PlacedBlock {
            memory,
            header: open.header,
            file: Arc::clone(&self.file),
            position,
            lsn: open.lsn,
            payload_bytes,
            entries: open.entries,
            class: open.class,
        });
    }

    /// Makes sure that a block of `bytes` fits in the current file, going on to a spare one if need be.
    fn make_room(&mut self, bytes: usize, tail: u64, options: &WalOptions) -> bool {
        let on_disk = bytes.next_multiple_of(BLOCK_BYTES) as u64 + tail;
        if self.position + on_disk <= self.file.length {
            return true;
        }
        let needed = FILE_HEADER_BYTES as u64 + on_disk;
        let Some(index) = self.spares.iter().position(|spare| spare.length >= needed) else { return false };
        let spare = self.spares.remove(index);
        self.file = Arc::new(WalFile::after(&self.file, spare, self.next_lsn, options));
        self.position = FILE_HEADER_BYTES as u64;
        true
    }

    fn open_block(&mut self, bytes: usize, pool: &Arc<ChunkPool>) {
        let chunk = self.chunk.take().filter(|chunk| chunk.remaining() >= bytes.next_multiple_of(BLOCK_BYTES));
        let chunk = chunk.unwrap_or_else(|| pool.take(bytes));
        let mut memory = chunk.open_block();
        let header = memory.take(BLOCK_HEADER_BYTES);
        self.open = Some(OpenBlock { memory, header, lsn: self.next_lsn, entries: 0, class: SyncClass::Interval });
    }

    fn take(&mut self, entry: &NewEntry) -> Reserved {
        let open = self.open.as_mut().expect("a block was opened for this entry");
        let (bytes, gap_bytes) = entry.bytes_at(open.memory.length());
        let range = open.memory.take(bytes);
        open.entries += 1;
        if entry.class == SyncClass::Commit {
            open.class = SyncClass::Commit;
        }
        let lsn = self.next_lsn;
        self.next_lsn += bytes as u64;
        Reserved { range, lsn, salt: self.file.salt, gap_bytes }
    }
}
