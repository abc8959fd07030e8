//! The disk of this machine.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags};

use super::{Disk, DiskFile, DiskSpace, FileHandle, OpenMode};

/// The most buffers one vectored write takes (`IOV_MAX` on Linux).
const BUFFERS_MAX: usize = 1024;

/// Files by way of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        Ok(match mode {
            OpenMode::Read => Arc::new(BufferedFile { file: File::open(path)? }),
            OpenMode::Existing => Arc::new(BufferedFile { file: OpenOptions::new().read(true).write(true).open(path)? }),
            OpenMode::Write => Arc::new(BufferedFile { file: writable().open(path)? }),
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

fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// Two descriptors past the page cache, or one through it where the file system has no such way (tmpfs).
fn open_wal(path: &Path) -> io::Result<FileHandle> {
    let direct = OFlags::DIRECT.bits() as i32;
    let durable = (OFlags::DIRECT | OFlags::DSYNC).bits() as i32;
    match writable().custom_flags(direct).open(path) {
        Ok(plain) => {
            let durable = writable().custom_flags(durable).open(path)?;
            Ok(Arc::new(DirectFile { plain: BufferedFile { file: plain }, durable: BufferedFile { file: durable } }))
        }
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
        let mut position = position;
        for group in buffers.chunks(BUFFERS_MAX) {
            position += write_group(&self.file, group, position)?;
        }
        Ok(())
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

/// Past the page cache: `durable` has O_DSYNC, `plain` has not.
struct DirectFile {
    plain: BufferedFile,
    durable: BufferedFile,
}

impl DiskFile for DirectFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.plain.read_at(buffer, position)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.plain.write_at(buffers, position)
    }

    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.durable.write_at(buffers, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.plain.sync()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.plain.allocate(length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.plain.set_length(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.plain.length()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Writes at most [`BUFFERS_MAX`] buffers, going on after short writes; returns how many bytes.
fn write_group(file: &File, buffers: &[IoSlice<'_>], position: u64) -> io::Result<u64> {
    let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    let mut written = 0;
    while written < total {
        let result = if written == 0 {
            rustix::io::pwritev(file, buffers, position)
        } else {
            rustix::io::pwrite(file, rest_of_first(buffers, written), position + written as u64)
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
