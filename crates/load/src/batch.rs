//! Record batches in their bytes, made once before a run: the load must cost the client next to nothing.
//!
//! Values are random capital letters, as kafka-producer-perf-test sends them; gzip and zstd make them 40 % shorter,
//! snappy and lz4 leave them as they are. A stamped batch begins its first value with 16 bytes, the run's own number and a
//! time that is written just before the batch is sent.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::LoadError;

/// Length of a batch's header; what follows are records.
pub(crate) const HEADER: usize = 61;
/// What the checksum covers begins here, behind the checksum.
const CHECKED_FROM: usize = 21;
const CRC: std::ops::Range<usize> = 17..21;
/// Bytes of the first value that a stamp takes.
pub(crate) const STAMP: usize = 16;
/// Memory for batches that differ by their keys.
const KEYED_BYTES_MAX: usize = 256 << 20;

/// How a batch is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// What a batch consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchShape {
    pub records: usize,
    /// Length of each value in bytes.
    pub record_bytes: usize,
    /// Number of different keys. Each goes to the partition that Kafka's own clients choose for it. `None`: no keys.
    pub keys: Option<u64>,
    pub compression: Compression,
}

impl BatchShape {
    /// Batches without keys and compression.
    pub fn plain(records: usize, record_bytes: usize) -> BatchShape {
        BatchShape { records, record_bytes, keys: None, compression: Compression::None }
    }

    /// Bytes of keys and values in a batch.
    pub(crate) fn payload_bytes(&self) -> u64 {
        let key = if self.keys.is_some() { KEY } else { 0 };
        (self.records * (self.record_bytes + key)) as u64
    }
}

const KEY: usize = 10;

fn key(number: u64) -> String {
    format!("{number:0KEY$}")
}

/// One batch, in the part that differs from send to send and the part that does not.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Everything up to the end of the stamp; empty where there is none.
    pub(crate) front: Vec<u8>,
    pub(crate) rest: Vec<u8>,
    rest_crc: u32,
    /// What the checksum of the front becomes behind the rest, bit by bit: checksums are linear.
    shifted: [u32; 32],
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.rest.len()
    }

    fn plain(bytes: Vec<u8>) -> Batch {
        Batch { front: Vec::new(), rest: bytes, rest_crc: 0, shifted: [0; 32] }
    }

    fn stamped(mut bytes: Vec<u8>, stamp_end: usize) -> Batch {
        let rest = bytes.split_off(stamp_end);
        let shifted = std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, rest.len()));
        Batch { front: bytes, rest_crc: crc32c::crc32c(&rest), rest, shifted }
    }

    /// Writes a time into `front`, a copy of this batch's front, and makes its checksum right.
    pub(crate) fn stamp(&self, front: &mut [u8], time_ns: u64) {
        let at = front.len() - 8;
        front[at..].copy_from_slice(&time_ns.to_be_bytes());
        let own = crc32c::crc32c(&front[CHECKED_FROM..]);
        let moved = (0..32).filter(|bit| own >> bit & 1 == 1).fold(0, |sum, bit| sum ^ self.shifted[bit]);
        front[CRC].copy_from_slice(&(moved ^ self.rest_crc).to_be_bytes());
    }
}

/// The batches of a run. Without keys one batch serves all partitions.
#[derive(Debug)]
pub(crate) struct Batches {
    all: Vec<Batch>,
    /// Where a partition's batches lie in `all`; empty for a partition that no key leads to.
    of_partition: Vec<std::ops::Range<usize>>,
}

impl Batches {
    /// Makes the batches for partitions 0 to `partitions`; with `run`, stamped ones that carry this number.
    pub(crate) fn new(shape: &BatchShape, partitions: usize, run: Option<u64>) -> Result<Batches, LoadError> {
        if shape.records == 0 {
            return Err(LoadError::Load("a batch has at least one record".to_owned()));
        }
        if run.is_some() && shape.compression != Compression::None {
            return Err(LoadError::Load("compressed batches cannot carry the time they were sent at".to_owned()));
        }
        if run.is_some() && shape.record_bytes < STAMP {
            return Err(LoadError::Load(format!("a record that carries its time has at least {STAMP} bytes")));
        }
        let Some(keys) = shape.keys else {
            let batch = encode(shape, &mut std::iter::repeat(None), run)?;
            return Ok(Batches { all: vec![batch], of_partition: vec![0..1; partitions] });
        };
        Batches::keyed(shape, partitions, keys, run)
    }

    fn keyed(shape: &BatchShape, partitions: usize, keys: u64, run: Option<u64>) -> Result<Batches, LoadError> {
        let too_many = || {
            let limit = KEYED_BYTES_MAX >> 20;
            let records = shape.records;
            let text = format!(
                "{keys} keys in batches of {records} records would need more than {limit} MiB of prepared batches"
            );
            LoadError::Load(text)
        };
        let record_bytes = shape.record_bytes + KEY + 16;
        if keys.saturating_mul(record_bytes as u64) > KEYED_BYTES_MAX as u64 {
            return Err(too_many());
        }
        let mut keys_of = vec![Vec::new(); partitions];
        for number in 0..keys {
            let key = key(number);
            let partition = (murmur2(key.as_bytes()) & 0x7fff_ffff) as usize % partitions;
            keys_of[partition].push(key);
        }
        // The last batch of a partition is filled up with keys it has sent before.
        let count: usize = keys_of.iter().map(|keys| keys.len().div_ceil(shape.records)).sum();
        if count.saturating_mul(shape.records * record_bytes) > KEYED_BYTES_MAX {
            return Err(too_many());
        }
        let (mut all, mut of_partition) = (Vec::with_capacity(count), Vec::with_capacity(partitions));
        for keys in &keys_of {
            let first = all.len();
            let mut in_turn = keys.iter().map(|key| Some(key.as_str())).cycle();
            for _ in 0..keys.len().div_ceil(shape.records) {
                all.push(encode(shape, &mut in_turn, run)?);
            }
            of_partition.push(first..all.len());
        }
        Ok(Batches { all, of_partition })
    }

    /// Whether any batch is for this partition.
    pub(crate) fn has(&self, partition: usize) -> bool {
        !self.of_partition[partition].is_empty()
    }

    /// The batch that a partition gets in its `turn`.
    pub(crate) fn get(&self, partition: usize, turn: usize) -> &Batch {
        let range = &self.of_partition[partition];
        &self.all[range.start + turn % range.len()]
    }
}

fn encode(
    shape: &BatchShape,
    keys: &mut dyn Iterator<Item = Option<&str>>,
    run: Option<u64>,
) -> Result<Batch, LoadError> {
    let (records, stamp_end) = records(shape, keys, run);
    let records = compress(shape.compression, records).map_err(LoadError::Machine)?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut batch = Vec::with_capacity(HEADER + records.len());
    batch.extend(0u64.to_be_bytes());
    let length = u32::try_from(HEADER - 12 + records.len())
        .ok()
        .filter(|length| *length <= i32::MAX as u32)
        .ok_or_else(|| LoadError::Load("a batch of more than 2 GiB".to_owned()))?;
    batch.extend(length.to_be_bytes());
    batch.extend((-1i32).to_be_bytes()); // no leader epoch
    batch.push(2); // magic
    batch.extend([0; 4]); // checksum
    batch.extend((shape.compression as u16).to_be_bytes());
    batch.extend((shape.records as u32 - 1).to_be_bytes());
    batch.extend(now_ms.to_be_bytes());
    batch.extend(now_ms.to_be_bytes());
    batch.extend((-1i64).to_be_bytes()); // no producer id, epoch, sequence
    batch.extend((-1i16).to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.extend((shape.records as u32).to_be_bytes());
    batch.extend(records);
    let crc = crc32c::crc32c(&batch[CHECKED_FROM..]);
    batch[CRC].copy_from_slice(&crc.to_be_bytes());
    Ok(match stamp_end {
        Some(end) => Batch::stamped(batch, HEADER + end),
        None => Batch::plain(batch),
    })
}

/// The records of a batch, and where the first one's stamp ends.
fn records(
    shape: &BatchShape,
    keys: &mut dyn Iterator<Item = Option<&str>>,
    run: Option<u64>,
) -> (Vec<u8>, Option<usize>) {
    let mut records = Vec::with_capacity(shape.records * (shape.record_bytes + 32));
    let mut stamp_end = None;
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut record = Vec::new();
    for (number, key) in (0..shape.records).zip(keys) {
        record.clear();
        record.push(0);
        varint(&mut record, 0);
        varint(&mut record, number as i64);
        match key {
            None => varint(&mut record, -1),
            Some(key) => {
                varint(&mut record, key.len() as i64);
                record.extend(key.as_bytes());
            }
        }
        varint(&mut record, shape.record_bytes as i64);
        let value = record.len();
        record.extend(noise.by_ref().take(shape.record_bytes));
        varint(&mut record, 0);
        varint(&mut records, record.len() as i64);
        if let (0, Some(run)) = (number, run) {
            record[value..value + 8].copy_from_slice(&run.to_be_bytes());
            stamp_end = Some(records.len() + value + STAMP);
        }
        records.extend(&record);
    }
    (records, stamp_end)
}

/// Random capital letters, the same ones each time.
struct Noise(u64);

impl Iterator for Noise {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(b'A' + ((self.0 >> 33) % 26) as u8)
    }
}

/// Run number and time of a batch that was stamped; none of any other.
pub(crate) fn stamp_of(batch: &[u8]) -> Option<(u64, u64)> {
    if batch.get(22)? & 7 != 0 {
        return None;
    }
    let mut record = batch.get(HEADER..)?;
    read_varint(&mut record)?;
    record = record.get(1..)?;
    read_varint(&mut record)?;
    read_varint(&mut record)?;
    let key = read_varint(&mut record)?.max(0) as usize;
    record = record.get(key..)?;
    let value = usize::try_from(read_varint(&mut record)?).ok()?;
    let stamp = record.get(..value)?.get(..STAMP)?;
    Some((u64::from_be_bytes(stamp[..8].try_into().ok()?), u64::from_be_bytes(stamp[8..].try_into().ok()?)))
}

fn compress(compression: Compression, records: Vec<u8>) -> std::io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(records),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&records)?;
            encoder.finish()
        }
        Compression::Snappy => snappy(&records),
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&records)?;
            Ok(encoder.finish()?)
        }
        Compression::Zstd => zstd::stream::encode_all(records.as_slice(), 0),
    }
}

/// Snappy in the framing of Kafka's Java client (snappy-java): a magic, two versions, then blocks with their lengths.
fn snappy(records: &[u8]) -> std::io::Result<Vec<u8>> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    const BLOCK: usize = 32 << 10;
    let mut framed = MAGIC.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(BLOCK) {
        let block = encoder.compress_vec(block)?;
        framed.extend((block.len() as u32).to_be_bytes());
        framed.extend(block);
    }
    Ok(framed)
}

/// The hash by which Kafka's clients choose a key's partition (MurmurHash2, 32 bits, with Kafka's seed).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let left = words.remainder();
    if !left.is_empty() {
        for (index, byte) in left.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

fn varint(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left > 127 {
        out.push(left as u8 | 128);
        left >>= 7;
    }
    out.push(left as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(batch: &Batch) -> Vec<u8> {
        [batch.front.as_slice(), &batch.rest].concat()
    }

    fn is_sound(batch: &[u8], records: u32) {
        assert_eq!(u32::from_be_bytes(batch[8..12].try_into().unwrap()) as usize, batch.len() - 12);
        assert_eq!(u32::from_be_bytes(batch[CRC].try_into().unwrap()), crc32c::crc32c(&batch[CHECKED_FROM..]));
        assert_eq!(u32::from_be_bytes(batch[57..61].try_into().unwrap()), records);
    }

    #[test]
    fn a_batch_says_its_own_length_and_checksum() {
        let batches = Batches::new(&BatchShape::plain(3, 10), 1, None).unwrap();
        is_sound(&whole(batches.get(0, 0)), 3);
    }

    #[test]
    fn a_stamp_can_be_read_back_and_the_checksum_follows_it() {
        for (records, record_bytes, keys) in [(1, 16, None), (100, 1024, None), (3, 300, Some(50))] {
            let shape = BatchShape { keys, ..BatchShape::plain(records, record_bytes) };
            let batches = Batches::new(&shape, 1, Some(77)).unwrap();
            let batch = batches.get(0, 0);
            for time in [1, 0x0123_4567_89ab_cdef] {
                let mut front = batch.front.clone();
                batch.stamp(&mut front, time);
                let bytes = [front.as_slice(), &batch.rest].concat();
                is_sound(&bytes, records as u32);
                assert_eq!(stamp_of(&bytes), Some((77, time)));
            }
        }
    }

    #[test]
    fn what_was_not_stamped_here_is_not_taken_for_it() {
        let batches = Batches::new(&BatchShape::plain(1, 8), 1, None).unwrap();
        assert_eq!(stamp_of(&whole(batches.get(0, 0))), None);
        assert_eq!(stamp_of(&[0; 70]), None);
    }

    #[test]
    fn keys_go_where_kafkas_clients_send_them() {
        // Values of Kafka's own test, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java.
        for (text, expected) in
            [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
    }

    #[test]
    fn every_key_is_sent_and_only_to_its_partition() {
        let shape = BatchShape { keys: Some(100), ..BatchShape::plain(7, 20) };
        let batches = Batches::new(&shape, 4, None).unwrap();
        for number in 0..100 {
            let key = key(number);
            let own = (murmur2(key.as_bytes()) & 0x7fff_ffff) as usize % 4;
            let has = |partition: usize| {
                (0..100)
                    .any(|turn| batches.get(partition, turn).rest.windows(KEY).any(|window| window == key.as_bytes()))
            };
            for partition in 0..4 {
                assert_eq!(has(partition), partition == own, "{key} in {partition}");
            }
        }
    }

    #[test]
    fn too_many_keys_are_refused_before_the_memory_is_taken() {
        let shape = BatchShape { keys: Some(10_000_000), ..BatchShape::plain(100, 1024) };
        assert!(matches!(Batches::new(&shape, 1, None), Err(LoadError::Load(_))));
    }
}
