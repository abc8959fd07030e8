//! Many buffers as few large writes that need no page cache: whole blocks that lie right are written from where they are,
//! what is between them is gathered.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use super::{BLOCK_BYTES, DiskFile};
use crate::chunk::ChunkPool;

/// Writes from this size on are made of whole blocks.
pub(crate) const LARGE_WRITE_BYTES: usize = 256 << 10;
/// Buffers in one write.
const RUNS_MAX: usize = 512;

/// Writes `buffers` one after another at `position`. Where there is much, whole blocks of the file are written from memory
/// that is aligned, as [`DiskFile::write_at`] likes it; with copies, in memory of `pool`, of what is not.
pub(crate) fn write_gathered(file: &dyn DiskFile, pool: &Arc<ChunkPool>, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
    if buffers.iter().map(|buffer| buffer.len()).sum::<usize>() < LARGE_WRITE_BYTES {
        return file.write_at(buffers, position);
    }
    let mut memory = pool.take(LARGE_WRITE_BYTES);
    let mut memory = memory.take(memory.remaining());
    let memory = memory.bytes_mut();
    let mut source = Source { buffers, skip: 0 };
    let head = (position.next_multiple_of(BLOCK_BYTES as u64) - position) as usize;
    let head = source.copy(&mut memory[..head]);
    write(file, &[IoSlice::new(&memory[..head])], position)?;
    let mut position = position + head as u64;
    while !source.is_empty() {
        let mut step = Step { runs: Vec::new(), used: 0 };
        step.fill(&mut source, memory);
        let tail = step.cut_tail();
        let slices: Vec<_> = step.runs.iter().map(|run| IoSlice::new(run.bytes(memory))).collect();
        write(file, &slices, position)?;
        position += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        write(file, &[IoSlice::new(&memory[tail.clone()])], position)?;
        position += tail.len() as u64;
    }
    Ok(())
}

fn write(file: &dyn DiskFile, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
    if buffers.iter().all(|buffer| buffer.is_empty()) { Ok(()) } else { file.write_at(buffers, position) }
}

/// What one write is made of, beginning at a block's boundary.
struct Step<'a> {
    runs: Vec<Run<'a>>,
    /// Bytes of the gathering memory that are used.
    used: usize,
}

/// Bytes that lie together.
enum Run<'a> {
    /// Whole blocks, where they are.
    InPlace(&'a [u8]),
    /// A range of the gathering memory; whole blocks but for the last.
    Gathered(Range<usize>),
}

impl Run<'_> {
    fn bytes<'a>(&'a self, memory: &'a [u8]) -> &'a [u8] {
        match self {
            Run::InPlace(bytes) => bytes,
            Run::Gathered(range) => &memory[range.clone()],
        }
    }
}

impl<'a> Step<'a> {
    /// Takes from `source` until it is empty, or the memory is full.
    fn fill(&mut self, source: &mut Source<'a>, memory: &mut [u8]) {
        while self.used < memory.len() && self.runs.len() < RUNS_MAX || !self.used.is_multiple_of(BLOCK_BYTES) {
            let front = source.front();
            let from_boundary = self.used % BLOCK_BYTES;
            let lies_right = front.as_ptr().addr() % BLOCK_BYTES == from_boundary;
            if front.is_empty() {
                return;
            } else if lies_right && from_boundary == 0 && front.len() >= BLOCK_BYTES {
                self.runs.push(Run::InPlace(source.take(front.len() - front.len() % BLOCK_BYTES)));
            } else {
                // One that lies right is copied up to the next boundary only.
                let end = if lies_right { self.used - from_boundary + BLOCK_BYTES } else { memory.len() };
                let end = end.min(self.used + front.len());
                let copied = source.copy(&mut memory[self.used..end]);
                self.add_gathered(copied);
            }
        }
    }

    fn add_gathered(&mut self, count: usize) {
        let range = self.used..self.used + count;
        self.used = range.end;
        match self.runs.last_mut() {
            Some(Run::Gathered(last)) => last.end = range.end,
            _ => self.runs.push(Run::Gathered(range)),
        }
    }

    /// Takes off what is not a whole block at the end.
    fn cut_tail(&mut self) -> Range<usize> {
        let end = self.used - self.used % BLOCK_BYTES;
        if let Some(Run::Gathered(last)) = self.runs.last_mut() {
            last.end = end;
        }
        end..self.used
    }
}

/// Several buffers as one run of bytes.
struct Source<'a> {
    buffers: &'a [IoSlice<'a>],
    skip: usize,
}

impl<'a> Source<'a> {
    fn is_empty(&self) -> bool {
        self.front().is_empty()
    }

    /// What is left of the first buffer that is not used up.
    fn front(&self) -> &'a [u8] {
        self.buffers.first().map_or(&[], |first| &first[self.skip..])
    }

    /// The next `count` bytes, which all lie in the front buffer.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.front()[..count];
        self.skip += count;
        while self.buffers.first().is_some_and(|first| self.skip == first.len()) {
            (self.buffers, self.skip) = (&self.buffers[1..], 0);
        }
        taken
    }

    /// Copies the next bytes to `out`; fewer than fit only at the end.
    fn copy(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < out.len() && !self.is_empty() {
            let bytes = self.take(self.front().len().min(out.len() - filled));
            out[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, OpenMode, RealDisk};

    /// Lengths of batches, and what is copied of them when each lies as it will in the file.
    const LENGTHS: [usize; 9] = [100_000, 5_000, 300, 12_288, 4096, 90_001, 4095, 60_000, 200_000];
    const POSITION: u64 = 10_123;

    /// Batches in memory of their own, `shift` bytes from where they would lie right.
    fn batches(pool: &Arc<ChunkPool>, shift: usize) -> Vec<crate::chunk::ChunkSlice> {
        let mut position = POSITION as usize;
        LENGTHS
            .iter()
            .map(|length| {
                let mut memory = pool.take(length + 2 * BLOCK_BYTES);
                let _ = memory.take((position + shift) % BLOCK_BYTES);
                let mut range = memory.take(*length);
                range.bytes_mut().iter_mut().enumerate().for_each(|(at, byte)| *byte = (((position + at) * 31) >> 3) as u8);
                position += length;
                range.freeze()
            })
            .collect()
    }

    #[test]
    fn what_lies_right_is_not_copied() {
        let pool = ChunkPool::new(1 << 20, 4);
        for (shift, is_copied) in [(0, false), (7, true)] {
            let batches = batches(&pool, shift);
            let slices: Vec<_> = batches.iter().map(|batch| IoSlice::new(batch)).collect();
            let mut memory = vec![0; 1 << 20];
            let mut source = Source { buffers: &slices, skip: 0 };
            source.copy(&mut memory[..BLOCK_BYTES - POSITION as usize % BLOCK_BYTES]);
            let mut step = Step { runs: Vec::new(), used: 0 };
            step.fill(&mut source, &mut memory);
            assert!(source.is_empty());
            let all: usize = LENGTHS.iter().sum();
            assert_eq!(step.used > all / 2, is_copied, "{} of {all} bytes are copied", step.used);
            assert!(is_copied || step.used <= 2 * LENGTHS.len() * BLOCK_BYTES);
        }
    }

    #[test]
    fn the_file_holds_what_was_written_wherever_it_lay() {
        let directory = tempfile::tempdir().unwrap();
        for (number, (chunk_bytes, shift)) in [(1 << 20, 0), (1 << 20, 7), (LARGE_WRITE_BYTES, 0), (LARGE_WRITE_BYTES, 4095)].into_iter().enumerate() {
            let pool = ChunkPool::new(chunk_bytes, 4);
            let file = RealDisk.open(&directory.path().join(number.to_string()), OpenMode::Write).unwrap();
            file.write_at(&[IoSlice::new(&[9; POSITION as usize])], 0).unwrap();
            let batches = batches(&pool, shift);
            let slices: Vec<_> = batches.iter().map(|batch| IoSlice::new(batch)).collect();
            write_gathered(file.as_ref(), &pool, &slices, POSITION).unwrap();
            let mut read = vec![0; file.length().unwrap() as usize];
            file.read_at(&mut read, 0).unwrap();
            let (before, written) = read.split_at(POSITION as usize);
            assert!(before.iter().all(|byte| *byte == 9));
            assert!(written == slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>());
        }
    }
}
