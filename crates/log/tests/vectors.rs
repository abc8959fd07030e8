//! The views and codecs of batches against batches that Kafka's own code wrote.

use std::path::PathBuf;

use chronik_log::batch::{BatchError, BatchView, Compression, batches};
use chronik_log::records::{self, BatchBuilder, Header, RecordError};

const ONE_MEBIBYTE: usize = 1 << 20;

struct Vector {
    name: String,
    bytes: Vec<u8>,
}

/// `None` if the vectors are not there, which only a run outside CI may be content with.
fn vectors() -> Option<Vec<Vector>> {
    let folder = std::env::var_os("CHRONIK_VECTORS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"));
    let path = folder.join("kafka-record-batches.jsonl");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if std::env::var_os("CI").is_some() => panic!("{}: {error}", path.display()),
        Err(error) => {
            eprintln!("no vectors, nothing compared: {}: {error}", path.display());
            return None;
        }
    };
    Some(text.lines().map(parse_line).collect())
}

fn parse_line(line: &str) -> Vector {
    let field = |name: &str| {
        let start = line.find(&format!("\"{name}\":\"")).expect("the field is there") + name.len() + 4;
        line[start..].split('"').next().expect("it ends").to_owned()
    };
    let hex = field("hex");
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    Vector { name: field("name"), bytes }
}

fn named<'a>(vectors: &'a [Vector], name: &str) -> BatchView<'a> {
    let vector = vectors.iter().find(|vector| vector.name == name).unwrap_or_else(|| panic!("no vector {name}"));
    BatchView::parse(&vector.bytes).unwrap()
}

#[test]
fn every_batch_is_valid_and_no_flipped_bit_is() {
    let Some(vectors) = vectors() else { return };
    assert!(vectors.len() >= 18);
    for Vector { name, bytes } in &vectors {
        let batch = BatchView::parse(bytes).unwrap().verify().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(batch.bytes().len(), bytes.len(), "{name}");
        for cut in 0..bytes.len() {
            assert!(matches!(BatchView::parse(&bytes[..cut]), Err(BatchError::Truncated { .. })), "{name} cut at {cut}");
        }
        for bit in 17 * 8..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(BatchView::parse(&flipped).and_then(BatchView::verify).is_err(), "{name}, bit {bit}");
        }
    }
}

#[test]
fn header_fields_are_where_kafka_puts_them() {
    let Some(vectors) = vectors() else { return };
    let transactional = named(&vectors, "transactional_with_producer_identity");
    assert!(transactional.is_transactional() && !transactional.is_control());
    let identity = (transactional.producer_id(), transactional.producer_epoch(), transactional.base_sequence());
    assert_eq!((identity, transactional.leader_epoch(), transactional.last_sequence()), ((12_345, 7, 100), 42, 100));
    assert!(named(&vectors, "committed_transaction_control_batch").is_control());
    assert!(named(&vectors, "log_append_time").has_log_append_time());
    assert!(named(&vectors, "tombstone_with_delete_horizon").has_delete_horizon());
    let empty = named(&vectors, "empty_compacted_batch_keeps_last_offset");
    assert_eq!((empty.base_offset(), empty.last_offset(), empty.record_count()), (100, 102, 0));
    let deltas = named(&vectors, "three_records_with_deltas");
    assert_eq!((deltas.last_offset_delta(), deltas.base_timestamp(), deltas.max_timestamp()), (2, 0x018b_cfe5_6800, 0x018b_cfe5_69f4));
}

#[test]
fn records_of_every_codec_are_the_same() {
    let Some(vectors) = vectors() else { return };
    let plain = named(&vectors, "compression_twin_uncompressed");
    let expected: Vec<_> = records::read(&plain).map(Result::unwrap).collect();
    assert_eq!(expected.len(), 2);
    for (name, codec) in [
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ] {
        let batch = named(&vectors, name);
        assert_eq!(batch.compression(), Ok(codec));
        let bytes = records::decompress(&batch, ONE_MEBIBYTE).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Vec<_> = records::read_from(&batch, &bytes).map(Result::unwrap).collect();
        assert_eq!(found, expected, "{name}");
        let bytes_max = bytes.len() - 1;
        assert_eq!(records::decompress(&batch, bytes_max), Err(RecordError::TooLarge { bytes_max }), "{name}");
        assert!(records::decompress(&batch, bytes.len()).is_ok(), "{name}");
    }
}

#[test]
fn layouts_that_kafka_wrote_are_accepted() {
    let Some(vectors) = vectors() else { return };
    for Vector { name, bytes } in &vectors {
        let batch = BatchView::parse(bytes).unwrap();
        let compacted = name.contains("compacted");
        if batch.compression() == Ok(Compression::None) {
            assert_eq!(records::check_layout(&batch).is_ok(), !compacted, "{name}");
        }
    }
}

#[test]
fn what_we_build_kafka_would_have_built() {
    let Some(vectors) = vectors() else { return };
    let at = 0x018b_cfe5_6800;
    let mut builder = BatchBuilder::new();
    builder.record(at, None, Some(b"value-one"), &[]);
    assert_eq!(builder.build().bytes(), named(&vectors, "one_record_no_key").bytes());
    let mut builder = BatchBuilder::new();
    let headers = [
        Header { key: b"trace-id", value: Some(b"abc123") },
        Header { key: b"empty", value: Some(b"") },
        Header { key: b"absent", value: None },
    ];
    builder.record(at, None, Some(b"value"), &headers);
    let found = builder.build();
    let expected = named(&vectors, "headers_on_one_record");
    assert_eq!(hex(found.bytes()), hex(expected.bytes()));
}

#[test]
fn bytes_behind_a_batch_are_the_next_batch() {
    let Some(vectors) = vectors() else { return };
    let all: Vec<u8> = vectors.iter().flat_map(|vector| vector.bytes.clone()).collect();
    assert_eq!(batches(&all).filter(Result::is_ok).count(), vectors.len());
    let cut = &all[..all.len() - 1];
    assert!(batches(cut).last().unwrap().is_err());
}

#[test]
fn damaged_compressed_records_are_errors_within_bounds() {
    let Some(vectors) = vectors() else { return };
    for name in ["gzip", "snappy", "lz4", "zstd"] {
        let good = named(&vectors, name).bytes().to_vec();
        for bit in 61 * 8..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let batch = BatchView::parse(&bytes).unwrap();
            if let Ok(records) = records::decompress(&batch, ONE_MEBIBYTE) {
                assert!(records.len() <= ONE_MEBIBYTE);
                records::read_from(&batch, &records).for_each(drop);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
