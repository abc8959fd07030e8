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
