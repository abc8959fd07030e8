//! Takes a producer's batch into a partition: everything that may be wrong with it is found here, before the log sees it.
//!
//! Rules: `LogValidator` and `ProduceRequest.validateRecords` of Apache Kafka; KIP-98 and KIP-360 for sequences, KIP-937 for
//! timestamps. A batch is looked at, never decoded: 61 bytes of header, a checksum over the rest, and for uncompressed
//! batches one walk along the records' lengths.

use std::sync::Arc;

use chronik_log::batch::{BatchError, BatchView, Compression, ValidBatch};
use chronik_log::records::{self, RecordError};
use chronik_log::{Append, AppendError, LogConfig, SyncClass};
use chronik_state::ids::LeaderEpoch;
use chronik_state::metadata::configs::{SyncPolicy, TimestampType, TopicSettings};
use chronik_state::partition::leader::NotEnoughReplicas;
use chronik_state::partition::producers::ProducerError;
use thiserror::Error;

use super::Partition;
use super::role::Role;
use crate::net::reactor::Position;
use crate::node::steady_ms;

/// What the records of one batch may come to when a rule asks to look into them.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Where a batch has got to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) base_offset: i64,
    /// Exclusive.
    pub(crate) end_offset: i64,
    /// −1 unless the topic stamps the time of append.
    pub(crate) log_append_time_ms: i64,
    /// When it may be acknowledged, as far as this node goes.
    pub(crate) position: Position,
    pub(crate) duplicate: bool,
    /// In which leadership it was taken.
    pub(crate) leader_epoch: LeaderEpoch,
}

/// Why a batch is not taken. The mapping to Kafka's codes is in `dispatch/errors.rs`.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Corrupt(BatchError),
    #[error("a compacted topic takes no record without key")]
    WithoutKey { batch_indexes: Vec<i32> },
    #[error("the batch has {bytes} bytes, max.message.bytes is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("timestamp {timestamp_ms} is not within the bounds that message.timestamp.before.max.ms and message.timestamp.after.max.ms set around {now_ms}")]
    Timestamp { timestamp_ms: i64, now_ms: i64 },
    #[error("zstd needs version 7 of Produce or later")]
    CompressionNotAllowed,
    #[error("this broker does not lead the partition")]
    NotLeader,
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
        check_records(&view, &settings)?;
        self.append_checked(batch, origin.now_ms, &settings, false, None)
    }

    /// Appends what the node itself writes, which needs no checking, as for acks=all. `privileged`: also while the disk is full.
    /// `leader_epoch`: only in that leadership; what was decided in an earlier one may not stand behind what another leader wrote.
    pub(crate) fn append_own(
        self: &Arc<Self>,
        batch: ValidBatch<'_>,
        now_ms: i64,
        privileged: bool,
        leader_epoch: LeaderEpoch,
    ) -> Result<Taken, Refused> {
        self.check_in_sync()?;
        self.append_checked(batch, now_ms, &self.settings(), privileged, Some(leader_epoch))
    }

    /// The role does not change while the batch gets its place: what another leader wrote there would be followed by what
    /// it did not.
    fn append_checked(
        self: &Arc<Self>,
        batch: ValidBatch<'_>,
        now_ms: i64,
        settings: &TopicSettings,
        privileged: bool,
        wanted_epoch: Option<LeaderEpoch>,
    ) -> Result<Taken, Refused> {
        let durable = settings.sync == SyncPolicy::Commit;
        let sync = if durable { SyncClass::Commit } else { SyncClass::Interval };
        let link = self.link.get();
        let mut role = self.role.lock();
        let Role::Leader(leader) = &mut *role else { return Err(Refused::NotLeader) };
        let leader_epoch = leader.leader_epoch();
        if wanted_epoch.is_some_and(|wanted| wanted != leader_epoch) {
            return Err(Refused::NotLeader);
        }
        let appended = self.log.append(batch, Append { leader_epoch, now_ms, sync, privileged })?;
        if let Some(link) = link.filter(|_| !appended.duplicate) {
            // On its way to the followers while it is on its way to this node's disk.
            leader.on_log_end(appended.last_offset + 1, steady_ms());
            drop(role);
            self.is_ready(link);
        }
        Ok(Taken {
            leader_epoch,
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
    if view.base_offset() != 0 {
        return invalid("a batch from a producer begins with offset 0");
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
        BatchError::Magic(0 | 1) => {
            Refused::Invalid("produce requests of version 3 and later carry record batches of magic 2 only".to_owned())
        }
        BatchError::Magic(_) | BatchError::Checksum { .. } => Refused::Corrupt(error),
        BatchError::Truncated { .. } | BatchError::Length(_) | BatchError::Field(_) => Refused::Invalid(error.to_string()),
    }
}

/// What the records must be like. Those that are compressed are looked into only where a rule of the topic asks for it:
/// the producer made their checksum, and a consumer finds what is wrong with them.
fn check_records(batch: &BatchView<'_>, settings: &TopicSettings) -> Result<(), Refused> {
    if settings.compact {
        return check_keys(batch);
    }
    match batch.compression() {
        Ok(Compression::None) => records::check_layout(batch).map_err(refuse_records),
        _ => Ok(()),
    }
}

fn check_keys(batch: &BatchView<'_>) -> Result<(), Refused> {
    let bytes = records::decompress(batch, DECOMPRESSED_BYTES_MAX).map_err(refuse_records)?;
    let mut batch_indexes = Vec::new();
    for (index, record) in (0..).zip(records::read_from(batch, &bytes)) {
        if record.map_err(refuse_records)?.key.is_none() {
            batch_indexes.push(index);
        }
    }
    if batch_indexes.is_empty() { Ok(()) } else { Err(Refused::WithoutKey { batch_indexes }) }
}

fn refuse_records(error: RecordError) -> Refused {
    Refused::Invalid(error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use chronik_log::records::BatchBuilder;
    use chronik_state::metadata::configs::{BrokerLayers, ConfigMap};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn settings(configs: &[(&str, &str)]) -> TopicSettings {
        let configs: ConfigMap = configs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        TopicSettings::resolve(&configs, BrokerLayers::of_node(&ConfigMap::new()))
    }

    fn batch(keys: &[Option<&[u8]>]) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        keys.iter().for_each(|key| builder.record(NOW_MS, *key, Some(b"value"), &[]));
        builder.build().bytes().to_vec()
    }

    fn take(bytes: &[u8], settings: &TopicSettings) -> Result<(), Refused> {
        let view = check(bytes, Origin { version: 9, all_replicas: true, now_ms: NOW_MS }, settings)?;
        view.verify().map_err(Refused::Corrupt)?;
        check_records(&view, settings)
    }

    /// `bytes` with one changed, and the checksum made to fit.
    fn changed(mut bytes: Vec<u8>, at: usize, to: u8) -> Vec<u8> {
        bytes[at] = to;
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Bit by bit, so that the tests do not trust the code under test.
    fn crc32c(bytes: &[u8]) -> u32 {
        let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
    }

    #[test]
    fn a_sound_batch_is_taken() {
        let bytes = batch(&[None, Some(b"key")]);
        assert!(take(&bytes, &settings(&[])).is_ok());
        assert!(take(&changed(bytes, 60, 2), &settings(&[])).is_ok());
    }

    #[test]
    fn what_the_header_or_the_records_belie_is_refused_as_kafka_does() {
        let good = batch(&[None, None]);
        let invalid = [
            ("nothing", Vec::new()),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("two batches", [good.clone(), good.clone()].concat()),
            ("an offset of its own", changed(good.clone(), 7, 1)),
            ("magic 1", changed(good.clone(), 16, 1)),
            ("a control batch", changed(good.clone(), 22, 0x20)),
            ("no such compression", changed(good.clone(), 22, 7)),
            ("more records than are there", changed(changed(good.clone(), 60, 3), 26, 2)),
            ("count and delta that disagree", changed(good.clone(), 60, 3)),
            ("a record longer than its batch", changed(good.clone(), 61, 100)),
        ];
        for (what, bytes) in invalid {
            assert!(matches!(take(&bytes, &settings(&[])), Err(Refused::Invalid(_))), "{what}");
        }
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for (what, bytes) in [("a flipped bit", flipped), ("magic 3", changed(good, 16, 3))] {
            assert!(matches!(take(&bytes, &settings(&[])), Err(Refused::Corrupt(_))), "{what}");
        }
    }

    #[test]
    fn bounds_are_the_topics() {
        let bytes = batch(&[None]);
        let small = settings(&[("max.message.bytes", "10")]);
        assert!(matches!(take(&bytes, &small), Err(Refused::TooLarge { limit: 10, .. })));
        let strict = settings(&[("message.timestamp.before.max.ms", "1000")]);
        assert!(take(&bytes, &strict).is_ok());
        let mut old = BatchBuilder::new();
        old.record(NOW_MS - 1001, None, None, &[]);
        assert!(matches!(take(old.build().bytes(), &strict), Err(Refused::Timestamp { .. })));
    }

    #[test]
    fn a_compacted_topic_names_the_records_without_key() {
        let compacted = settings(&[("cleanup.policy", "compact")]);
        assert!(take(&batch(&[Some(b"a"), Some(b"")]), &compacted).is_ok());
        match take(&batch(&[Some(b"a"), None, Some(b"b"), None]), &compacted) {
            Err(Refused::WithoutKey { batch_indexes }) => assert_eq!(batch_indexes, [1, 3]),
            other => panic!("{other:?}"),
        }
    }
}
