//! `docs/format.md`, read literally: a second reader that knows nothing of the server's code finds what a node wrote.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chronik_client::message;
use chronik_client::messages::CreateTopicsRequest;
use chronik_client::messages::create_topics_request::CreatableTopic;
use chronik_load::{BatchShape, ProduceLoad, Target, Until};
use common::Workplace;
use common::server::Server;
use crc32c::{crc32c, crc32c_append};

const METADATA: &str = "00000000000000000000000000000001";
const BATCH: u8 = 1;

#[test]
fn the_files_of_a_node_are_as_the_byte_maps_say() {
    let workplace = Workplace::new();
    let server = Server::start(&workplace, &[], &[]);
    let topic = message!(CreatableTopic { name: "t".into(), num_partitions: 2, replication_factor: 1 });
    let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    assert_eq!(server.ask("127.0.0.1", &request, 5).topics[0].error_code, 0);
    let data = workplace.path().join("data");

    // Large batches lie behind gaps, small ones do not.
    let target = Target::plain(([127, 0, 0, 1], server.port).into(), "t", 2);
    for records in [1, 100] {
        let load = ProduceLoad::new(BatchShape::plain(records, 1000), Until::Records(40 * records as u64));
        chronik_load::produce(&target, &load).unwrap();
    }

    let entries = write_ahead_log(&data);
    assert!(entries.iter().any(|((log, kind), count)| log != METADATA && *kind == BATCH && *count >= 40), "{entries:?}");
    let of_metadata = |(log, kind): &(String, u8)| log == METADATA && *kind == BATCH;
    assert!(entries.keys().any(of_metadata), "the decision is an entry: {entries:?}");

    server.signal("TERM");
    assert_eq!(server.wait().1, Some(0));
    write_ahead_log(&data);
    let rows = checkpoint(&data);
    assert!(rows.iter().any(|topic| topic == METADATA), "the metadata log has a row: {rows:?}");
    let partition = data.join("topics").join(METADATA).join("0");
    let length = segment(&partition.join("00000000000000000000.log"));
    index(&partition.join("00000000000000000000.index"), length);
    properties(&data);
}

/// Log and kind of all entries, and how many of each.
fn write_ahead_log(data: &Path) -> BTreeMap<(String, u8), usize> {
    let mut found = BTreeMap::new();
    let names = fs::read_dir(data.join("wal")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = names.filter(|path| path.extension().is_some_and(|extension| extension == "wal")).collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"CHRONWAL");
        assert_eq!(u32_at(&bytes, 8), 2);
        assert_eq!(u32_at(&bytes, 60), crc32c(&bytes[..60]));
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), format!("{:020}", u64_at(&bytes, 16)));
        blocks(&bytes, &mut found);
    }
    found
}

fn blocks(file: &[u8], found: &mut BTreeMap<(String, u8), usize>) {
    let (salt, mut lsn) = (u64_at(file, 24), u64_at(file, 32));
    let mut at = 4096;
    while file.get(at..at + 4) == Some(b"CHWB") && u64_at(file, at + 8) == salt {
        assert_eq!(u16_at(file, at + 4), 1);
        assert_eq!(u64_at(file, at + 16), lsn);
        assert!(u64_at(file, at + 32) <= lsn, "no block knows that it is durable");
        assert_eq!(u32_at(file, at + 60), crc32c(&file[at..at + 60]));
        let end = at + 64 + u32_at(file, at + 24) as usize;
        let mut entry = at + 64;
        for _ in 0..u32_at(file, at + 28) {
            let gap = u16_at(file, entry + 10) as usize;
            assert!(gap < 4096 && file[entry + 48..entry + 48 + gap].iter().all(|byte| *byte == 0));
            let begin = entry + 48 + gap;
            let payload = &file[begin..begin + u32_at(file, entry + 4) as usize];
            let crc = crc32c_append(crc32c(&salt.to_le_bytes()), &file[entry + 4..entry + 48]);
            assert_eq!(u32_at(file, entry), crc32c_append(crc, &payload[..payload.len().min(21)]));
            assert_eq!(u64_at(file, entry + 32), lsn);
            let kind = file[entry + 8];
            if kind == BATCH {
                assert_eq!(batch(payload), payload.len());
            }
            *found.entry((hex(&file[entry + 16..entry + 32]), kind)).or_default() += 1;
            let length = 48 + gap + payload.len();
            lsn += length as u64;
            entry += length;
        }
        assert_eq!(entry, end);
        at = end.next_multiple_of(4096);
    }
}

/// Topic ids of all rows that set.
fn checkpoint(data: &Path) -> Vec<String> {
    let bytes = fs::read(data.join("checkpoint")).unwrap();
    let mut topics = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        assert_eq!(&bytes[at..at + 4], b"CHCP");
        assert_eq!(u16_at(&bytes, at + 4), 1);
        assert_eq!(u32_at(&bytes, at + 60), crc32c(&bytes[at..at + 60]));
        let end = at + 64 + u64_at(&bytes, at + 16) as usize;
        assert_eq!(u32_at(&bytes, at + 56), crc32c(&bytes[at + 64..end]));
        let is_last = end.next_multiple_of(512) == bytes.len();
        assert!(!is_last || bytes[at + 6] == 1, "the last group is that of a clean stop");
        let mut row = at + 64;
        for _ in 0..u32_at(&bytes, at + 32) {
            let sets = bytes[row] == 1;
            if sets {
                topics.push(hex(&bytes[row + 1..row + 17]));
            }
            row += 21;
            if sets {
                row += 11 * 8;
                row += 4 + u32_at(&bytes, row) as usize;
                row += 4 + u32_at(&bytes, row) as usize;
            }
        }
        assert_eq!(row, end);
        at = end.next_multiple_of(512);
    }
    topics
}

/// Length of a segment that is whole batches and nothing else.
fn segment(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let mut at = 0;
    while at < bytes.len() {
        at += batch(&bytes[at..]);
    }
    assert!(at > 0 && at == bytes.len());
    at as u64
}

fn index(path: &Path, segment_length: u64) {
    let bytes = fs::read(path).unwrap();
    assert!(!bytes.is_empty() && bytes.len().is_multiple_of(24));
    for entry in bytes.chunks(24) {
        assert_eq!(u32_at(entry, 20), crc32c_append(crc32c(&0_i64.to_le_bytes()), &entry[..20]));
        assert!(u64::from(u32_at(entry, 4)) < segment_length);
        assert_eq!(u32_at(entry, 16), 0, "it is still written to, so it has no seal");
    }
}

/// Bytes of the record batch at the beginning of `bytes`.
fn batch(bytes: &[u8]) -> usize {
    let big_endian = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let length = 12 + big_endian(8) as usize;
    assert_eq!(bytes[16], 2);
    assert_eq!(big_endian(17), crc32c(&bytes[21..length]));
    length
}

fn properties(data: &Path) {
    let text = fs::read_to_string(data.join("node.properties")).unwrap();
    let names: Vec<&str> = text.lines().map(|line| line.split_once('=').unwrap().0).collect();
    assert_eq!(names, ["version", "cluster.id", "node.id", "directory.id"]);
    assert!(text.starts_with("version=1\n") && text.contains("\nnode.id=1\n"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
