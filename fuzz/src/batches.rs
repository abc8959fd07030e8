//! Record batches as a producer sends them and as a consumer gets them: header, checksum, decompression, records.

use std::io::{Read, Write};

use chronik_log::batch::{BatchView, Compression, HEADER_BYTES, batches};
use chronik_log::records::{self, BatchBuilder, Record};

use crate::memory::Limits;
use crate::random::Random;
use crate::{Plain, seeds as vectors};

/// Decompression of [`DECOMPRESSED_MAX`] in a growing buffer, and what the codecs need beside it.
pub const LIMITS: Limits = Limits { fixed_bytes: 32 << 20, bytes_per_byte: 64 };
/// The most that a batch is decompressed to here.
const DECOMPRESSED_MAX: usize = 1 << 20;
/// Timestamps between which differences cannot overflow: the builder writes only such.
const SANE_TIMESTAMP: u64 = 1 << 61;

/// Reads `bytes` as batches one after another.
///
/// # Panics
/// If a promise of the batch reader is broken.
pub fn run(bytes: &[u8]) {
    let mut walked = 0;
    for view in batches(bytes) {
        let Ok(view) = view else { break };
        assert_eq!(view.bytes(), &bytes[walked..walked + view.bytes().len()], "batches follow each other");
        walked += view.bytes().len();
        batch(&view);
    }
}

fn batch(view: &BatchView<'_>) {
    assert!(view.last_offset_delta() >= 0 && view.record_count() >= 0);
    assert!(view.last_offset() >= view.base_offset());
    assert!(view.last_sequence() >= -1);
    if view.verify().is_err() {
        return;
    }
    let plain = records::decompress(view, DECOMPRESSED_MAX);
    let Ok(plain) = plain else {
        assert_ne!(view.compression().ok(), Some(Compression::None), "plain records need no codec");
        return;
    };
    // Plain records are as many as they are; the caller has bounded those.
    assert!(plain.len() <= DECOMPRESSED_MAX || view.compression() == Ok(Compression::None));
    let results: Vec<_> = records::read_from(view, &plain).collect();
    let failed = results.iter().position(Result::is_err);
    assert!(failed.is_none_or(|index| index + 1 == results.len()), "nothing is read behind the first error");
    assert!(results.len() <= view.record_count() as usize);
    let is_well_laid = view.compression() == Ok(Compression::None) && records::check_layout(view).is_ok();
    if is_well_laid {
        well_laid(view, &results);
    }
    let whole: Vec<Record<'_>> = results.into_iter().map_while(Result::ok).collect();
    if !whole.is_empty() && whole.iter().all(|record| record.timestamp.unsigned_abs() < SANE_TIMESTAMP) {
        round_trip(&whole);
    }
}

/// What the layout check let pass is read to its end, every record at its place.
fn well_laid(view: &BatchView<'_>, results: &[Result<Record<'_>, records::RecordError>]) {
    if view.base_offset().checked_add(i64::from(view.last_offset_delta())).is_none() {
        return;
    }
    assert_eq!(results.len() as i64, i64::from(view.record_count()));
    for (index, record) in (0..).zip(results) {
        let record = record.as_ref().expect("the layout was checked");
        assert_eq!(record.offset, view.base_offset() + index);
    }
}

/// What was read, built anew, reads the same.
fn round_trip(whole: &[Record<'_>]) {
    let mut builder = BatchBuilder::new();
    for record in whole {
        builder.record(record.timestamp, record.key, record.value, &[]);
    }
    let built = builder.build();
    let view = BatchView::parse(built.bytes()).expect("a built batch is one");
    assert!(view.verify().is_ok() && records::check_layout(&view).is_ok());
    let mut again = 0;
    for (index, (old, new)) in whole.iter().zip(records::read(&view)).enumerate() {
        let new = new.expect("a built record reads");
        assert_eq!((new.offset, new.timestamp, new.key, new.value), (index as i64, old.timestamp, old.key, old.value));
        again += 1;
    }
    assert_eq!(again, whole.len());
}

/// Changes bytes anywhere, a header's field, or records inside their compression; then mostly mends length and checksum.
pub fn mutate(bytes: &mut [u8], size: usize, size_max: usize, seed: u32, plain: Plain) -> usize {
    let mut random = Random::new(seed);
    let mut size = size;
    match random.below(8) {
        0..=2 => size = plain(bytes, size, size_max),
        3 | 4 if size >= HEADER_BYTES => field(&mut bytes[..size], &mut random),
        5 if size > HEADER_BYTES => {
            // The records alone.
            size = HEADER_BYTES + plain(&mut bytes[HEADER_BYTES..], size - HEADER_BYTES, size_max - HEADER_BYTES);
        }
        _ => {
            if let Some(fresh) = recompressed(&bytes[..size], &mut random, plain).filter(|fresh| fresh.len() <= size_max) {
                bytes[..fresh.len()].copy_from_slice(&fresh);
                size = fresh.len();
            }
        }
    }
    if !random.one_in(16) {
        mend(&mut bytes[..size]);
    }
    size
}

/// Every batch gets the checksum that its bytes have; the last one ends where the bytes do.
pub(crate) fn mend(bytes: &mut [u8]) {
    let mut rest = bytes;
    while rest.len() >= HEADER_BYTES {
        let stated = i32::from_be_bytes(rest[8..12].try_into().expect("4 bytes")) as i64 + 12;
        let total = match usize::try_from(stated) {
            Ok(total) if total >= HEADER_BYTES && total + HEADER_BYTES <= rest.len() => total,
            _ => rest.len(),
        };
        let (batch, behind) = rest.split_at_mut(total);
        mend_one(batch);
        rest = behind;
    }
}

/// One batch that is all of `bytes`.
pub(crate) fn mend_one(bytes: &mut [u8]) {
    bytes[16] = 2;
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A field of the first header becomes a number that is likely to hurt.
pub(crate) fn field(bytes: &mut [u8], random: &mut Random) {
    let fields = [(0, 8), (12, 4), (22, 1), (21, 2), (23, 4), (27, 8), (35, 8), (43, 8), (51, 2), (53, 4), (57, 4), (57, 4), (22, 1)];
    let (at, width) = fields[random.below(fields.len())];
    let old = bytes[at..at + width].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    let fresh = random.edge(old).to_be_bytes();
    bytes[at..at + width].copy_from_slice(&fresh[8 - width..]);
}

/// The first batch with its records changed below their compression, and compressed again, maybe by another codec.
fn recompressed(bytes: &[u8], random: &mut Random, plain: Plain) -> Option<Vec<u8>> {
    let view = BatchView::parse(bytes).ok()?;
    let mut records = records::decompress(&view, 64 << 10).ok()?.into_owned();
    let size = records.len();
    records.resize(size + 64, 0);
    let size_max = records.len();
    let size = plain(&mut records, size, size_max);
    let codec = random.below(5);
    let mut out = bytes[..HEADER_BYTES].to_vec();
    out[22] = out[22] & !7 | codec as u8;
    compress(codec, &records[..size], &mut out);
    Some(out)
}

fn compress(codec: usize, records: &[u8], out: &mut Vec<u8>) {
    match codec {
        0 => out.extend_from_slice(records),
        1 => {
            flate2::read::GzEncoder::new(records, flate2::Compression::fast()).read_to_end(out).expect("memory takes all");
        }
        2 => out.extend(snap::raw::Encoder::new().compress_vec(records).expect("records are small")),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
            encoder.write_all(records).expect("memory takes all");
            encoder.finish().expect("memory takes all");
        }
        _ => out.extend(zstd::encode_all(records, 1).expect("memory takes all")),
    }
}

/// Kafka's own batches, and all of them in a row.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vectors::record_batches();
    let row = seeds.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    seeds.push(("all_in_a_row".to_owned(), row));
    seeds
}
