//! Memory that is written by many and read by many without a copy: aligned for direct I/O, shared by
//! reference count, given out in disjoint ranges.
//!
//! A [`Chunk`] never gives out two ranges that overlap: [`ChunkWriter`] hands out each byte once, as a
//! [`ChunkRange`] which alone may write it, and which turns into a [`ChunkSlice`] which may only be read.
//! A [`SealedBlock`] becomes readable as a whole when the last range in it has been given up.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::disk::BLOCK_BYTES;

/// The size of a large page where they have one size only (x86-64; on arm64 with pages of 4 KiB).
const LARGE_PAGE_BYTES: usize = 2 << 20;
/// With this much in use, further memory is asked for in large pages: direct I/O then looks up one page instead of 512.
/// A node with little to do keeps to small ones, of which it touches no more than it needs.
const LARGE_PAGES_FROM_BYTES: usize = 2 * LARGE_PAGE_BYTES;

/// Chunks that are made ready together.
const CHUNKS_READY: usize = 2;

/// Aligned memory of fixed size. The bytes are meaningless until a range over them is frozen.
pub(crate) struct Chunk {
    memory: Memory,
    pool: Weak<ChunkPool>,
}

/// The allocation itself, which outlives the chunk when it goes back to the pool.
struct Memory {
    start: NonNull<u8>,
    length: usize,
    in_large_pages: bool,
}

// SAFETY: the memory is owned; who may touch which byte of it is what `ChunkRange` and `ChunkSlice` arrange.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Asks the system itself: what goes back then is really back, whatever else the process has on its heap.
    fn new(length: usize) -> Self {
        assert!(length > 0 && length.is_multiple_of(BLOCK_BYTES), "chunks are whole blocks");
        Memory { start: map(length), length, in_large_pages: false }
    }

    /// Has the system put pages under it.
    fn touch(&mut self) {
        for at in (0..self.length).step_by(BLOCK_BYTES) {
            // SAFETY: within the mapping, which nobody else knows yet.
            unsafe { self.start.add(at).write_volatile(0) }
        }
    }

    /// The same in large pages, if the system has some; whole ones only.
    fn new_in_large_pages(length: usize) -> Self {
        assert!(length > 0 && length.is_multiple_of(LARGE_PAGE_BYTES), "large pages are given whole");
        let mapped = map(length + LARGE_PAGE_BYTES);
        let before = mapped.as_ptr().align_offset(LARGE_PAGE_BYTES);
        // SAFETY: `before` is less than a large page, so start and end lie within the mapping.
        let (start, end) = unsafe { (mapped.add(before), mapped.add(before + length)) };
        unmap(mapped, before);
        unmap(end, LARGE_PAGE_BYTES - before);
        // SAFETY: the range is a mapping of our own, and the advice changes nothing of what is in it.
        let _ = unsafe { madvise(start.as_ptr().cast(), length, Advice::LinuxHugepage) };
        Memory { start, length, in_large_pages: true }
    }
}

fn map(length: usize) -> NonNull<u8> {
    let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: a new anonymous mapping at an address of the system's choice touches no memory of anyone.
    let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, kind) };
    let layout = Layout::from_size_align(length, BLOCK_BYTES).expect("a chunk is smaller than the address space");
    mapped.ok().and_then(|start| NonNull::new(start.cast())).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives back what was mapped, and nobody refers to any more.
fn unmap(start: NonNull<u8>, length: usize) {
    if length == 0 {
        return;
    }
    // SAFETY: callers give a range of a mapping of their own, once.
    let unmapped = unsafe { munmap(start.as_ptr().cast(), length) };
    debug_assert!(unmapped.is_ok());
}

impl Drop for Memory {
    fn drop(&mut self) {
        unmap(self.start, self.length);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.live_bytes.fetch_sub(self.memory.length, Ordering::Relaxed);
            let empty = Memory { start: NonNull::dangling(), length: 0, in_large_pages: false };
            pool.put(std::mem::replace(&mut self.memory, empty));
        }
    }
}

/// Keeps memory of the usual chunk size for the next one: freshly mapped pages cost more than the write itself.
pub(crate) struct ChunkPool {
    chunk_bytes: usize,
    keep_max: usize,
    free: Mutex<Vec<Memory>>,
    /// Bytes of all chunks that somebody refers to.
    live_bytes: AtomicUsize,
    /// The last free chunk was taken while there is much to do.
    is_short: AtomicBool,
}

impl ChunkPool {
    pub(crate) fn new(chunk_bytes: usize, keep_max: usize) -> Arc<Self> {
        Arc::new(ChunkPool {
            chunk_bytes,
            keep_max,
            free: Mutex::new(Vec::new()),
            live_bytes: AtomicUsize::new(0),
            is_short: AtomicBool::new(false),
        })
    }

    /// A chunk of the usual size, or larger if `bytes` need it, as the writer of all of it.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> ChunkWriter {
        let pooled = if bytes <= self.chunk_bytes { self.pop() } else { None };
        let memory = pooled.unwrap_or_else(|| self.map(bytes.max(self.chunk_bytes).next_multiple_of(BLOCK_BYTES)));
        self.live_bytes.fetch_add(memory.length, Ordering::Relaxed);
        ChunkWriter { chunk: Arc::new(Chunk { memory, pool: Arc::downgrade(self) }), next: 0 }
    }

    fn pop(&self) -> Option<Memory> {
        let mut free = self.free.lock();
        let memory = free.pop();
        if free.is_empty() && self.wants_large_pages() {
            self.is_short.store(true, Ordering::Relaxed);
        }
        memory
    }

    /// True when [`ChunkPool::prepare`] should be called.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Makes memory ready for those who cannot wait for the system to clear it: a large page may take milliseconds. For a
    /// background thread.
    pub(crate) fn prepare(&self) {
        while self.is_short.swap(false, Ordering::Relaxed) {
            for _ in 0..CHUNKS_READY {
                let mut memory = Memory::new_in_large_pages(self.chunk_bytes);
                memory.touch();
                self.put(memory);
            }
        }
    }

    fn map(&self, length: usize) -> Memory {
        match self.wants_large_pages() && length.is_multiple_of(LARGE_PAGE_BYTES) {
            true => Memory::new_in_large_pages(length),
            false => Memory::new(length),
        }
    }

    fn wants_large_pages(&self) -> bool {
        self.chunk_bytes.is_multiple_of(LARGE_PAGE_BYTES) && self.live_bytes() >= LARGE_PAGES_FROM_BYTES
    }

    /// Gives back to the system what nobody needs just now.
    pub(crate) fn trim(&self) {
        let freed = std::mem::take(&mut *self.free.lock());
        drop(freed);
    }

    /// Bytes of all chunks that somebody refers to, however little of them.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes.load(Ordering::Relaxed)
    }

    fn put(&self, memory: Memory) {
        if memory.length != self.chunk_bytes || (self.wants_large_pages() && !memory.in_large_pages) {
            return;
        }
        let mut free = self.free.lock();
        if free.len() < self.keep_max {
            free.push(memory);
        }
    }
}

/// The right to hand out a chunk's bytes, each once, in order.
pub(crate) struct ChunkWriter {
    chunk: Arc<Chunk>,
    next: usize,
}

impl ChunkWriter {
    /// Bytes not handed out yet.
    pub(crate) fn remaining(&self) -> usize {
        self.chunk.memory.length - self.next
    }

    /// The next `length` bytes, for the caller alone.
    pub(crate) fn take(&mut self, length: usize) -> ChunkRange {
        self.take_counted(length, &Arc::default())
    }

    /// Opens a block at the next byte, which gets every range that is handed out until it is sealed.
    pub(crate) fn open_block(self) -> BlockWriter {
        BlockWriter { start: self.next, writer: self, outstanding: Arc::default() }
    }

    fn take_counted(&mut self, length: usize, outstanding: &Arc<AtomicU32>) -> ChunkRange {
        assert!(length <= self.remaining(), "a chunk gives out its own bytes only");
        let start = self.next;
        self.next += length;
        ChunkRange { chunk: Arc::clone(&self.chunk), start, length, ticket: Ticket::new(outstanding) }
    }
}

/// A run of ranges that will be written to disk in one piece.
pub(crate) struct BlockWriter {
    writer: ChunkWriter,
    start: usize,
    /// Ranges handed out and not frozen yet.
    outstanding: Arc<AtomicU32>,
}

impl BlockWriter {
    /// Bytes handed out so far.
    pub(crate) fn length(&self) -> usize {
        self.writer.next - self.start
    }

    /// Bytes the chunk still has.
    pub(crate) fn remaining(&self) -> usize {
        self.writer.remaining()
    }

    /// The next `length` bytes of the block.
    pub(crate) fn take(&mut self, length: usize) -> ChunkRange {
        self.writer.take_counted(length, &self.outstanding)
    }

    /// Ends the block, padded with zeros to whole disk blocks; the rest of the chunk is for the next one.
    pub(crate) fn seal(mut self) -> (SealedBlock, ChunkWriter) {
        let padding = self.length().next_multiple_of(BLOCK_BYTES) - self.length();
        let mut range = self.take(padding);
        range.fill_zero();
        drop(range);
        let block = SealedBlock {
            chunk: Arc::clone(&self.writer.chunk),
            start: self.start,
            length: self.length(),
            outstanding: self.outstanding,
        };
        (block, self.writer)
    }
}

/// A block that gets no more ranges, some of which may still be being filled.
pub(crate) struct SealedBlock {
    chunk: Arc<Chunk>,
    start: usize,
    length: usize,
    outstanding: Arc<AtomicU32>,
}

impl SealedBlock {
    /// Bytes, a multiple of a disk block.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The whole block, once everyone has filled his range: those are copies in memory, so it spins.
    pub(crate) fn wait(self) -> ChunkSlice {
        let mut turns = 0_u32;
        while self.outstanding.load(Ordering::Acquire) != 0 {
            turns += 1;
            if turns < 64 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        ChunkSlice { chunk: self.chunk, start: self.start, length: self.length }
    }
}

/// Counts a range as outstanding for as long as it lives.
struct Ticket(Arc<AtomicU32>);

impl Ticket {
    fn new(outstanding: &Arc<AtomicU32>) -> Self {
        outstanding.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(outstanding))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Bytes of a chunk that only this value can reach.
pub(crate) struct ChunkRange {
    chunk: Arc<Chunk>,
    start: usize,
    length: usize,
    ticket: Ticket,
}

impl ChunkRange {
    /// Fills the range from `source`, which must be as long.
    pub(crate) fn fill(&mut self, source: &[u8]) {
        assert_eq!(source.len(), self.length, "a range is filled whole");
        // SAFETY: the range lies within the allocation (`take_counted`), no one else can reach it, and
        // `source` cannot overlap it for the same reason.
        unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), self.pointer(), self.length) }
    }

    /// Fills the range with zeros.
    pub(crate) fn fill_zero(&mut self) {
        // SAFETY: as in `fill`.
        unsafe { std::ptr::write_bytes(self.pointer(), 0, self.length) }
    }

    /// The bytes, once they have been filled.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: within the allocation and reachable by this value alone. Bytes are plain data; every
        // caller fills the range before it reads from it.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), self.length) }
    }

    /// Takes the first `length` bytes off.
    pub(crate) fn split_front(&mut self, length: usize) -> ChunkRange {
        assert!(length <= self.length, "a range is split within itself");
        let start = self.start;
        self.start += length;
        self.length -= length;
        ChunkRange { chunk: Arc::clone(&self.chunk), start, length, ticket: Ticket::new(&self.ticket.0) }
    }

    /// Gives up writing: from here on the bytes never change and may be shared. They must have been filled.
    pub(crate) fn freeze(self) -> ChunkSlice {
        ChunkSlice { chunk: self.chunk, start: self.start, length: self.length }
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: `start` is within the allocation.
        unsafe { self.chunk.memory.start.as_ptr().add(self.start) }
    }
}

/// Bytes of a chunk that never change again, shared by reference count: how the tail of a log is read.
#[derive(Clone)]
pub struct ChunkSlice {
    chunk: Arc<Chunk>,
    start: usize,
    length: usize,
}

impl ChunkSlice {
    /// Part of it, without a copy.
    pub fn slice(&self, range: std::ops::Range<usize>) -> ChunkSlice {
        assert!(range.start <= range.end && range.end <= self.length, "a slice is taken within itself");
        ChunkSlice { chunk: Arc::clone(&self.chunk), start: self.start + range.start, length: range.len() }
    }

    /// One slice over both if `next` follows this one directly in the same chunk.
    pub(crate) fn join(&self, next: &ChunkSlice) -> Option<ChunkSlice> {
        let adjacent = Arc::ptr_eq(&self.chunk, &next.chunk) && self.start + self.length == next.start;
        adjacent.then(|| ChunkSlice {
            chunk: Arc::clone(&self.chunk),
            start: self.start,
            length: self.length + next.length,
        })
    }
}

impl std::ops::Deref for ChunkSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: within the allocation, filled before it was frozen, and never written since.
        unsafe { std::slice::from_raw_parts(self.chunk.memory.start.as_ptr().add(self.start), self.length) }
    }
}

impl AsRef<[u8]> for ChunkSlice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<ChunkSlice> for bytes::Bytes {
    fn from(slice: ChunkSlice) -> Self {
        bytes::Bytes::from_owner(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_made_ready_before_it_is_needed() {
        let pool = ChunkPool::new(LARGE_PAGE_BYTES, 8);
        let mut taken = vec![pool.take(1), pool.take(1)];
        // A node with little to do makes nothing ready.
        assert!(!pool.is_short());
        taken.push(pool.take(1));
        assert!(pool.is_short());
        pool.prepare();
        assert_eq!((pool.is_short(), pool.free.lock().len()), (false, CHUNKS_READY));
        for left in (0..CHUNKS_READY).rev() {
            taken.push(pool.take(1));
            assert_eq!((pool.is_short(), pool.free.lock().len()), (left == 0, left));
        }
        assert_eq!(pool.live_bytes(), taken.len() * LARGE_PAGE_BYTES);
        drop(taken);
        // What came in small pages at first is not kept: there is enough in large ones by then.
        assert!(pool.free.lock().iter().filter(|memory| memory.in_large_pages).count() > CHUNKS_READY);
        pool.trim();
        assert_eq!((pool.live_bytes(), pool.free.lock().len()), (0, 0));
    }
}
