//! The index of a segment that is written is not synced: after a power cut, entries of an earlier life may be back.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use chronik_log::disk::{Disk, OpenMode};
use chronik_log::records::BatchBuilder;
use chronik_log::{Append, LogConfig, ReadRequest, Storage, StorageOptions, SyncClass};
use chronik_sim::disk::{SimDisk, Stop};
use chronik_sim::random::Random;
use chronik_state::ids::{LogId, TopicId};

const LOG: LogId = LogId { topic: TopicId([5; 16]), partition: 0 };

fn open(disk: &SimDisk) -> Arc<Storage> {
    let mut options = StorageOptions::new("/data");
    options.wal_file_bytes = 256 << 10;
    options.index_interval_bytes = 1;
    options.materialise_bytes = 1;
    options.recent_bytes_max = 0;
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (storage, _) = Storage::open(disk, options, 1).unwrap();
    storage.create(LOG, LogConfig::default()).unwrap();
    storage
}

fn append(storage: &Storage, bytes: usize) {
    let mut batch = BatchBuilder::new();
    batch.record(1, None, Some(&vec![7; bytes]), &[]);
    let append = Append { leader_epoch: 1, now_ms: 1, sync: SyncClass::Commit, privileged: false };
    storage.log(LOG).unwrap().append(batch.build().as_valid(), append).unwrap();
}

#[test]
fn entries_of_an_earlier_life_cost_time_and_nothing_else() {
    let disk = SimDisk::new(Random::new(1));
    let storage = open(&disk);
    append(&storage, 300);
    storage.upkeep(1, true).unwrap();
    // Never committed, but moved to the segment.
    append(&storage, 900);
    append(&storage, 300);
    storage.upkeep(1, false).unwrap();
    let files = disk.files_below(Path::new("/data/topics"));
    let (index, _) = files.into_iter().find(|(path, _)| path.extension().is_some_and(|suffix| suffix == "index")).unwrap();
    let earlier = disk.content(&index);
    drop(storage);
    let disk = disk.restart(Stop::PowerCut);
    let storage = open(&disk);
    assert_eq!(storage.log(LOG).unwrap().log_end_offset(), 1);
    [200, 300, 300, 300].into_iter().for_each(|bytes| append(&storage, bytes));
    storage.close(1).unwrap();
    drop(storage);
    let disk = disk.restart(Stop::Kill);
    let file = disk.open(&index, OpenMode::Existing).unwrap();
    file.write_at(&[IoSlice::new(&earlier)], 0).unwrap();
    let storage = open(&disk);
    // Backwards, as a read leaves a hint for the one that goes on behind it.
    for offset in (0..5).rev() {
        let request = ReadRequest { offset, max_bytes: 100, end_offset: i64::MAX, at_least_one: true, now_ms: 1 };
        let read = storage.log(LOG).unwrap().read(request);
        assert!(read.as_ref().is_ok_and(|read| read.bytes > 0), "{offset}: {:?}", read.err());
    }
}
