//! One log's row of a checkpoint.

use chronik_state::ids::{LogId, Offset, TimestampMs, TopicId};

use crate::wal::Lsn;

const SET: u8 = 1;
const REMOVED: u8 = 2;

/// What a log looked like when its entries before `lsn` had been applied, and no later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) log: LogId,
    pub(crate) lsn: Lsn,
    pub(crate) log_start: Offset,
    /// One past the last record, all of which are in segments.
    pub(crate) log_end: Offset,
    pub(crate) high_watermark: Offset,
    /// Bytes of all segments.
    pub(crate) bytes: u64,
    /// Newest timestamp of the oldest segment: retention need not open the log to see that nothing is due.
    pub(crate) oldest_max_timestamp: TimestampMs,
    pub(crate) active: Option<ActiveRow>,
    /// `LeaderEpochs::snapshot`.
    pub(crate) epochs: Vec<u8>,
    /// `Producers::snapshot`.
    pub(crate) producers: Vec<u8>,
}

/// The segment that is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActiveRow {
    pub(crate) base: Offset,
    /// Bytes that count; the file may be longer.
    pub(crate) length: u64,
    /// The same of its index.
    pub(crate) index_length: u64,
    pub(crate) max_timestamp: TimestampMs,
    /// When its first batch was appended.
    pub(crate) first_append_ms: TimestampMs,
}

/// What a group says about one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowChange {
    Set(Box<Row>),
    Removed(LogId),
}

impl RowChange {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            RowChange::Removed(log) => {
                out.push(REMOVED);
                put_log(out, *log);
            }
            RowChange::Set(row) => {
                out.push(SET);
                put_log(out, row.log);
                out.extend_from_slice(&row.lsn.to_le_bytes());
                for value in [row.log_start, row.log_end, row.high_watermark, row.bytes as i64, row.oldest_max_timestamp] {
                    out.extend_from_slice(&value.to_le_bytes());
                }
                let none = ActiveRow { base: -1, length: 0, index_length: 0, max_timestamp: -1, first_append_ms: -1 };
                let active = row.active.unwrap_or(none);
                let lengths = [active.length as i64, active.index_length as i64];
                for value in [active.base, lengths[0], lengths[1], active.max_timestamp, active.first_append_ms] {
                    out.extend_from_slice(&value.to_le_bytes());
                }
                put_bytes(out, &row.epochs);
                put_bytes(out, &row.producers);
            }
        }
    }

    pub(crate) fn decode(rest: &mut &[u8]) -> Option<Self> {
        let kind = take::<1>(rest)?[0];
        let log = take_log(rest)?;
        match kind {
            REMOVED => Some(RowChange::Removed(log)),
            SET => Some(RowChange::Set(Box::new(Row {
                log,
                lsn: u64::from_le_bytes(take(rest)?),
                log_start: take_i64(rest)?,
                log_end: take_i64(rest)?,
                high_watermark: take_i64(rest)?,
                bytes: take_i64(rest)? as u64,
                oldest_max_timestamp: take_i64(rest)?,
                active: take_active(rest)?,
                epochs: take_bytes(rest)?,
                producers: take_bytes(rest)?,
            }))),
            _ => None,
        }
    }
}

fn put_log(out: &mut Vec<u8>, log: LogId) {
    out.extend_from_slice(&log.topic.0);
    out.extend_from_slice(&log.partition.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    take(rest).map(i64::from_le_bytes)
}

fn take_log(rest: &mut &[u8]) -> Option<LogId> {
    let topic = TopicId(take(rest)?);
    Some(LogId { topic, partition: i32::from_le_bytes(take(rest)?) })
}

/// `Some(None)` where the log has no segment.
fn take_active(rest: &mut &[u8]) -> Option<Option<ActiveRow>> {
    let active = ActiveRow {
        base: take_i64(rest)?,
        length: take_i64(rest)? as u64,
        index_length: take_i64(rest)? as u64,
        max_timestamp: take_i64(rest)?,
        first_append_ms: take_i64(rest)?,
    };
    Some((active.base >= 0).then_some(active))
}

fn take_bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (bytes, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(bytes.to_vec())
}
