//! What the log asks of a disk: the one seam between it and files.
//!
//! Two implementations: [`RealDisk`] here, and the simulator's, which loses what was not synced.
//! The contract every implementation keeps, and the log relies on:
//! - what was written is durable only after `sync` (or by `write_durable`) has returned `Ok`;
//! - a created, renamed or removed name is durable only after `sync_directory` of its parent;
//! - after a failed sync nothing may be assumed about what was written since the last good one;
//! - overwriting bytes that were written or allocated before needs no new space.

use std::any::Any;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

pub(crate) mod gather;
mod real;

pub use real::RealDisk;

/// A shared handle on an open file.
pub type FileHandle = Arc<dyn DiskFile>;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reading only.
    Read,
    /// Reading and writing through the page cache; must exist.
    Existing,
    /// The same; created when missing.
    Write,
    /// Reading and writing past the page cache where the file system allows it: position, length and
    /// memory of every read and write are multiples of [`BLOCK_BYTES`]. Created when missing.
    Wal,
}

/// Size of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that this process can still write.
    pub usable_bytes: u64,
}

/// What direct I/O is aligned to, in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// A file system, or something that behaves like one.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle>;
    /// Creates a directory and its parents; fine if it exists. Names are durable after syncing the parents.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no particular order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Handles that are open go on working.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Calls `step` with every number below `count`, several at a time where the disk gains by it: many syncs that wait
    /// at once cost about as much as a few. After an error no further step is begun.
    ///
    /// # Errors
    /// That of a step, with its number.
    fn for_each(&self, count: usize, step: &(dyn Fn(usize) -> io::Result<()> + Sync)) -> Result<(), (usize, io::Error)> {
        (0..count).try_for_each(|index| step(index).map_err(|error| (index, error)))
    }
    /// Size and free space of the file system of `path`.
    fn space(&self, path: &Path) -> io::Result<DiskSpace>;
    /// Takes the lock file `path` for as long as the returned value lives.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes at `position`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `buffers` one after another at `position`. Many whole blocks, in memory as in the file, may go past the
    /// page cache.
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Writes, and returns when what was written here is durable. Says nothing about earlier writes.
    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Makes everything written so far durable, and the length with it (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Sets aside space so that writes below `length` cannot run out of it. The length becomes at least that.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// The descriptor, where there is one, for `sendfile`.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// Creates a directory and its parents so that a power cut does not take them back; fine if it exists.
pub(crate) fn create_durably(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| is_missing(disk, path)).collect();
    disk.create_directory(path)?;
    for parent in missing.iter().filter_map(|path| path.parent()) {
        disk.sync_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

fn is_missing(disk: &dyn Disk, path: &Path) -> bool {
    !path.as_os_str().is_empty() && disk.list(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// True for the errors that mean "no space", which pass by themselves, unlike all others.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
