//! The bytes of the stream between nodes, as `docs/format.md` has them. Big-endian.
//!
//! ```text
//!  0 magic u16 │ 2 version u8 │ 3 kind u8 │ 4 length u32 │ 8 crc32c u32 of the body │ 12 crc32c u32 of bytes 0–11 │ 16 body …
//! ```
//! The header has a checksum of its own: nobody waits for bytes that a damaged length announced. The body's covers of a record
//! batch only the first 21 bytes: the rest is covered by the batch's own. So every byte is covered once, and the receiver
//! computes the batch's in any case.

use bytes::{Buf, BufMut, BytesMut};
use chronik_log::batch::{BatchError, BatchView, UNCHECKED_BYTES, ValidBatch, batches};
use chronik_state::ids::{BrokerId, LogId, TopicId};
use chronik_state::partition::stream::{Ack, Answer, BatchBounds, Frame, Replicate, SessionId, Verdict};
use thiserror::Error;

use crate::partition::bounds;

/// "WA"
const MAGIC: u16 = 0x5741;
/// "HB"
const HEARTBEAT_MAGIC: u16 = 0x4842;
const VERSION: u8 = 1;
pub(crate) const HEADER_BYTES: usize = 16;
const BODY_CHECKSUM_AT: usize = 8;
const HEADER_CHECKSUM_AT: usize = 12;
/// Anything but records is small.
const SMALL_BYTES_MAX: usize = 512;
/// Bytes of a frame with records before these.
const RECORDS_AT: usize = 20 + 8 + 28;

/// Who is at the other end, and whom it wants to speak to: the first frame in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) cluster_id: String,
    pub(crate) from: BrokerId,
    pub(crate) to: BrokerId,
    /// The incarnation of `from`.
    pub(crate) broker_epoch: i64,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Heartbeat,
    Hello(Hello),
    /// Of whom and in which incarnation, the connection says.
    Replicate(LogId, Replicate),
    Answer(LogId, Answer),
    /// With the bytes of its batches.
    Records(LogId, Frame, &'a [u8]),
    Ack(LogId, Ack),
    /// The leader has ended the session.
    Over(LogId, SessionId),
}

/// Who speaks: what a question does not repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker {
    pub(crate) broker_id: BrokerId,
    pub(crate) broker_epoch: i64,
}

/// Bytes that no node of this cluster sends.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Damaged {
    #[error("it begins with {0:#06x}, which is no frame of the stream")]
    Magic(u16),
    #[error("version {0} of the stream is not known here")]
    Version(u8),
    #[error("frames of kind {0} are not known here")]
    Kind(u8),
    #[error("a frame of kind {kind} with {length} bytes, {limit} are the most")]
    Length { kind: u8, length: usize, limit: usize },
    #[error("the checksum of a frame's header is wrong")]
    Header,
    #[error("the checksum of a frame of kind {0} is wrong")]
    Checksum(u8),
    #[error("a record batch of a frame is damaged: {0}")]
    Batch(#[from] BatchError),
    #[error("a frame of kind {0} does not hold what it should")]
    Content(u8),
}

mod kind {
    pub(super) const HEARTBEAT: u8 = 0;
    pub(super) const HELLO: u8 = 1;
    pub(super) const REPLICATE: u8 = 2;
    pub(super) const ANSWER: u8 = 3;
    pub(super) const RECORDS: u8 = 4;
    pub(super) const ACK: u8 = 5;
    pub(super) const OVER: u8 = 6;
}

mod verdict {
    pub(super) const FENCED: u8 = 0;
    pub(super) const UNKNOWN_EPOCH: u8 = 1;
    pub(super) const OUT_OF_RANGE: u8 = 2;
    pub(super) const DIVERGED: u8 = 3;
    pub(super) const STREAM: u8 = 4;
}

/// In place of an epoch: there is none.
const NO_EPOCH: i32 = -1;

/// Writes `message` behind what is in `out`.
pub(crate) fn encode(message: &Message<'_>, out: &mut BytesMut) {
    let start = out.len();
    let kind = kind_of(message);
    out.put_u16(if kind == kind::HEARTBEAT { HEARTBEAT_MAGIC } else { MAGIC });
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_slice(&[0; HEADER_BYTES - 4]);
    match message {
        Message::Heartbeat => {}
        Message::Hello(hello) => put_hello(hello, out),
        Message::Replicate(log, asked) => put_replicate(*log, asked, out),
        Message::Answer(log, answer) => put_answer(*log, answer, out),
        Message::Records(log, frame, bytes) => {
            put_log(*log, out);
            put_session(frame.session, out);
            out.put_i64(frame.expected_end_offset);
            out.put_i32(frame.previous_epoch.unwrap_or(NO_EPOCH));
            out.put_i64(frame.high_watermark);
            out.put_i64(frame.log_start_offset);
            debug_assert_eq!(out.len() - start, HEADER_BYTES + RECORDS_AT);
            out.put_slice(bytes);
        }
        Message::Ack(log, ack) => {
            put_log(*log, out);
            put_session(ack.session, out);
            out.put_i64(ack.written_end_offset);
            out.put_i64(ack.durable_end_offset);
        }
        Message::Over(log, session) => {
            put_log(*log, out);
            put_session(*session, out);
        }
    }
    let frame = &mut out[start..];
    let length = u32::try_from(frame.len() - HEADER_BYTES).expect("a frame is smaller than its limit");
    frame[4..BODY_CHECKSUM_AT].copy_from_slice(&length.to_be_bytes());
    let checksum = body_checksum(frame).expect("batches of a log are whole");
    frame[BODY_CHECKSUM_AT..HEADER_CHECKSUM_AT].copy_from_slice(&checksum.to_be_bytes());
    let checksum = crc32c::crc32c(&frame[..HEADER_CHECKSUM_AT]);
    frame[HEADER_CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
}

/// How long the frame is that `bytes` begin with; none while that cannot be told. `records_bytes_max` bounds a frame with records.
pub(crate) fn frame_bytes(bytes: &[u8], records_bytes_max: usize) -> Result<Option<usize>, Damaged> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let magic = u16::from_be_bytes([header[0], header[1]]);
    let (version, kind) = (header[2], header[3]);
    if magic != MAGIC && magic != HEARTBEAT_MAGIC {
        return Err(Damaged::Magic(magic));
    }
    if crc32c::crc32c(&header[..HEADER_CHECKSUM_AT]) != u32_at(header, HEADER_CHECKSUM_AT) {
        return Err(Damaged::Header);
    }
    if version != VERSION {
        return Err(Damaged::Version(version));
    }
    if kind > kind::OVER || (magic == HEARTBEAT_MAGIC) != (kind == kind::HEARTBEAT) {
        return Err(Damaged::Kind(kind));
    }
    let length = u32_at(header, 4) as usize;
    let limit = if kind == kind::RECORDS { records_bytes_max } else { SMALL_BYTES_MAX };
    if length > limit {
        return Err(Damaged::Length { kind, length, limit });
    }
    Ok(Some(HEADER_BYTES + length))
}

/// Reads a whole frame.
pub(crate) fn decode(frame: &[u8], speaker: Speaker) -> Result<Message<'_>, Damaged> {
    let kind = frame[3];
    if body_checksum(frame)? != u32_at(frame, BODY_CHECKSUM_AT) {
        return Err(Damaged::Checksum(kind));
    }
    let mut body = &frame[HEADER_BYTES..];
    let message = take_message(kind, &mut body, speaker).map_err(|_| Damaged::Content(kind))?;
    match body.is_empty() {
        true => Ok(message),
        false => Err(Damaged::Content(kind)),
    }
}

/// The batches of a frame with records, each found whole.
pub(crate) fn verified(bytes: &[u8]) -> Result<Vec<ValidBatch<'_>>, Damaged> {
    Ok(batches(bytes).map(|batch| batch?.verify()).collect::<Result<_, _>>()?)
}

fn kind_of(message: &Message<'_>) -> u8 {
    match message {
        Message::Heartbeat => kind::HEARTBEAT,
        Message::Hello(_) => kind::HELLO,
        Message::Replicate(..) => kind::REPLICATE,
        Message::Answer(..) => kind::ANSWER,
        Message::Records(..) => kind::RECORDS,
        Message::Ack(..) => kind::ACK,
        Message::Over(..) => kind::OVER,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("a frame has a header"))
}

/// Of everything in the body that no batch's own checksum covers.
fn body_checksum(frame: &[u8]) -> Result<u32, BatchError> {
    let fixed = if frame[3] == kind::RECORDS { frame.len().min(HEADER_BYTES + RECORDS_AT) } else { frame.len() };
    let mut checksum = crc32c::crc32c(&frame[HEADER_BYTES..fixed]);
    for batch in batches(&frame[fixed..]) {
        checksum = crc32c::crc32c_append(checksum, &batch?.bytes()[..UNCHECKED_BYTES]);
    }
    Ok(checksum)
}

fn put_hello(hello: &Hello, out: &mut BytesMut) {
    out.put_i32(hello.from);
    out.put_i32(hello.to);
    out.put_i64(hello.broker_epoch);
    out.put_u8(u8::try_from(hello.cluster_id.len()).expect("a cluster's id is short"));
    out.put_slice(hello.cluster_id.as_bytes());
}

fn put_replicate(log: LogId, asked: &Replicate, out: &mut BytesMut) {
    put_log(log, out);
    out.put_u32(asked.ask);
    out.put_i32(asked.leader_epoch);
    out.put_i64(asked.log_end_offset);
    out.put_i64(asked.durable_end_offset);
    out.put_i32(asked.last_epoch.unwrap_or(NO_EPOCH));
}

fn put_answer(log: LogId, answer: &Answer, out: &mut BytesMut) {
    put_log(log, out);
    out.put_u32(answer.ask);
    out.put_i32(answer.leader_epoch);
    match answer.verdict {
        Verdict::Fenced => out.put_u8(verdict::FENCED),
        Verdict::UnknownEpoch => out.put_u8(verdict::UNKNOWN_EPOCH),
        Verdict::OutOfRange { log_start_offset } => {
            out.put_u8(verdict::OUT_OF_RANGE);
            out.put_i64(log_start_offset);
        }
        Verdict::Diverged { epoch, end_offset } => {
            out.put_u8(verdict::DIVERGED);
            out.put_i32(epoch);
            out.put_i64(end_offset);
        }
        Verdict::Stream(session) => {
            out.put_u8(verdict::STREAM);
            put_session(session, out);
        }
    }
}

fn put_log(log: LogId, out: &mut BytesMut) {
    out.put_slice(&log.topic.0);
    out.put_i32(log.partition);
}

fn put_session(session: SessionId, out: &mut BytesMut) {
    out.put_i32(session.leader_epoch);
    out.put_u32(session.number);
}

/// Fewer bytes than there should be, or others.
struct Wrong;

impl From<bytes::TryGetError> for Wrong {
    fn from(_: bytes::TryGetError) -> Self {
        Wrong
    }
}

fn take_message<'a>(kind: u8, body: &mut &'a [u8], speaker: Speaker) -> Result<Message<'a>, Wrong> {
    Ok(match kind {
        kind::HEARTBEAT => Message::Heartbeat,
        kind::HELLO => Message::Hello(take_hello(body)?),
        kind::REPLICATE => Message::Replicate(take_log(body)?, take_replicate(body, speaker)?),
        kind::ANSWER => Message::Answer(take_log(body)?, take_answer(body)?),
        kind::RECORDS => {
            let (log, mut frame) = (take_log(body)?, take_frame(body)?);
            let bytes = std::mem::take(body);
            frame.batches =
                batches(bytes).map(|batch| take_bounds(&batch.map_err(|_| Wrong)?)).collect::<Result<_, Wrong>>()?;
            Message::Records(log, frame, bytes)
        }
        kind::ACK => Message::Ack(take_log(body)?, take_ack(body)?),
        kind::OVER => Message::Over(take_log(body)?, take_session(body)?),
        _ => return Err(Wrong),
    })
}

fn take_hello(body: &mut &[u8]) -> Result<Hello, Wrong> {
    let (from, to, broker_epoch) = (body.try_get_i32()?, body.try_get_i32()?, body.try_get_i64()?);
    let length = usize::from(body.try_get_u8()?);
    let (id, rest) = body.split_at_checked(length).ok_or(Wrong)?;
    *body = rest;
    Ok(Hello { cluster_id: str::from_utf8(id).map_err(|_| Wrong)?.to_owned(), from, to, broker_epoch })
}

fn take_replicate(body: &mut &[u8], speaker: Speaker) -> Result<Replicate, Wrong> {
    let (ask, leader_epoch) = (body.try_get_u32()?, body.try_get_i32()?);
    let (log_end_offset, durable_end_offset) = (offset(body)?, offset(body)?);
    let last_epoch = body.try_get_i32()?;
    if durable_end_offset > log_end_offset {
        return Err(Wrong);
    }
    let Speaker { broker_id, broker_epoch } = speaker;
    let last_epoch = (last_epoch >= 0).then_some(last_epoch);
    Ok(Replicate { ask, broker_id, broker_epoch, leader_epoch, log_end_offset, durable_end_offset, last_epoch })
}

fn take_answer(body: &mut &[u8]) -> Result<Answer, Wrong> {
    let (ask, leader_epoch) = (body.try_get_u32()?, body.try_get_i32()?);
    let verdict = match body.try_get_u8()? {
        verdict::FENCED => Verdict::Fenced,
        verdict::UNKNOWN_EPOCH => Verdict::UnknownEpoch,
        verdict::OUT_OF_RANGE => Verdict::OutOfRange { log_start_offset: offset(body)? },
        verdict::DIVERGED => Verdict::Diverged { epoch: body.try_get_i32()?, end_offset: offset(body)? },
        verdict::STREAM => Verdict::Stream(take_session(body)?),
        _ => return Err(Wrong),
    };
    Ok(Answer { leader_epoch, ask, verdict })
}

fn take_frame(body: &mut &[u8]) -> Result<Frame, Wrong> {
    let session = take_session(body)?;
    let (expected_end_offset, previous_epoch) = (offset(body)?, body.try_get_i32()?);
    Ok(Frame {
        session,
        expected_end_offset,
        previous_epoch: (previous_epoch >= 0).then_some(previous_epoch),
        batches: Vec::new(),
        high_watermark: offset(body)?,
        log_start_offset: offset(body)?,
    })
}

fn take_ack(body: &mut &[u8]) -> Result<Ack, Wrong> {
    Ok(Ack { session: take_session(body)?, written_end_offset: offset(body)?, durable_end_offset: offset(body)? })
}

fn take_log(body: &mut &[u8]) -> Result<LogId, Wrong> {
    let (topic, rest) = body.split_first_chunk::<16>().ok_or(Wrong)?;
    *body = rest;
    Ok(LogId { topic: TopicId(*topic), partition: body.try_get_i32()? })
}

fn take_session(body: &mut &[u8]) -> Result<SessionId, Wrong> {
    Ok(SessionId { leader_epoch: body.try_get_i32()?, number: body.try_get_u32()? })
}

/// Of a batch that a leader has appended.
fn take_bounds(batch: &BatchView<'_>) -> Result<BatchBounds, Wrong> {
    let bounds = bounds(batch);
    let is_possible = bounds.base_offset >= 0 && bounds.last_offset < OFFSET_MAX && bounds.epoch >= 0;
    if is_possible { Ok(bounds) } else { Err(Wrong) }
}

/// No log comes near it: whatever is added to an offset below it is one.
const OFFSET_MAX: i64 = 1 << 62;

/// Never negative.
fn offset(body: &mut &[u8]) -> Result<i64, Wrong> {
    let offset = body.try_get_i64()?;
    if (0..OFFSET_MAX).contains(&offset) { Ok(offset) } else { Err(Wrong) }
}

#[cfg(test)]
mod tests {
    use chronik_log::records::BatchBuilder;

    use super::*;

    const LOG: LogId = LogId { topic: TopicId([7; 16]), partition: 3 };
    const SESSION: SessionId = SessionId { leader_epoch: 5, number: 9 };
    const SPEAKER: Speaker = Speaker { broker_id: 2, broker_epoch: 44 };

    fn records() -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in ["one", "two"] {
            let mut batch = BatchBuilder::new();
            batch.record(1, None, Some(value.as_bytes()), &[]);
            let at = bytes.len() + 12;
            bytes.extend_from_slice(batch.build().bytes());
            bytes[at..at + 4].copy_from_slice(&5_i32.to_be_bytes());
        }
        bytes
    }

    fn messages(records: &[u8]) -> Vec<Message<'_>> {
        let asked = Replicate {
            ask: 8,
            broker_id: 2,
            broker_epoch: 44,
            leader_epoch: 5,
            log_end_offset: 100,
            durable_end_offset: 90,
            last_epoch: None,
        };
        let frame = |bytes| Frame {
            session: SESSION,
            expected_end_offset: 100,
            previous_epoch: Some(4),
            batches: batches(bytes).map(|batch| bounds(&batch.unwrap())).collect(),
            high_watermark: 80,
            log_start_offset: 3,
        };
        let verdicts = [
            Verdict::Fenced,
            Verdict::UnknownEpoch,
            Verdict::OutOfRange { log_start_offset: 70 },
            Verdict::Diverged { epoch: -1, end_offset: 6 },
            Verdict::Stream(SESSION),
        ];
        let mut messages = vec![
            Message::Heartbeat,
            Message::Hello(Hello { cluster_id: "a cluster".to_owned(), from: 1, to: 2, broker_epoch: 17 }),
            Message::Replicate(LOG, asked),
            Message::Replicate(LOG, Replicate { last_epoch: Some(0), ..asked }),
            Message::Records(LOG, frame(&[]), &[]),
            Message::Records(LOG, frame(records), records),
            Message::Ack(LOG, Ack { session: SESSION, written_end_offset: 9, durable_end_offset: 8 }),
            Message::Over(LOG, SESSION),
        ];
        messages.extend(verdicts.map(|verdict| Message::Answer(LOG, asked.answer(verdict))));
        messages
    }

    #[test]
    fn what_was_written_is_read() {
        let records = records();
        for message in messages(&records) {
            let mut bytes = BytesMut::new();
            encode(&message, &mut bytes);
            assert_eq!(frame_bytes(&bytes, 1 << 20), Ok(Some(bytes.len())), "{message:?}");
            assert_eq!(decode(&bytes, SPEAKER), Ok(message));
        }
    }

    /// The byte map of `docs/format.md`.
    #[test]
    fn the_bytes_are_as_documented() {
        let mut bytes = BytesMut::new();
        encode(&Message::Over(LOG, SESSION), &mut bytes);
        let mut body = vec![7; 16];
        body.extend([0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 9]);
        let mut expected = vec![b'W', b'A', 1, 6, 0, 0, 0, 28];
        expected.extend(crc32c::crc32c(&body).to_be_bytes());
        expected.extend(crc32c::crc32c(&expected).to_be_bytes());
        expected.extend(body);
        assert_eq!(bytes, expected);
        let mut heartbeat = BytesMut::new();
        encode(&Message::Heartbeat, &mut heartbeat);
        assert_eq!(heartbeat[..8], [b'H', b'B', 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let records = records();
        for message in messages(&records) {
            let mut bytes = BytesMut::new();
            encode(&message, &mut bytes);
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 0x10;
                let is_read = matches!(frame_bytes(&changed, 1 << 20), Ok(Some(length)) if length == changed.len())
                    && decode(&changed, SPEAKER).is_ok_and(|message| match message {
                        Message::Records(_, _, bytes) => verified(bytes).is_ok(),
                        _ => true,
                    });
                assert!(!is_read, "byte {at} of {message:?}");
            }
        }
    }

    /// What would not fit into any log, whoever sends it, and with checksums that are right.
    #[test]
    fn offsets_that_cannot_be_are_refused() {
        let records = records();
        let is_read = |message: &Message<'_>| {
            let mut bytes = BytesMut::new();
            encode(message, &mut bytes);
            decode(&bytes, SPEAKER).is_ok()
        };
        let ack = Ack { session: SESSION, written_end_offset: 9, durable_end_offset: 8 };
        assert!(is_read(&Message::Ack(LOG, ack)));
        for offset in [-1, OFFSET_MAX, i64::MAX, i64::MIN] {
            assert!(!is_read(&Message::Ack(LOG, Ack { written_end_offset: offset, ..ack })), "{offset}");
            let verdict = Verdict::OutOfRange { log_start_offset: offset };
            assert!(!is_read(&Message::Answer(LOG, Answer { leader_epoch: 0, ask: 1, verdict })), "{offset}");
        }
        let Message::Records(_, frame, _) = &messages(&records)[5] else { panic!("records were expected") };
        for (at, value) in [(0, i64::MAX - 1), (0, -1), (12, -1)] {
            let mut changed = records.clone();
            match at {
                0 => changed[..8].copy_from_slice(&i64::to_be_bytes(value)),
                at => changed[at..at + 4].copy_from_slice(&(value as i32).to_be_bytes()),
            }
            assert!(!is_read(&Message::Records(LOG, frame.clone(), &changed)), "{value} at {at}");
        }
    }

    #[test]
    fn a_length_has_its_bound_before_anything_is_read() {
        let mut bytes = BytesMut::new();
        encode(&Message::Heartbeat, &mut bytes);
        for (kind, magic, limit) in
            [(1, MAGIC, SMALL_BYTES_MAX), (4, MAGIC, 1000), (0, HEARTBEAT_MAGIC, SMALL_BYTES_MAX)]
        {
            let mut read = |length: usize| {
                bytes[..2].copy_from_slice(&magic.to_be_bytes());
                bytes[3] = kind;
                bytes[4..8].copy_from_slice(&(length as u32).to_be_bytes());
                let checksum = crc32c::crc32c(&bytes[..12]);
                bytes[12..16].copy_from_slice(&checksum.to_be_bytes());
                frame_bytes(&bytes, 1000)
            };
            assert_eq!(read(limit), Ok(Some(HEADER_BYTES + limit)));
            assert_eq!(read(limit + 1), Err(Damaged::Length { kind, length: limit + 1, limit }));
        }
        assert_eq!(frame_bytes(b"GET / HTTP/1.1\r\n", 1000), Err(Damaged::Magic(u16::from_be_bytes(*b"GE"))));
    }
}
