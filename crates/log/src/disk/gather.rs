//! Many buffers as few large writes that need no page cache: gathered into memory that lies as the file does.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::{BLOCK_BYTES, DiskFile};
use crate::chunk::ChunkPool;

/// Writes from this size on are gathered.
pub(crate) const LARGE_WRITE_BYTES: usize = 256 << 10;

/// Writes `buffers` one after another at `position`. Large ones are copied to memory of `pool` first, so that whole blocks
/// of the file are whole blocks of memory; see [`DiskFile::write_at`].
pub(crate) fn write_gathered(file: &dyn DiskFile, pool: &Arc<ChunkPool>, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
    if buffers.iter().map(|buffer| buffer.len()).sum::<usize>() < LARGE_WRITE_BYTES {
        return file.write_at(buffers, position);
    }
    let mut source = Gather { buffers, skip: 0 };
    let mut memory = pool.take(LARGE_WRITE_BYTES);
    let mut memory = memory.take(memory.remaining());
    let memory = memory.bytes_mut();
    let mut position = position;
    loop {
        let room = &mut memory[(position % BLOCK_BYTES as u64) as usize..];
        let filled = source.fill(room);
        if filled == 0 {
            return Ok(());
        }
        file.write_at(&[IoSlice::new(&room[..filled])], position)?;
        position += filled as u64;
    }
}

/// Several buffers as one run of bytes.
struct Gather<'a> {
    buffers: &'a [IoSlice<'a>],
    skip: usize,
}

impl Gather<'_> {
    /// Copies the next bytes to `out`; fewer than fit only at the end.
    fn fill(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        while let Some((first, others)) = self.buffers.split_first() {
            let count = (first.len() - self.skip).min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&first[self.skip..self.skip + count]);
            filled += count;
            self.skip += count;
            if self.skip < first.len() {
                break;
            }
            (self.buffers, self.skip) = (others, 0);
        }
        filled
    }
}
