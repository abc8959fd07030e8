//! Decompressing the records of a batch within bounds: a few bytes may claim to be gigabytes.
//!
//! Codecs as Kafka's clients use them: gzip (RFC 1952), snappy in Xerial's framing or raw, the LZ4 frame format, zstd.

use std::borrow::Cow;
use std::io::{self, Read};

use super::reader::RecordError;
use crate::batch::{BatchView, Compression};

/// What Xerial's `SnappyOutputStream` begins with; two version numbers follow, then blocks with their length before them.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// The records of `batch`, decompressed if they are compressed, at most `bytes_max` of them.
///
/// # Errors
/// [`RecordError::TooLarge`] beyond `bytes_max`, [`RecordError::Decompression`] for what no codec wrote.
pub fn decompress<'a>(batch: &BatchView<'a>, bytes_max: usize) -> Result<Cow<'a, [u8]>, RecordError> {
    let records = batch.records();
    let compression = batch.compression().map_err(|_| RecordError::Decompression)?;
    let decoded = match compression {
        Compression::None => return Ok(Cow::Borrowed(records)),
        Compression::Gzip => bounded(flate2::read::MultiGzDecoder::new(records), bytes_max),
        Compression::Snappy => snappy(records, bytes_max),
        Compression::Lz4 => bounded(lz4_flex::frame::FrameDecoder::new(records), bytes_max),
        Compression::Zstd => zstd::stream::read::Decoder::new(records)
            .map_err(|_| RecordError::Decompression)
            .and_then(|decoder| bounded(decoder, bytes_max)),
    };
    decoded.map(Cow::Owned)
}

/// Reads to the end, but never more than one byte too much.
fn bounded(decoder: impl Read, bytes_max: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    let read = decoder.take(bytes_max as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() > bytes_max => Err(RecordError::TooLarge { bytes_max }),
        Ok(_) => Ok(out),
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(RecordError::TooLarge { bytes_max }),
        Err(_) => Err(RecordError::Decompression),
    }
}

fn snappy(records: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordError> {
    if !records.starts_with(XERIAL_MAGIC) {
        let mut out = Vec::new();
        append_snappy_block(records, bytes_max, &mut out)?;
        return Ok(out);
    }
    let mut rest = records.get(XERIAL_HEADER_BYTES..).ok_or(RecordError::Decompression)?;
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (block, after) = after.split_at_checked(length).ok_or(RecordError::Decompression)?;
        append_snappy_block(block, bytes_max, &mut out)?;
        rest = after;
    }
    if rest.is_empty() { Ok(out) } else { Err(RecordError::Decompression) }
}

fn append_snappy_block(block: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), RecordError> {
    let length = snap::raw::decompress_len(block).map_err(|_| RecordError::Decompression)?;
    if length > bytes_max - out.len().min(bytes_max) {
        return Err(RecordError::TooLarge { bytes_max });
    }
    let start = out.len();
    out.resize(start + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]);
    if written.is_ok_and(|written| written == length) { Ok(()) } else { Err(RecordError::Decompression) }
}
