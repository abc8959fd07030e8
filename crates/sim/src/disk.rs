//! A disk that keeps exactly what it promised, and as little of the rest as it likes.
//!
//! Written bytes are pending until their file is synced, names until their directory is. A power cut keeps any part of
//! what is pending: whole sectors of 512 bytes, in any order, now and then with a flipped bit; of names, any
//! of the changes. The cut comes at a chosen operation, which is itself half done. Beside that the disk can be
//! full, fail a sync, and rot.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chronik_log::disk::{BLOCK_BYTES, Disk, DiskFile, DiskSpace, FileHandle, OpenMode};

use crate::random::Random;

mod crash;
mod file;

use file::{Change, FileImage};

/// Promises that the disk breaks, for tests that must notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lies {
    /// Syncing a file does nothing.
    pub ignores_syncs: bool,
    /// Syncing a file of the write-ahead log does nothing.
    pub ignores_wal_syncs: bool,
    /// Syncing a directory does nothing.
    pub ignores_directory_syncs: bool,
}

/// What goes wrong, and when. Operations count from 1; only those that change something count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// The power fails during this operation.
    pub cut_at: Option<u64>,
    /// The first sync from this operation on fails.
    pub fail_sync_at: Option<u64>,
    /// What that sync says, by the system's number; an input/output error (5) unless told otherwise.
    pub sync_error: Option<i32>,
    /// Bytes that fit.
    pub capacity: Option<u64>,
}

/// How a machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The process is killed; what it wrote is still in the page cache.
    Kill,
    /// The power goes; what was not synced may be lost.
    PowerCut,
}

/// How often each kind of operation was called, for tests of cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files opened.
    pub opens: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Directories listed.
    pub lists: u64,
    /// Operations that change something.
    pub changes: u64,
}

/// See the module. Clones are handles on the same disk.
#[derive(Clone)]
pub struct SimDisk {
    platters: Arc<Mutex<Platters>>,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

/// Names that change together or not at all.
type NameChange = Vec<(PathBuf, Option<Node>)>;

#[derive(Clone)]
struct Platters {
    files: Vec<FileImage>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    pending_names: Vec<NameChange>,
    locked: BTreeSet<PathBuf>,
    random: Random,
    faults: Faults,
    lies: Lies,
    operations: u64,
    powered: bool,
    counts: Counts,
    trace: Option<Vec<String>>,
}

impl SimDisk {
    /// An empty disk; `random` decides what survives a power cut.
    pub fn new(random: Random) -> Self {
        SimDisk {
            platters: Arc::new(Mutex::new(Platters {
                files: Vec::new(),
                names: BTreeMap::from([(PathBuf::from("/"), Node::Directory)]),
                durable_names: BTreeMap::from([(PathBuf::from("/"), Node::Directory)]),
                pending_names: Vec::new(),
                locked: BTreeSet::new(),
                random,
                faults: Faults::default(),
                lies: Lies::default(),
                operations: 0,
                powered: true,
                counts: Counts::default(),
                trace: None,
            })),
        }
    }

    /// Sets what will go wrong. Operations count on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// What will go wrong, as it was set.
    pub fn faults(&self) -> Faults {
        self.lock().faults
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Sets which promises are broken.
    pub fn set_lies(&self, lies: Lies) {
        self.lock().lies = lies;
    }

    /// How many operations have changed something.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// False after the power has failed.
    pub fn is_powered(&self) -> bool {
        self.lock().powered
    }

    /// What has been called since the last time this was asked.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.lock().counts)
    }

    /// Writes down every operation from here on.
    pub fn start_trace(&self) {
        self.lock().trace = Some(Vec::new());
    }

    /// What was written down since.
    pub fn take_trace(&self) -> Vec<String> {
        self.lock().trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A disk of its own with the same content.
    pub fn duplicate(&self) -> SimDisk {
        SimDisk { platters: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// The machine stops and starts again: the disk as it is found then. Open handles do not work on it.
    pub fn restart(&self, stop: Stop) -> SimDisk {
        let mut platters = self.lock().clone();
        platters.stop(stop);
        SimDisk { platters: Arc::new(Mutex::new(platters)) }
    }

    /// Turns one bit of a file over, durably.
    pub fn rot(&self, path: &Path, byte: u64, bit: u8) {
        let mut platters = self.lock();
        let Some(Node::File(number)) = platters.names.get(path).copied() else { panic!("{} is no file", path.display()) };
        platters.files[number].rot(byte as usize, bit);
    }

    /// The files below `directory`, with their lengths.
    pub fn files_below(&self, directory: &Path) -> Vec<(PathBuf, u64)> {
        let platters = self.lock();
        let below = platters.names.iter().filter(|(path, _)| path.starts_with(directory));
        below
            .filter_map(|(path, node)| match node {
                Node::File(number) => Some((path.clone(), platters.files[*number].length() as u64)),
                Node::Directory => None,
            })
            .collect()
    }

    /// A file's bytes, as a reader sees them.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let platters = self.lock();
        match platters.names.get(path) {
            Some(Node::File(number)) => platters.files[*number].current().to_vec(),
            _ => Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Platters> {
        self.platters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: usize, path: &Path) -> FileHandle {
        Arc::new(SimFile { disk: self.clone(), number, path: path.to_owned() })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let mut platters = self.lock();
        platters.check_power()?;
        platters.counts.opens += 1;
        match platters.names.get(path) {
            Some(Node::File(number)) => Ok(self.file(*number, path)),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None if matches!(mode, OpenMode::Read | OpenMode::Existing) => Err(io::ErrorKind::NotFound.into()),
            None => {
                platters.check_parent(path)?;
                platters.files.push(FileImage::default());
                let number = platters.files.len() - 1;
                platters.rename_all(format!("create {}", path.display()), vec![(path.to_owned(), Some(Node::File(number)))])?;
                Ok(self.file(number, path))
            }
        }
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut platters = self.lock();
        let mut missing: Vec<_> = path.ancestors().take_while(|path| !platters.names.contains_key(*path)).collect();
        missing.reverse();
        for directory in missing {
            let change = vec![(directory.to_owned(), Some(Node::Directory))];
            platters.rename_all(format!("mkdir {}", directory.display()), change)?;
        }
        platters.check_power()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut platters = self.lock();
        platters.check_power()?;
        platters.counts.lists += 1;
        if platters.names.get(path) != Some(&Node::Directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let children = platters.names.keys().filter(|name| name.parent() == Some(path));
        Ok(children.filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut platters = self.lock();
        let node = *platters.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let change = vec![(from.to_owned(), None), (to.to_owned(), Some(node))];
        platters.rename_all(format!("rename {} to {}", from.display(), to.display()), change)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut platters = self.lock();
        if !matches!(platters.names.get(path), Some(Node::File(_))) {
            return Err(io::ErrorKind::NotFound.into());
        }
        platters.rename_all(format!("remove {}", path.display()), vec![(path.to_owned(), None)])
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut platters = self.lock();
        if platters.names.keys().any(|name| name.parent() == Some(path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        platters.rename_all(format!("rmdir {}", path.display()), vec![(path.to_owned(), None)])
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut platters = self.lock();
        if platters.names.get(path) != Some(&Node::Directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        platters.begin_sync(|| format!("sync directory {}", path.display()))?;
        platters.settle_names(path);
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<DiskSpace> {
        let platters = self.lock();
        platters.check_power()?;
        let total_bytes = platters.faults.capacity.unwrap_or(u64::MAX);
        Ok(DiskSpace { total_bytes, usable_bytes: total_bytes.saturating_sub(platters.used_bytes()) })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut platters = self.lock();
        platters.check_power()?;
        if !platters.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock { disk: self.clone(), path: path.to_owned() }))
    }
}

struct Unlock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.path);
    }
}

struct SimFile {
    disk: SimDisk,
    number: usize,
    path: PathBuf,
}

impl SimFile {
    /// Carries a change out, or half of it if the power fails meanwhile.
    fn change(&self, what: &str, change: Change) -> io::Result<()> {
        let mut platters = self.disk.lock();
        let line = || format!("{what} {} {}", self.path.display(), change.describe());
        let cut = platters.begin(line)?;
        platters.reserve(self.number, &change)?;
        platters.files[self.number].apply(change);
        if cut { Err(platters.power_off()) } else { Ok(()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut platters = self.disk.lock();
        platters.check_power()?;
        let content = platters.files[self.number].current();
        let start = content.len().min(position as usize);
        let count = buffer.len().min(content.len() - start);
        buffer[..count].copy_from_slice(&content[start..start + count]);
        platters.counts.reads += 1;
        platters.counts.bytes_read += count as u64;
        Ok(count)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.change("write", Change::Write { position: position as usize, bytes: gather(buffers) })
    }

    fn write_durable(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes = gather(buffers);
        assert!(bytes.len().is_multiple_of(BLOCK_BYTES), "direct writes are whole blocks");
        let (start, end) = (position as usize, position as usize + bytes.len());
        self.change("write durably", Change::Write { position: start, bytes })?;
        let mut platters = self.disk.lock();
        platters.begin_sync(|| format!("  … durable {}", self.path.display()))?;
        if platters.honours_sync(&self.path) {
            platters.files[self.number].settle_range(start, end);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut platters = self.disk.lock();
        platters.begin_sync(|| format!("sync {}", self.path.display()))?;
        if platters.honours_sync(&self.path) {
            platters.files[self.number].settle();
        }
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let length = length.max(self.length()?);
        self.change("allocate", Change::Length(length as usize))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change("set length", Change::Length(length as usize))
    }

    fn length(&self) -> io::Result<u64> {
        let platters = self.disk.lock();
        platters.check_power()?;
        Ok(platters.files[self.number].length() as u64)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn gather(buffers: &[IoSlice<'_>]) -> Vec<u8> {
    buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect()
}

impl Platters {
    fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    /// Counts an operation. `Ok(true)` if the power fails during it.
    fn begin(&mut self, line: impl FnOnce() -> String) -> io::Result<bool> {
        self.check_power()?;
        self.operations += 1;
        self.counts.changes += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:5} {}", self.operations, line()));
        }
        Ok(self.faults.cut_at == Some(self.operations))
    }

    /// Counts a sync, which the power or the disk may fail: then nothing is promised.
    fn begin_sync(&mut self, line: impl FnOnce() -> String) -> io::Result<()> {
        if self.begin(line)? {
            return Err(self.power_off());
        }
        if self.faults.fail_sync_at.is_some_and(|at| self.operations >= at) {
            self.faults.fail_sync_at = None;
            return Err(io::Error::from_raw_os_error(self.faults.sync_error.unwrap_or(5)));
        }
        Ok(())
    }

    fn honours_sync(&self, path: &Path) -> bool {
        let in_wal = path.parent().is_some_and(|parent| parent.ends_with("wal"));
        !(self.lies.ignores_syncs || self.lies.ignores_wal_syncs && in_wal)
    }

    fn power_off(&mut self) -> io::Error {
        self.powered = false;
        io::Error::other("the power is off")
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().and_then(|parent| self.names.get(parent));
        if parent == Some(&Node::Directory) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn rename_all(&mut self, line: String, change: NameChange) -> io::Result<()> {
        let cut = self.begin(|| line)?;
        apply_names(&mut self.names, &change);
        self.pending_names.push(change);
        if cut { Err(self.power_off()) } else { Ok(()) }
    }

    /// Refuses what does not fit, after having written a part of it.
    fn reserve(&mut self, number: usize, change: &Change) -> io::Result<()> {
        let Some(capacity) = self.faults.capacity else { return Ok(()) };
        let grown = change.end().saturating_sub(self.files[number].length()) as u64;
        let free = capacity.saturating_sub(self.used_bytes());
        if grown <= free {
            return Ok(());
        }
        if let Change::Write { position, bytes } = change {
            let fits = (self.files[number].length() + free as usize).saturating_sub(*position).min(bytes.len());
            let part = self.random.below(fits as u64 + 1) as usize;
            self.files[number].apply(Change::Write { position: *position, bytes: bytes[..part].to_vec() });
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn used_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|node| match node {
            Node::File(number) => Some(self.files[*number].length() as u64),
            Node::Directory => None,
        });
        named.sum()
    }

    /// Makes the names in one directory durable.
    fn settle_names(&mut self, directory: &Path) {
        if self.lies.ignores_directory_syncs {
            return;
        }
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending_names).into_iter().partition(|change| change[0].0.parent() == Some(directory));
        here.iter().for_each(|change| apply_names(&mut self.durable_names, change));
        self.pending_names = elsewhere;
    }
}

fn apply_names(names: &mut BTreeMap<PathBuf, Node>, change: &NameChange) {
    for (path, node) in change {
        match node {
            Some(node) => drop(names.insert(path.clone(), *node)),
            None => drop(names.remove(path)),
        }
    }
}
