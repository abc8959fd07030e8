//! Where the bytes of one connection arrive, and how frames are found in them.
//!
//! An idle connection holds no buffer: one is taken from its reactor's [`BufferPool`] when bytes are
//! there and goes back when all of them were used. A buffer grows with bytes that really came, never
//! with a length that a peer announced.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What a buffer has at first, and what the pool keeps: a few large reads' worth.
pub(crate) const BUFFER_BYTES: usize = 512 * 1024;
/// Buffers that a reactor keeps at hand; more than these are given back to the allocator.
const POOLED_BUFFERS: usize = 4;

/// A buffer that waits with no more than this in it gives the rest of its memory back, where more than a few are lent.
const SHRUNK_BYTES: usize = 64 * 1024;

/// So many connections of a reactor may wait with the rest of a frame in a large buffer: those that send without pause are few.
const LENT_FREELY: usize = 4;

/// The length prefix of a frame: four bytes, big-endian, not counting themselves.
const PREFIX_BYTES: usize = 4;

/// Bytes that arrived and were not yet used.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    lent: Option<Lent>,
}

/// Counts a buffer among those that its pool has lent, for as long as it lives.
struct Lent(Rc<Cell<usize>>);

impl Lent {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Lent(Rc::clone(count))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What stands at the front of a [`ReadBuffer`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A whole frame; its body has this length and [`ReadBuffer::frame`] shows it.
    Frame(usize),
    /// Not yet a whole frame; this many bytes make it one, if the prefix is already there.
    Partial { frame_bytes: Option<usize> },
    /// A length that no request of ours may have.
    Refused { length: i32 },
}

impl ReadBuffer {
    fn with_capacity(capacity: usize) -> Self {
        ReadBuffer { bytes: vec![0; capacity], start: 0, end: 0, lent: None }
    }

    /// True if nothing waits in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of memory it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that wait in it.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.end - self.start
    }

    /// A buffer with the same bytes and room for no more.
    fn shrunk(&self) -> Self {
        let bytes = self.bytes[self.start..self.end].to_vec();
        ReadBuffer { start: 0, end: bytes.len(), bytes, lent: None }
    }

    /// Looks at the front: `length_max` is the largest body that is taken (socket.request.max.bytes).
    pub(crate) fn front(&self, length_max: usize) -> Front {
        let waiting = &self.bytes[self.start..self.end];
        let Some(prefix) = waiting.first_chunk::<PREFIX_BYTES>() else {
            return Front::Partial { frame_bytes: None };
        };
        let length = i32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(body) if body <= length_max => match waiting.len() >= PREFIX_BYTES + body {
                true => Front::Frame(body),
                false => Front::Partial { frame_bytes: Some(PREFIX_BYTES + body) },
            },
            _ => Front::Refused { length },
        }
    }

    /// The API key of the frame at the front, once it has come.
    pub(crate) fn api_key(&self) -> Option<i16> {
        let waiting = &self.bytes[self.start..self.end];
        waiting.get(PREFIX_BYTES..)?.first_chunk().map(|key| i16::from_be_bytes(*key))
    }

    /// The body of the frame at the front, of which [`Front::Frame`] told the length.
    pub(crate) fn frame(&self, length: usize) -> &[u8] {
        &self.bytes[self.start + PREFIX_BYTES..][..length]
    }

    /// Drops the frame at the front.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start += PREFIX_BYTES + length;
        debug_assert!(self.start <= self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Room for the next read: at least a quarter of all, unless more than that waits. What waits is moved to the front only for
    /// that.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 && self.bytes.len() - self.end < self.bytes.len() / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// True if the next read needs [`ReadBuffer::grow_to`] first.
    pub(crate) fn is_full(&self) -> bool {
        self.start == 0 && self.end == self.bytes.len()
    }

    /// What it should grow to next: twice as much, but no more than the frame at the front needs.
    pub(crate) fn grown_capacity(&self, frame_bytes: Option<usize>) -> usize {
        let doubled = self.bytes.len() * 2;
        frame_bytes.map_or(doubled, |frame| doubled.min(frame.max(self.bytes.len() + 1)))
    }

    /// Grows it to `capacity` bytes.
    pub(crate) fn grow_to(&mut self, capacity: usize) {
        self.bytes.resize(capacity, 0);
    }

    /// Says that a read put `count` bytes into [`ReadBuffer::spare`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len());
    }
}

/// A reactor's few ready buffers.
#[derive(Default)]
pub(crate) struct BufferPool {
    free: RefCell<Vec<ReadBuffer>>,
    lent: Rc<Cell<usize>>,
}

impl BufferPool {
    /// A buffer with nothing in it.
    pub(crate) fn take(&self) -> ReadBuffer {
        let mut buffer = self.free.borrow_mut().pop().unwrap_or_else(|| ReadBuffer::with_capacity(BUFFER_BYTES));
        buffer.lent = Some(Lent::new(&self.lent));
        buffer
    }

    /// Makes `buffer`, which waits for its peer, as small as what is in it, unless that is much, or few are lent.
    pub(crate) fn shrink(&self, buffer: &mut ReadBuffer) {
        let many = self.lent.get() > LENT_FREELY;
        if many && buffer.capacity() >= BUFFER_BYTES && buffer.waiting_bytes() <= SHRUNK_BYTES {
            let small = buffer.shrunk();
            let mut large = std::mem::replace(buffer, small);
            large.clear();
            self.give_back(large);
        }
    }

    /// Makes `buffer` ready for large reads, should it have been shrunk.
    pub(crate) fn unshrink(&self, buffer: &mut ReadBuffer) {
        if buffer.capacity() < BUFFER_BYTES {
            let mut large = self.take();
            let waiting = buffer.waiting_bytes();
            large.spare()[..waiting].copy_from_slice(&buffer.bytes[buffer.start..buffer.end]);
            large.filled(waiting);
            *buffer = large;
        }
    }

    /// Takes back an empty buffer. One that had grown goes to the allocator.
    pub(crate) fn give_back(&self, mut buffer: ReadBuffer) {
        debug_assert!(buffer.is_empty());
        buffer.lent = None;
        let mut free = self.free.borrow_mut();
        if free.len() < POOLED_BUFFERS && buffer.capacity() == BUFFER_BYTES {
            free.push(buffer);
        }
    }

    /// Gives the memory back: the reactor has nothing to do.
    pub(crate) fn clear(&self) {
        self.free.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer_of(bytes: &[u8]) -> ReadBuffer {
        let mut buffer = ReadBuffer::with_capacity(bytes.len());
        buffer.spare().copy_from_slice(bytes);
        buffer.filled(bytes.len());
        buffer
    }

    #[test]
    fn finds_frames_one_after_the_other() {
        let mut buffer = buffer_of(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9, 0, 0]);
        assert_eq!(buffer.front(100), Front::Frame(2));
        assert_eq!(buffer.frame(2), [7, 8]);
        buffer.consume(2);
        assert_eq!(buffer.front(100), Front::Frame(1));
        buffer.consume(1);
        assert_eq!(buffer.front(100), Front::Partial { frame_bytes: None });
    }

    #[test]
    fn tells_the_api_key_as_soon_as_it_is_there() {
        assert_eq!(buffer_of(&[0, 0, 0, 9, 0]).api_key(), None);
        assert_eq!(buffer_of(&[0, 0, 0, 9, 0, 18]).api_key(), Some(18));
    }

    #[test]
    fn refuses_lengths_before_any_memory_is_given() {
        assert_eq!(buffer_of(&[0xff, 0xff, 0xff, 0xff]).front(100), Front::Refused { length: -1 });
        assert_eq!(buffer_of(&[0x7f, 0, 0, 0]).front(100), Front::Refused { length: 0x7f00_0000 });
        assert_eq!(buffer_of(&[0, 0, 0, 101]).front(100), Front::Refused { length: 101 });
        assert_eq!(buffer_of(&[0, 0, 0, 100]).front(100), Front::Partial { frame_bytes: Some(104) });
    }

    #[test]
    fn one_that_waits_holds_little_more_than_what_is_in_it() {
        let pool = BufferPool::default();
        let _others: Vec<_> = (0..LENT_FREELY).map(|_| pool.take()).collect();
        let mut buffer = pool.take();
        buffer.spare()[..9].copy_from_slice(&[0, 0, 0, 1, 9, 0, 0, 0, 2]);
        buffer.filled(9);
        buffer.consume(1);
        pool.shrink(&mut buffer);
        assert_eq!((buffer.capacity(), pool.free.borrow().len()), (4, 1));
        pool.unshrink(&mut buffer);
        assert_eq!((buffer.capacity(), pool.free.borrow().len()), (BUFFER_BYTES, 0));
        buffer.spare()[..2].copy_from_slice(&[7, 8]);
        buffer.filled(2);
        assert_eq!(buffer.front(100), Front::Frame(2));
        assert_eq!(buffer.frame(2), [7, 8]);
    }

    #[test]
    fn a_few_keep_their_memory_while_they_wait() {
        let pool = BufferPool::default();
        let mut lent: Vec<_> = (0..LENT_FREELY).map(|_| pool.take()).collect();
        pool.shrink(&mut lent[0]);
        assert_eq!(lent[0].capacity(), BUFFER_BYTES);
        lent.push(pool.take());
        pool.shrink(&mut lent[0]);
        assert!(lent[0].capacity() < BUFFER_BYTES);
        // The one that was given up is not lent any more, however it was.
        pool.shrink(&mut lent[1]);
        assert_eq!(lent[1].capacity(), BUFFER_BYTES);
        drop(lent);
        assert_eq!(pool.lent.get(), 0);
    }

    #[test]
    fn what_waits_is_moved_only_when_room_is_short() {
        let mut buffer = ReadBuffer::with_capacity(100);
        let fill = |buffer: &mut ReadBuffer, bytes: &[u8]| {
            buffer.spare()[..bytes.len()].copy_from_slice(bytes);
            buffer.filled(bytes.len());
        };
        fill(&mut buffer, &[0, 0, 0, 1, 7, 0, 0, 0, 60]);
        buffer.consume(1);
        assert_eq!(buffer.spare().len(), 91);
        fill(&mut buffer, &[5; 70]);
        // Less than a quarter is left.
        assert_eq!(buffer.front(100), Front::Frame(60));
        assert_eq!(buffer.spare().len(), 26);
        assert!(buffer.frame(60) == [5; 60]);
    }

    #[test]
    fn grows_by_what_came_and_never_past_the_frame() {
        let mut buffer = ReadBuffer::with_capacity(BUFFER_BYTES);
        let frame_bytes = 5 * BUFFER_BYTES;
        buffer.spare()[..4].copy_from_slice(&(frame_bytes as i32 - 4).to_be_bytes());
        buffer.filled(BUFFER_BYTES);
        assert!(buffer.is_full());
        for expected in [2, 4, 5] {
            buffer.grow_to(buffer.grown_capacity(Some(frame_bytes)));
            assert_eq!(buffer.capacity(), expected * BUFFER_BYTES);
            let spare = buffer.spare().len();
            buffer.filled(spare);
        }
        assert_eq!(buffer.front(frame_bytes), Front::Frame(frame_bytes - 4));
    }
}
