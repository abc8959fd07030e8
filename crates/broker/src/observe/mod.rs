//! A node as it is seen from outside, from before it is up until it has ended: does it live, is it ready, how is its cluster.

pub(crate) mod report;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::metrics;
use crate::node::Node;
use crate::start;
pub use report::{ClusterReport, NodeReport, OwnReport};

/// How often it is looked whether threads have answered.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What may be asked of a node by whoever holds this. Cheap to clone.
#[derive(Clone, Default)]
pub struct Observer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    phase: Mutex<Phase>,
    node: OnceLock<Weak<Node>>,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Beginning,
    /// It looks for the nodes with which its cluster begins, or goes on.
    Founding,
    /// It opens its log.
    Recovering,
    /// It wants to be registered.
    Joining,
    Serving,
}

/// Why a node is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// For machines; it does not change.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Observer {
    pub(crate) fn enter(&self, phase: Phase) {
        *self.shared.phase.lock() = phase;
    }

    pub(crate) fn watch(&self, node: &Arc<Node>) {
        // One node for each observer.
        let _ = self.shared.node.set(Arc::downgrade(node));
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.shared.node.get()?.upgrade()
    }

    /// Why no client should be sent here now; nothing if one may be.
    pub fn unready(&self) -> Vec<Reason> {
        let phase = *self.shared.phase.lock();
        match (self.node(), phase) {
            (Some(node), Phase::Joining | Phase::Serving) => unready(&node, phase),
            (None, Phase::Serving) => vec![reason("STOPPED", "the node has stopped")],
            (_, phase) => vec![phase.reason()],
        }
    }

    /// Asks every thread that serves whether it still does, for so long at most. Those that did not answer, by name; nothing if all
    /// live, or there are none yet.
    pub async fn silent_threads(&self, patience: Duration) -> Vec<String> {
        let phase = *self.shared.phase.lock();
        let Some(node) = self.node().filter(|node| phase >= Phase::Joining && !*node.stopping.borrow()) else { return Vec::new() };
        let deadline = Instant::now() + patience;
        let asked: Vec<u64> = node.signals.iter().map(|signal| signal.ask_for_life()).collect();
        loop {
            let answered = |(index, number): (usize, &u64)| node.signals[index].has_answered(*number);
            let silent: Vec<usize> = asked.iter().enumerate().filter(|found| !answered(*found)).map(|(index, _)| index).collect();
            if silent.is_empty() || Instant::now() >= deadline {
                return silent.into_iter().map(|index| thread_name(&node, index)).collect();
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What this node knows of its cluster; nothing while it knows nothing.
    pub fn cluster(&self) -> Option<ClusterReport> {
        self.node().map(|node| report::report(&node))
    }

    /// All metrics, in the text that scrapers read; nothing while there are none.
    pub fn metrics(&self) -> Option<String> {
        self.node().map(|node| metrics::scrape(&node))
    }
}

fn unready(node: &Node, phase: Phase) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if *node.stopping.borrow() {
        reasons.push(reason("STOPPING", "the node stops"));
    }
    if phase == Phase::Joining {
        let known = report::metadata_leader(node);
        reasons.push(match known {
            None => reason("NO_METADATA_LEADER", "waiting for a majority of the nodes to elect a metadata leader"),
            Some(_) => reason("NOT_REGISTERED", "waiting for the metadata leader to register this node"),
        });
    } else if node.metadata.image().broker(node.config.node_id).is_none_or(|broker| broker.fenced) {
        reasons.push(reason("FENCED", "the cluster has not let this node in, or has not heard of it for too long"));
    }
    reasons
}

fn reason(code: &'static str, detail: &str) -> Reason {
    Reason { code, detail: detail.to_owned() }
}

fn thread_name(node: &Node, index: usize) -> String {
    let reactors = start::reactor_count(&node.config);
    match index {
        index if index < reactors => format!("reactor-{index}"),
        index if index == reactors => "replication".to_owned(),
        _ => "control".to_owned(),
    }
}

impl Phase {
    fn reason(self) -> Reason {
        match self {
            Phase::Beginning => reason("BEGINNING", "the node begins"),
            Phase::Founding => reason("WAITING_FOR_NODES", "waiting for enough of the other nodes to be heard of"),
            Phase::Recovering => reason("RECOVERING", "opening the log: what the last run had not put away is replayed"),
            Phase::Joining => reason("NOT_REGISTERED", "waiting to be registered"),
            Phase::Serving => reason("STOPPED", "the node has stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::config::Config;
    use crate::net::reactor::Reactor;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn codes(observer: &Observer) -> Vec<&'static str> {
        observer.unready().iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn a_thread_that_does_not_answer_is_named() {
        let data_dir = tempfile::tempdir().unwrap();
        let listen = vec![([127, 0, 0, 1], 0).into()];
        let config = Config { data_dir: data_dir.path().to_owned(), listen, reactors: 1, ..Config::default() };
        let (node, _listeners, _ready) = start::bring_up(config).unwrap();
        let observer = Observer::default();
        observer.watch(&node);
        start::runtime().unwrap().block_on(async {
            assert!(observer.silent_threads(PATIENCE).await.is_empty(), "none is there yet");
            observer.enter(Phase::Serving);
            assert_eq!(observer.silent_threads(PATIENCE).await, ["reactor-0"], "nobody runs it");
            let (dealt, accepted) = mpsc::unbounded_channel();
            let reactor = Reactor::new(Arc::clone(&node), 0);
            let running = tokio::task::spawn_local(Rc::clone(&reactor).run(accepted));
            assert!(observer.silent_threads(Duration::from_secs(20)).await.is_empty());
            // Again, as the answer before is not one to this question.
            assert!(observer.silent_threads(Duration::from_secs(20)).await.is_empty());
            node.stop();
            drop(dealt);
            running.await.unwrap();
        });
    }

    /// Opening the log may take long, and nobody is to end a node for it.
    #[test]
    fn a_node_that_opens_its_log_says_so() {
        let data_dir = tempfile::tempdir().unwrap();
        let listen = vec![([127, 0, 0, 1], 0).into()];
        let config = Config { data_dir: data_dir.path().to_owned(), listen, reactors: 1, ..Config::default() };
        drop(start::bring_up(config.clone()).unwrap());
        std::fs::remove_dir_all(data_dir.path().join("wal")).unwrap();
        let observer = Observer::default();
        start::run(config, &observer, |_| unreachable!("its log is gone")).unwrap_err();
        assert_eq!(codes(&observer), ["RECOVERING"], "where it came to its end");
    }

    #[test]
    fn a_node_says_from_the_beginning_to_the_end_why_it_is_not_ready() {
        let observer = Observer::default();
        assert_eq!(codes(&observer), ["BEGINNING"]);
        observer.enter(Phase::Founding);
        assert_eq!(codes(&observer), ["WAITING_FOR_NODES"]);
        observer.enter(Phase::Recovering);
        assert_eq!(codes(&observer), ["RECOVERING"]);
        assert!(observer.cluster().is_none() && observer.metrics().is_none());
        let data_dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: data_dir.path().to_owned(), listen: Vec::new(), ..Config::default() };
        let (node, listeners, ready) = start::bring_up(config).unwrap();
        observer.watch(&node);
        assert_eq!(codes(&observer), ["RECOVERING"], "it knows itself, and does not serve");
        observer.enter(Phase::Joining);
        assert_eq!(codes(&observer), ["NOT_REGISTERED"]);
        observer.enter(Phase::Serving);
        assert!(codes(&observer).is_empty());
        let report = observer.cluster().unwrap();
        assert_eq!((report.answered_by, report.health.metadata_leader, report.nodes.len()), (1, Some(1), 1));
        assert!(observer.metrics().unwrap().contains("\nchronik_cluster_health_status 0\n"));
        node.stop();
        assert_eq!(codes(&observer), ["STOPPING"]);
        drop((node, listeners, ready));
        assert_eq!(codes(&observer), ["STOPPED"]);
        assert!(observer.cluster().is_none(), "it does not keep the node");
    }
}
