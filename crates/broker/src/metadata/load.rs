//! The metadata at a start: the snapshot, what the log holds behind it, and this process's registration.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chronik_consensus::{Membership, Message, SavedSnapshot, Settings as MemberSettings};
use chronik_council::{Council, CouncilError, OpenError, Saved, Seat, check_whole, codec, decision, each_record, index_at, offset_of};
use chronik_log::snapshot::{self as snapshot_file, Snapshot, SnapshotError};
use chronik_log::vote::{self, Vote, VoteError};
use chronik_log::{AppendError, Fatal, Identity, LogConfig, PartitionLog, Storage, UpkeepError};
use chronik_state::ids::LogId;
use chronik_state::metadata::record::Endpoint;
use chronik_state::metadata::{
    BrokerRegistration, ClusterStart, ControllerSettings, Image, MetadataError, Restart, SupportedFeature,
};
use thiserror::Error;
use tokio::sync::mpsc;

use super::Metadata;
use super::snapshot::Snapshots;
use crate::config::{Advertise, Config, SyncPolicy};
use crate::node::{now_ms, random_id};
use crate::settings::Settings;

/// Why the metadata could not be had.
#[derive(Debug, Error)]
pub enum LoadError {
    /// What the disk holds cannot be believed.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The snapshot cannot be written.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The directory is that of a single node.
    #[error("this data directory belongs to a node on its own, and the configuration describes a cluster\n\nA cluster begins with empty directories.\n\nFix: start this node without peers, or give it an empty data directory")]
    OnItsOwn,
    /// The directory is that of a member of a cluster.
    #[error("this data directory belongs to one of several nodes, and the configuration describes a node on its own\n\nFix: start it with the configuration file of the cluster, or with another data directory")]
    OneOfSeveral,
    /// The vote cannot be written.
    #[error("{0}")]
    Vote(#[from] VoteError),
    /// What the group had agreed on could not be applied.
    #[error("{0}")]
    Council(#[from] CouncilError),
    /// A bug: nobody else could have refused.
    #[error("a node that is alone could not decide upon its metadata: {0}")]
    Alone(String),
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
    /// Takes this node's seat in the metadata's Raft group. A node that is the whole group reads what it knew, and registers this
    /// process anew; one of several hears what it missed once it runs.
    pub(crate) fn load(
        storage: &Arc<Storage>,
        config: &Config,
        settings: &Settings,
        identity: &Identity,
        cluster_id: &str,
        outbox: mpsc::UnboundedSender<Message>,
    ) -> Result<Self, LoadError> {
        let disk = storage.shared_disk();
        let log = storage.create(LogId::METADATA, log_config())?;
        let own_id = raft_id(directory_id(&identity.directory_id));
        let saved = match chronik_council::saved(disk.as_ref(), &config.data_dir)? {
            Some(saved) => saved,
            None => {
                let older = snapshot_file::read_latest(disk.as_ref(), &config.data_dir)?;
                let founding = found_alone(&log, older, own_id)?;
                // The vote that it is about to give itself: written ahead, the election has nothing left to sync.
                let vote = Vote { term: founding.term + 1, voted_for: own_id };
                // The snapshot last: it says that the rest is there.
                vote::write(disk.as_ref(), &config.data_dir, vote)?;
                let compress = super::snapshot::compresses(config);
                chronik_council::snapshot::write(disk.as_ref(), &config.data_dir, &founding, compress)?;
                log.advance_log_start(offset_of(founding.index) + 1)?;
                Saved { snapshot: founding, vote, is_ahead: true }
            }
        };
        let members = &saved.snapshot.membership;
        let alone = members.voters == [own_id] && members.learners.is_empty() && !members.is_joint();
        if alone != config.cluster.is_none() {
            return Err(if alone { LoadError::OnItsOwn } else { LoadError::OneOfSeveral });
        }
        let snapshot_index = saved.snapshot.index;
        let mut member_settings = MemberSettings::new(own_id, 10, 1, 0);
        if let Some(cluster) = &config.cluster {
            (member_settings.election_ticks, member_settings.heartbeat_ticks) = ticks(cluster);
            member_settings.message_bytes_max = cluster.max_append_entries_bytes;
            member_settings.in_flight_max = cluster.max_inflight_messages;
        }
        let seat = Seat {
            settings: member_settings,
            log: Arc::clone(&log),
            disk,
            data_directory: config.data_dir.clone(),
            cluster_id: cluster_id.to_owned(),
            compress_snapshots: super::snapshot::compresses(config),
            controller: ControllerSettings {
                default_partitions: settings.default_partitions,
                default_replication_factor: settings.default_replication_factor,
                configs: config.kafka.clone(),
            },
            // Nobody listens on a node that is alone, or that stops.
            outbox: Box::new(move |message| _ = outbox.send(message)),
        };
        let mut council = Council::open(seat, saved, now_ms())?;
        let mut broker_epoch = -1;
        if alone {
            broker_epoch = lead_alone(&mut council, storage, config, identity)?;
        }
        let (entries_between, bytes_between) = config.cluster.as_ref().map_or((ENTRIES_BETWEEN, 0), |cluster| {
            (cluster.snapshot_min_interval_entries, cluster.snapshot_max_log_bytes)
        });
        let commit_timeout = config.cluster.as_ref().map_or(5000, |cluster| cluster.rpc_timeout_ms);
        Ok(Metadata {
            // Before the node has caught up, what it knows may be old: nobody is to see it.
            image: ArcSwap::from_pointee(if alone { council.applied().clone() } else { Image::default() }),
            log,
            term: AtomicU64::new(council.standing().term),
            applied_index: AtomicU64::new(council.applied_index()),
            applied_bytes: AtomicU64::new(council.applied_bytes()),
            broker_epoch: AtomicI64::new(broker_epoch),
            council: tokio::sync::Mutex::new(council),
            alone,
            is_published: AtomicBool::new(alone),
            snapshots: Snapshots::new(snapshot_index, entries_between, bytes_between),
            producer_ids: super::producer_ids::ProducerIds::default(),
            commit_timeout: Duration::from_millis(commit_timeout),
        })
    }
}

/// Entries behind the last snapshot that make another one due, on a node that is alone.
const ENTRIES_BETWEEN: u64 = 10_000;

/// A group of one elects itself, applies what it had agreed on, and registers its process.
fn lead_alone(council: &mut Council, storage: &Storage, config: &Config, identity: &Identity) -> Result<i64, LoadError> {
    council.member.campaign();
    settle_alone(council, storage)?;
    let offset = offset_of(council.next_index());
    let controller = council.decider().ok_or_else(|| LoadError::Alone("it does not lead".to_owned()))?;
    let start = ClusterStart { cluster_id: identity.cluster_id.clone(), features: SupportedFeature::levels_at_birth() };
    // How the last run ended makes no difference to the only replica there is.
    let admitted = controller.admit_broker(&start, &registration(config, identity), None, offset);
    let broker_epoch = admitted.reply?;
    council.propose(&admitted.records, |_| {}).map_err(|error| LoadError::Alone(error.to_string()))?;
    settle_alone(council, storage)?;
    council.forget_entries();
    Ok(broker_epoch)
}

/// Nobody else writes yet, so nothing has to be waited for.
fn settle_alone(council: &mut Council, storage: &Storage) -> Result<(), LoadError> {
    let sync = async |_| storage.commit().map(|_| ()).map_err(CouncilError::Disk);
    let settled = pin!(council.settle(now_ms(), sync, |_| {})).poll(&mut Context::from_waker(Waker::noop()));
    match settled {
        Poll::Ready(settled) => Ok(settled?),
        Poll::Pending => unreachable!("a sync that does not wait"),
    }
}

/// What a group of one begins with: nothing in a new directory; in one that was written before its log was that of a Raft group,
/// all that the log came to.
fn found_alone(log: &Arc<PartitionLog>, older: Option<Snapshot>, own_id: u64) -> Result<SavedSnapshot, LoadError> {
    let membership = Membership::of([own_id]);
    let mut image = Image::default();
    let mut end_offset = 0;
    if let Some(snapshot) = older {
        end_offset = snapshot.end_offset;
        image = decision::image(&snapshot.payload).map_err(|source| OpenError::Record { offset: end_offset, source })?;
    }
    check_whole(log, end_offset)?;
    if log.log_end_offset() == 0 {
        return Ok(SavedSnapshot::founding(membership, Bytes::new()));
    }
    each_record(log, end_offset, now_ms(), |offset, _, value| {
        image.apply(&codec::decode(value).map_err(|source| OpenError::Record { offset, source })?);
        Ok(())
    })?;
    log.note_high_watermark(log.log_end_offset());
    Ok(SavedSnapshot {
        index: index_at(log.log_end_offset() - 1),
        term: log.last_epoch().map_or(1, |epoch| epoch.max(1) as u64),
        membership,
        data: decision::encode(&image.to_records()).into(),
    })
}

/// What a directory is called in the metadata's Raft group. A node with a new disk is another member: it has forgotten what
/// the old one promised.
pub(crate) fn raft_id(directory_id: [u8; 16]) -> u64 {
    // 0 is nobody.
    u64::from_be_bytes(*directory_id.first_chunk().expect("it has 16 bytes")).max(1)
}

/// Milliseconds of one tick of the Raft group.
pub(crate) const TICK_MS: u64 = 50;

fn ticks(cluster: &crate::config::ClusterConfig) -> (usize, usize) {
    let heartbeat = (cluster.heartbeat_interval_ms / TICK_MS).max(1);
    ((cluster.election_timeout_ms / TICK_MS).max(heartbeat * 2) as usize, heartbeat as usize)
}

/// What this process says of itself; alone it has caught up with itself.
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
        restart: Restart::Crash,
        confirms_unsynced: config.sync == SyncPolicy::Interval,
        // A node that is its own metadata has caught up with it.
        fenced: false,
    }
}

/// The 16 bytes behind 22 characters; an id that was written by hand counts by its first bytes.
pub(crate) fn directory_id(text: &str) -> [u8; 16] {
    crate::node::parse_id(text).unwrap_or_else(|| {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(text.bytes()).for_each(|(byte, character)| *byte = character);
        bytes
    })
}

/// Nothing of the metadata log is deleted by age or size; snapshots move its start.
fn log_config() -> LogConfig {
    LogConfig { segment_bytes: 64 << 20, retention_ms: -1, retention_bytes: -1, delete: false, ..LogConfig::default() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use super::*;
    use chronik_log::disk::RealDisk;
    use chronik_log::records::BatchBuilder;
    use chronik_log::{Append, StorageError, StorageOptions, SyncClass};
    use chronik_state::ids::TopicId;
    use chronik_state::metadata::record::{Record, TopicRecord};
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
        node.metadata.snapshot(&node.metrics.snapshots).unwrap();
        let counted = &node.metrics.snapshots;
        assert!(counted.taken.value() == 1 && counted.last_bytes.load(Ordering::Relaxed) > 0);
        node.storage.close(now_ms()).unwrap();
        drop(node);
        let node = bring_up(data_dir.path()).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        std::fs::remove_dir_all(data_dir.path().join("metadata")).unwrap();
        let error = bring_up(data_dir.path()).err();
        assert!(matches!(error, Some(StartError::Metadata(LoadError::Open(OpenError::Missing { .. })))), "{error:?}");
    }

    fn own_id(node: &Node) -> u64 {
        raft_id(node.metadata.image().broker(1).unwrap().directory_id)
    }

    /// Before the log was that of a Raft group it held records one by one, and a snapshot had no membership.
    #[test]
    fn a_directory_of_before_is_taken_over_with_all_that_it_knew() {
        for with_snapshot in [false, true] {
            let data_dir = tempfile::tempdir().unwrap();
            let config = Config { data_dir: data_dir.path().to_owned(), ..Config::default() };
            let topic = |number: u8| Record::Topic(TopicRecord { topic_id: TopicId([number; 16]), name: format!("t{number}") });
            let fresh = Identity { cluster_id: "cluster".to_owned(), node_id: 1, directory_id: "directory".to_owned() };
            fresh.format(&RealDisk, data_dir.path(), true).unwrap();
            let (storage, _) = Storage::open(Arc::new(RealDisk), StorageOptions::new(data_dir.path()), now_ms()).unwrap();
            let log = storage.create(LogId::METADATA, log_config()).unwrap();
            for number in 1..=3 {
                let mut batch = BatchBuilder::new();
                let mut bytes = Vec::new();
                codec::encode(&topic(number), &mut bytes);
                batch.record(now_ms(), None, Some(&bytes), &[]);
                let append = Append { leader_epoch: 4, now_ms: now_ms(), sync: SyncClass::Commit, privileged: true };
                log.append(batch.build().as_valid(), append).unwrap();
            }
            if with_snapshot {
                let payload = decision::encode(&[topic(1), topic(2)]);
                let before = Snapshot { end_offset: 2, epoch: 4, membership: None, payload };
                snapshot_file::write(storage.disk(), data_dir.path(), &before, false).unwrap();
                log.advance_log_start(2).unwrap();
            }
            storage.close(now_ms()).unwrap();
            drop((log, storage));
            let mut epochs = Vec::new();
            for _ in 0..3 {
                let node = bring_up(&config.data_dir).unwrap();
                let image = node.metadata.image();
                let names: Vec<_> = image.topics().map(|topic| topic.name.to_string()).collect();
                assert_eq!(names, ["t1", "t2", "t3"], "with a snapshot: {with_snapshot}");
                assert!(node.metadata.reached().term > 4, "a new leader has a new term");
                epochs.push(node.metadata.broker_epoch());
                node.storage.close(now_ms()).unwrap();
            }
            assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
        }
    }

    /// A file system that is not mounted, an operator who cleans up: the node must not come back as what it was with nothing in it.
    #[test]
    fn a_node_whose_log_is_gone_does_not_start_empty() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        std::fs::remove_dir_all(data_dir.path().join("wal")).unwrap();
        std::fs::remove_dir_all(data_dir.path().join("topics")).unwrap();
        std::fs::remove_file(data_dir.path().join("checkpoint")).unwrap();
        for _ in 0..2 {
            let error = bring_up(data_dir.path()).err();
            assert!(matches!(error, Some(StartError::Storage(StorageError::Lost { .. }))), "{error:?}");
        }
        std::fs::remove_file(data_dir.path().join("node.properties")).unwrap();
        assert!(bring_up(data_dir.path()).is_err(), "the metadata of another directory is not taken for one's own");
    }

    #[test]
    fn a_topics_directory_that_is_gone_is_noticed_at_the_start() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        let topics = data_dir.path().join("topics");
        let moved = data_dir.path().join("elsewhere");
        std::fs::rename(&topics, &moved).unwrap();
        let error = bring_up(data_dir.path()).err().expect("the metadata's segments are not there").to_string();
        assert!(error.contains("the directory is missing, and held segments"), "{error}");
        std::fs::remove_dir(&topics).unwrap();
        std::fs::rename(&moved, &topics).unwrap();
        bring_up(data_dir.path()).unwrap();
    }

    #[test]
    fn a_log_without_the_file_that_says_whose_it_is_is_not_taken_over() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        std::fs::remove_file(data_dir.path().join("node.properties")).unwrap();
        let error = bring_up(data_dir.path()).err().expect("it is somebody's").to_string();
        assert!(error.contains("node.properties is missing, and the directory holds a log"), "{error}");
    }

    #[test]
    fn a_node_that_forgot_its_vote_does_not_start() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        std::fs::remove_file(data_dir.path().join("metadata/vote")).unwrap();
        let error = bring_up(data_dir.path()).err();
        assert!(matches!(error, Some(StartError::Metadata(LoadError::Open(OpenError::NoVote)))), "{error:?}");
    }

    #[test]
    fn a_snapshot_of_what_the_log_never_held_refuses_to_start() {
        let data_dir = tempfile::tempdir().unwrap();
        let node = bring_up(data_dir.path()).unwrap();
        let end_offset = node.metadata.log.log_end_offset() + 1;
        let membership = Some(Membership::of([own_id(&node)]).encode());
        let ahead = snapshot_file::Snapshot { end_offset, epoch: 1, membership, payload: Vec::new() };
        snapshot_file::write(node.storage.disk(), data_dir.path(), &ahead, false).unwrap();
        node.storage.close(now_ms()).unwrap();
        drop(node);
        let error = bring_up(data_dir.path()).err();
        assert!(matches!(error, Some(StartError::Metadata(LoadError::Open(OpenError::Missing { .. })))), "{error:?}");
    }
}
