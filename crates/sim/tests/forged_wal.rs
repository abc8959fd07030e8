//! Entries of the write-ahead log whose checksums are right, and which cannot have been written after those before them.
//! Written from `docs/format.md`.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik_log::disk::{Disk, OpenMode};
use chronik_log::records::BatchBuilder;
use chronik_log::{Append, LogConfig, Storage, StorageError, StorageOptions, SyncClass};
use chronik_sim::disk::{SimDisk, Stop};
use chronik_sim::random::Random;
use chronik_state::ids::{LogId, TopicId};

const LOG: LogId = LogId { topic: TopicId([5; 16]), partition: 0 };
const BATCH: u8 = 1;
const TRUNCATE: u8 = 2;
const LOG_START: u8 = 3;

#[test]
fn a_batch_that_does_not_follow_is_damage() {
    for offset in [-1, 0, 2, i64::MAX] {
        let disk = forged(BATCH, 1, &offset.to_be_bytes());
        let error = open(&disk).err().unwrap_or_else(|| panic!("offset {offset} after 0 was taken"));
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    }
    // The forger himself changes nothing.
    assert_eq!(open(&forged(BATCH, 1, &1_i64.to_be_bytes())).unwrap().log(LOG).unwrap().log_end_offset(), 2);
}

#[test]
fn a_start_or_a_cut_outside_of_the_log_is_damage() {
    for kind in [LOG_START, TRUNCATE] {
        for offset in [-1, 4, i64::MAX] {
            let disk = forged(kind, 0, &i64::to_le_bytes(offset));
            let error = open(&disk).err().unwrap_or_else(|| panic!("entry of kind {kind} with offset {offset} was taken"));
            assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        }
    }
}

/// Numbers after which none can follow: no node gets there.
#[test]
fn the_last_positions_there_are_are_damage() {
    let disk = SimDisk::new(Random::new(1));
    drop(open(&disk).unwrap());
    for (path, at) in [("/data/wal/00000000000000000001.wal", 32), ("/data/checkpoint", 8)] {
        let disk = disk.restart(Stop::Kill);
        let mut bytes = disk.content(Path::new(path));
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        let file = disk.open(Path::new(path), OpenMode::Existing).unwrap();
        file.write_at(&[IoSlice::new(&bytes)], 0).unwrap();
        let error = open(&disk).err().unwrap_or_else(|| panic!("{path} was taken"));
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    }
}

fn open(disk: &SimDisk) -> Result<Arc<Storage>, StorageError> {
    let mut options = StorageOptions::new("/data");
    options.wal_file_bytes = 256 << 10;
    options.wal_reserve_bytes = 16 << 10;
    Storage::open(Arc::new(disk.clone()), options, 1_000).map(|(storage, _)| storage)
}

/// A disk on which three records were written, the first forgotten and the last cut off; with other first bytes in the payload of the `nth` entry of `kind`.
fn forged(kind: u8, nth: usize, payload: &[u8]) -> SimDisk {
    let disk = SimDisk::new(Random::new(1));
    let storage = open(&disk).unwrap();
    let log = storage.create(LOG, LogConfig::default()).unwrap();
    for _ in 0..3 {
        let mut batch = BatchBuilder::new();
        batch.record(1_000, None, Some(b"value"), &[]);
        let append = Append { leader_epoch: 0, now_ms: 1_000, sync: SyncClass::Commit, privileged: false };
        log.append(batch.build().as_valid(), append).unwrap();
        storage.commit().unwrap();
    }
    log.advance_log_start(1).unwrap();
    storage.commit().unwrap();
    log.truncate_to(2, 1_000).unwrap();
    drop((log, storage));
    // What a cut wrote into the checkpoint would be believed instead.
    disk.remove(Path::new("/data/checkpoint")).unwrap();
    forge(&disk, kind, nth, payload);
    disk
}

fn forge(disk: &SimDisk, kind: u8, nth: usize, fresh: &[u8]) {
    let path: PathBuf = disk.files_below(Path::new("/data/wal")).into_iter().rfind(|(path, _)| path.extension().unwrap() == "wal").unwrap().0;
    let mut bytes = disk.content(&path);
    let at = entries(&bytes).into_iter().filter(|at| bytes[at + 8] == kind).nth(nth).expect("there is such an entry");
    let (start, length) = (payload_start(&bytes, at), u32_at(&bytes, at + 4));
    bytes[start..start + fresh.len()].copy_from_slice(fresh);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[24..32]), &bytes[at + 4..at + 48]);
    let crc = crc32c::crc32c_append(crc, &bytes[start..start + length.min(21)]);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    let file = disk.open(&path, OpenMode::Wal).unwrap();
    file.write_at(&[IoSlice::new(&bytes)], 0).unwrap();
    file.sync().unwrap();
}

/// Where the entries of a file begin.
fn entries(bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    for block in (4096..bytes.len()).step_by(4096).filter(|block| bytes[*block..].starts_with(b"CHWB")) {
        let mut at = block + 64;
        let end = at + u32_at(bytes, block + 24);
        while at < end {
            found.push(at);
            at = payload_start(bytes, at) + u32_at(bytes, at + 4);
        }
    }
    found
}

fn payload_start(bytes: &[u8], entry: usize) -> usize {
    entry + 48 + usize::from(u16::from_le_bytes([bytes[entry + 10], bytes[entry + 11]]))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}
