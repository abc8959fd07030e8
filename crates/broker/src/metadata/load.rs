//! The metadata at a start: the snapshot, what the log holds behind it, and this process's registration.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chronik_log::snapshot::{self as snapshot_file, SnapshotError};
use chronik_log::{AppendError, Fatal, Identity, LogConfig, PartitionLog, ReadError, ReadRequest, Storage, UpkeepError, batch, records};
use chronik_state::ids::{LogId, Offset};
use chronik_state::metadata::record::{Endpoint, Record};
use chronik_state::metadata::{
    BrokerRegistration, ClusterStart, Controller, ControllerSettings, Image, MetadataError, Restart, SupportedFeature,
};
use thiserror::Error;

use super::codec::CodecError;
use super::snapshot::Snapshots;
use super::{Metadata, append, codec};
use crate::config::{Advertise, Config};
use crate::node::{now_ms, random_id};
use crate::settings::Settings;

/// Bytes of the metadata log that are read at a time.
const READ_BYTES: usize = 4 << 20;

/// Why the metadata could not be had.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The snapshot is damaged.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The log is damaged.
    #[error("the metadata log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// Its bytes are not whole.
    #[error("the metadata log cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A batch is not one.
    #[error("the metadata log cannot be read at offset {offset}: {reason}")]
    Batch { offset: Offset, reason: String },
    /// A record is not one, or of a later version.
    #[error("the metadata log cannot be understood at offset {offset}: {source}\n\nFix: start this data directory with the version of the program that wrote it, or a later one")]
    Record { offset: Offset, source: CodecError },
    /// Part of the metadata is gone.
    #[error("the metadata log holds offsets {log_start_offset} to {log_end_offset}, but the newest snapshot ends at offset {snapshot_end_offset}: what lies between is missing\n\nTopics that are not known would be deleted with their records, so nothing here was touched.\n\nFix: restore the directory `metadata` of the data directory from a backup")]
    Missing { log_start_offset: Offset, log_end_offset: Offset, snapshot_end_offset: Offset },
    /// This node may not join.
    #[error("{0}")]
    Refused(#[from] MetadataError),
    /// The first records of this start could not be written.
    #[error("{0}")]
    Append(#[from] AppendError),
    /// The disk failed.
    #[error("{0}")]
    Fatal(#[from] Fatal),
    /// What the metadata no longer knows could not be removed.
    #[error("{0}")]
    Upkeep(#[from] UpkeepError),
}

impl Metadata {
    /// Reads what the node knew, and registers this process anew.
    pub(crate) fn load(storage: &Storage, config: &Config, settings: &Settings, identity: &Identity) -> Result<Self, LoadError> {
        let log = storage.create(LogId::METADATA, log_config())?;
        let mut image = Image::default();
        let mut end_offset = 0;
        if let Some(snapshot) = snapshot_file::read_latest(storage.disk(), &config.data_dir)? {
            end_offset = snapshot.end_offset;
            super::snapshot::decode(&snapshot.payload)
                .map_err(|source| LoadError::Record { offset: end_offset, source })?
                .iter()
                .for_each(|record| image.apply(record));
        }
        check_whole(&log, end_offset)?;
        let snapshots = Snapshots::new(end_offset);
        // One voter: what is in the log was committed.
        log.note_high_watermark(log.log_end_offset());
        replay(&log, end_offset, |record| image.apply(record))?;
        let term = log.last_epoch().map_or(1, |epoch| epoch + 1);
        let controller_settings = ControllerSettings {
            default_partitions: settings.default_partitions,
            default_replication_factor: settings.default_replication_factor,
            configs: config.kafka.clone(),
        };
        let mut controller = Controller::new(controller_settings, image);
        let mut decided = Vec::new();
        let start = ClusterStart { cluster_id: identity.cluster_id.clone(), features: SupportedFeature::levels_at_birth() };
        let decision = controller.start_cluster(&start);
        decision.reply?;
        take(&mut controller, decision.records, &mut decided);
        let registration = registration(config, identity);
        let decision = controller.register_broker(&registration, log.log_end_offset() + decided.len() as i64);
        let broker_epoch = decision.reply;
        take(&mut controller, decision.records, &mut decided);
        append(&log, term, &decided)?;
        storage.commit()?;
        Ok(Metadata {
            image: ArcSwap::from_pointee(controller.image().clone()),
            log,
            term,
            broker_epoch,
            controller: tokio::sync::Mutex::new(controller),
            snapshots,
            producer_ids: super::producer_ids::ProducerIds::default(),
        })
    }
}

/// The log goes on where the snapshot ends, which is 0 without one. Nothing must be missing in between, nor behind: what
/// is appended next must have offsets that no later snapshot claims to hold.
fn check_whole(log: &PartitionLog, snapshot_end_offset: Offset) -> Result<(), LoadError> {
    let (log_start_offset, log_end_offset) = (log.log_start_offset(), log.log_end_offset());
    if (log_start_offset..=log_end_offset).contains(&snapshot_end_offset) {
        return Ok(());
    }
    Err(LoadError::Missing { log_start_offset, log_end_offset, snapshot_end_offset })
}

fn take(controller: &mut Controller, records: Vec<Record>, decided: &mut Vec<Record>) {
    records.iter().for_each(|record| controller.apply(record));
    decided.extend(records);
}

fn registration(config: &Config, identity: &Identity) -> BrokerRegistration {
    let port = config.listen.first().map_or(0, |address| address.port());
    let (host, port) = match &config.advertise {
        Advertise::Fixed { host, port } => (host.clone(), *port),
        // Clients are told the address they came by; what stands here is for the record.
        Advertise::FollowConnection => ("localhost".to_owned(), port),
    };
    BrokerRegistration {
        id: config.node_id,
        incarnation_id: random_id(),
        directory_id: directory_id(&identity.directory_id),
        endpoints: vec![Endpoint { name: "PLAINTEXT".to_owned(), host, port, security_protocol: 0 }],
        rack: None,
        // How the last run ended is not looked at yet.
        restart: Restart::Crash,
        // A node that is its own metadata has caught up with it.
        fenced: false,
    }
}

/// The 16 bytes behind 22 characters; an id that was written by hand counts by its first bytes.
fn directory_id(text: &str) -> [u8; 16] {
    crate::node::parse_id(text).unwrap_or_else(|| {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(text.bytes()).for_each(|(byte, character)| *byte = character);
        bytes
    })
}

/// Applies every record of the metadata log from `from` on.
fn replay(log: &Arc<PartitionLog>, from: Offset, mut apply: impl FnMut(&Record)) -> Result<(), LoadError> {
    let mut offset = from.max(log.log_start_offset());
    let end_offset = log.log_end_offset();
    while offset < end_offset {
        let request = ReadRequest { offset, max_bytes: READ_BYTES, end_offset, at_least_one: true, now_ms: now_ms() };
        let bytes = log.read(request)?.to_vec()?;
        let before = offset;
        for batch in batch::batches(&bytes) {
            let batch = batch.map_err(|error| LoadError::Batch { offset, reason: error.to_string() })?;
            for record in records::read(&batch) {
                let record = record.map_err(|error| LoadError::Batch { offset, reason: error.to_string() })?;
                if record.offset >= from {
                    let value = record.value.unwrap_or_default();
                    let record = codec::decode(value).map_err(|source| LoadError::Record { offset: record.offset, source })?;
                    apply(&record);
                }
            }
            offset = batch.last_offset() + 1;
        }
        if offset == before {
            return Err(LoadError::Batch { offset, reason: "the log gives nothing though it goes on".to_owned() });
        }
    }
    Ok(())
}

/// Nothing of the metadata log is deleted by age or size; snapshots move its start.
fn log_config() -> LogConfig {
    LogConfig { segment_bytes: 64 << 20, retention_ms: -1, retention_bytes: -1, delete: false, ..LogConfig::default() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::node::Node;
    use crate::start::{self, StartError};

    fn bring_up(data_dir: &Path) -> Result<Arc<Node>, StartError> {
        let listen = vec![([127, 0, 0, 1], 0).into()];
        let config = Config { data_dir: data_dir.to_owned(), listen, reactors: 1, ..Config::default() };
        start::bring_up(config).map(|(node, ..)| node)
    }

    #[test]
    fn a_lost_snapshot_refuses_to_start_rather_than_forget_the_topics() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        node.metadata.snapshot(&node).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        let node = bring_up(data_dir.path()).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        std::fs::remove_dir_all(data_dir.path().join("metadata")).unwrap();
        let error = bring_up(data_dir.path()).err();
        assert!(matches!(error, Some(StartError::Metadata(LoadError::Missing { .. }))), "{error:?}");
    }

    #[test]
    fn a_snapshot_of_what_the_log_never_held_refuses_to_start() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        let end_offset = node.metadata.log.log_end_offset() + 1;
        let ahead = snapshot_file::Snapshot { end_offset, epoch: 1, payload: Vec::new() };
        snapshot_file::write(node.storage.disk(), data_dir.path(), &ahead).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        let error = bring_up(data_dir.path()).err();
        assert!(matches!(error, Some(StartError::Metadata(LoadError::Missing { .. }))), "{error:?}");
    }
}
