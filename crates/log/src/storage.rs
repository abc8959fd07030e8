//! All logs of a node, on one write-ahead log.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik_state::ids::{LogId, TimestampMs};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::chunk::ChunkPool;
use crate::disk::Disk;
use crate::errors::{Fatal, StorageError};
use crate::partition::{LogConfig, PartitionLog};
use crate::wal::commit::Commit;
use crate::wal::{Lsn, Wal};

/// How the storage is laid out. The defaults are right for a server; tests make everything small.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Where everything lies.
    pub data_directory: PathBuf,
    /// Size of a file of the write-ahead log.
    pub wal_file_bytes: u64,
    /// What each such file keeps for metadata when the disk is full.
    pub wal_reserve_bytes: u64,
    /// Memory is taken in pieces of this size.
    pub chunk_bytes: usize,
    /// How many pieces are kept for reuse while there is traffic.
    pub chunks_kept: usize,
    /// Tells the files of this start from those of others; best a random number.
    pub seed: u64,
}

impl StorageOptions {
    /// The defaults, with data under `data_directory`.
    pub fn new(data_directory: impl Into<PathBuf>) -> Self {
        StorageOptions {
            data_directory: data_directory.into(),
            wal_file_bytes: 64 << 20,
            wal_reserve_bytes: 256 << 10,
            chunk_bytes: 1 << 20,
            chunks_kept: 64,
            seed: 0,
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries replayed from the write-ahead log.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// A write was cut short by a crash; its whole entries were kept, the rest was never acknowledged.
    pub torn_tail: bool,
    /// The last stop was clean: nothing had to be replayed.
    pub clean: bool,
}

/// What all logs share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: StorageOptions,
    pub(crate) wal: Wal,
    pub(crate) pool: Arc<ChunkPool>,
}

/// See the module.
pub struct Storage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) logs: RwLock<FxHashMap<LogId, Arc<PartitionLog>>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl Storage {
    /// Opens the data directory, creating what is missing, and replays what the last checkpoint does not hold.
    pub fn open(disk: Arc<dyn Disk>, options: StorageOptions, now_ms: TimestampMs) -> Result<(Arc<Self>, Recovered), StorageError> {
        let root = options.data_directory.clone();
        disk.create_directory(&root).map_err(StorageError::io("creating", &root))?;
        let lock = take_lock(disk.as_ref(), &root.join("lock"))?;
        let pool = ChunkPool::new(options.chunk_bytes, options.chunks_kept);
        let wal = crate::wal::recover::open(&disk, &options, &pool, now_ms)?;
        let shared = Arc::new(Shared { disk, options, wal, pool });
        Ok((Arc::new(Storage { shared, logs: RwLock::default(), _lock: lock }), Recovered::default()))
    }

    /// The log, if there is one.
    pub fn log(&self, id: LogId) -> Option<Arc<PartitionLog>> {
        self.logs.read().get(&id).cloned()
    }

    /// The log, made if there is none, with this configuration in effect.
    pub fn create(&self, id: LogId, config: LogConfig) -> Result<Arc<PartitionLog>, Fatal> {
        if let Some(log) = self.log(id) {
            log.update_config(config);
            return Ok(log);
        }
        let mut logs = self.logs.write();
        let log = logs.entry(id).or_insert_with(|| Arc::new(PartitionLog::new(id, config, Arc::clone(&self.shared))));
        Ok(Arc::clone(log))
    }

    /// The logs there are, in no particular order.
    pub fn log_ids(&self) -> Vec<LogId> {
        self.logs.read().keys().copied().collect()
    }

    /// Writes and syncs everything appended, unless another thread is at it.
    pub fn commit(&self) -> Result<Commit, Fatal> {
        self.shared.wal.commit()
    }

    /// Makes durable what was written without a sync: the timer of [`SyncClass::Interval`](crate::SyncClass).
    pub fn sync_written(&self) -> Result<Lsn, Fatal> {
        self.shared.wal.sync_written()
    }

    /// Everything before this survives a power cut.
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.wal.durable_lsn()
    }

    /// Everything before this has been given to the operating system.
    pub fn written_lsn(&self) -> Lsn {
        self.shared.wal.written_lsn()
    }

    /// Everything before this has been appended.
    pub fn appended_lsn(&self) -> Lsn {
        self.shared.wal.appended_lsn()
    }
}

fn take_lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn Any + Send + Sync>, StorageError> {
    disk.lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StorageError::Locked { path: path.to_owned() },
        _ => StorageError::io("locking", path)(error),
    })
}
