//! Requests in their bytes, made once before a run: the load must cost the client next to nothing.

use std::time::{SystemTime, UNIX_EPOCH};

/// A frame that is sent again and again with only its correlation id changed.
pub(crate) struct Template {
    pub(crate) frame: Vec<u8>,
    /// Where the number of the partition lies.
    partition: usize,
}

/// Where the correlation id lies in a frame: after the length, the api key and its version.
const CORRELATION_ID: usize = 8;

impl Template {
    pub(crate) fn number(&mut self, correlation_id: u32) -> &[u8] {
        self.frame[CORRELATION_ID..CORRELATION_ID + 4].copy_from_slice(&correlation_id.to_be_bytes());
        &self.frame
    }

    /// Turns the request to another partition of its topic.
    pub(crate) fn turn_to(&mut self, partition: u32) {
        self.frame[self.partition..self.partition + 4].copy_from_slice(&partition.to_be_bytes());
    }
}

/// Produce v3 of one batch without keys, acks=all.
pub(crate) fn produce(topic: &str, records: usize, record_bytes: usize) -> Template {
    produce_keyed(topic, records, record_bytes, 0)
}

/// Produce v3 of one batch, acks=all; each record with a key of so many bytes, or none.
pub(crate) fn produce_keyed(topic: &str, records: usize, record_bytes: usize, key_bytes: usize) -> Template {
    let batch = batch(records, record_bytes, key_bytes);
    let mut body = header(0, 3);
    body.extend((-1i16).to_be_bytes()); // no transactional id
    body.extend((-1i16).to_be_bytes()); // acks
    body.extend(30_000u32.to_be_bytes());
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.extend(1u32.to_be_bytes());
    let partition = body.len();
    body.extend(0u32.to_be_bytes());
    body.extend((batch.len() as u32).to_be_bytes());
    body.extend(batch);
    frame(body, partition)
}

/// Fetch v4 of partition 0 from an offset.
pub(crate) fn fetch(topic: &str, offset: u64, max_bytes: u32) -> Template {
    let mut body = header(1, 4);
    body.extend((-1i32).to_be_bytes()); // a consumer, not a replica
    body.extend(500u32.to_be_bytes());
    body.extend(1u32.to_be_bytes());
    body.extend(max_bytes.to_be_bytes());
    body.push(0); // read uncommitted
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.extend(1u32.to_be_bytes());
    let partition = body.len();
    body.extend(0u32.to_be_bytes());
    body.extend(offset.to_be_bytes());
    body.extend(max_bytes.to_be_bytes());
    frame(body, partition)
}

/// CreateTopics v2 of one topic with one replica.
pub(crate) fn create_topic(topic: &str, partitions: u32, settings: &[(&str, &str)]) -> Template {
    let mut body = header(19, 2);
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.extend(partitions.to_be_bytes());
    body.extend(1u16.to_be_bytes());
    body.extend(0u32.to_be_bytes()); // no assignment by hand
    body.extend((settings.len() as u32).to_be_bytes());
    for (name, value) in settings {
        string(&mut body, name);
        string(&mut body, value);
    }
    body.extend(60_000u32.to_be_bytes());
    body.push(0); // not only a check
    frame(body, 0)
}

/// DeleteTopics v1 of one topic.
pub(crate) fn delete_topic(topic: &str) -> Template {
    let mut body = header(20, 1);
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.extend(10_000u32.to_be_bytes());
    frame(body, 0)
}

/// A record batch v2 with incompressible values.
fn batch(records: usize, record_bytes: usize, key_bytes: usize) -> Vec<u8> {
    // Older records would expire at once, in the middle of a run.
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut checked = Vec::with_capacity(records * (record_bytes + 32));
    checked.extend(0u16.to_be_bytes());
    checked.extend((records as u32 - 1).to_be_bytes());
    checked.extend(now_ms.to_be_bytes());
    checked.extend(now_ms.to_be_bytes());
    checked.extend((-1i64).to_be_bytes());
    checked.extend((-1i16).to_be_bytes());
    checked.extend((-1i32).to_be_bytes());
    checked.extend((records as u32).to_be_bytes());
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    for number in 0..records {
        let mut record = vec![0];
        varint(&mut record, 0);
        varint(&mut record, number as i64);
        if key_bytes == 0 {
            varint(&mut record, -1);
        } else {
            varint(&mut record, key_bytes as i64);
            record.extend(format!("{number:0>key_bytes$}").bytes().take(key_bytes));
        }
        varint(&mut record, record_bytes as i64);
        for _ in 0..record_bytes {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            record.push((noise >> 56) as u8);
        }
        varint(&mut record, 0);
        varint(&mut checked, record.len() as i64);
        checked.extend(record);
    }
    let mut batch = Vec::with_capacity(21 + checked.len());
    batch.extend(0u64.to_be_bytes());
    batch.extend((9 + checked.len() as u32).to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

/// Request header v1; the correlation id is filled in when the frame is sent.
fn header(key: u16, version: u16) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(key.to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(0u32.to_be_bytes());
    string(&mut body, "bench");
    body
}

/// Puts the length before a request, in whose body a partition's number stands at `partition`.
fn frame(body: Vec<u8>, partition: usize) -> Template {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    Template { frame, partition: 4 + partition }
}

fn string(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn varint(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left > 127 {
        out.push(left as u8 | 128);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_says_its_own_length_and_checksum() {
        let batch = batch(3, 10, 4);
        assert_eq!(u32::from_be_bytes(batch[8..12].try_into().unwrap()) as usize, batch.len() - 12);
        assert_eq!(u32::from_be_bytes(batch[17..21].try_into().unwrap()), crc32c::crc32c(&batch[21..]));
        assert_eq!(u32::from_be_bytes(batch[57..61].try_into().unwrap()), 3);
    }

    #[test]
    fn only_the_correlation_id_changes() {
        let mut template = produce("topic", 1, 8);
        let before = template.number(1).to_vec();
        let after = template.number(0x0102_0304).to_vec();
        assert_eq!(before.len(), after.len());
        let different: Vec<usize> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
        assert!(different.iter().all(|at| (8..12).contains(at)));
    }
}
