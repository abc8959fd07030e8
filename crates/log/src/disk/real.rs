//! The disk of this machine.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::{ReadWriteFlags, pwritev2};

use super::{BLOCK_BYTES, Disk, DiskFile, DiskSpace, FileHandle, OpenMode};

/// The most buffers one vectored write takes (`IOV_MAX` on Linux).
const BUFFERS_MAX: usize = 1024;

/// Writes of whole blocks from this size on go past the page cache.
const DIRECT_BYTES: usize = 64 << 10;

/// How many steps are taken at a time, at most, and how many each thread should find for itself to be worth its start.
/// File systems put what waits for them at once into one commit of their journal.
const THREADS_MAX: usize = 8;
const STEPS_PER_THREAD: usize = 4;

/// Files by way of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        Ok(match mode {
            OpenMode::Read => Arc::new(BufferedFile { file: File::open(path)? }),
            OpenMode::Existing => Arc::new(CachedFile::new(OpenOptions::new().read(true).write(true).open(path)?)),
            OpenMode::Write => Arc::new(CachedFile::new(writable().open(path)?)),
            OpenMode::Wal => open_wal(path)?,
        })
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn for_each(&self, count: usize, step: &(dyn Fn(usize) -> io::Result<()> + Sync)) -> Result<(), (usize, io::Error)> {
        let steps = Steps { count, step, next: AtomicUsize::new(0), failed: Mutex::new(None) };
        thread::scope(|scope| {
            for _helper in 1..(count / STEPS_PER_THREAD).min(THREADS_MAX) {
                // A system that has no thread to give leaves more to this one.
                let _ = thread::Builder::new().name("sync".to_owned()).spawn_scoped(scope, || steps.work());
            }
            steps.work();
        });
        steps.failed.into_inner().map_or(Ok(()), Err)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(DiskSpace {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = writable().open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

/// Steps that several threads share.
struct Steps<'a> {
    count: usize,
    step: &'a (dyn Fn(usize) -> io::Result<()> + Sync),
    next: AtomicUsize,
    failed: Mutex<Option<(usize, io::Error)>>,
}

impl Steps<'_> {
    fn work(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            if let Err(error) = (self.step)(index) {
                self.next.store(self.count, Ordering::Relaxed);
                self.failed.lock().get_or_insert((index, error));
            }
        }
    }
}

fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// Past the page cache, or through it where the file system has no such way (tmpfs).
fn open_wal(path: &Path) -> io::Result<FileHandle> {
    let direct = OFlags::DIRECT.bits() as i32;
    match writable().custom_flags(direct).open(path) {
        Ok(file) => Ok(Arc::new(DirectFile { direct: BufferedFile { file } })),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Ok(Arc::new(BufferedFile { file: writable().open(path)? }))
        }
        Err(error) => Err(error),
    }
}

/// One descriptor; also the half of a [`DirectFile`].
struct BufferedFile {
    file: File,
}

impl DiskFile for BufferedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        write_all(&self.file, buffers, position, ReadWriteFlags::empty())
    }

    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.write_at(buffers, position)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// Through the page cache, but for large writes behind the file's end: those go past it. What was just written is read
/// from the log's memory, if it is read at all soon; a copy in the page cache would only push out what consumers read.
struct CachedFile {
    cached: BufferedFile,
    /// The same file with O_DIRECT, opened for the first large write; none where there is no such way (tmpfs).
    direct: OnceLock<Option<BufferedFile>>,
}

impl CachedFile {
    fn new(file: File) -> Self {
        CachedFile { cached: BufferedFile { file }, direct: OnceLock::new() }
    }

    fn direct(&self) -> Option<&BufferedFile> {
        let open = || {
            let same_file = format!("/proc/self/fd/{}", self.cached.file.as_raw_fd());
            let flags = OFlags::DIRECT.bits() as i32;
            OpenOptions::new().write(true).custom_flags(flags).open(same_file).ok().map(|file| BufferedFile { file })
        };
        self.direct.get_or_init(open).as_ref()
    }
}

impl DiskFile for CachedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.cached.read_at(buffer, position)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        // No page of what lies behind the end can be cached: nobody has read or written there.
        if are_large_blocks(buffers, position)
            && position >= self.length()?
            && let Some(direct) = self.direct()
        {
            return direct.write_at(buffers, position);
        }
        self.cached.write_at(buffers, position)
    }

    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.write_at(buffers, position)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        self.cached.sync()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.cached.allocate(length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.cached.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.cached.length()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.cached.descriptor()
    }
}

/// True if this is a large write of whole blocks, in memory as in the file.
fn are_large_blocks(buffers: &[IoSlice<'_>], position: u64) -> bool {
    let is_aligned = |number: usize| number.is_multiple_of(BLOCK_BYTES);
    position.is_multiple_of(BLOCK_BYTES as u64)
        && buffers.iter().all(|buffer| is_aligned(buffer.len()) && is_aligned(buffer.as_ptr().addr()))
        && buffers.iter().map(|buffer| buffer.len()).sum::<usize>() >= DIRECT_BYTES
}

/// Past the page cache.
struct DirectFile {
    direct: BufferedFile,
}

impl DiskFile for DirectFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.direct.read_at(buffer, position)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.direct.write_at(buffers, position)
    }

    /// RWF_DSYNC with each write: what `fdatasync` would add to it, and no more. Not a descriptor with O_DSYNC: rustix 1.1
    /// opens one with O_SYNC instead (`rustix::fs::OFlags::DSYNC`), which writes the inode with its new time as well,
    /// whenever the clock has ticked.
    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        write_all(&self.direct.file, buffers, position, ReadWriteFlags::DSYNC)
    }

    fn sync(&self) -> io::Result<()> {
        self.direct.sync()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.direct.allocate(length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.direct.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.direct.length()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Writes all buffers, each vectored write with `flags`.
fn write_all(file: &File, buffers: &[IoSlice<'_>], position: u64, flags: ReadWriteFlags) -> io::Result<()> {
    let mut position = position;
    for group in buffers.chunks(BUFFERS_MAX) {
        position += write_group(file, group, position, flags)?;
    }
    Ok(())
}

/// Writes at most [`BUFFERS_MAX`] buffers, going on after short writes; returns how many bytes.
fn write_group(file: &File, buffers: &[IoSlice<'_>], position: u64, flags: ReadWriteFlags) -> io::Result<u64> {
    let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    let mut written = 0;
    while written < total {
        let result = if written == 0 {
            pwritev2(file, buffers, position, flags)
        } else {
            pwritev2(file, &[IoSlice::new(rest_of_first(buffers, written))], position + written as u64, flags)
        };
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(total as u64)
}

/// What is left of the buffer in which byte `written` of all of them lies.
fn rest_of_first<'a>(buffers: &'a [IoSlice<'_>], written: usize) -> &'a [u8] {
    let mut skip = written;
    for buffer in buffers {
        if skip < buffer.len() {
            return &buffer[skip..];
        }
        skip -= buffer.len();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkPool;
    use crate::disk::gather::{LARGE_WRITE_BYTES, write_gathered};

    /// Bytes that differ from place to place.
    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|index| (index.wrapping_mul(31) ^ (index >> 9) ^ seed) as u8).collect()
    }

    #[test]
    fn large_and_small_appends_give_one_run_of_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&directory.path().join("segment"), OpenMode::Write).unwrap();
        // Both smaller and larger than what is gathered at once.
        for chunk_bytes in [DIRECT_BYTES, LARGE_WRITE_BYTES, 2 << 20] {
            let pool = ChunkPool::new(chunk_bytes, 1);
            let mut expected = Vec::new();
            file.set_length(0).unwrap();
            let lengths = [5, LARGE_WRITE_BYTES, 100, LARGE_WRITE_BYTES + 4091, 3 << 20, 4096, (1 << 20) + 1, LARGE_WRITE_BYTES - 1];
            for (seed, length) in lengths.into_iter().enumerate() {
                let appended = bytes(length, seed);
                // In uneven parts, as batches are.
                let parts: Vec<_> = appended.chunks(length / 3 + 1).map(IoSlice::new).collect();
                write_gathered(file.as_ref(), &pool, &parts, expected.len() as u64).unwrap();
                expected.extend(appended);
                assert_eq!(file.length().unwrap(), expected.len() as u64);
                let mut read = vec![0; expected.len()];
                assert_eq!(file.read_at(&mut read, 0).unwrap(), expected.len());
                assert!(read == expected, "after {length} bytes");
            }
        }
    }

    #[test]
    fn what_is_there_already_is_overwritten_through_the_page_cache() {
        let directory = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&directory.path().join("segment"), OpenMode::Write).unwrap();
        let pool = ChunkPool::new(1 << 20, 1);
        let (first, second) = (bytes(2 << 20, 1), bytes(2 << 20, 2));
        write_gathered(file.as_ref(), &pool, &[IoSlice::new(&first)], 0).unwrap();
        let mut read = vec![0; first.len()];
        file.read_at(&mut read, 0).unwrap();
        write_gathered(file.as_ref(), &pool, &[IoSlice::new(&second)], 0).unwrap();
        file.read_at(&mut read, 0).unwrap();
        assert!(read == second);
    }

    #[test]
    fn every_step_is_taken_once_and_an_error_comes_with_its_number() {
        for count in [0, 1, 7, 1000] {
            let taken: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            let done = RealDisk.for_each(count, &|index| {
                taken[index].fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            assert!(done.is_ok() && taken.iter().all(|times| times.load(Ordering::Relaxed) == 1), "of {count}");
        }
        let taken = AtomicUsize::new(0);
        let failed = RealDisk.for_each(1_000_000, &|index| {
            taken.fetch_add(1, Ordering::Relaxed);
            if index == 20 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        assert!(matches!(failed, Err((20, error)) if error.kind() == io::ErrorKind::StorageFull));
        assert!(taken.into_inner() < 1_000_000);
    }
}
