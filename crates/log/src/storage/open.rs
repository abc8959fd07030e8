//! Opening: the checkpoint, then what the write-ahead log adds to it.

use std::any::Any;
use std::cmp::Ordering;
use std::io;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};

use chronik_state::ids::{LogId, TimestampMs, TopicId};
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};

use super::checkpointer::Checkpointer;
use super::{Recovered, Shared, Storage, StorageOptions};
use crate::checkpoint::{CheckpointFile, Loaded};
use crate::chunk::ChunkPool;
use crate::disk::{self, Disk};
use crate::errors::StorageError;
use crate::partition::{LogConfig, PartitionLog};
use crate::wal::{Lsn, WalOptions};
use crate::wal::entry::EntryKind;
use crate::wal::recover::{Opening, ReplayedEntry};

type Logs = FxHashMap<LogId, Arc<PartitionLog>>;

impl Storage {
    /// Opens the data directory, creating what is missing, and replays what the last checkpoint does not hold.
    pub fn open(disk: Arc<dyn Disk>, options: StorageOptions, now_ms: TimestampMs) -> Result<(Arc<Self>, Recovered), StorageError> {
        let root = options.data_directory.clone();
        if options.must_exist && is_lost(disk.as_ref(), &root)? {
            return Err(StorageError::Lost { path: root });
        }
        make_directories(disk.as_ref(), &root)?;
        let lock = take_lock(disk.as_ref(), &root.join("lock"))?;
        let pool = ChunkPool::new(options.chunk_bytes, options.chunks_kept);
        let (file, loaded) = CheckpointFile::open(&disk, &root)?;
        let mut entries = Vec::new();
        let opening = Opening {
            disk: &disk,
            pool: &pool,
            options: wal_options(&options, now_ms),
            replay_lsn: loaded.as_ref().map(|loaded| loaded.replay_lsn),
            durable_lsn: durable_lsn(loaded.as_ref()),
            trust_entries: trust_entries(&options),
        };
        let (wal, replayed) = opening.open(&mut |entry| {
            entries.push(entry);
            Ok(())
        })?;
        let is_new = loaded.is_none() && replayed.entries == 0;
        let loaded = loaded.unwrap_or_default();
        let shared = Arc::new(Shared {
            checkpointer: Mutex::new(Checkpointer::new(file, loaded.replay_lsn)),
            moved_at: AtomicU64::new(0),
            checkpoint_at: AtomicU64::new(0),
            open_files: Arc::default(),
            lists: Mutex::default(),
            recent: Mutex::default(),
            tail_bytes: AtomicU64::new(0),
            forced_lsn: AtomicU64::new(loaded.replay_lsn),
            forced_ms: AtomicI64::new(now_ms),
            rested: AtomicBool::new(true),
            unsettled: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            disk,
            options,
            wal,
            pool,
        });
        let logs = restore(&shared, &loaded).map_err(|what| damaged_row(&root, what))?;
        let logs = replay(&shared, logs, entries)?;
        check_directories(&shared, &logs)?;
        let recovered = Recovered {
            entries: replayed.entries,
            bytes: replayed.bytes,
            torn_tail: replayed.torn_tail,
            clean: (loaded.clean || is_new) && replayed.entries == 0,
        };
        let storage = Storage { shared, logs: RwLock::new(logs), _lock: lock };
        storage.first_checkpoint(&root)?;
        storage.check_space();
        Ok((Arc::new(storage), recovered))
    }

    /// The file every later checkpoint adds to. A disk too full for it does not keep the node from starting.
    fn first_checkpoint(&self, root: &Path) -> Result<(), StorageError> {
        match self.shared.checkpointer.lock().ensure_file() {
            Err(error) if crate::disk::is_full(&error) => Ok(()),
            other => other.map_err(StorageError::io("writing the checkpoint in", root)),
        }
    }
}

/// Neither a checkpoint nor a write-ahead log. Where one of them is gone, the other tells what is missing.
fn is_lost(disk: &dyn Disk, root: &Path) -> Result<bool, StorageError> {
    let has = |directory: &Path, suffix: &str| match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        names => {
            let names = names.map_err(StorageError::io("listing", directory))?;
            Ok(names.iter().any(|name| name.ends_with(suffix)))
        }
    };
    Ok(!has(root, "checkpoint")? && !has(&root.join("wal"), ".wal")?)
}

fn make_directories(disk: &dyn Disk, root: &Path) -> Result<(), StorageError> {
    disk::create_durably(disk, root).map_err(StorageError::io("creating", root))?;
    // Also the one of `vote` and the snapshots, so that one sync names them all.
    for directory in ["wal", "topics", "metadata"].map(|name| root.join(name)) {
        disk.create_directory(&directory).map_err(StorageError::io("creating", &directory))?;
    }
    disk.sync_directory(root).map_err(StorageError::io("syncing", root))
}

fn take_lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn Any + Send + Sync>, StorageError> {
    disk.lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StorageError::Locked { path: path.to_owned() },
        _ => StorageError::io("locking", path)(error),
    })
}

fn wal_options(options: &StorageOptions, now_ms: TimestampMs) -> WalOptions {
    WalOptions {
        directory: options.data_directory.join("wal"),
        file_bytes: options.wal_file_bytes,
        reserve_bytes: options.wal_reserve_bytes,
        seed: has_salts(options).then_some(options.seed ^ (now_ms as u64).rotate_left(32)),
    }
}

#[cfg(feature = "mutations")]
fn has_salts(options: &StorageOptions) -> bool {
    !options.lacks(super::Mutation::OneSalt)
}

#[cfg(not(feature = "mutations"))]
fn has_salts(_: &StorageOptions) -> bool {
    true
}

/// What the checkpoint's rows say was in the write-ahead log, durably: less than that is damage.
fn durable_lsn(loaded: Option<&Loaded>) -> u64 {
    let Some(loaded) = loaded else { return 0 };
    loaded.rows.values().map(|row| row.lsn).max().unwrap_or(0).max(loaded.replay_lsn)
}

#[cfg(feature = "mutations")]
fn trust_entries(options: &StorageOptions) -> bool {
    options.lacks(super::Mutation::EntriesUnchecked)
}

#[cfg(not(feature = "mutations"))]
fn trust_entries(_: &StorageOptions) -> bool {
    false
}

fn restore(shared: &Arc<Shared>, loaded: &Loaded) -> Result<Logs, String> {
    let rows = loaded.rows.values();
    rows.map(|row| Ok((row.log, Arc::new(PartitionLog::from_row(row, Arc::clone(shared))?)))).collect()
}

fn replay(shared: &Arc<Shared>, mut logs: Logs, entries: Vec<ReplayedEntry>) -> Result<Logs, StorageError> {
    let deleted = deletions(&logs, &entries);
    let mut touched = Vec::new();
    for entry in entries {
        let (id, lsn) = (entry.header.log, entry.header.lsn);
        match deleted.get(&id).map(|deleted_at| lsn.cmp(deleted_at)) {
            // What its files would be needed for is of no interest any more, and they may be gone.
            Some(Ordering::Less) => {}
            Some(Ordering::Equal) => {
                // A log of the same name that came after it is all in entries that follow.
                logs.remove(&id);
                shared.remove_directory_of(id).map_err(|error| StorageError::Stopped(error.to_string()))?;
                shared.note_deletion(id, lsn);
                shared.note_removed(id);
            }
            _ => {
                let log = logs.entry(id).or_insert_with(|| Arc::new(PartitionLog::new(id, LogConfig::default(), Arc::clone(shared))));
                log.replay(entry)?;
                touched.push(id);
            }
        }
    }
    touched.sort_unstable();
    touched.dedup();
    touched.iter().filter_map(|id| logs.get(id)).for_each(|log| log.finish_replay());
    Ok(logs)
}

/// The topics whose segments the checkpoint knows have their directories: without them a node would take its part as the replica
/// that it was until somebody asks it for a record. One look at `topics`, not one at each partition.
fn check_directories(shared: &Shared, logs: &Logs) -> Result<(), StorageError> {
    let with_files = logs.iter().filter(|(_, log)| log.needs_files());
    let expected: BTreeMap<TopicId, LogId> = with_files.map(|(id, _)| (id.topic, *id)).collect();
    if expected.is_empty() {
        return Ok(());
    }
    let topics = shared.options.data_directory.join("topics");
    let found = shared.disk.list(&topics).map_err(StorageError::io("listing", &topics))?;
    let found: FxHashSet<_> = found.iter().map(String::as_str).collect();
    let is_there = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| found.contains(name));
    match expected.into_values().map(|id| topic_directory(shared, id)).find(|path| !is_there(path)) {
        Some(path) => Err(StorageError::Damaged { path, position: 0, what: "the directory is missing, and held segments".to_owned() }),
        None => Ok(()),
    }
}

fn topic_directory(shared: &Shared, id: LogId) -> PathBuf {
    let mut path = shared.directory_of(id);
    path.pop();
    path
}

/// Where each log's last deletion lies that its row does not know.
fn deletions(logs: &Logs, entries: &[ReplayedEntry]) -> FxHashMap<LogId, Lsn> {
    let headers = entries.iter().map(|entry| &entry.header).filter(|header| header.kind == EntryKind::Delete);
    let unknown = headers.filter(|header| logs.get(&header.log).is_none_or(|log| !log.knows(header.lsn)));
    unknown.map(|header| (header.log, header.lsn)).collect()
}

fn damaged_row(root: &Path, what: String) -> StorageError {
    StorageError::Damaged { path: root.join("checkpoint"), position: 0, what }
}
