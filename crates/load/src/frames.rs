//! The two requests of a load, by hand: Produce 3 to 8 and Fetch 4 to 11, the versions before the flexible ones, which all
//! brokers since Kafka 0.11 speak. The general codec makes values of everything; here bytes are patched and skipped.

/// Versions of Produce that are written and read here. From 7 on zstd may be used.
pub(crate) const PRODUCE: (i16, i16) = (3, 7);
/// Versions of Fetch that are written and read here. From 10 on zstd may be read.
pub(crate) const FETCH: (i16, i16) = (4, 10);

const CORRELATION_ID: usize = 8;
const CLIENT_ID: &str = "chronik-bench";

/// The frame of a Produce request up to its batch: one batch for one partition.
#[derive(Clone, Debug)]
pub(crate) struct ProduceHead(Vec<u8>);

impl ProduceHead {
    pub(crate) fn new(version: i16, topic: &str, acks: i16, timeout_ms: u32) -> ProduceHead {
        let mut head = header(0, version);
        head.extend((-1i16).to_be_bytes()); // no transactional id
        head.extend(acks.to_be_bytes());
        head.extend(timeout_ms.to_be_bytes());
        head.extend(1u32.to_be_bytes());
        string(&mut head, topic);
        head.extend(1u32.to_be_bytes());
        head.extend(0u32.to_be_bytes()); // partition
        head.extend(0u32.to_be_bytes()); // length of the batch
        ProduceHead(head)
    }

    /// The head for a batch of `batch_bytes` that goes to `partition`.
    pub(crate) fn fill(&mut self, correlation_id: u32, partition: u32, batch_bytes: usize) -> &[u8] {
        let frame_bytes = self.0.len() - 4 + batch_bytes;
        let end = self.0.len();
        self.0[..4].copy_from_slice(&(frame_bytes as u32).to_be_bytes());
        self.0[CORRELATION_ID..CORRELATION_ID + 4].copy_from_slice(&correlation_id.to_be_bytes());
        self.0[end - 8..end - 4].copy_from_slice(&partition.to_be_bytes());
        self.0[end - 4..].copy_from_slice(&(batch_bytes as u32).to_be_bytes());
        &self.0
    }
}

/// The error code in the answer to a Produce request of one partition; `answer` begins with the correlation id.
pub(crate) fn produce_error(answer: &[u8]) -> Option<i16> {
    let mut reader = Reader(answer);
    reader.skip(4)?;
    reader.expect_one()?;
    reader.skip_string()?;
    reader.expect_one()?;
    reader.skip(4)?;
    reader.i16()
}

/// What a Fetch request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchLimits {
    pub(crate) max_wait_ms: u32,
    pub(crate) max_bytes: u32,
    pub(crate) partition_max_bytes: u32,
}

/// Writes a Fetch request of these partitions and offsets into `frame`.
pub(crate) fn fetch(
    frame: &mut Vec<u8>,
    version: i16,
    correlation_id: u32,
    topic: &str,
    limits: FetchLimits,
    partitions: impl ExactSizeIterator<Item = (u32, u64)>,
) {
    frame.clear();
    frame.extend(header(1, version));
    frame[CORRELATION_ID..CORRELATION_ID + 4].copy_from_slice(&correlation_id.to_be_bytes());
    frame.extend((-1i32).to_be_bytes()); // a consumer, not a replica
    frame.extend(limits.max_wait_ms.to_be_bytes());
    frame.extend(1u32.to_be_bytes());
    frame.extend(limits.max_bytes.to_be_bytes());
    frame.push(0); // read uncommitted
    if version >= 7 {
        frame.extend(0u32.to_be_bytes()); // no session: id 0, epoch -1
        frame.extend((-1i32).to_be_bytes());
    }
    frame.extend(1u32.to_be_bytes());
    string(frame, topic);
    frame.extend((partitions.len() as u32).to_be_bytes());
    for (partition, offset) in partitions {
        frame.extend(partition.to_be_bytes());
        if version >= 9 {
            frame.extend((-1i32).to_be_bytes()); // no leader epoch
        }
        frame.extend(offset.to_be_bytes());
        if version >= 5 {
            frame.extend((-1i64).to_be_bytes()); // no log start offset: not a replica
        }
        frame.extend(limits.partition_max_bytes.to_be_bytes());
    }
    if version >= 7 {
        frame.extend(0u32.to_be_bytes()); // nothing to forget
    }
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
}

/// One partition in the answer to a Fetch request.
#[derive(Debug)]
pub(crate) struct FetchedPartition<'a> {
    pub(crate) partition: u32,
    pub(crate) error: i16,
    /// Batches; the last one may be cut off.
    pub(crate) records: &'a [u8],
}

/// Calls `each` for every partition in the answer to a Fetch request. `None` if the answer makes no sense; an error of
/// the whole answer is returned.
pub(crate) fn fetched<'a>(
    answer: &'a [u8],
    version: i16,
    mut each: impl FnMut(FetchedPartition<'a>) -> Option<()>,
) -> Option<i16> {
    let mut reader = Reader(answer);
    reader.skip(4 + 4)?; // correlation id, throttle time
    if version >= 7 {
        let error = reader.i16()?;
        if error != 0 {
            return Some(error);
        }
        reader.skip(4)?;
    }
    for _ in 0..reader.i32()?.max(0) {
        reader.skip_string()?;
        for _ in 0..reader.i32()?.max(0) {
            let partition = reader.i32()? as u32;
            let error = reader.i16()?;
            reader.skip(8 + 8)?; // high watermark, last stable offset
            if version >= 5 {
                reader.skip(8)?;
            }
            let aborted = reader.i32()?.max(0) as usize;
            reader.skip(16 * aborted)?;
            let length = reader.i32()?.max(0) as usize;
            each(FetchedPartition { partition, error, records: reader.take(length)? })?;
        }
    }
    Some(0)
}

/// Request header v1 behind four bytes for the frame's length; the correlation id is filled in when the frame is sent.
fn header(key: u16, version: i16) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(0u32.to_be_bytes());
    string(&mut frame, CLIENT_ID);
    frame
}

fn string(frame: &mut Vec<u8>, text: &str) {
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(drop)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn skip_string(&mut self) -> Option<()> {
        let length = self.i16()?.max(0) as usize;
        self.skip(length)
    }

    fn expect_one(&mut self) -> Option<()> {
        (self.i32()? == 1).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use chronik_wire::messages::{
        FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, fetch_response, produce_response,
    };
    use chronik_wire::{ApiKey, Bytes, BytesMut, Request, RequestHeader, encode_response, message};

    use super::*;

    fn request(frame: &[u8]) -> Request {
        assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
        Request::parse(Bytes::copy_from_slice(&frame[4..])).expect("a sound header")
    }

    fn header(api_key: ApiKey, api_version: i16) -> RequestHeader {
        RequestHeader { api_key, api_version, correlation_id: 7, client_id: None }
    }

    #[test]
    fn the_codec_reads_a_produce_request_of_every_version() {
        for version in PRODUCE.0..=PRODUCE.1 {
            let mut head = ProduceHead::new(version, "topic", -1, 5000);
            for (correlation_id, partition) in [(1, 0), (0x0102_0304, 70_000)] {
                let frame = [head.fill(correlation_id, partition, 3), b"abc"].concat();
                let request = request(&frame);
                assert_eq!((request.header.api_key, request.header.api_version), (ApiKey::Produce, version));
                assert_eq!(request.header.correlation_id as u32, correlation_id);
                let body: ProduceRequest = request.decode().expect("a sound body");
                assert_eq!((body.acks, body.timeout_ms, body.transactional_id.is_none()), (-1, 5000, true));
                let data = &body.topic_data[0];
                assert_eq!(data.name.as_str(), "topic");
                assert_eq!(data.partition_data[0].index as u32, partition);
                assert_eq!(data.partition_data[0].records.as_deref(), Some(&b"abc"[..]));
            }
        }
    }

    #[test]
    fn the_codec_reads_a_fetch_request_of_every_version() {
        let limits = FetchLimits { max_wait_ms: 500, max_bytes: 1000, partition_max_bytes: 100 };
        let mut frame = Vec::new();
        for version in FETCH.0..=FETCH.1 {
            fetch(&mut frame, version, 9, "topic", limits, [(3, 17), (4, 1 << 40)].into_iter());
            let request = request(&frame);
            assert_eq!(request.header.correlation_id, 9);
            let body: FetchRequest = request.decode().expect("a sound body");
            assert_eq!((body.max_wait_ms, body.min_bytes, body.max_bytes, body.isolation_level), (500, 1, 1000, 0));
            let topic = &body.topics[0];
            assert_eq!(topic.topic.as_str(), "topic");
            let partitions: Vec<_> = topic.partitions.iter().map(|p| (p.partition, p.fetch_offset)).collect();
            assert_eq!(partitions, [(3, 17), (4, 1 << 40)]);
            assert_eq!(topic.partitions[1].partition_max_bytes, 100);
        }
    }

    #[test]
    fn the_error_of_a_produce_response_is_found_in_every_version() {
        for version in PRODUCE.0..=PRODUCE.1 {
            let partition =
                message!(produce_response::PartitionProduceResponse { index: 5, error_code: 6, base_offset: 1 });
            let topic = message!(produce_response::TopicProduceResponse {
                name: "topic".into(),
                partition_responses: vec![partition],
            });
            let mut buffer = BytesMut::new();
            let response = message!(ProduceResponse { responses: vec![topic] });
            encode_response(&mut buffer, &header(ApiKey::Produce, version), &response).unwrap();
            assert_eq!(produce_error(&buffer[4..]), Some(6), "version {version}");
            assert_eq!(produce_error(&buffer[4..20]), None);
        }
    }

    #[test]
    fn the_records_of_a_fetch_response_are_found_in_every_version() {
        for version in FETCH.0..=FETCH.1 {
            let aborted = message!(fetch_response::AbortedTransaction { producer_id: 1.into(), first_offset: 2 });
            let full = message!(fetch_response::PartitionData {
                partition_index: 3,
                high_watermark: 9,
                aborted_transactions: Some(vec![aborted]),
                records: Some(Bytes::from_static(b"records")),
            });
            let refused = message!(fetch_response::PartitionData { partition_index: 4, error_code: 1, records: None });
            let topic = message!(fetch_response::FetchableTopicResponse {
                topic: "topic".into(),
                partitions: vec![full, refused],
            });
            let mut buffer = BytesMut::new();
            let response = message!(FetchResponse { responses: vec![topic] });
            encode_response(&mut buffer, &header(ApiKey::Fetch, version), &response).unwrap();
            let mut found = Vec::new();
            let error = fetched(&buffer[4..], version, |partition| {
                found.push((partition.partition, partition.error, partition.records.to_vec()));
                Some(())
            });
            assert_eq!(error, Some(0));
            assert_eq!(found, [(3, 0, b"records".to_vec()), (4, 1, Vec::new())], "version {version}");
            assert_eq!(fetched(&buffer[4..buffer.len() - 3], version, |_| Some(())), None);
        }
    }
}
