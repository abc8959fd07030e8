//! The bench itself: programs, a place on the disk, and brokers that stay up for all figures that share them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::machine;
use crate::peer::Peer;
use crate::process::{Broker, Programs};
use crate::topic::{Topic, batches};

/// Requests that Kafka gets before anything is measured, so that its virtual machine has compiled what is measured.
const KAFKA_WARM_UP: usize = 20_000;

/// Everything a figure needs.
pub(crate) struct Lab {
    pub(crate) programs: Programs,
    pub(crate) directory: PathBuf,
    /// Whether sizes are cut down to a tenth or less: to see that everything works, not to measure.
    pub(crate) small: bool,
    /// How long the long run takes.
    pub(crate) minutes: f64,
    /// Where a figure leaves more than its record, if anything is kept.
    pub(crate) results: Option<PathBuf>,
    brokers: BTreeMap<Peer, Broker>,
    count: usize,
}

impl Lab {
    pub(crate) fn new(programs: Programs, directory: PathBuf, small: bool) -> Result<Lab> {
        // What an interrupted run left behind.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(Lab { programs, directory, small, minutes: 30.0, results: None, brokers: BTreeMap::new(), count: 0 })
    }

    /// The broker that plays a peer, up and warm; started when it is asked for the first time.
    pub(crate) fn broker(&mut self, peer: Peer) -> Result<&mut Broker> {
        let process = peer.process();
        if !self.brokers.contains_key(&process) {
            let broker = self.fresh(process)?;
            broker.wait()?;
            if process == Peer::Kafka {
                warm_up(&broker, if self.small { KAFKA_WARM_UP / 20 } else { KAFKA_WARM_UP })?;
            }
            self.brokers.insert(process, broker);
        }
        self.brokers.get_mut(&process).context("it was just put there")
    }

    /// A broker of its own on an empty directory, not waited for: for figures that start and kill.
    pub(crate) fn fresh(&mut self, peer: Peer) -> Result<Broker> {
        let directory = self.scratch("broker");
        Broker::launch(&self.programs, peer, directory)
    }

    /// Ends brokers that others would have to share the machine with.
    pub(crate) fn stop_all(&mut self) {
        self.brokers.clear();
    }

    /// A path on the measured disk that nobody else uses.
    pub(crate) fn scratch(&mut self, what: &str) -> PathBuf {
        self.count += 1;
        self.directory.join(format!("{what}-{}", self.count))
    }

    /// A name that no topic had before: a broker may not have forgotten one that was just deleted.
    pub(crate) fn topic_name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}-{}", self.count)
    }

    /// These peers, less those whose programs are not there.
    pub(crate) fn present(&self, peers: &[Peer]) -> Vec<Peer> {
        let kafka = self.programs.kafka_jars.is_some();
        peers.iter().copied().filter(|peer| kafka || peer.process() != Peer::Kafka).collect()
    }

    /// A size, or a small part of it when nothing is to be measured.
    pub(crate) fn size(&self, full: usize, small: usize) -> usize {
        if self.small { small } else { full }
    }

    /// How many rounds are kept.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        self.size(full, 1)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop_all();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Produces, fetches and produces again until the compiler has nothing left to do.
fn warm_up(broker: &Broker, requests: usize) -> Result<()> {
    let mut topic = Topic::create(broker, Peer::Kafka, "warm-up", 1)?;
    topic.produce(&batches(1, requests, 4))?;
    topic.produce(&batches(100, requests / 10, 4))?;
    topic.read(requests as u64 * 5, 1, 1 << 20)?;
    topic.delete()?;
    machine::settle();
    Ok(())
}
