//! All logs of a node, on one write-ahead log.
//!
//! Nothing here waits for work or starts a thread. Appenders call `commit`; one thread in the background calls `upkeep`
//! when `pressure` says so, and `retention` from time to time.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use chronik_state::ids::LogId;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use crate::chunk::ChunkPool;
use crate::disk::{Disk, DiskSpace};
use crate::errors::{Fatal, UpkeepError};
use crate::partition::{LogConfig, PartitionLog, Prune};
use crate::wal::commit::Commit;
use crate::wal::{Lsn, ReserveError, Wal};

mod checkpointer;
mod open;
mod remove;
mod upkeep;

pub(crate) use checkpointer::Checkpointer;
pub use upkeep::Pressure;

/// How the storage is laid out. The defaults are right for a server; tests make everything small.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Where everything lies.
    pub data_directory: PathBuf,
    /// Size of a file of the write-ahead log.
    pub wal_file_bytes: u64,
    /// What each such file keeps for metadata when the disk is full.
    pub wal_reserve_bytes: u64,
    /// A checkpoint is due when this much has been appended since the last.
    pub checkpoint_distance_bytes: u64,
    /// Appends wait when so much has been appended since the last checkpoint.
    pub wal_bytes_max: u64,
    /// The tail is moved to segments when it is this large.
    pub materialise_bytes: u64,
    /// Appends wait when the tail is this large.
    pub tail_bytes_max: u64,
    /// Appends are refused when the file system has less left.
    pub disk_reserve_bytes: u64,
    /// A segment's index gets an entry about every so many bytes.
    pub index_interval_bytes: u64,
    /// Batches from this size on are so placed in memory that whole blocks of them can be written to segments without a copy.
    pub aligned_batch_bytes: usize,
    /// Memory is taken in pieces of this size.
    pub chunk_bytes: usize,
    /// Batches stay in memory behind their move to a segment while no more than this is taken in all.
    pub recent_bytes_max: usize,
    /// How many pieces are kept for reuse while there is traffic.
    pub chunks_kept: usize,
    /// With more files of segments open than this, those just used are closed again.
    pub open_files_max: usize,
    /// `producer.id.expiration.ms`: idle producers are forgotten after this.
    pub producer_id_expiration_ms: i64,
    /// The directory has been that of a log: if there is none in it, it was lost, and is not begun anew.
    pub must_exist: bool,
    /// Tells the files of this start from those of others; best a random number.
    pub seed: u64,
    /// Takes a rule out, to see that its absence is noticed.
    #[cfg(feature = "mutations")]
    pub mutation: Option<Mutation>,
}

/// A rule that can be taken out.
#[cfg(feature = "mutations")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Recovery believes entries without looking at their checksums.
    EntriesUnchecked,
    /// All files of the write-ahead log have the same salt, so that blocks of an earlier life look like those of this one.
    OneSalt,
    /// A checkpoint is written before the segments it speaks of are synced.
    CheckpointBeforeSegments,
}

impl StorageOptions {
    /// The defaults, with data under `data_directory`.
    pub fn new(data_directory: impl Into<PathBuf>) -> Self {
        StorageOptions {
            data_directory: data_directory.into(),
            wal_file_bytes: 64 << 20,
            wal_reserve_bytes: 256 << 10,
            checkpoint_distance_bytes: 64 << 20,
            wal_bytes_max: 512 << 20,
            materialise_bytes: 8 << 20,
            tail_bytes_max: 64 << 20,
            disk_reserve_bytes: 64 << 20,
            index_interval_bytes: 4096,
            aligned_batch_bytes: 32 << 10,
            chunk_bytes: 2 << 20,
            recent_bytes_max: 48 << 20,
            chunks_kept: 48,
            open_files_max: 512,
            producer_id_expiration_ms: chronik_state::partition::producers::DEFAULT_EXPIRATION_MS,
            must_exist: false,
            seed: 0,
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }

    #[cfg(feature = "mutations")]
    fn lacks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
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
    /// Batches that are in segments and still in memory, by log, in the order in which they moved.
    recent: Mutex<VecDeque<(LogId, usize)>>,
    /// Held by whoever writes a checkpoint, before any lock of a log.
    pub(crate) checkpointer: Mutex<Checkpointer>,
    lists: Mutex<Lists>,
    /// Bytes that are only in memory and in the write-ahead log.
    tail_bytes: AtomicU64,
    /// How much had been placed in the write-ahead log when the tails were last moved, and at the last checkpoint.
    moved_at: AtomicU64,
    checkpoint_at: AtomicU64,
    /// Segment files that are open.
    pub(crate) open_files: Arc<AtomicUsize>,
    /// Where the log ended when upkeep was last forced, and when that was: an idle node is one where it still does.
    forced_lsn: AtomicU64,
    forced_ms: AtomicI64,
    /// An idle node has given back what it does not need.
    rested: AtomicBool,
    /// How many logs and removals wait for a checkpoint.
    unsettled: AtomicUsize,
    /// The disk has no room: appends are refused.
    full: AtomicBool,
}

/// Which logs something has to be done for: nothing ever walks over all of them to find out.
#[derive(Default)]
struct Lists {
    /// Changed since their row in the checkpoint.
    dirty: Vec<LogId>,
    /// With a tail.
    ripe: Vec<LogId>,
    /// With open files.
    opened: Vec<LogId>,
    /// With segments to be removed.
    prunes: Vec<Prune>,
    /// Deleted, with files to be removed when that is durable.
    deleted: Vec<(Arc<PartitionLog>, Lsn)>,
    /// Deletions that no checkpoint knows yet, and where at the earliest their entries lie.
    deletions: Vec<(LogId, Lsn)>,
    /// Removed; the next checkpoint says so.
    removed: Vec<LogId>,
}

impl Lists {
    /// Where the entry of the oldest deletion may lie whose files are not gone: replay must not start behind it.
    fn first_pending_deletion(&self) -> Option<Lsn> {
        let mut done = self.removed.clone();
        let pending = self.deletions.iter().filter(|(id, _)| match done.iter().position(|removed| removed == id) {
            Some(index) => {
                done.swap_remove(index);
                false
            }
            None => true,
        });
        pending.map(|(_, not_before)| *not_before).min()
    }
}

/// See the module.
pub struct Storage {
    shared: Arc<Shared>,
    logs: RwLock<FxHashMap<LogId, Arc<PartitionLog>>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl Storage {
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
        self.finish_deleting(id).map_err(|error| Fatal::removing(&self.shared.directory_of(id), &error))?;
        let mut logs = self.logs.write();
        let log = logs.entry(id).or_insert_with(|| Arc::new(PartitionLog::new(id, config, Arc::clone(&self.shared))));
        Ok(Arc::clone(log))
    }

    /// Deletes a log; its files go in the background. Returns the LSN at which that is durable.
    pub fn delete(&self, id: LogId) -> Result<Lsn, UpkeepError> {
        let Some(log) = self.log(id) else { return Ok(self.durable_lsn()) };
        let lsn = log.delete().map_err(|error: ReserveError| UpkeepError::from(error))?;
        self.logs.write().remove(&id);
        self.shared.note_deleted(log, lsn);
        Ok(lsn)
    }

    /// Deletes the logs for which `keep` is false: those that the metadata no longer knows.
    pub fn retain(&self, keep: impl Fn(LogId) -> bool) -> Result<(), UpkeepError> {
        for id in self.log_ids() {
            if !keep(id) {
                self.delete(id)?;
            }
        }
        Ok(())
    }

    /// The logs there are, in no particular order.
    pub fn log_ids(&self) -> Vec<LogId> {
        self.logs.read().keys().copied().collect()
    }

    /// Writes and syncs everything appended, unless another thread is at it.
    pub fn commit(&self) -> Result<Commit, Fatal> {
        self.shared.wal.commit()
    }

    /// Has `waker` called whenever upkeep has committed or synced: a [`Storage::commit`] that was `Busy` meanwhile is to be
    /// tried again. Set once; it must not call back.
    pub fn wake_committers_with(&self, waker: impl Fn() + Send + Sync + 'static) {
        self.shared.wal.wake_committers_with(waker);
    }

    /// Makes durable what was written without a sync: the timer of [`SyncClass::Interval`](crate::SyncClass).
    pub fn sync_written(&self) -> Result<Lsn, Fatal> {
        self.shared.wal.sync_written()
    }

    /// Bytes that were appended and not yet written.
    pub fn unwritten_bytes(&self) -> u64 {
        // In this order: what is written has been appended before.
        let written = self.written_lsn();
        self.appended_lsn() - written
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

    /// The disk it lies on.
    pub fn disk(&self) -> &dyn Disk {
        self.shared.disk.as_ref()
    }

    /// The same, for who keeps it longer than a call lasts.
    pub fn shared_disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.shared.disk)
    }

    /// Size and free space of the file system that holds the data directory.
    pub fn disk_space(&self) -> io::Result<DiskSpace> {
        self.shared.disk.space(&self.shared.options.data_directory)
    }

    fn log_list(&self, ids: Vec<LogId>) -> Vec<Arc<PartitionLog>> {
        let logs = self.logs.read();
        ids.iter().filter_map(|id| logs.get(id).cloned()).collect()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // They know what all logs share, which knows them.
        self.shared.lists.lock().deleted.clear();
    }
}

impl Shared {
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// A log has changed for the first time since its row was written.
    pub(crate) fn note_dirty(&self, id: LogId) {
        self.lists.lock().dirty.push(id);
        self.unsettled.fetch_add(1, Ordering::Relaxed);
    }

    /// A log's tail has grown; `newly_ripe` if it was empty.
    pub(crate) fn note_tail(&self, id: LogId, bytes: u64, newly_ripe: bool) {
        self.tail_bytes.fetch_add(bytes, Ordering::Relaxed);
        if newly_ripe {
            self.note_ripe(id);
        }
    }

    /// A log's tail waits to be moved.
    pub(crate) fn note_ripe(&self, id: LogId) {
        self.lists.lock().ripe.push(id);
    }

    /// A log's tail has shrunk.
    pub(crate) fn note_moved(&self, bytes: u64) {
        self.tail_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A log has so many batches in memory that are in segments too.
    pub(crate) fn note_recent(&self, id: LogId, count: usize) {
        self.recent.lock().push_back((id, count));
        self.rested.store(false, Ordering::Relaxed);
    }

    /// A log has open files now, which an idle node closes.
    pub(crate) fn note_opened(&self, id: LogId) {
        self.lists.lock().opened.push(id);
        self.rested.store(false, Ordering::Relaxed);
    }

    /// Segments of a log may be removed once `lsn` is durable.
    pub(crate) fn note_prune(&self, log: LogId, lsn: Lsn) {
        self.lists.lock().prunes.push(Prune { log, lsn });
        self.unsettled.fetch_add(1, Ordering::Relaxed);
    }

    /// A log is about to be deleted by an entry at or after `not_before`.
    pub(crate) fn note_deletion(&self, id: LogId, not_before: Lsn) {
        self.lists.lock().deletions.push((id, not_before));
    }

    /// The oldest deletion of this log is over: a checkpoint knows it, or it did not take place.
    pub(crate) fn end_deletion(&self, id: LogId) {
        let mut lists = self.lists.lock();
        if let Some(index) = lists.deletions.iter().position(|(deleted, _)| *deleted == id) {
            lists.deletions.remove(index);
        }
    }

    pub(crate) fn note_removed(&self, id: LogId) {
        self.lists.lock().removed.push(id);
        self.unsettled.fetch_add(1, Ordering::Relaxed);
    }

    fn note_deleted(&self, log: Arc<PartitionLog>, lsn: Lsn) {
        self.lists.lock().deleted.push((log, lsn));
        self.unsettled.fetch_add(1, Ordering::Relaxed);
    }

    fn settled(&self, count: usize) {
        self.unsettled.fetch_sub(count, Ordering::Relaxed);
    }

    /// A failed sync, whatever the reason: the system forgets what it could not write, so the next one would succeed without it.
    pub(crate) fn sync_error(&self, path: &Path, error: &io::Error) -> UpkeepError {
        self.wal.stop(Fatal::io("syncing", path, error)).into()
    }

    /// A failed write: full disks pass, everything else stops the storage.
    pub(crate) fn upkeep_error(&self, doing: &str, path: &Path, error: io::Error) -> UpkeepError {
        match UpkeepError::of(doing, path, &error) {
            UpkeepError::Full => {
                self.full.store(true, Ordering::Relaxed);
                UpkeepError::Full
            }
            UpkeepError::Fatal(fatal) => self.wal.stop(fatal).into(),
        }
    }
}
