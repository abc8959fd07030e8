//! Requests in their bytes, made once before a run: the load must cost the client next to nothing.

/// A frame that is sent again and again with only its correlation id changed.
pub(crate) struct Template {
    pub(crate) frame: Vec<u8>,
}

/// Where the correlation id lies in a frame: after the length, the api key and its version.
const CORRELATION_ID: usize = 8;

impl Template {
    pub(crate) fn number(&mut self, correlation_id: u32) -> &[u8] {
        self.frame[CORRELATION_ID..CORRELATION_ID + 4].copy_from_slice(&correlation_id.to_be_bytes());
        &self.frame
    }
}

/// Produce v3 of one batch for partition 0, acks=all.
pub(crate) fn produce(topic: &str, records: usize, record_bytes: usize) -> Template {
    let batch = batch(records, record_bytes);
    let mut body = header(0, 3);
    body.extend((-1i16).to_be_bytes()); // no transactional id
    body.extend((-1i16).to_be_bytes()); // acks
    body.extend(30_000u32.to_be_bytes());
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.extend(1u32.to_be_bytes());
    body.extend(0u32.to_be_bytes());
    body.extend((batch.len() as u32).to_be_bytes());
    body.extend(batch);
    frame(body)
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
    body.extend(0u32.to_be_bytes());
    body.extend(offset.to_be_bytes());
    body.extend(max_bytes.to_be_bytes());
    frame(body)
}

/// Metadata v4 of one topic that is created when it is not there.
pub(crate) fn metadata(topic: &str) -> Template {
    let mut body = header(3, 4);
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.push(1);
    frame(body)
}

/// DeleteTopics v1 of one topic.
pub(crate) fn delete_topic(topic: &str) -> Template {
    let mut body = header(20, 1);
    body.extend(1u32.to_be_bytes());
    string(&mut body, topic);
    body.extend(10_000u32.to_be_bytes());
    frame(body)
}

/// A record batch v2 with incompressible values.
fn batch(records: usize, record_bytes: usize) -> Vec<u8> {
    const TIMESTAMP_MS: u64 = 1_700_000_000_000;
    let mut checked = Vec::with_capacity(records * (record_bytes + 32));
    checked.extend(0u16.to_be_bytes());
    checked.extend((records as u32 - 1).to_be_bytes());
    checked.extend(TIMESTAMP_MS.to_be_bytes());
    checked.extend(TIMESTAMP_MS.to_be_bytes());
    checked.extend((-1i64).to_be_bytes());
    checked.extend((-1i16).to_be_bytes());
    checked.extend((-1i32).to_be_bytes());
    checked.extend((records as u32).to_be_bytes());
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    for number in 0..records {
        let mut record = vec![0];
        varint(&mut record, 0);
        varint(&mut record, number as i64);
        varint(&mut record, -1);
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

fn frame(body: Vec<u8>) -> Template {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    Template { frame }
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
        let batch = batch(3, 10);
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
