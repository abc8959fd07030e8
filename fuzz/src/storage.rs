//! A storage that is opened on a directory nobody vouches for. Whatever it makes of it, it must make the same again:
//! nothing that is read has a wrong checksum or was not in the files, and what a start accepted, the next one does too.

use std::path::PathBuf;
use std::sync::Arc;

use chronik_log::batch::{BatchView, batches};
use chronik_log::records::BatchBuilder;
use chronik_log::{Append, Commit, LogConfig, PartitionLog, ReadRequest, Storage, StorageOptions, SyncClass};
use chronik_sim::disk::{SimDisk, Stop};
use chronik_sim::random::Random as SimRandom;
use chronik_state::ids::{LogId, TopicId};

use crate::archive::{self, File, ROOT};

/// When everything happens.
pub(crate) const NOW_MS: i64 = 1_000_000;
/// Reads that one log is given before the rest of it is taken as read.
const READS_MAX: usize = 64;

/// What can be read of a log.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    id: LogId,
    start: i64,
    end: i64,
    batches: Vec<Vec<u8>>,
    /// Where reading ended in an error.
    failed: bool,
}

/// Opens `files`, reads everything, and lives on with it for a while.
///
/// # Panics
/// If a promise is broken.
pub(crate) fn live(files: &[File]) {
    let disk = SimDisk::new(SimRandom::new(1));
    archive::write(files, &disk);
    let Some(storage) = open(&disk) else {
        assert!(open(&disk).is_none(), "a directory that was refused is accepted at the second look");
        return;
    };
    let first = contents(&storage);
    first.iter().for_each(|content| is_from(content, files));
    drop(storage);
    for stop in [Stop::PowerCut, Stop::Kill] {
        let again = open(&disk.restart(stop)).expect("what was accepted is accepted again");
        assert_eq!(contents(&again), first, "after {stop:?} something else is read");
    }
    let storage = open(&disk).expect("what was accepted is accepted again");
    if let Some(closed) = work(&storage) {
        drop(storage);
        let again = open(&disk.restart(Stop::PowerCut)).expect("a storage that was closed in good order opens");
        assert_eq!(contents(&again), closed, "what was closed in good order reads otherwise");
    }
}

/// Small files and little memory, so that a little is enough to come everywhere.
pub(crate) fn options() -> StorageOptions {
    let mut options = StorageOptions::new(PathBuf::from(ROOT));
    options.wal_file_bytes = 64 << 10;
    options.wal_reserve_bytes = 4096;
    options.checkpoint_distance_bytes = 32 << 10;
    options.materialise_bytes = 4 << 10;
    options.disk_reserve_bytes = 0;
    options.index_interval_bytes = 256;
    options.chunk_bytes = 64 << 10;
    options.aligned_batch_bytes = 150;
    options.chunks_kept = 4;
    options.recent_bytes_max = 0;
    options.seed = 7;
    options
}

fn open(disk: &SimDisk) -> Option<Arc<Storage>> {
    Storage::open(Arc::new(disk.clone()), options(), NOW_MS).ok().map(|(storage, _)| storage)
}

fn contents(storage: &Storage) -> Vec<Content> {
    let mut ids = storage.log_ids();
    ids.sort_unstable();
    ids.into_iter().filter_map(|id| storage.log(id)).map(|log| content(&log)).collect()
}

/// Everything from the start of `log` to its end.
fn content(log: &PartitionLog) -> Content {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let mut content = Content { id: log.id(), start, end, batches: Vec::new(), failed: false };
    let mut next = start;
    for _ in 0..READS_MAX {
        let request = ReadRequest { offset: next, max_bytes: 2048, end_offset: i64::MAX, at_least_one: true, now_ms: NOW_MS };
        let Ok(outcome) = log.read(request) else {
            content.failed = true;
            break;
        };
        let bytes = outcome.to_vec().expect("what a read gave is there");
        assert_eq!(bytes.len(), outcome.bytes, "a read gives as many bytes as it says");
        if bytes.is_empty() {
            assert!(next >= end, "reading ends at {next}, before the end of the log at {end}");
            break;
        }
        for batch in batches(&bytes) {
            let batch = batch.expect("a read gives whole batches");
            next = follows(&batch, next, content.batches.is_empty());
            content.batches.push(batch.bytes().to_vec());
        }
        assert!(next <= end, "a record at {next} lies beyond the end of the log at {end}");
    }
    content
}

/// The offset behind `batch`, which must be whole and hold `offset`, or begin with it.
fn follows(batch: &BatchView<'_>, offset: i64, is_first: bool) -> i64 {
    assert!(batch.verify().is_ok(), "a batch with a wrong checksum is given out");
    let begins = if is_first { batch.base_offset() <= offset } else { batch.base_offset() == offset };
    assert!(begins && batch.last_offset() >= offset, "{}..={} does not follow {offset}", batch.base_offset(), batch.last_offset());
    batch.last_offset() + 1
}

/// No record is invented: each batch lies in a file just so.
fn is_from(content: &Content, files: &[File]) {
    for batch in &content.batches {
        let found = files.iter().any(|file| file.bytes.windows(batch.len()).any(|window| window == batch.as_slice()));
        // One that ends in zeros may reach into those that an input does not spell out.
        let ends_in_zeros = batch.last() == Some(&0);
        assert!(found || ends_in_zeros, "a batch that is in no file is read from {:?}", content.id);
    }
}

/// Does what a node does all day. The contents after a clean stop; none if the storage had to stop before.
fn work(storage: &Storage) -> Option<Vec<Content>> {
    let mut ids = storage.log_ids();
    ids.sort_unstable();
    ids.truncate(4);
    ids.push(LogId { topic: TopicId([8; 16]), partition: 0 });
    for id in ids {
        let log = storage.create(id, LogConfig { segment_bytes: 1024, ..LogConfig::default() }).ok()?;
        ask(&log);
        let end = log.log_end_offset();
        if append(&log) {
            assert_eq!(log.log_end_offset(), end + 2, "two records were appended");
        }
        commit(storage)?;
        storage.upkeep(NOW_MS, true).ok()?;
        ask(&log);
        if log.log_start_offset() < end {
            let _ = log.advance_log_start(log.log_start_offset() + 1);
            let _ = log.truncate_to(end, NOW_MS);
        }
        commit(storage)?;
    }
    storage.retention(NOW_MS).ok()?;
    storage.upkeep(NOW_MS + 1000, true).ok()?;
    let contents = contents(storage);
    storage.close(NOW_MS + 1000).ok()?;
    Some(contents)
}

fn commit(storage: &Storage) -> Option<()> {
    while storage.commit().ok()? == Commit::Busy {}
    Some(())
}

/// Questions whose answers lie within the log, or are errors.
fn ask(log: &PartitionLog) {
    let end = log.log_end_offset();
    for timestamp in [0, NOW_MS, i64::MAX] {
        if let Ok(Some(found)) = log.offset_for_timestamp(timestamp, end) {
            assert!(found.offset < end && found.timestamp_ms >= timestamp);
        }
    }
    if let Ok(Some(found)) = log.max_timestamp(end) {
        assert!(found.offset < end);
    }
    for epoch in [0, 1, 5] {
        let _ = log.epoch_end_offset(epoch);
    }
}

fn append(log: &PartitionLog) -> bool {
    let mut builder = BatchBuilder::new();
    builder.record(NOW_MS, Some(b"key"), Some(&[7; 200]), &[]);
    builder.record(NOW_MS, None, None, &[]);
    let epoch = log.last_epoch().unwrap_or(0);
    let append = Append { leader_epoch: epoch, now_ms: NOW_MS, sync: SyncClass::Commit, privileged: false };
    log.append(builder.build().as_valid(), append).is_ok()
}
