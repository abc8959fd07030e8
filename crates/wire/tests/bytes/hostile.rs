//! Bytes that lie: mutated frames, counts that no frame can hold, lengths beyond the end. Nothing panics, and memory
//! stays in proportion to the bytes that are there.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use crate::support::{Random, round_trip_of, vectors};
use bytes::{BufMut, Bytes, BytesMut};
use chronik_wire::{ApiKey, FrameError, Request, encode_request, messages, produce::ProduceRequest};

/// What a decoded frame may take: room for the elements its bytes can stand for, and some for the heads.
const HEAP_BYTES_PER_FRAME_BYTE: usize = 512;
const HEAP_BYTES_FREE: usize = 64 << 10;

#[test]
fn mutated_messages_neither_panic_nor_swell() {
    let vectors = vectors().unwrap_or_default();
    if vectors.is_empty() {
        return;
    }
    let mut random = Random(11);
    for round in 0..100_000 {
        let vector = &vectors[random.below(vectors.len())];
        let bytes = mutated(&vector.bytes, &mut random);
        let frame_bytes = bytes.len();
        let decode = round_trip_of(&vector.message).expect("in the codec");
        let (_, peak) = peak_of(|| decode(bytes, vector.version));
        assert!(peak <= allowed(frame_bytes), "round {round}: {} took {peak} for {frame_bytes}", vector.message);
    }
}

#[test]
fn mutated_frames_neither_panic_nor_swell() {
    let frames: Vec<_> = (3..=13).map(produce_frame).collect();
    let mut random = Random(12);
    for round in 0..100_000 {
        let frame = mutated(&frames[random.below(frames.len())], &mut random);
        let frame_bytes = frame.len();
        let (_, peak) = peak_of(|| match Request::parse(frame) {
            Ok(request) if request.header.api_key == ApiKey::Produce => {
                let view = ProduceRequest::parse(&request.body, request.header.api_version);
                view.map(|view| view.response().partitions.len()).unwrap_or(0)
            }
            Ok(request) => request.body.len(),
            Err(_) => 0,
        });
        assert!(peak <= allowed(frame_bytes), "round {round}: {peak} bytes for a frame of {frame_bytes}");
    }
}

#[test]
fn counts_that_no_frame_can_hold_reserve_nothing() {
    for version in 3..=13 {
        let mut body = BytesMut::new();
        if version >= 9 {
            body.put_u8(0); // no transactional id
            body.put_slice(&[0, 1, 0, 0, 0, 1]); // acks, timeout
            body.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]); // four thousand million topics
        } else {
            body.put_i16(-1);
            body.put_slice(&[0, 1, 0, 0, 0, 1]);
            body.put_i32(i32::MAX);
        }
        let (result, peak) = peak_of(|| ProduceRequest::parse(&body, version));
        assert!(result.is_err());
        assert!(peak < 4096, "{peak}");
    }
    for (version, body) in [(0, &b"\x7f\xff\xff\xff"[..]), (12, &b"\xff\xff\xff\xff\x0f"[..])] {
        let frame = framed(ApiKey::Metadata.code(), version, body);
        let request = Request::parse(frame).expect("the header is sound");
        let (result, peak) = peak_of(|| request.decode::<messages::MetadataRequest>());
        assert!(result.is_err());
        assert!(peak < 4096, "{peak}");
    }
}

/// A frame of Produce may have a hundred million bytes, of which a partition without records needs but five.
#[test]
fn a_produce_request_names_only_so_many_partitions() {
    let body_of = |topics: usize, partitions: usize| {
        let mut body = BytesMut::new();
        body.put_slice(&[0xff, 0xff, 0, 1, 0, 0, 0, 1]);
        body.put_i32(topics as i32);
        for _ in 0..topics {
            body.put_slice(&[0, 1, b't']);
            body.put_i32(partitions as i32);
            (0..partitions).for_each(|_| body.put_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]));
        }
        body
    };
    for (topics, partitions, fits) in
        [(1, 100_000, true), (1, 100_001, false), (2, 50_001, false), (100_000, 1, true), (100_001, 0, false)]
    {
        let body = body_of(topics, partitions);
        assert_eq!(ProduceRequest::parse(&body, 3).is_ok(), fits, "{topics} topics of {partitions} partitions");
    }
    let body = body_of(1, 1_000_000);
    let (_, peak) = peak_of(|| ProduceRequest::parse(&body, 3).map(|_| ()));
    assert!(peak < 4096, "{peak}");
}

#[test]
fn the_costliest_elements_stay_in_proportion() {
    // Arrays of strings of no length: one byte of the frame becomes a string of its own.
    const KEYS: usize = 200_000;
    let mut body = BytesMut::new();
    body.put_u8(5); // four resources
    for _ in 0..4 {
        body.put_slice(&[2, 1]); // a topic of no name
        put_unsigned_varint(&mut body, KEYS as u32 + 1);
        body.put_bytes(1, KEYS);
        body.put_u8(0);
    }
    body.put_slice(&[0, 0, 0]);
    let request = Request::parse(framed(ApiKey::DescribeConfigs.code(), 4, &body)).expect("the header is sound");
    let (result, peak) = peak_of(|| request.decode::<messages::DescribeConfigsRequest>());
    assert_eq!(result.expect("sound").resources.len(), 4);
    assert!(peak < 80 * body.len(), "{peak} bytes for a frame of {}", body.len());
}

#[test]
fn what_is_no_request_is_named() {
    assert!(matches!(Request::parse(Bytes::new()), Err(FrameError::Header(_))));
    assert!(matches!(Request::parse(Bytes::from_static(b"\0\x03\0\x0c\0\0")), Err(FrameError::Header(_))));
    let unknown = Request::parse(framed(9999, 0, b"")).expect_err("no such API");
    assert_eq!(unknown, FrameError::UnknownApi { api_key: 9999, api_version: 0 });
    // Advertised for the sake of librdkafka, but Kafka 4 serves it no longer.
    let old = Request::parse(framed(0, 2, b"")).expect_err("not served");
    assert_eq!(old, FrameError::UnsupportedVersion { api_key: ApiKey::Produce, api_version: 2 });
    let newer = Request::parse(framed(3, 14, b"")).expect_err("not served");
    assert_eq!(newer, FrameError::UnsupportedVersion { api_key: ApiKey::Metadata, api_version: 14 });
}

#[test]
fn a_version_of_api_versions_from_the_future_can_be_answered() {
    let request = Request::parse(framed(18, 99, b"\0whatever")).expect("answered with error 35");
    assert!(!request.header.is_supported());
    let request = Request::parse(framed(18, 4, b"\0")).expect("served");
    assert!(request.header.is_supported());
}

#[test]
fn bytes_behind_a_request_are_left_alone() {
    let mut frame = BytesMut::from(&produce_frame(9)[..]);
    frame.put_u8(0);
    let request = Request::parse(frame.freeze()).expect("the header is sound");
    assert_eq!(ProduceRequest::parse(&request.body, 9).expect("sound").topics().len(), 2);
    let request = Request::parse(framed(18, 0, b"abc")).expect("the header is sound");
    request.decode::<messages::ApiVersionsRequest>().expect("Kafka answers it");
}

#[test]
fn a_request_that_ends_early_is_refused() {
    let frame = produce_frame(12);
    let request = Request::parse(frame.clone()).expect("the header is sound");
    let header_bytes = frame.len() - request.body.len();
    for end in header_bytes..frame.len() {
        let request = Request::parse(frame.slice(..end)).expect("the header is sound");
        assert!(ProduceRequest::parse(&request.body, 12).is_err(), "{end}");
    }
}

fn put_unsigned_varint(buffer: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// A well-formed frame, without its length.
fn produce_frame(version: i16) -> Bytes {
    let mut topic = messages::produce_request::TopicProduceData::default();
    if version < 13 {
        topic.name = "topic".into();
    }
    for index in 0..3 {
        let mut partition = messages::produce_request::PartitionProduceData::default();
        partition.index = index;
        partition.records = Some(Bytes::from_static(&[7; 61]));
        topic.partition_data.push(partition);
    }
    let mut request = messages::ProduceRequest::default();
    request.topic_data = vec![topic.clone(), topic];
    let mut frame = BytesMut::new();
    encode_request(&mut frame, 1, Some("client"), &request, version).expect("encodes");
    frame.freeze().slice(4..)
}

fn framed(api_key: i16, version: i16, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(api_key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    let flexible = ApiKey::from_code(api_key).is_some_and(|api| api.request_header_version(version) >= 2);
    if flexible && api_key != 18 {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    frame.freeze()
}

/// Flips, overwrites, cuts and doubles.
fn mutated(bytes: &[u8], random: &mut Random) -> Bytes {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = 0xff,
            3 => bytes.truncate(at),
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    bytes.into()
}

fn allowed(frame_bytes: usize) -> usize {
    HEAP_BYTES_FREE + frame_bytes * HEAP_BYTES_PER_FRAME_BYTE
}

/// Runs `work` and says how many bytes of heap this thread held at most on its behalf.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.with(|held| held.set((0, 0)));
    let result = work();
    (result, HELD.with(|held| held.get().1.max(0) as usize))
}

thread_local! {
    /// Bytes held now and at most, since the last reset.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: isize) {
    // A thread that is being torn down has no cell any more, and nothing to measure.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}
