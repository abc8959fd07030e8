//! The storage as its users see it, on the real disk.

use std::sync::Arc;

use chronik_log::disk::RealDisk;
use chronik_log::records::{BatchBuilder, OwnedBatch};
use chronik_log::*;
use chronik_state::ids::{LogId, TopicId};

const LOG: LogId = LogId { topic: TopicId([7; 16]), partition: 3 };

fn batch(values: &[&str]) -> OwnedBatch {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.record(1_000, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

fn at(now_ms: i64) -> Append {
    Append { leader_epoch: 5, now_ms, sync: SyncClass::Commit, privileged: false }
}

fn everything_from(offset: i64) -> ReadRequest {
    ReadRequest { offset, max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms: 0 }
}

#[test]
fn what_is_appended_is_read_and_acknowledged_by_position() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(Arc::new(RealDisk), StorageOptions::new(directory.path()), 0).unwrap();
    let log = storage.create(LOG, LogConfig::default()).unwrap();
    log.append(batch(&["a", "b"]).as_valid(), at(1)).unwrap();
    let second = log.append(batch(&["c"]).as_valid(), at(2)).unwrap();
    assert_eq!((second.base_offset, second.last_offset, log.log_end_offset()), (2, 2, 3));
    assert!(storage.durable_lsn() < second.lsn);
    assert_eq!(storage.commit().unwrap(), Commit::Done { durable_lsn: second.lsn });
    assert_eq!(storage.commit().unwrap(), Commit::Idle);
    let bytes = log.read(everything_from(0)).unwrap().to_vec().unwrap();
    let offsets: Vec<_> = chronik_log::batch::batches(&bytes).map(|b| b.unwrap().verify().unwrap().last_offset()).collect();
    assert_eq!(offsets, [1, 2]);
}

#[test]
fn a_follower_holds_the_bytes_of_its_leader() {
    let (leader, follower) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = {
        let log = open(leader.path()).0.create(LOG, LogConfig::default()).unwrap();
        log.append(batch(&["a", "b"]).as_valid(), at(1)).unwrap();
        log.append(batch(&["c"]).as_valid(), Append { leader_epoch: 9, ..at(2) }).unwrap();
        all_bytes(&log)
    };
    let (storage, _) = open(follower.path());
    // Its own rules for time do not touch what a leader wrote.
    let config = LogConfig { log_append_time: true, ..LogConfig::default() };
    let log = storage.create(LOG, config).unwrap();
    let replicate = Replicate { now_ms: 77, sync: SyncClass::Commit, privileged: false };
    let copies = batch::batches(&bytes).map(|batch| log.append_replica(batch.unwrap().verify().unwrap(), replicate).unwrap());
    let last = copies.last().unwrap();
    assert_eq!(storage.commit().unwrap(), Commit::Done { durable_lsn: last });
    assert!(all_bytes(&log) == bytes);
    let epochs = log.epochs();
    drop((log, storage));
    let log = open(follower.path()).0.log(LOG).unwrap();
    assert!(all_bytes(&log) == bytes);
    assert_eq!((log.epochs(), log.epoch_at(1), log.epoch_at(2)), (epochs, Some(5), Some(9)));
}

/// Before its end, behind it, and before its start; with files, and without.
#[test]
fn a_log_that_was_reset_goes_on_elsewhere_also_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    for (offset, with_files) in [(1, false), (500, true), (700, false), (3, true)] {
        let (storage, _) = open(directory.path());
        let log = storage.create(LOG, LogConfig::default()).unwrap();
        log.append(batch(&["a", "b"]).as_valid(), at(1)).unwrap();
        if with_files {
            storage.upkeep(2, true).unwrap();
        }
        log.append(batch(&["c"]).as_valid(), at(2)).unwrap();
        log.reset_to(offset).unwrap();
        let is_reset = |log: &PartitionLog| {
            assert_eq!((log.log_start_offset(), log.log_end_offset(), log.high_watermark()), (offset, offset, offset));
            assert_eq!((log.last_epoch(), log.size_bytes(), all_bytes(log).len()), (None, 0, 0), "at {offset}");
        };
        is_reset(&log);
        drop((log, storage));
        let (storage, _) = open(directory.path());
        is_reset(&storage.log(LOG).unwrap());
    }
}

/// KAFKA-6975: the leader's log begins within a batch.
#[test]
fn the_first_batch_behind_a_reset_may_begin_before_it() {
    let (leader, follower) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = {
        let log = open(leader.path()).0.create(LOG, LogConfig::default()).unwrap();
        log.append(batch(&["a", "b", "c"]).as_valid(), at(1)).unwrap();
        all_bytes(&log)
    };
    let replicate = Replicate { now_ms: 77, sync: SyncClass::Commit, privileged: false };
    for with_files in [false, true] {
        let (storage, _) = open(follower.path());
        let log = storage.create(LOG, LogConfig::default()).unwrap();
        log.reset_to(1).unwrap();
        log.append_replica(batch::batches(&bytes).next().unwrap().unwrap().verify().unwrap(), replicate).unwrap();
        storage.commit().unwrap();
        if with_files {
            storage.upkeep(2, true).unwrap();
        }
        drop((log, storage));
        let log = open(follower.path()).0.log(LOG).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (1, 3), "with files: {with_files}");
        assert!(all_bytes(&log) == bytes);
    }
}

fn open(directory: &std::path::Path) -> (Arc<Storage>, Recovered) {
    let mut options = StorageOptions::new(directory);
    options.disk_reserve_bytes = 0;
    Storage::open(Arc::new(RealDisk), options, 0).unwrap()
}

fn all_bytes(log: &PartitionLog) -> Vec<u8> {
    log.read(everything_from(log.log_start_offset())).unwrap().to_vec().unwrap()
}

#[test]
fn a_stop_without_warning_loses_nothing_that_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, recovered) = open(directory.path());
    assert!(recovered.clean);
    let log = storage.create(LOG, LogConfig::default()).unwrap();
    for number in 0..100 {
        log.append(batch(&[&format!("value {number}")]).as_valid(), at(number)).unwrap();
        if number % 7 == 0 {
            storage.commit().unwrap();
        }
        if number == 50 {
            storage.upkeep(number, true).unwrap();
            // Once more on an idle node, which gives back its memory too.
            storage.upkeep(number, true).unwrap();
            assert_eq!(storage.pressure(), Pressure { urgent: false, dirty: false });
        }
    }
    storage.commit().unwrap();
    let before = all_bytes(&log);
    drop((log, storage));
    let (storage, recovered) = open(directory.path());
    assert_eq!((recovered.entries, recovered.clean, recovered.torn_tail), (49, false, false));
    let log = storage.log(LOG).unwrap();
    assert_eq!(log.log_end_offset(), 100);
    assert!(all_bytes(&log) == before);
    storage.close(1_000).unwrap();
    drop((log, storage));
    let (storage, recovered) = open(directory.path());
    assert_eq!(recovered, Recovered { clean: true, ..Recovered::default() });
    assert!(all_bytes(&storage.log(LOG).unwrap()) == before);
}

#[test]
fn segments_roll_and_go_with_the_log_start() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, _) = open(directory.path());
    let config = LogConfig { segment_bytes: 500, retention_ms: -1, retention_bytes: 1_000, ..LogConfig::default() };
    let log = storage.create(LOG, config).unwrap();
    for number in 0..40 {
        log.append(batch(&["0123456789"]).as_valid(), at(number)).unwrap();
    }
    storage.upkeep(50, true).unwrap();
    let folder = directory.path().join("topics").join(LOG.topic.to_string()).join("3");
    let logs = || std::fs::read_dir(&folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension() == Some("log".as_ref())).count();
    let before = logs();
    assert!(before > 5);
    log.note_high_watermark(40);
    storage.retention(60).unwrap();
    assert!(logs() < before);
    assert!(log.log_start_offset() > 0 && log.size_bytes() >= 1_000 && log.size_bytes() < 1_600);
    assert_eq!(log.offset_for_timestamp(0, i64::MAX).unwrap().unwrap().offset, log.log_start_offset());
    assert!(matches!(log.read(everything_from(0)), Err(ReadError::OffsetOutOfRange { .. })));
    storage.delete(LOG).unwrap();
    storage.upkeep(70, true).unwrap();
    assert!(!folder.exists());
}

/// Descriptors of this process that lie below `directory`.
fn descriptors_below(directory: &std::path::Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(directory)).count()
}

#[test]
fn a_checkpoint_of_many_logs_does_not_keep_their_files_open() {
    const LOGS: i32 = 100;
    let directory = tempfile::tempdir().unwrap();
    let mut options = StorageOptions::new(directory.path());
    options.disk_reserve_bytes = 0;
    options.open_files_max = 8;
    let (storage, _) = Storage::open(Arc::new(RealDisk), options, 0).unwrap();
    for partition in 0..LOGS {
        let log = storage.create(LogId { topic: TopicId([7; 16]), partition }, LogConfig::default()).unwrap();
        log.append(batch(&["a"]).as_valid(), at(1)).unwrap();
    }
    let before = descriptors_below(&directory.path().canonicalize().unwrap());
    storage.upkeep(2, true).unwrap();
    let after = descriptors_below(&directory.path().canonicalize().unwrap());
    assert!(after <= before + 20, "{before} descriptors before the checkpoint, {after} after it");
    drop(storage);
    let (storage, recovered) = open(directory.path());
    assert_eq!(recovered.entries, 0);
    for partition in 0..LOGS {
        assert_eq!(storage.log(LogId { topic: TopicId([7; 16]), partition }).unwrap().log_end_offset(), 1);
    }
}

#[test]
fn an_idle_node_closes_the_files_of_its_logs() {
    const LOGS: i32 = 30;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let (storage, _) = open(directory.path());
    for partition in 0..LOGS {
        let log = storage.create(LogId { topic: TopicId([7; 16]), partition }, LogConfig::default()).unwrap();
        log.append(batch(&["a"]).as_valid(), at(1)).unwrap();
    }
    storage.upkeep(10, true).unwrap();
    let busy = descriptors_below(&path);
    storage.upkeep(20, true).unwrap();
    let idle = descriptors_below(&path);
    assert!(busy - idle >= 2 * LOGS as usize, "{busy} descriptors, and {idle} when idle");
    assert_eq!(storage.pressure(), Pressure { urgent: false, dirty: false });
    // Whoever reads opens them again: they are closed once nobody has for a while.
    let read = ReadRequest { now_ms: 25, ..everything_from(0) };
    storage.log(LogId { topic: TopicId([7; 16]), partition: 0 }).unwrap().read(read).unwrap();
    assert_eq!(descriptors_below(&path), idle + 2);
    storage.upkeep(30, true).unwrap();
    assert_eq!((descriptors_below(&path), storage.pressure().dirty), (idle + 2, true));
    storage.upkeep(40, true).unwrap();
    assert_eq!((descriptors_below(&path), storage.pressure().dirty), (idle, false));
}

#[test]
fn damage_in_a_large_group_is_no_torn_tail() {
    for count in [10, 40] {
        let directory = tempfile::tempdir().unwrap();
        let (storage, _) = open(directory.path());
        let log = storage.create(LOG, LogConfig::default()).unwrap();
        // Some 20 MB that wait for one commit, and a little that shows that they were durable.
        for _ in 0..count {
            log.append(batch(&[&"x".repeat(500_000)]).as_valid(), at(1)).unwrap();
        }
        storage.commit().unwrap();
        log.append(batch(&["after"]).as_valid(), at(2)).unwrap();
        storage.commit().unwrap();
        drop((log, storage));
        let wal = std::fs::read_dir(directory.path().join("wal")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = wal.filter(|path| path.extension() == Some("wal".as_ref())).collect();
        files.sort();
        let mut bytes = std::fs::read(&files[0]).unwrap();
        let record = bytes.windows(64).position(|window| window == [b'x'; 64]).unwrap();
        bytes[record] ^= 1;
        std::fs::write(&files[0], &bytes).unwrap();
        let opened = Storage::open(Arc::new(RealDisk), StorageOptions::new(directory.path()), 0);
        assert!(opened.is_err(), "{count} batches: damage was taken for a torn tail");
    }
}

/// Sets the version in the headers of all files of the write-ahead log.
fn set_wal_version(directory: &std::path::Path, version: u32) {
    for entry in std::fs::read_dir(directory.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some("wal".as_ref()) {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn large_and_small_batches_come_back_after_a_stop_without_warning() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, _) = open(directory.path());
    let log = storage.create(LOG, LogConfig::default()).unwrap();
    for number in 0..60_usize {
        let value = "x".repeat(number * 7_919 % 90_000);
        log.append(batch(&[&value, "y"]).as_valid(), at(number as i64)).unwrap();
        storage.commit().unwrap();
        if number == 40 {
            let before = all_bytes(&log);
            storage.upkeep(1, true).unwrap();
            assert!(all_bytes(&log) == before);
        }
    }
    let before = all_bytes(&log);
    drop((log, storage));
    let (storage, recovered) = open(directory.path());
    assert_eq!((recovered.entries, recovered.torn_tail), (19, false));
    assert!(all_bytes(&storage.log(LOG).unwrap()) == before);
}

#[test]
fn the_write_ahead_log_of_version_1_is_read_and_that_of_a_newer_program_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, _) = open(directory.path());
    let log = storage.create(LOG, LogConfig::default()).unwrap();
    // Small ones: version 1 has no gaps.
    for number in 0..10 {
        log.append(batch(&[&format!("value {number}")]).as_valid(), at(number)).unwrap();
    }
    storage.commit().unwrap();
    let before = all_bytes(&log);
    drop((log, storage));
    set_wal_version(directory.path(), 1);
    let (storage, recovered) = open(directory.path());
    assert_eq!(recovered.entries, 10);
    assert!(all_bytes(&storage.log(LOG).unwrap()) == before);
    drop(storage);
    set_wal_version(directory.path(), 3);
    let refused = Storage::open(Arc::new(RealDisk), StorageOptions::new(directory.path()), 0).err().unwrap().to_string();
    assert!(refused.contains("version 3 is newer"), "{refused}");
}
