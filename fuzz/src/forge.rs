//! Changing files of a data directory so that the change is not just a wrong checksum: what covers a changed byte is
//! computed anew. Written from `docs/format.md`, and from nothing of the code that reads these files.

use std::ops::Range;

use crate::Plain;
use crate::archive::{self, File, Kind};
use crate::batches;
use crate::random::Random;

const BLOCK_BYTES: usize = 4096;
const FILE_HEADER_BYTES: usize = 4096;
const BLOCK_HEADER_BYTES: usize = 64;
const ENTRY_HEADER_BYTES: usize = 48;
const GROUP_BYTES: usize = 512;
const INDEX_ENTRY_BYTES: usize = 24;
/// Little-endian fields of each structure: where, and how many bytes.
const FILE_FIELDS: &[(usize, usize)] = &[(8, 4), (16, 8), (24, 8), (32, 8)];
const BLOCK_FIELDS: &[(usize, usize)] = &[(4, 2), (8, 8), (16, 8), (24, 4), (28, 4), (32, 8)];
const ENTRY_FIELDS: &[(usize, usize)] = &[(4, 4), (8, 1), (8, 1), (10, 2), (12, 4), (31, 1), (32, 8), (40, 8)];
const GROUP_FIELDS: &[(usize, usize)] = &[(4, 2), (6, 1), (8, 8), (16, 8), (24, 8), (32, 4)];
/// From where a row's numbers begin, behind kind, topic id and partition.
const ROW_FIELDS: &[(usize, usize)] =
    &[(0, 1), (17, 4), (21, 8), (29, 8), (37, 8), (45, 8), (53, 8), (61, 8), (69, 8), (77, 8), (85, 8), (93, 8), (101, 8), (109, 4)];
const INDEX_FIELDS: &[(usize, usize)] = &[(0, 4), (4, 4), (8, 8), (16, 4)];
/// Of a truncation and a log start.
const DECISION_FIELDS: &[(usize, usize)] = &[(0, 8), (8, 8), (16, 4)];
/// Of a batch, big-endian.
const BATCH_FIELDS: &[(usize, usize)] = &[(0, 8), (8, 4), (12, 4), (21, 2), (23, 4), (27, 8), (35, 8), (43, 8), (51, 2), (53, 4), (57, 4)];

/// Changes one of the files that are `wanted`, or which files there are.
pub(crate) fn mutate(bytes: &mut [u8], size: usize, size_max: usize, random: &mut Random, plain: Plain, wanted: impl Fn(Kind) -> bool) -> usize {
    if random.one_in(32) {
        return plain(bytes, size, size_max);
    }
    let mut files = archive::unpack(&bytes[..size]);
    let candidates: Vec<usize> = (0..files.len()).filter(|index| wanted(files[*index].kind)).collect();
    let Some(&index) = random.pick(&candidates) else { return plain(bytes, size, size_max) };
    for _ in 0..1 + random.below(3) {
        match random.below(16) {
            0 => among(&mut files, index, random),
            1 => files[index].zeros = random.edge(u64::from(files[index].zeros)) as u32,
            2 => cut(&mut files[index], random),
            _ => within(&mut files[index], random, plain),
        }
        if index >= files.len() {
            break;
        }
    }
    if !random.one_in(8) {
        let chained = !random.one_in(4);
        files.iter_mut().for_each(|file| mend(file, chained));
    }
    let fresh = archive::pack(&files);
    let size = fresh.len().min(size_max);
    bytes[..size].copy_from_slice(&fresh[..size]);
    size
}

/// A file comes twice, goes, or gets another number.
fn among(files: &mut Vec<File>, index: usize, random: &mut Random) {
    match random.below(3) {
        0 => drop(files.remove(index)),
        1 => {
            let mut copy = files[index].clone();
            copy.number = copy.number.wrapping_add(1);
            files.push(copy);
        }
        _ => files[index].number = random.edge(files[index].number),
    }
}

fn cut(file: &mut File, random: &mut Random) {
    let unit = [1, INDEX_ENTRY_BYTES, GROUP_BYTES, BLOCK_BYTES][random.below(4)];
    let at = (random.below(file.bytes.len() + 1) / unit) * unit;
    file.bytes.truncate(at);
}

/// Changes a field, or bytes, of one of the file's structures.
fn within(file: &mut File, random: &mut Random, plain: Plain) {
    if random.one_in(4) {
        return anywhere(file, random, plain);
    }
    match file.kind {
        Kind::Wal => in_wal(file, random),
        Kind::Checkpoint => in_checkpoint(file, random),
        Kind::Segment(_) => {
            let starts = batch_starts(&file.bytes);
            match random.pick(&starts) {
                Some(&at) if random.one_in(4) => swap_batches(file, at, &starts, random),
                Some(&at) => field(&mut file.bytes, at, BATCH_FIELDS, true, random),
                None => anywhere(file, random, plain),
            }
        }
        Kind::Index(_) => {
            let at = random.below(file.bytes.len() / INDEX_ENTRY_BYTES) * INDEX_ENTRY_BYTES;
            field(&mut file.bytes, at, INDEX_FIELDS, false, random);
        }
        Kind::Spare => {}
    }
}

/// The engine's own change, to a short stretch, whose length stays.
fn anywhere(file: &mut File, random: &mut Random, plain: Plain) {
    if file.bytes.is_empty() {
        return;
    }
    let start = random.below(file.bytes.len());
    let end = file.bytes.len().min(start + 1 + random.below(64));
    let length = end - start;
    let changed = plain(&mut file.bytes[start..end], length, length);
    file.bytes[start + changed..end].fill(0);
}

/// A batch takes the place of another, or comes twice.
fn swap_batches(file: &mut File, at: usize, starts: &[usize], random: &mut Random) {
    let length = batch_bytes(&file.bytes[at..]).unwrap_or(0);
    let batch = file.bytes[at..at + length].to_vec();
    let to = starts[random.below(starts.len())];
    let replaced = if random.one_in(2) { 0 } else { batch_bytes(&file.bytes[to..]).unwrap_or(0) };
    file.bytes.splice(to..to + replaced, batch);
}

fn in_wal(file: &mut File, random: &mut Random) {
    let blocks = block_starts(&file.bytes);
    let Some(&block) = random.pick(&blocks).filter(|_| !random.one_in(12)) else {
        return field(&mut file.bytes, 0, FILE_FIELDS, false, random);
    };
    let entries = entry_starts(&file.bytes, block);
    match (random.below(8), random.pick(&entries)) {
        (0 | 1, _) | (_, None) => field(&mut file.bytes, block, BLOCK_FIELDS, false, random),
        (2, _) => copy_block(file, block, &blocks, random),
        (3 | 4, Some(&entry)) => field(&mut file.bytes, entry, ENTRY_FIELDS, false, random),
        (payload, Some(&entry)) => {
            let at = payload_of(&file.bytes, entry).start;
            // A truncation's and a log start's, or a batch.
            let (fields, big_endian) = if payload == 5 { (DECISION_FIELDS, false) } else { (BATCH_FIELDS, true) };
            field(&mut file.bytes, at, fields, big_endian, random);
        }
    }
}

fn copy_block(file: &mut File, block: usize, blocks: &[usize], random: &mut Random) {
    let end = (block + BLOCK_BYTES).min(file.bytes.len());
    let copy = file.bytes[block..end].to_vec();
    let to = blocks[random.below(blocks.len())];
    if random.one_in(2) {
        file.bytes.splice(to..to, copy);
    } else {
        let end = (to + copy.len()).min(file.bytes.len());
        file.bytes[to..end].copy_from_slice(&copy[..end - to]);
    }
}

fn in_checkpoint(file: &mut File, random: &mut Random) {
    let groups: Vec<usize> = (0..file.bytes.len()).step_by(GROUP_BYTES).filter(|at| file.bytes[*at..].starts_with(b"CHCP")).collect();
    let Some(&group) = random.pick(&groups) else { return };
    if random.one_in(3) {
        field(&mut file.bytes, group, GROUP_FIELDS, false, random);
    } else {
        // The first row, or what follows it: rows have no fixed length.
        let row = group + 64 + if random.one_in(2) { 0 } else { random.below(400) };
        field(&mut file.bytes, row, ROW_FIELDS, false, random);
    }
}

/// A field of the structure at `at` becomes a number that is likely to hurt.
fn field(bytes: &mut [u8], at: usize, fields: &[(usize, usize)], big_endian: bool, random: &mut Random) {
    let (offset, width) = fields[random.below(fields.len())];
    let Some(field) = bytes.get_mut(at + offset..at + offset + width) else { return };
    let old = field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    if big_endian {
        let old = field.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        field.copy_from_slice(&random.edge(old).to_be_bytes()[8 - width..]);
    } else {
        field.copy_from_slice(&random.edge(old).to_le_bytes()[..width]);
    }
}

/// Makes every checksum right; `chained` also makes positions follow each other.
fn mend(file: &mut File, chained: bool) {
    match file.kind {
        Kind::Wal => mend_wal(&mut file.bytes, chained),
        Kind::Checkpoint => mend_checkpoint(&mut file.bytes),
        Kind::Segment(_) => mend_segment(&mut file.bytes),
        Kind::Index(_) => {
            let base = crc32c::crc32c(&file.number.to_le_bytes());
            for entry in file.bytes.chunks_exact_mut(INDEX_ENTRY_BYTES) {
                let crc = crc32c::crc32c_append(base, &entry[..20]);
                entry[20..].copy_from_slice(&crc.to_le_bytes());
            }
        }
        Kind::Spare => {}
    }
}

fn mend_wal(bytes: &mut [u8], chained: bool) {
    if bytes.len() < 64 {
        return;
    }
    seal_header(&mut bytes[..64]);
    let salt: [u8; 8] = bytes[24..32].try_into().expect("8 bytes");
    let mut lsn = u64_at(bytes, 32);
    for block in block_starts(bytes) {
        bytes[block + 8..block + 16].copy_from_slice(&salt);
        if chained {
            bytes[block + 16..block + 24].copy_from_slice(&lsn.to_le_bytes());
        } else {
            lsn = u64_at(bytes, block + 16);
        }
        let mut end = block + BLOCK_HEADER_BYTES;
        for entry in entry_starts(bytes, block) {
            let payload = payload_of(bytes, entry);
            if chained {
                bytes[entry + 32..entry + 40].copy_from_slice(&lsn.to_le_bytes());
            }
            if bytes[entry + 8] == 1 && payload.len() >= 61 {
                batches::mend_one(&mut bytes[payload.clone()]);
            }
            let covered = payload.start..payload.end.min(payload.start + 21);
            let crc = crc32c::crc32c_append(crc32c::crc32c(&salt), &bytes[entry + 4..entry + 48]);
            let crc = crc32c::crc32c_append(crc, &bytes[covered]);
            bytes[entry..entry + 4].copy_from_slice(&crc.to_le_bytes());
            lsn = lsn.wrapping_add((payload.end - entry) as u64);
            end = payload.end;
        }
        if chained && end > block + BLOCK_HEADER_BYTES {
            let payload_bytes = (end - block - BLOCK_HEADER_BYTES) as u32;
            bytes[block + 24..block + 28].copy_from_slice(&payload_bytes.to_le_bytes());
        }
        seal_header(&mut bytes[block..block + 64]);
    }
}

fn mend_checkpoint(bytes: &mut [u8]) {
    for group in (0..bytes.len()).step_by(GROUP_BYTES) {
        if !bytes[group..].starts_with(b"CHCP") || bytes.len() < group + 64 {
            continue;
        }
        let rows = usize::try_from(u64_at(bytes, group + 16)).unwrap_or(usize::MAX);
        let end = (group + 64).saturating_add(rows).min(bytes.len());
        bytes[group + 16..group + 24].copy_from_slice(&((end - group - 64) as u64).to_le_bytes());
        let crc = crc32c::crc32c(&bytes[group + 64..end]);
        bytes[group + 56..group + 60].copy_from_slice(&crc.to_le_bytes());
        seal_header(&mut bytes[group..group + 64]);
    }
}

fn mend_segment(bytes: &mut [u8]) {
    for start in batch_starts(bytes) {
        let end = start + batch_bytes(&bytes[start..]).unwrap_or(0);
        let crc = crc32c::crc32c(&bytes[start + 21..end]);
        bytes[start + 17..start + 21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// The last four bytes of a header are the checksum of the others.
fn seal_header(header: &mut [u8]) {
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
}

fn block_starts(bytes: &[u8]) -> Vec<usize> {
    let starts = (FILE_HEADER_BYTES..bytes.len()).step_by(BLOCK_BYTES);
    starts.filter(|at| bytes[*at..].starts_with(b"CHWB") && bytes.len() >= at + BLOCK_HEADER_BYTES).collect()
}

fn entry_starts(bytes: &[u8], block: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = block + BLOCK_HEADER_BYTES;
    while at + ENTRY_HEADER_BYTES <= bytes.len() && bytes[at + 8] != 0 {
        let end = payload_of(bytes, at).end;
        if end > bytes.len() {
            break;
        }
        starts.push(at);
        at = end;
    }
    starts
}

/// Behind the gap that follows an entry's header.
fn payload_of(bytes: &[u8], entry: usize) -> Range<usize> {
    let start = entry + ENTRY_HEADER_BYTES + usize::from(u16::from_le_bytes([bytes[entry + 10], bytes[entry + 11]]));
    start..start + u32_at(bytes, entry + 4) as usize
}

fn batch_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(length) = bytes.get(at..).and_then(batch_bytes) {
        starts.push(at);
        at += length;
    }
    starts
}

/// The length that the batch at the front states, if it is all there.
fn batch_bytes(bytes: &[u8]) -> Option<usize> {
    let stated = i32::from_be_bytes(bytes.get(8..12)?.try_into().expect("4 bytes"));
    let total = usize::try_from(stated).ok()? + 12;
    (total >= 61 && total <= bytes.len()).then_some(total)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
