//! Takes a producer's batch into a partition: everything that may be wrong with it is found here, before the log sees it.
//!
//! Rules: `LogValidator` and `ProduceRequest.validateRecords` of Apache Kafka; KIP-98 and KIP-360 for sequences, KIP-937 for
//! timestamps. A batch is looked at, never decoded: 61 bytes of header, a checksum over the rest, and for uncompressed
//! batches one walk along the records' lengths.

use std::sync::Arc;

use chronik_log::batch::{BatchError, BatchView, Compression, ValidBatch};
use chronik_log::{Append, AppendError, LogConfig, SyncClass};
use chronik_state::metadata::configs::{SyncPolicy, TimestampType, TopicSettings};
use chronik_state::partition::leader::NotEnoughReplicas;
use chronik_state::partition::producers::ProducerError;
use thiserror::Error;

use super::Partition;
use crate::net::reactor::Position;

/// Where a batch has got to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) base_offset: i64,
    /// Exclusive.
    pub(crate) end_offset: i64,
    /// −1 unless the topic stamps the time of append.
    pub(crate) log_append_time_ms: i64,
    /// When it may be acknowledged.
    pub(crate) position: Position,
    pub(crate) duplicate: bool,
}

/// Why a batch is not taken. The mapping to Kafka's codes is in `dispatch/errors.rs`.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Invalid(String),
    #[error("the batch is not whole: {0}")]
    Corrupt(BatchError),
    #[error("the batch has {bytes} bytes, max.message.bytes is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("timestamp {timestamp_ms} is not within the bounds that message.timestamp.before.max.ms and message.timestamp.after.max.ms set around {now_ms}")]
    Timestamp { timestamp_ms: i64, now_ms: i64 },
    #[error("zstd needs version 7 of Produce or later")]
    CompressionNotAllowed,
    #[error("{0}")]
    NotEnoughReplicas(#[from] NotEnoughReplicas),
    #[error("transactions are not served")]
    Transactional,
    #[error("{0}")]
    Producer(#[from] ProducerError),
    #[error("{0}")]
    Log(AppendError),
}

/// What a request says about all of its batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) version: i16,
    /// True for acks=all.
    pub(crate) all_replicas: bool,
    pub(crate) now_ms: i64,
}

impl Partition {
    /// Appends what a producer sent for this partition: exactly one batch.
    pub(crate) fn append(self: &Arc<Self>, records: &[u8], origin: Origin) -> Result<Taken, Refused> {
        let settings = self.settings();
        if origin.all_replicas {
            self.check_in_sync()?;
        }
        let view = check(records, origin, &settings)?;
        let batch = view.verify().map_err(Refused::Corrupt)?;
        Ok(self.append_checked(batch, origin.now_ms, &settings)?)
    }

    /// Appends what the node itself writes, which needs no checking.
    pub(crate) fn append_own(&self, batch: ValidBatch<'_>, now_ms: i64) -> Result<Taken, AppendError> {
        self.append_checked(batch, now_ms, &self.settings())
    }

    fn append_checked(&self, batch: ValidBatch<'_>, now_ms: i64, settings: &TopicSettings) -> Result<Taken, AppendError> {
        let durable = settings.sync == SyncPolicy::Commit;
        let sync = if durable { SyncClass::Commit } else { SyncClass::Interval };
        let leader_epoch = self.leader_epoch();
        let appended = self.log.append(batch, Append { leader_epoch, now_ms, sync, privileged: false })?;
        Ok(Taken {
            base_offset: appended.base_offset,
            end_offset: appended.last_offset + 1,
            log_append_time_ms: appended.log_append_time_ms,
            position: Position { lsn: appended.lsn, durable },
            duplicate: appended.duplicate,
        })
    }
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Producer(error) => Refused::Producer(error),
            other => Refused::Log(other),
        }
    }
}

/// What the header alone can tell.
fn check<'a>(records: &'a [u8], origin: Origin, settings: &TopicSettings) -> Result<BatchView<'a>, Refused> {
    let invalid = |why: &str| Err(Refused::Invalid(why.to_owned()));
    let view = BatchView::parse(records).map_err(refuse_layout)?;
    let bytes = view.bytes().len();
    if bytes != records.len() {
        return invalid("a produce request may contain only one batch for each partition");
    }
    if bytes > settings.max_message_bytes {
        return Err(Refused::TooLarge { bytes, limit: settings.max_message_bytes });
    }
    if view.is_control() {
        return invalid("control records are written by brokers only");
    }
    if view.record_count() < 1 || view.last_offset_delta() != view.record_count() - 1 {
        return invalid("the count of records and the last offset delta of the batch do not agree");
    }
    if view.producer_id() >= 0 && view.base_sequence() < 0 {
        return invalid("a batch with a producer id needs a sequence number");
    }
    if view.is_transactional() {
        return Err(Refused::Transactional);
    }
    match view.compression() {
        Err(_) => return invalid("the batch names a compression that does not exist"),
        Ok(Compression::Zstd) if origin.version < 7 => return Err(Refused::CompressionNotAllowed),
        Ok(_) => {}
    }
    check_timestamps(&view, origin, settings)?;
    Ok(view)
}

fn check_timestamps(view: &BatchView<'_>, origin: Origin, settings: &TopicSettings) -> Result<(), Refused> {
    if settings.timestamp_type == TimestampType::LogAppendTime {
        return Ok(());
    }
    let now_ms = origin.now_ms;
    let earliest = now_ms.saturating_sub(settings.timestamp_before_max_ms);
    let latest = now_ms.saturating_add(settings.timestamp_after_max_ms);
    for timestamp_ms in [view.base_timestamp(), view.max_timestamp()] {
        if timestamp_ms != -1 && !(earliest..=latest).contains(&timestamp_ms) {
            return Err(Refused::Timestamp { timestamp_ms, now_ms });
        }
    }
    Ok(())
}

fn refuse_layout(error: BatchError) -> Refused {
    match error {
        BatchError::Magic { .. } => {
            Refused::Invalid("produce requests of version 3 and later carry record batches of magic 2 only".to_owned())
        }
        other => Refused::Corrupt(other),
    }
}

/// What of a topic's settings the log itself needs.
pub(crate) fn log_config(settings: &TopicSettings) -> LogConfig {
    LogConfig {
        segment_bytes: settings.segment_bytes,
        segment_ms: i64::try_from(settings.segment_ms).unwrap_or(i64::MAX),
        retention_bytes: or_never(settings.retention_bytes),
        retention_ms: or_never(settings.retention_ms),
        delete: settings.delete,
        log_append_time: settings.timestamp_type == TimestampType::LogAppendTime,
    }
}

/// −1 is the log's word for "without bound".
fn or_never(bound: Option<u64>) -> i64 {
    bound.map_or(-1, |bound| i64::try_from(bound).unwrap_or(i64::MAX))
}
