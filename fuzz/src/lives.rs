//! Data directories to begin with: a storage lives through a few days on a simulated disk and leaves what it leaves.

use std::sync::Arc;

use chronik_log::records::BatchBuilder;
use chronik_log::{Append, Commit, LogConfig, Storage, SyncClass};
use chronik_sim::disk::{SimDisk, Stop};
use chronik_sim::random::Random as SimRandom;
use chronik_state::ids::{LogId, TopicId};

use crate::archive::{self, Kind};
use crate::storage::{NOW_MS, options};

/// Inputs of the files that are `wanted`; `settled` where records are in segments.
pub(crate) fn seeds(wanted: impl Fn(Kind) -> bool, settled: bool) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for days in 1..=6 {
        for stop in [Stop::Kill, Stop::PowerCut] {
            let disk = live(days, settled).restart(stop);
            let files: Vec<_> = archive::of_disk(&disk).into_iter().filter(|file| wanted(file.kind)).collect();
            seeds.push((format!("days_{days}_{stop:?}"), archive::pack(&files)));
        }
    }
    seeds.push(("nothing".to_owned(), Vec::new()));
    seeds
}

fn live(days: usize, settled: bool) -> SimDisk {
    let disk = SimDisk::new(SimRandom::new(days as u64));
    for day in 0..days.div_ceil(2) {
        let (storage, _) = Storage::open(Arc::new(disk.clone()), options(), NOW_MS).expect("an honest disk");
        for step in 0..days * 3 {
            append(&storage, day, step);
            if step % 3 == 0 {
                while storage.commit().expect("an honest disk") == Commit::Busy {}
            }
            if settled && step % 4 == 3 {
                storage.upkeep(NOW_MS, true).expect("an honest disk");
            }
        }
        let first = storage.log(log_id(0)).expect("it was appended to");
        if days % 3 == 0 {
            first.advance_log_start(first.log_start_offset() + 2).expect("there are records");
        }
        if days % 2 == 0 {
            first.truncate_to(first.log_end_offset() - 1, NOW_MS).expect("there are records");
        }
        if days == 5 {
            storage.delete(log_id(1)).expect("an honest disk");
        }
        if settled && day % 2 == 0 {
            storage.upkeep(NOW_MS, true).expect("an honest disk");
        }
        while storage.commit().expect("an honest disk") == Commit::Busy {}
    }
    disk
}

fn log_id(number: usize) -> LogId {
    LogId { topic: TopicId([9; 16]), partition: (number % 3) as i32 }
}

fn append(storage: &Storage, day: usize, step: usize) {
    let log = storage.create(log_id(step), LogConfig { segment_bytes: 700, ..LogConfig::default() }).expect("an honest disk");
    let mut builder = BatchBuilder::new();
    if step % 3 == 2 {
        builder = builder.producer(5, day as i16, 0);
    }
    for record in 0..1 + step % 3 {
        builder.record(NOW_MS + (step * 10 + record) as i64, Some(b"k"), Some(&vec![b'v'; 10 + 40 * record]), &[]);
    }
    let append = Append { leader_epoch: day as i32, now_ms: NOW_MS, sync: SyncClass::Commit, privileged: false };
    // An idempotent producer's second batch of a day is out of sequence, and refused.
    let _ = log.append(builder.build().as_valid(), append);
}
