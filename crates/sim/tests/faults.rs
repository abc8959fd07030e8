//! Single faults, one at a time: what the storage does about each, and what it costs to start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik_log::disk::{Disk, OpenMode};
use chronik_log::records::{BatchBuilder, OwnedBatch};
use chronik_log::{Append, AppendError, Identity, LogConfig, Mutation, PartitionLog, ReadError, ReadRequest, Recovered, Storage, StorageError, StorageOptions, SyncClass, UpkeepError};
use chronik_sim::disk::{Counts, Faults, SimDisk, Stop};
use chronik_sim::random::Random;
use chronik_state::ids::{LogId, TopicId};

fn log_id(partition: i32) -> LogId {
    LogId { topic: TopicId([5; 16]), partition }
}

fn options() -> StorageOptions {
    let mut options = StorageOptions::new("/data");
    options.wal_file_bytes = 256 << 10;
    options.wal_reserve_bytes = 16 << 10;
    options.disk_reserve_bytes = 64 << 10;
    options.chunk_bytes = 16 << 10;
    // What is read is to come from the disk.
    options.recent_bytes_max = 0;
    options
}

fn open(disk: &SimDisk) -> Result<(Arc<Storage>, Recovered), StorageError> {
    open_without(disk, None)
}

fn open_without(disk: &SimDisk, mutation: Option<Mutation>) -> Result<(Arc<Storage>, Recovered), StorageError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Storage::open(disk, StorageOptions { mutation, ..options() }, 1_000)
}

fn batch(value: &[u8]) -> OwnedBatch {
    let mut builder = BatchBuilder::new();
    builder.record(1_000, None, Some(value), &[]);
    builder.build()
}

fn append(log: &PartitionLog, value: &[u8]) -> Result<i64, AppendError> {
    let append = Append { leader_epoch: 1, now_ms: 1_000, sync: SyncClass::Commit, privileged: false };
    log.append(batch(value).as_valid(), append).map(|appended| appended.base_offset)
}

fn read_from(log: &PartitionLog, offset: i64) -> Result<Vec<u8>, ReadError> {
    let request = ReadRequest { offset, max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms: 1_000 };
    log.read(request).map(|outcome| outcome.to_vec().expect("verified ranges can be read"))
}

fn new_disk() -> SimDisk {
    SimDisk::new(Random::new(1))
}

/// A storage with `count` committed records in one log.
fn filled(disk: &SimDisk, count: usize) -> Arc<Storage> {
    let (storage, _) = open(disk).unwrap();
    let log = storage.create(log_id(0), LogConfig::default()).unwrap();
    for number in 0..count {
        append(&log, &[number as u8; 300]).unwrap();
        storage.commit().unwrap();
    }
    storage
}

fn file_with_suffix(disk: &SimDisk, suffix: &str) -> PathBuf {
    let files = disk.files_below(Path::new("/data"));
    files.into_iter().rfind(|(path, _)| path.to_string_lossy().ends_with(suffix)).expect("there is one").0
}

#[test]
fn the_directory_of_a_new_node_outlives_the_power() {
    let disk = SimDisk::new(Random::new(1));
    let directory = Path::new("/var/lib/chronik/data");
    let (storage, _) = Storage::open(Arc::new(disk.clone()), StorageOptions::new(directory), 1_000).unwrap();
    let identity = Identity { cluster_id: "c".to_owned(), node_id: 1, directory_id: "first".to_owned() };
    identity.format(storage.disk(), directory, true).unwrap();
    let after = disk.restart(Stop::PowerCut);
    assert_eq!(Identity::read(&after, directory, 1).unwrap(), Some(identity));
    let options = StorageOptions { must_exist: true, ..StorageOptions::new(directory) };
    Storage::open(Arc::new(after), options, 1_000).unwrap();
}

#[test]
fn a_failed_sync_stops_the_storage_and_is_never_tried_again() {
    let disk = new_disk();
    let storage = filled(&disk, 3);
    let log = storage.log(log_id(0)).unwrap();
    disk.set_faults(Faults { fail_sync_at: Some(disk.operations()), ..Faults::default() });
    append(&log, b"lost").unwrap();
    let durable = storage.durable_lsn();
    let fatal = storage.commit().unwrap_err();
    assert!(fatal.to_string().contains("/data/wal/") && fatal.to_string().contains("Input/output error"), "{fatal}");
    let operations = disk.operations();
    assert_eq!(storage.commit().unwrap_err(), fatal);
    assert_eq!(append(&log, b"more").unwrap_err(), AppendError::Fatal(fatal.clone()));
    assert_eq!(storage.upkeep(1_000, true).unwrap_err(), UpkeepError::Fatal(fatal.clone()));
    assert_eq!(storage.close(1_000).unwrap_err(), UpkeepError::Fatal(fatal));
    assert_eq!((disk.operations(), storage.durable_lsn()), (operations, durable));
}

#[test]
fn a_segment_whose_sync_finds_the_disk_full_is_not_synced_again() {
    const ENOSPC: i32 = 28;
    let disk = new_disk();
    let storage = filled(&disk, 30);
    // What is in the write-ahead log already, so that the next syncs are those of the segments.
    storage.commit().unwrap();
    let mut stopped = 0;
    for after in 0..12 {
        let fork = disk.restart(Stop::Kill);
        let (storage, _) = open(&fork).unwrap();
        fork.set_faults(Faults { fail_sync_at: Some(fork.operations() + after), sync_error: Some(ENOSPC), ..Faults::default() });
        match storage.upkeep(1_000, true) {
            Err(UpkeepError::Fatal(fatal)) if fatal.to_string().contains("/topics/") => {
                let operations = fork.operations();
                assert_eq!(storage.upkeep(2_000, true).unwrap_err(), UpkeepError::Fatal(fatal));
                assert_eq!(fork.operations(), operations, "it was tried again");
                stopped += 1;
            }
            Err(UpkeepError::Full) => {
                // Another file's: whatever was not synced is written again. Nothing may be missing after a power cut.
                let _ = storage.upkeep(2_000, true);
                drop(storage);
                let (storage, _) = open(&fork.restart(Stop::PowerCut)).unwrap();
                assert_eq!(storage.log(log_id(0)).unwrap().log_end_offset(), 30);
            }
            _ => {}
        }
    }
    assert!(stopped > 0, "no sync of a segment failed");
}

#[test]
fn a_full_disk_refuses_records_until_there_is_space() {
    let disk = new_disk();
    let storage = filled(&disk, 3);
    let log = storage.log(log_id(0)).unwrap();
    disk.set_faults(Faults { capacity: Some(400 << 10), ..Faults::default() });
    let mut accepted = 3;
    let refused = loop {
        match append(&log, &[7; 5_000]) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        storage.commit().unwrap();
        if storage.pressure().urgent {
            let _ = storage.upkeep(1_000, false);
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert_eq!(log.log_end_offset(), accepted);
    let privileged = Append { leader_epoch: 1, now_ms: 1_000, sync: SyncClass::Commit, privileged: true };
    log.append(batch(b"metadata").as_valid(), privileged).unwrap();
    storage.commit().unwrap();
    assert!(read_from(&log, 0).is_ok());
    disk.set_faults(Faults::default());
    storage.upkeep(1_000, true).unwrap();
    assert_eq!(append(&log, b"again"), Ok(accepted + 1));
    storage.commit().unwrap();
    drop((log, storage));
    let (storage, _) = open(&disk.restart(Stop::PowerCut)).unwrap();
    assert_eq!(storage.log(log_id(0)).unwrap().log_end_offset(), accepted + 2);
}

/// Upkeep that had nothing to do but called that a success would be called again at once, for as long as it lasts.
#[test]
fn too_little_space_is_told_until_there_is_more() {
    let disk = new_disk();
    let storage = filled(&disk, 3);
    storage.upkeep(1_000, true).unwrap();
    let used: u64 = disk.files_below(Path::new("/")).iter().map(|(_, length)| length).sum();
    disk.set_faults(Faults { capacity: Some(used + (32 << 10)), ..Faults::default() });
    for force in [false, true, false] {
        assert_eq!(storage.upkeep(1_000, force), Err(UpkeepError::Full));
    }
    disk.set_faults(Faults::default());
    assert_eq!(storage.upkeep(1_000, false), Ok(()));
    assert!(!storage.pressure().urgent);
}

#[test]
fn a_node_starts_on_a_full_disk_and_serves_what_it_has() {
    let disk = new_disk();
    let storage = filled(&disk, 5);
    let before = read_from(&storage.log(log_id(0)).unwrap(), 0).unwrap();
    drop(storage);
    let disk = disk.restart(Stop::PowerCut);
    let used: u64 = disk.files_below(Path::new("/")).iter().map(|(_, length)| length).sum();
    disk.set_faults(Faults { capacity: Some(used + 8_192), ..Faults::default() });
    let (storage, _) = open(&disk).unwrap();
    let log = storage.log(log_id(0)).unwrap();
    assert!(read_from(&log, 0).unwrap() == before);
    assert_eq!(append(&log, b"no").unwrap_err(), AppendError::Full);
    disk.set_faults(Faults::default());
    storage.upkeep(1_000, true).unwrap();
    assert_eq!(append(&log, b"yes"), Ok(5));
    storage.commit().unwrap();
}

/// Else producers would wait for room that cannot come, and never hear why.
#[test]
fn who_would_have_to_wait_for_a_full_disk_is_refused() {
    let disk = new_disk();
    let storage = filled(&disk, 1);
    let log = storage.log(log_id(0)).unwrap();
    let frame = options().tail_bytes_max as usize;
    assert!(!storage.has_room(frame));
    let used: u64 = disk.files_below(Path::new("/data")).iter().map(|(_, length)| length).sum();
    disk.set_faults(Faults { capacity: Some(used), ..Faults::default() });
    assert_eq!(storage.upkeep(1_000, true), Err(UpkeepError::Full));
    assert!(storage.has_room(frame));
    assert_eq!(append(&log, b"no"), Err(AppendError::Full));
    disk.set_faults(Faults::default());
    storage.upkeep(1_000, true).unwrap();
    assert!(storage.has_room(frame));
    assert_eq!(append(&log, b"yes"), Ok(1));
}

/// A node registers itself in the metadata log at every start: without that it does not serve what it has.
#[test]
fn a_full_disk_has_room_for_what_the_node_itself_says_at_a_start() {
    let mut disk = new_disk();
    drop(filled(&disk, 20));
    let mut used: u64 = disk.files_below(Path::new("/data")).iter().map(|(_, length)| length).sum();
    for _ in 0..3 {
        // Not enough for a whole file of the write-ahead log, and never more than that in all.
        used += 40 << 10;
        disk = disk.restart(Stop::Kill);
        disk.set_faults(Faults { capacity: Some(used), ..Faults::default() });
        let (storage, _) = open(&disk).unwrap();
        let log = storage.log(log_id(0)).unwrap();
        assert_eq!(append(&log, b"a client's"), Err(AppendError::Full));
        let own = Append { leader_epoch: 2, now_ms: 1_000, sync: SyncClass::Commit, privileged: true };
        log.append(batch(b"the node's").as_valid(), own).unwrap();
        storage.commit().unwrap();
    }
}

#[test]
fn rot_in_a_segment_is_an_error_and_never_data() {
    let disk = new_disk();
    let storage = filled(&disk, 20);
    let good = read_from(&storage.log(log_id(0)).unwrap(), 0).unwrap();
    storage.close(1_000).unwrap();
    drop(storage);
    let segment = file_with_suffix(&disk, ".log");
    let length = disk.content(&segment).len() as u64;
    for bit in (0..length * 8).step_by(61) {
        let disk = disk.restart(Stop::PowerCut);
        disk.rot(&segment, bit / 8, (bit % 8) as u8);
        let (storage, _) = open(&disk).unwrap();
        let log = storage.log(log_id(0)).unwrap();
        match read_from(&log, 0) {
            Err(ReadError::Corrupt { path, .. }) => assert_eq!(path, segment),
            Err(other) => panic!("bit {bit}: {other}"),
            Ok(bytes) => panic!("bit {bit}: {} bytes were served, {}", bytes.len(), if bytes == good { "as before" } else { "wrong" }),
        }
        // The others go on.
        assert_eq!(append(&storage.create(log_id(1), LogConfig::default()).unwrap(), b"fine"), Ok(0));
        storage.commit().unwrap();
    }
}

#[test]
fn rot_in_an_index_costs_time_and_nothing_else() {
    let disk = new_disk();
    let storage = filled(&disk, 60);
    let good = read_from(&storage.log(log_id(0)).unwrap(), 40).unwrap();
    storage.close(1_000).unwrap();
    drop(storage);
    let index = file_with_suffix(&disk, ".index");
    for byte in 0..disk.content(&index).len() as u64 {
        let disk = disk.restart(Stop::PowerCut);
        disk.rot(&index, byte, 3);
        let (storage, _) = open(&disk).unwrap();
        let log = storage.log(log_id(0)).unwrap();
        assert!(read_from(&log, 40).unwrap() == good, "byte {byte}");
        assert_eq!(log.offset_for_timestamp(1_000, i64::MAX).unwrap().unwrap().offset, 0);
    }
}

#[test]
fn a_rotten_index_is_built_anew_once() {
    let mut disk = new_disk();
    for life in 0..8 {
        // Each life begins with an entry of its own, which an index that is built anew does not have.
        let storage = filled(&disk, 2);
        if life == 7 {
            storage.create(log_id(0), LogConfig { segment_bytes: 1, ..LogConfig::default() }).unwrap();
            append(&storage.log(log_id(0)).unwrap(), b"seals the first segment").unwrap();
        }
        storage.close(1_000).unwrap();
        drop(storage);
        disk = disk.restart(Stop::Kill);
    }
    let log_directory = file_with_suffix(&disk, ".index").parent().unwrap().to_owned();
    let index = log_directory.join(format!("{:020}.index", 0));
    (0..disk.content(&index).len() as u64 - 24).step_by(24).for_each(|entry| disk.rot(&index, entry, 3));
    let (storage, _) = open(&disk).unwrap();
    let log = storage.log(log_id(0)).unwrap();
    disk.take_counts();
    read_from(&log, 9).unwrap();
    assert!(disk.take_counts().changes > 0);
    read_from(&log, 5).unwrap();
    assert_eq!(disk.take_counts().changes, 0);
}

#[test]
fn rot_in_the_write_ahead_log_is_no_torn_tail() {
    let disk = new_disk();
    let storage = filled(&disk, 10);
    let durable = storage.durable_lsn();
    drop(storage);
    let wal = file_with_suffix(&disk, ".wal");
    // Everything but the last block, which a crash could have torn just so.
    let last_block = disk.content(&wal).chunks(4096).rposition(|block| block.iter().any(|byte| *byte != 0)).unwrap() as u64;
    let mut refused = 0;
    for block in 0..last_block {
        for byte in [0, 5, 20, 30, 70, 100, 140, 200, 400] {
            let disk = disk.restart(Stop::PowerCut);
            disk.rot(&wal, block * 4096 + byte, 1);
            match open(&disk) {
                Err(StorageError::Damaged { path, what, .. }) => {
                    assert_eq!(path, wal, "{what}");
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
                // Bytes that nobody looks at.
                Ok((storage, _)) => assert_eq!(storage.appended_lsn(), durable, "block {block}, byte {byte}"),
            }
        }
    }
    assert!(refused > 50);
}

#[test]
fn rot_in_the_checkpoint_is_refused() {
    let disk = new_disk();
    let storage = filled(&disk, 10);
    storage.upkeep(1_000, true).unwrap();
    append(&storage.log(log_id(0)).unwrap(), b"one more").unwrap();
    storage.close(1_000).unwrap();
    drop(storage);
    let path = Path::new("/data/checkpoint");
    let length = disk.content(path).len() as u64;
    for byte in (0..length).filter(|byte| disk.content(path)[*byte as usize] != 0) {
        let disk = disk.restart(Stop::PowerCut);
        disk.rot(path, byte, 2);
        match open(&disk) {
            Err(StorageError::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
            Ok((storage, _)) => assert_eq!(storage.log(log_id(0)).unwrap().log_end_offset(), 11, "byte {byte}"),
        }
    }
}

#[test]
fn a_checkpoint_that_is_cut_short_anywhere_is_refused() {
    let disk = new_disk();
    filled(&disk, 3).close(1_000).unwrap();
    let path = Path::new("/data/checkpoint");
    let length = disk.content(path).len() as u64;
    for cut in (0..length).step_by(7) {
        let disk = disk.restart(Stop::PowerCut);
        disk.open(path, OpenMode::Write).unwrap().set_length(cut).unwrap();
        match open(&disk) {
            Err(StorageError::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
            Ok((storage, _)) => assert_eq!(storage.log(log_id(0)).unwrap().log_end_offset(), 3, "cut at {cut}"),
        }
    }
}

/// Where the log ends when a file is used again in which an earlier life left blocks at just the positions, in
/// place and in log, that are to be written next.
fn end_after_reuse(mutation: Option<Mutation>) -> i64 {
    let disk = new_disk();
    let (storage, _) = open_without(&disk, mutation).unwrap();
    let log = storage.create(log_id(0), LogConfig::default()).unwrap();
    for value in [b"old 0", b"old 1", b"old 2"] {
        let append = Append { leader_epoch: 1, now_ms: 1_000, sync: SyncClass::Interval, privileged: false };
        log.append(batch(value).as_valid(), append).unwrap();
        storage.commit().unwrap();
    }
    drop((log, storage));
    // Nothing of it was durable, and the first block did not make it: the log ends before it.
    disk.rot(&file_with_suffix(&disk, ".wal"), 4096, 0);
    let (storage, _) = open_without(&disk, mutation).unwrap();
    assert_eq!(storage.appended_lsn(), 0);
    // Takes the file back, so that the next start goes on in it.
    storage.close(1_000).unwrap();
    drop(storage);
    let (storage, _) = open_without(&disk, mutation).unwrap();
    append(&storage.create(log_id(0), LogConfig::default()).unwrap(), b"new 0").unwrap();
    storage.commit().unwrap();
    drop(storage);
    let (storage, _) = open_without(&disk, mutation).unwrap();
    storage.log(log_id(0)).unwrap().log_end_offset()
}

#[test]
fn what_an_earlier_life_left_in_a_file_is_not_read() {
    assert_eq!(end_after_reuse(None), 1);
    assert_eq!(end_after_reuse(Some(Mutation::OneSalt)), 3, "the test would not notice if it were");
}

#[test]
fn one_data_directory_has_one_user() {
    let disk = new_disk();
    let storage = filled(&disk, 1);
    assert!(matches!(open(&disk), Err(StorageError::Locked { .. })));
    drop(storage);
    assert!(open(&disk).is_ok());
}

/// What a start costs when `partitions` logs hold `records` each.
fn cost_of_start(partitions: i32, records: usize) -> Counts {
    let disk = new_disk();
    let (storage, _) = open(&disk).unwrap();
    for partition in 0..partitions {
        let log = storage.create(log_id(partition), LogConfig { segment_bytes: 4_000, ..LogConfig::default() }).unwrap();
        for _ in 0..records {
            append(&log, &[1; 500]).unwrap();
        }
        storage.upkeep(1_000, false).unwrap();
    }
    storage.upkeep(1_000, true).unwrap();
    append(&storage.log(log_id(0)).unwrap(), b"after the checkpoint").unwrap();
    storage.commit().unwrap();
    drop(storage);
    let disk = disk.restart(Stop::PowerCut);
    disk.take_counts();
    let (storage, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries, 1);
    assert_eq!(storage.log_ids().len(), partitions as usize);
    disk.take_counts()
}

#[test]
fn a_start_costs_the_same_however_much_there_is() {
    // How many spare files of the write-ahead log there are makes a difference; data and partitions make none.
    for counts in [cost_of_start(1, 2), cost_of_start(1, 400), cost_of_start(300, 2)] {
        assert!(counts.opens <= 6 && counts.reads <= 4 && counts.lists <= 4 && counts.changes <= 12, "{counts:?}");
    }
}
