//! Group commit: everything that waits goes out in one write and one sync.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::{BlockHeader, Lsn};
use super::files::WalFile;
use super::{PlacedBlock, SyncClass, Wal};
use crate::chunk::ChunkSlice;
use crate::errors::Fatal;

/// Bytes of one write, a single block apart. All its blocks are written at once, so none can say of another that it was durable; those of the next
/// write do, and recovery looks for them no further than twice this (`PROOF_SEARCH_BYTES` in `recover.rs`).
const GROUP_BYTES_MAX: u64 = 8 << 20;

/// What a call of [`Wal::commit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Nothing was waiting.
    Idle,
    /// Another thread is committing; what waits now may not be in what it writes, so look again when it is done.
    Busy,
    /// Everything that waited has been written, and what asked for it synced.
    Done {
        /// What is durable now.
        durable_lsn: Lsn,
    },
}

/// The one who writes: whoever holds it commits for everybody.
pub(crate) struct Writer {
    pub(super) file: Arc<WalFile>,
    /// Something was written to `file` without a sync.
    pub(super) unsynced: bool,
}

/// A block ready to be written.
struct Outgoing {
    bytes: ChunkSlice,
    file: Arc<WalFile>,
    position: u64,
    end_lsn: Lsn,
    class: SyncClass,
}

impl Wal {
    /// Writes and syncs everything that has been appended, unless someone else is at it.
    pub(crate) fn commit(&self) -> Result<Commit, Fatal> {
        match self.writer.try_lock() {
            Some(mut writer) => self.commit_as(&mut writer, false),
            None => match self.fatal() {
                Some(fatal) => Err(fatal.clone()),
                None => Ok(Commit::Busy),
            },
        }
    }

    /// Makes everything appended so far durable, waiting for whoever is committing, and returns what is.
    pub(crate) fn sync_all(&self) -> Result<Lsn, Fatal> {
        let mut writer = self.writer.lock();
        let done = self.commit_as(&mut writer, true);
        drop(writer);
        self.wake_committers();
        done?;
        Ok(self.durable_lsn())
    }

    /// Makes everything written so far durable: the timer of those who do not wait for a sync.
    pub(crate) fn sync_written(&self) -> Result<Lsn, Fatal> {
        let mut writer = self.writer.lock();
        let done = self.check().and_then(|()| self.sync_writer(&mut writer));
        drop(writer);
        self.wake_committers();
        done?;
        Ok(self.durable_lsn())
    }

    /// Has `waker` called whenever upkeep, and not [`Wal::commit`], has had the writer. Set once.
    pub(crate) fn wake_committers_with(&self, waker: impl Fn() + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(waker));
    }

    fn wake_committers(&self) {
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }

    fn commit_as(&self, writer: &mut Writer, sync: bool) -> Result<Commit, Fatal> {
        self.check()?;
        let mut blocks = self.take_blocks();
        if blocks.is_empty() && !(sync && writer.unsynced) {
            return Ok(Commit::Idle);
        }
        while !blocks.is_empty() {
            let outgoing = self.finish(take_front(&mut blocks));
            let mut rest = outgoing.as_slice();
            while let Some(first) = rest.first() {
                let count = rest.iter().take_while(|block| Arc::ptr_eq(&block.file, &first.file)).count();
                let (group, later) = rest.split_at(count);
                self.write_group(writer, group, sync)?;
                rest = later;
            }
        }
        if sync {
            self.sync_writer(writer)?;
        }
        Ok(Commit::Done { durable_lsn: self.durable_lsn() })
    }

    fn check(&self) -> Result<(), Fatal> {
        self.fatal().map_or(Ok(()), |fatal| Err(fatal.clone()))
    }

    fn take_blocks(&self) -> Vec<PlacedBlock> {
        let mut placing = self.placing.lock();
        placing.seal_open();
        std::mem::take(&mut placing.sealed)
    }

    /// Writes the headers and waits until every entry has been copied to its place.
    fn finish(&self, blocks: Vec<PlacedBlock>) -> Vec<Outgoing> {
        let synced_lsn = self.durable_lsn();
        blocks.into_iter().map(|block| block.finish(synced_lsn)).collect()
    }

    /// One write for blocks that lie one after another in one file.
    fn write_group(&self, writer: &mut Writer, group: &[Outgoing], sync: bool) -> Result<(), Fatal> {
        let file = &group[0].file;
        if !Arc::ptr_eq(file, &writer.file) {
            writer.enter(self, file).map_err(|error| self.stop(Fatal::io("opening", &file.path, &error)))?;
            self.durable.store(self.written_lsn(), Ordering::Release);
        }
        let durable = sync || group.iter().any(|block| block.class == SyncClass::Commit);
        let joined = join(group);
        let buffers: Vec<IoSlice<'_>> = joined.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let result = self.write_buffers(writer, &buffers, group[0].position, durable);
        result.map_err(|error| self.stop(Fatal::io("writing", &file.path, &error)))?;
        let end_lsn = group[group.len() - 1].end_lsn;
        self.written.store(end_lsn, Ordering::Release);
        if durable {
            self.durable.store(end_lsn, Ordering::Release);
        }
        Ok(())
    }

    /// A durable write vouches for its own bytes only: if earlier ones wait for a sync, all get one.
    fn write_buffers(&self, writer: &mut Writer, buffers: &[IoSlice<'_>], position: u64, durable: bool) -> io::Result<()> {
        if durable && !writer.unsynced {
            return writer.file.handle.write_durable(buffers, position);
        }
        writer.unsynced = true;
        writer.file.handle.write_at(buffers, position)?;
        if durable {
            writer.file.handle.sync()?;
            writer.unsynced = false;
        }
        Ok(())
    }

    fn sync_writer(&self, writer: &mut Writer) -> Result<(), Fatal> {
        if writer.unsynced {
            let written = self.written_lsn();
            writer.file.handle.sync().map_err(|error| self.stop(Fatal::io("syncing", &writer.file.path, &error)))?;
            writer.unsynced = false;
            self.durable.store(written, Ordering::Release);
        }
        Ok(())
    }
}

impl PlacedBlock {
    fn finish(self, synced_lsn: Lsn) -> Outgoing {
        let mut header = self.header;
        header.fill_zero();
        BlockHeader {
            salt: self.file.salt,
            lsn: self.lsn,
            payload_bytes: self.payload_bytes,
            entries: self.entries,
            synced_lsn,
        }
        .write(header.bytes_mut());
        drop(header);
        Outgoing {
            bytes: self.memory.wait(),
            file: self.file,
            position: self.position,
            end_lsn: self.lsn + u64::from(self.payload_bytes),
            class: self.class,
        }
    }
}

/// The first blocks, as many as one write takes.
fn take_front(blocks: &mut Vec<PlacedBlock>) -> Vec<PlacedBlock> {
    let mut bytes = 0;
    let fits = |block: &&PlacedBlock| {
        let is_first = bytes == 0;
        bytes += u64::from(block.payload_bytes);
        is_first || bytes <= GROUP_BYTES_MAX
    };
    let count = blocks.iter().take_while(fits).count();
    let later = blocks.split_off(count);
    std::mem::replace(blocks, later)
}

/// Blocks that lie one after another in memory too are written as one buffer.
fn join(group: &[Outgoing]) -> Vec<ChunkSlice> {
    let mut joined: Vec<ChunkSlice> = Vec::with_capacity(group.len());
    for block in group {
        match joined.last().and_then(|last| last.join(&block.bytes)) {
            Some(both) => *joined.last_mut().expect("there is a last one") = both,
            None => joined.push(block.bytes.clone()),
        }
    }
    joined
}
