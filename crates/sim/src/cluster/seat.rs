//! A simulated node's seat in the metadata's Raft group: the server's own council, on a faked disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};

use chronik_consensus::{Membership, Message, SavedSnapshot, Settings};
use chronik_council::snapshot::write_founding;
use chronik_council::{Applied, Council, CouncilError, saved};
use chronik_log::disk::Disk;
use chronik_log::vote::{self, Vote};
use chronik_log::{LogConfig, Storage};
use chronik_state::ids::{BrokerId, LogId, TimestampMs};
use chronik_state::metadata::ControllerSettings;
use chronik_state::metadata::record::{BrokerRecord, ClusterRecord, Record};

use super::requests::{Asker, Reply};

/// Where a node keeps everything.
pub(super) const DATA: &str = "/data";
/// The cluster's name for itself.
pub(super) const CLUSTER: &str = "simulated";
/// Between ticks of the Raft group.
pub(super) const RAFT_TICK_MS: i64 = 50;
const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;

/// See the module.
pub(super) struct Seat {
    pub(super) council: Council,
    outbox: Receiver<Message>,
    /// Tickets of decisions that are committed, or lost.
    told: Receiver<(u64, bool)>,
    tell: Sender<(u64, bool)>,
    next_ticket: u64,
    /// Who hears the answer once a decision is committed.
    waiting: BTreeMap<u64, (Asker, Option<Reply>)>,
    /// As leader: the incarnation of each broker that was heard last, and when.
    pub(super) heard: BTreeMap<BrokerId, (i64, TimestampMs)>,
    pub(super) heard_in_term: u64,
    pub(super) looked_ms: TimestampMs,
}

/// What came of an event.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) messages: Vec<Message>,
    pub(super) applied: Vec<Applied>,
    pub(super) replies: Vec<(Asker, Reply)>,
    /// Nothing more may be said in this member's name.
    pub(super) error: Option<CouncilError>,
}

/// What a member is called: a node with a new disk is another.
pub(super) fn raft_id(node: BrokerId, directory: u8) -> u64 {
    (node as u64) << 8 | u64::from(directory)
}

/// Which node a member is on.
pub(super) fn node_of(raft_id: u64) -> BrokerId {
    (raft_id >> 8) as BrokerId
}

/// The identity of a node's disk.
pub(super) fn directory_id(node: BrokerId, directory: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&raft_id(node, directory).to_be_bytes());
    id
}

/// What a group of these nodes begins with.
pub(super) fn founding_records(nodes: &[BrokerId]) -> Vec<Record> {
    let broker = |id: &BrokerId| BrokerRecord {
        id: *id,
        incarnation_id: [0; 16],
        epoch: -1,
        directory_id: directory_id(*id, 0),
        endpoints: Vec::new(),
        rack: None,
        fenced: true,
        shutting_down: false,
    };
    let cluster = Record::Cluster(ClusterRecord { cluster_id: CLUSTER.into() });
    [cluster].into_iter().chain(nodes.iter().map(broker).map(Record::Broker)).collect()
}

/// Each of the first nodes writes the same.
pub(super) fn found(disk: &dyn Disk, nodes: &[BrokerId]) {
    let membership = Membership::of(nodes.iter().map(|id| raft_id(*id, 0)));
    vote::write(disk, Path::new(DATA), Vote { term: 1, voted_for: 0 }).expect("a new disk");
    let founding = |data| SavedSnapshot::founding(membership, data);
    write_founding(disk, Path::new(DATA), &founding_records(nodes), founding).expect("a new disk");
    disk.sync_directory(Path::new("/")).expect("a new disk");
}

/// A node with a new disk is told everything by the others, once they have let it in.
pub(super) fn join(disk: &dyn Disk) {
    vote::write(disk, Path::new(DATA), Vote::default()).expect("a new disk");
    write_founding(disk, Path::new(DATA), &[], |_| SavedSnapshot::default()).expect("a new disk");
    disk.sync_directory(Path::new("/")).expect("a new disk");
}

impl Seat {
    /// Takes the seat that the disk speaks of.
    ///
    /// # Errors
    /// The disk is full or fails, or what it holds cannot be believed.
    pub(super) fn open(storage: &Storage, id: u64, seed: u64, now_ms: TimestampMs) -> Result<Seat, String> {
        let disk = storage.shared_disk();
        let config = LogConfig { segment_bytes: 4_000, retention_ms: -1, retention_bytes: -1, delete: false, ..LogConfig::default() };
        let log = storage.create(LogId::METADATA, config).map_err(|error| error.to_string())?;
        let found = saved(disk.as_ref(), Path::new(DATA)).map_err(|error| error.to_string())?;
        let saved = found.ok_or("the directory belongs to no group")?;
        let (outbox, messages) = channel();
        let (tell, told) = channel();
        let seat = chronik_council::Seat {
            settings: Settings { message_bytes_max: 500, in_flight_max: 8, ..Settings::new(id, ELECTION_TICKS, HEARTBEAT_TICKS, seed) },
            log,
            disk: Arc::clone(&disk),
            data_directory: DATA.into(),
            cluster_id: CLUSTER.into(),
            compress_snapshots: false,
            controller: ControllerSettings::default(),
            outbox: Box::new(move |message| _ = outbox.send(message)),
        };
        Ok(Seat {
            council: Council::open(seat, saved, now_ms).map_err(|error| error.to_string())?,
            outbox: messages,
            told,
            tell,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            heard: BTreeMap::new(),
            heard_in_term: 0,
            looked_ms: now_ms,
        })
    }

    /// Term and index of the last entry.
    pub(super) fn last_entry(&self) -> (u64, u64) {
        let standing = self.council.standing();
        (self.council.last_term(), standing.last_index)
    }

    /// Proposes what was decided. Whoever asked hears of it once it is committed, and all that it was decided upon.
    pub(super) fn propose(&mut self, records: &[Record], asker: Asker, reply: Option<Reply>) {
        let (ticket, tell) = (self.next_ticket, self.tell.clone());
        self.next_ticket += 1;
        let tell = move |committed| _ = tell.send((ticket, committed));
        self.waiting.insert(ticket, (asker, reply));
        if records.is_empty() {
            self.council.when_agreed(tell);
        } else if self.council.propose(records, tell).is_err() {
            self.waiting.remove(&ticket);
        }
    }

    /// Carries out all that is due. The disk is as quick as the world's clock: what happens between a write and its sync is that the
    /// power fails.
    pub(super) fn settle(&mut self, storage: &Storage, now_ms: TimestampMs) -> Settled {
        let mut settled = Settled::default();
        let sync = async |_| storage.commit().map(|_| ()).map_err(CouncilError::Disk);
        let applied = &mut settled.applied;
        let polled = pin!(self.council.settle(now_ms, sync, |news| applied.push(news))).poll(&mut Context::from_waker(Waker::noop()));
        settled.error = match polled {
            Poll::Ready(outcome) => outcome.err(),
            Poll::Pending => unreachable!("a sync that does not wait"),
        };
        settled.messages = self.outbox.try_iter().collect();
        for (ticket, committed) in self.told.try_iter() {
            let Some((asker, reply)) = self.waiting.remove(&ticket) else { continue };
            settled.replies.extend(reply.filter(|_| committed).map(|reply| (asker, reply)));
        }
        settled
    }
}
