//! What the node counts of itself, and the text in which it tells.
//!
//! Counting costs the way of a record nothing that others could wait for: each thread that serves has numbers of its own, which only it
//! changes; a partition's are made when its first record comes. Everything that can be read off the node's state is counted nowhere,
//! and looked up when somebody asks ([`scrape`]).

mod catalogue;
mod histogram;
mod scrape;
mod text;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chronik_wire::ApiKey;
use parking_lot::Mutex;

pub use catalogue::{Detail, Kind, METRICS, Metric, Stability};
pub(crate) use histogram::Histogram;
use histogram::{Snapshot, add_alone};
pub(crate) use scrape::scrape;

/// Numbers of APIs are below this.
const APIS: usize = 128;
/// gRPC's codes.
const RPC_CODES: usize = 17;

/// What a node counts.
pub(crate) struct Metrics {
    pub(crate) began: Instant,
    /// One for each thread that serves requests.
    threads: Box<[ThreadMetrics]>,
    /// Group commits of the write-ahead log.
    pub(crate) wal_sync: Histogram,
    /// Proposals of metadata by this node.
    pub(crate) metadata_commit: Histogram,
    pub(crate) isr_shrinks: Counter,
    pub(crate) isr_expands: Counter,
    pub(crate) leader_changes: Counter,
    pub(crate) snapshots: SnapshotMetrics,
    rpcs: [OnceLock<Box<RpcMetrics>>; Rpc::ALL.len()],
}

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

/// What one thread counts. Only that thread does.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct ThreadMetrics {
    /// By the API's number; made when the first request comes.
    apis: Table,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    records_in: AtomicU64,
}

struct Table([OnceLock<Box<ByResult>>; APIS]);

type ByResult = [Histogram; Outcome::ALL.len()];

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// Of produce and fetch: a partition was refused.
    Error,
    /// It ended its connection.
    Closed,
}

/// What came to a partition, and went.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) records_in: Counter,
}

/// Snapshots of the metadata.
#[derive(Default)]
pub(crate) struct SnapshotMetrics {
    pub(crate) taken: Counter,
    pub(crate) installed: Counter,
    pub(crate) last_bytes: AtomicU64,
    pub(crate) apply: Histogram,
}

/// Requests between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    Register,
    Heartbeat,
    AlterPartitions,
    AllocateProducerIds,
    Forward,
}

#[derive(Default)]
struct RpcMetrics {
    answered: Histogram,
    failed: [Counter; RPC_CODES],
}

/// Who leads the metadata, as a node of several sees it.
#[derive(Default)]
pub(crate) struct Elections {
    pub(crate) leaders: Counter,
    pub(crate) without: Histogram,
    /// Since when nobody leads.
    since: Mutex<Option<Instant>>,
}

impl Metrics {
    /// Of a node that serves with so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Metrics {
            began: Instant::now(),
            threads: (0..threads).map(|_| ThreadMetrics::default()).collect(),
            wal_sync: Histogram::default(),
            metadata_commit: Histogram::default(),
            isr_shrinks: Counter::default(),
            isr_expands: Counter::default(),
            leader_changes: Counter::default(),
            snapshots: SnapshotMetrics::default(),
            rpcs: Default::default(),
        }
    }

    /// The numbers of a thread, for it alone.
    pub(crate) fn thread(&self, index: usize) -> &ThreadMetrics {
        &self.threads[index]
    }

    /// Counts an answer of another node, or what was said instead.
    pub(crate) fn rpc<A>(&self, rpc: Rpc, took: Duration, answer: &Result<A, tonic::Status>) {
        let counted = self.rpcs[rpc as usize].get_or_init(Box::default);
        match answer {
            Ok(_) => counted.answered.observe(took),
            Err(status) => counted.failed[(status.code() as usize).min(RPC_CODES - 1)].add(1),
        }
    }

    /// All threads together.
    fn sum(&self, number: impl Fn(&ThreadMetrics) -> &AtomicU64) -> u64 {
        self.threads.iter().map(|thread| number(thread).load(Relaxed)).sum()
    }

    /// The requests of an API that had this outcome, of all threads; none if there were none.
    fn requests(&self, api: ApiKey, outcome: Outcome) -> Option<Snapshot> {
        let mut snapshot = Snapshot::default();
        let of_api = self.threads.iter().filter_map(|thread| thread.apis.0[slot(api)].get());
        of_api.for_each(|by_result| by_result[outcome as usize].add_to(&mut snapshot));
        (snapshot.count() > 0).then_some(snapshot)
    }
}

impl ThreadMetrics {
    /// A request has been served.
    pub(crate) fn served(&self, api: ApiKey, outcome: Outcome, took: Duration) {
        self.apis.0[slot(api)].get_or_init(Box::default)[outcome as usize].observe_alone(took);
    }

    /// A batch was taken from a producer.
    pub(crate) fn taken(&self, bytes: u64, records: u64) {
        add_alone(&self.bytes_in, bytes);
        add_alone(&self.records_in, records);
    }

    /// Batches were given to a consumer.
    pub(crate) fn given(&self, bytes: u64) {
        add_alone(&self.bytes_out, bytes);
    }
}

fn slot(api: ApiKey) -> usize {
    usize::try_from(api.code()).unwrap_or(0) % APIS
}

impl Default for Table {
    fn default() -> Self {
        Table(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Outcome {
    const ALL: [Outcome; 3] = [Outcome::Ok, Outcome::Error, Outcome::Closed];

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Closed => "closed",
        }
    }
}

impl Rpc {
    const ALL: [Rpc; 5] = [Rpc::Register, Rpc::Heartbeat, Rpc::AlterPartitions, Rpc::AllocateProducerIds, Rpc::Forward];

    fn as_str(self) -> &'static str {
        match self {
            Rpc::Register => "register",
            Rpc::Heartbeat => "heartbeat",
            Rpc::AlterPartitions => "alter_partitions",
            Rpc::AllocateProducerIds => "allocate_producer_ids",
            Rpc::Forward => "forward",
        }
    }
}

impl Elections {
    /// Somebody else leads from now on, or nobody.
    pub(crate) fn changed(&self, somebody: bool) {
        let mut since = self.since.lock();
        if !somebody {
            since.get_or_insert_with(Instant::now);
            return;
        }
        self.leaders.add(1);
        if let Some(since) = since.take() {
            self.without.observe(since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_has_a_place_of_its_own() {
        let mut places: Vec<usize> = ApiKey::ALL.iter().map(|api| slot(*api)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), ApiKey::ALL.len());
    }

    #[test]
    fn what_threads_count_is_told_together() {
        let metrics = Metrics::new(2);
        for index in 0..2 {
            metrics.thread(index).served(ApiKey::Fetch, Outcome::Ok, Duration::from_millis(1));
            metrics.thread(index).taken(100, 10);
        }
        metrics.thread(1).served(ApiKey::Fetch, Outcome::Error, Duration::from_millis(1));
        assert_eq!(metrics.requests(ApiKey::Fetch, Outcome::Ok).map(|counted| counted.count()), Some(2));
        assert_eq!(metrics.requests(ApiKey::Fetch, Outcome::Error).map(|counted| counted.count()), Some(1));
        assert!(metrics.requests(ApiKey::Produce, Outcome::Ok).is_none());
        assert_eq!(metrics.sum(|thread| &thread.records_in), 20);
    }

    #[test]
    fn the_time_without_a_leader_is_counted_once_one_is_known() {
        let elections = Elections::default();
        elections.changed(true);
        assert_eq!((elections.leaders.value(), elections.without.snapshot().count()), (1, 0));
        elections.changed(false);
        elections.changed(true);
        elections.changed(true);
        assert_eq!((elections.leaders.value(), elections.without.snapshot().count()), (3, 1));
    }
}
