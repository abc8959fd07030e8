//! Many threads at once, as in a node: appenders that commit for each other, readers, and upkeep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chronik_log::batch::batches;
use chronik_log::disk::RealDisk;
use chronik_log::records::{self, BatchBuilder};
use chronik_log::*;
use chronik_state::ids::{LogId, TopicId};

const LOGS: i32 = 5;
const THREADS: u64 = 4;
const BATCHES_PER_THREAD: u64 = 400;

fn id(partition: i32) -> LogId {
    LogId { topic: TopicId([3; 16]), partition }
}

fn options(directory: &std::path::Path) -> StorageOptions {
    let mut options = StorageOptions::new(directory);
    options.wal_file_bytes = 512 << 10;
    options.checkpoint_distance_bytes = 600 << 10;
    options.materialise_bytes = 100 << 10;
    options.chunk_bytes = 64 << 10;
    options.disk_reserve_bytes = 0;
    options
}

/// What one thread was told is acknowledged: log, offset, value.
type Acknowledged = Vec<(LogId, i64, Vec<u8>)>;

fn append_many(storage: &Storage, thread: u64) -> Acknowledged {
    let mut acknowledged = Vec::new();
    let mut waiting = Vec::new();
    for number in 0..BATCHES_PER_THREAD {
        let log = storage.log(id(((thread + number) % LOGS as u64) as i32)).unwrap();
        let value: Vec<u8> = format!("{thread}/{number}/").into_bytes().repeat(1 + (number % 97) as usize);
        let mut builder = BatchBuilder::new();
        builder.record(number as i64, None, Some(&value), &[]);
        let append = Append { leader_epoch: 0, now_ms: number as i64, sync: SyncClass::Commit, privileged: false };
        let appended = log.append(builder.build().as_valid(), append).unwrap();
        waiting.push((appended.lsn, (log.id(), appended.base_offset, value)));
        if number % 5 == 4 {
            commit_until(storage, waiting.last().unwrap().0);
            acknowledged.extend(waiting.drain(..).map(|(_, record)| record));
        }
    }
    acknowledged
}

fn commit_until(storage: &Storage, lsn: Lsn) {
    while storage.durable_lsn() < lsn {
        if storage.commit().unwrap() == Commit::Busy {
            thread::yield_now();
        }
    }
}

/// Follows a log to its end, checking that offsets go up by one.
fn follow(log: &PartitionLog, done: &AtomicBool) -> i64 {
    let mut next = 0;
    loop {
        let finished = done.load(Ordering::Acquire);
        let request = ReadRequest { offset: next, max_bytes: 50_000, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
        let bytes = log.read(request).unwrap().to_vec().unwrap();
        for batch in batches(&bytes) {
            let batch = batch.unwrap().verify().unwrap();
            assert_eq!(batch.base_offset(), next);
            next = batch.last_offset() + 1;
        }
        if bytes.is_empty() && finished {
            return next;
        }
    }
}

fn value_at(log: &PartitionLog, offset: i64) -> Vec<u8> {
    let request = ReadRequest { offset, max_bytes: 0, end_offset: i64::MAX, at_least_one: true, now_ms: 0 };
    let bytes = log.read(request).unwrap().to_vec().unwrap();
    let batch = batches(&bytes).next().unwrap().unwrap();
    let record = records::read(&batch).next().unwrap().unwrap();
    assert_eq!(record.offset, offset);
    record.value.unwrap().to_vec()
}

#[test]
fn what_many_threads_were_told_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(Arc::new(RealDisk), options(directory.path()), 0).unwrap();
    let config = LogConfig { segment_bytes: 150_000, ..LogConfig::default() };
    let logs: Vec<_> = (0..LOGS).map(|partition| storage.create(id(partition), config.clone()).unwrap()).collect();
    let done = AtomicBool::new(false);
    let acknowledged: Vec<Acknowledged> = thread::scope(|scope| {
        let upkeep = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                storage.upkeep(0, storage.pressure().urgent).unwrap();
                thread::yield_now();
            }
        });
        let readers: Vec<_> = logs.iter().map(|log| scope.spawn(|| follow(log, &done))).collect();
        let appenders: Vec<_> = (0..THREADS).map(|thread| scope.spawn({ let storage = &storage; move || append_many(storage, thread) })).collect();
        let acknowledged = appenders.into_iter().map(|appender| appender.join().unwrap()).collect();
        done.store(true, Ordering::Release);
        upkeep.join().unwrap();
        for (reader, log) in readers.into_iter().zip(&logs) {
            assert_eq!(reader.join().unwrap(), log.log_end_offset());
        }
        acknowledged
    });
    drop((logs, storage));
    let (storage, _) = Storage::open(Arc::new(RealDisk), options(directory.path()), 1).unwrap();
    let total: i64 = (0..LOGS).map(|partition| storage.log(id(partition)).unwrap().log_end_offset()).sum();
    assert_eq!(total as u64, THREADS * BATCHES_PER_THREAD);
    for (log, offset, value) in acknowledged.into_iter().flatten() {
        assert_eq!(value_at(&storage.log(log).unwrap(), offset), value, "{log} at {offset}");
    }
}
