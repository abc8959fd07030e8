//! Opening the write-ahead log: what its files hold since the last checkpoint, and a new file to go on with.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use chronik_state::ids::TimestampMs;
use parking_lot::Mutex;

use super::commit::Writer;
use super::entry::FILE_HEADER_BYTES;
use super::files::{Files, WalFile, make_spare};
use super::{Placing, Wal, WalOptions};
use crate::chunk::ChunkPool;
use crate::disk::Disk;
use crate::errors::StorageError;
use crate::storage::StorageOptions;

pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    options: &StorageOptions,
    pool: &Arc<ChunkPool>,
    now_ms: TimestampMs,
) -> Result<Wal, StorageError> {
    let directory = options.data_directory.join("wal");
    disk.create_directory(&directory).map_err(StorageError::io("creating", &directory))?;
    disk.sync_directory(&options.data_directory).map_err(StorageError::io("syncing", &options.data_directory))?;
    let wal_options = WalOptions {
        directory: directory.clone(),
        file_bytes: options.wal_file_bytes,
        reserve_bytes: options.wal_reserve_bytes,
        seed: options.seed ^ now_ms as u64,
    };
    let spare_path = directory.join("first.spare");
    let spare = make_spare(disk.as_ref(), &spare_path, options.wal_file_bytes, None).map_err(StorageError::io("creating", &spare_path))?;
    let file = Arc::new(WalFile::new(1, spare, 0, &wal_options));
    file.activate(disk.as_ref(), &directory, pool).map_err(StorageError::io("creating", &file.path))?;
    Ok(Wal {
        disk: Arc::clone(disk),
        options: wal_options,
        pool: Arc::clone(pool),
        placing: Mutex::new(Placing {
            next_lsn: 0,
            file: Arc::clone(&file),
            position: FILE_HEADER_BYTES as u64,
            spares: Vec::new(),
            chunk: None,
            open: None,
            sealed: Vec::new(),
        }),
        writer: Mutex::new(Writer { file: Arc::clone(&file), unsynced: false }),
        files: Mutex::new(Files { live: [file].into(), next_spare: 0 }),
        appended: AtomicU64::new(0),
        written: AtomicU64::new(0),
        durable: AtomicU64::new(0),
        fatal: OnceLock::new(),
    })
}
