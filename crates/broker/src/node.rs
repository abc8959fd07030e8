//! A running node: what its threads share, how they are told things, and how it ends.

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chronik_log::{Lsn, Storage};
use tokio::sync::{Notify, watch};
use tracing::error;

use crate::api::fetch::sessions::FetchSessions;
use crate::cluster::Cluster;
use crate::config::{Advertise, Config};
use crate::coordinator::Coordinator;
use crate::dispatch::Connection;
use crate::metadata::Metadata;
use crate::metrics::Metrics;
use crate::net::committer::Committer;
use crate::net::memory::RequestMemory;
use crate::net::reactor::Signal;
use crate::partition::registry::Registry;
use crate::replication::Replication;
use crate::settings::Settings;
use crate::start;
use crate::upkeep::Bell;

/// What all threads of a node share.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) storage: Arc<Storage>,
    pub(crate) metadata: Metadata,
    /// The cluster it belongs to, as clients see it.
    pub(crate) cluster_id: String,
    /// What it is as one of several nodes.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) partitions: Registry,
    pub(crate) replication: Replication,
    pub(crate) coordinator: Coordinator,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) request_memory: RequestMemory,
    pub(crate) signals: Vec<Signal>,
    /// Writes large groups in a reactor's place.
    pub(crate) committer: Committer,
    /// Rung when upkeep should look at the storage.
    pub(crate) upkeep: Bell,
    pub(crate) connections: AtomicUsize,
    pub(crate) metrics: Metrics,
    /// Woken whenever the storage may have room again.
    pub(crate) room: Notify,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) failure: OnceLock<String>,
}

impl Node {
    /// How far the log is on disk, or only written.
    pub(crate) fn reached(&self, durable: bool) -> Lsn {
        if durable { self.storage.durable_lsn() } else { self.storage.written_lsn() }
    }

    /// Which of the signals belongs to the thread that replicates: the one behind those of the threads that serve connections.
    pub(crate) fn replication_index(&self) -> usize {
        start::reactor_count(&self.config)
    }

    /// Tells the reactors that a commit has ended, the one that did it apart.
    pub(crate) fn wake_reactors(&self, committed: Option<usize>) {
        // Between giving up the commit lock and reading their flags (see `Signal`).
        fence(Ordering::SeqCst);
        for (index, signal) in self.signals.iter().enumerate() {
            if Some(index) != committed {
                signal.wake_if_waiting();
            }
        }
    }

    /// The host and port that the client on `connection` is told to come to.
    pub(crate) fn advertised(&self, connection: &Connection) -> (String, u16) {
        match &self.config.advertise {
            Advertise::Fixed { host, port } => (host.clone(), *port),
            Advertise::FollowConnection => (connection.local.ip().to_canonical().to_string(), connection.local.port()),
        }
    }

    /// Counts a connection in, unless there are too many.
    pub(crate) fn connection_begins(&self) -> bool {
        let allowed = self.connections.fetch_add(1, Ordering::Relaxed) < self.config.connections_max;
        if !allowed {
            self.connection_ended();
        }
        allowed
    }

    /// Counts it out.
    pub(crate) fn connection_ended(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A receiver that changes to true once the node stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Asks the node to stop in good order.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
        self.upkeep.ring();
    }

    /// Stops the node because it can no longer keep its promises. Nothing is acknowledged from here on.
    pub(crate) fn fail(&self, why: &dyn Display) {
        error!("the node stops: {why}");
        // The first reason is the one to tell; later ones follow from it.
        let _ = self.failure.set(why.to_string());
        self.stop();
    }

    /// Returns once [`Node::fail`] was called.
    pub(crate) async fn failed(&self) {
        let mut stopping = self.stopping();
        while !self.has_failed() {
            // The sender lives as long as the node.
            let _ = stopping.changed().await;
        }
    }

    /// True once [`Node::fail`] was called.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }
}

/// Milliseconds by a clock that nobody sets, since some moment before the first call: for the machines that measure how
/// long something takes.
pub(crate) fn steady_ms() -> i64 {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since the Unix epoch: what records and files are dated with.
pub(crate) fn now_ms() -> i64 {
    #[cfg(feature = "harness")]
    if let Some(now_ms) = crate::harness::now_ms() {
        return now_ms;
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes nobody can guess, for ids.
pub(crate) fn random_id() -> [u8; 16] {
    #[cfg(feature = "harness")]
    if let Some(id) = crate::harness::next_id() {
        return id;
    }
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(bytes.len()), "the system's source of randomness answers small requests whole");
    bytes
}

/// The 16 bytes of an id of 22 characters, as Kafka writes them (URL-safe base64 without padding).
pub(crate) fn parse_id(text: &str) -> Option<[u8; 16]> {
    if text.len() != 22 {
        return None;
    }
    let digits = text.bytes().map(|character| ID_DIGITS.iter().position(|digit| *digit == character));
    // 132 bits of digits hold 128 of id; the last four are zero.
    let bits = digits.take(21).try_fold(0u128, |bits, digit| Some(bits << 6 | digit? as u128))?;
    let last = ID_DIGITS.iter().position(|digit| *digit == text.as_bytes()[21])?;
    (last & 0b1111 == 0).then(|| (bits << 2 | last as u128 >> 4).to_be_bytes())
}

/// An id as Kafka writes it: 22 characters.
pub(crate) fn format_id(id: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(id);
    let first = (0..21).rev().map(|digit| (bits >> (6 * digit + 2)) as usize & 63);
    first.chain([(bits as usize & 0b11) << 4]).map(|digit| char::from(ID_DIGITS[digit])).collect()
}

const ID_DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        // `Uuid.METADATA_TOPIC_ID.toString()` of Kafka's clients.
        let mut metadata = [0; 16];
        metadata[15] = 1;
        assert_eq!(format_id(metadata), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = random_id();
        assert_eq!(parse_id(&format_id(id)), Some(id));
        assert_eq!(parse_id("AAAAAAAAAAAAAAAAAAAAAR"), None);
        assert_eq!(parse_id("too short"), None);
    }
}
