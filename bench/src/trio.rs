//! Three brokers of one cluster, all on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::peer::Peer;
use crate::process::{Broker, free_port};
use crate::kafka;

const NODES: usize = 3;

/// Killed when it goes out of scope.
pub(crate) struct Trio {
    brokers: Vec<Broker>,
}

impl Trio {
    /// A cluster of three on empty directories, up.
    pub(crate) fn launch(lab: &mut Lab, peer: Peer) -> Result<Trio> {
        let directories: Vec<_> = (0..NODES).map(|_| lab.scratch("node")).collect();
        directories.iter().try_for_each(fs::create_dir_all)?;
        let ports = (0..NODES).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        // Those between the nodes: two for each of ours, one for each of Kafka's.
        let between = (0..2 * NODES).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let commands = directories.iter().enumerate().map(|(at, directory)| match peer.process() {
            Peer::Kafka => {
                let jars = lab.programs.kafka_jars.as_deref().context("Apache Kafka's jars were not given")?;
                let node = kafka::Node { id: at + 1, port: ports[at], controllers: between[..NODES].to_vec() };
                kafka::prepare(jars, directory, &node)
            }
            _ => ours(&lab.programs.server, directory, at, &ports, &between),
        });
        let commands = commands.collect::<Result<Vec<_>>>()?;
        let started = commands.into_iter().zip(&ports).zip(directories);
        let brokers = started.map(|((command, port), directory)| Broker::start(command, *port, directory));
        let trio = Trio { brokers: brokers.collect::<Result<_>>()? };
        trio.brokers.iter().try_for_each(Broker::wait)?;
        Ok(trio)
    }

    /// The one that is asked first.
    pub(crate) fn first(&self) -> &Broker {
        &self.brokers[0]
    }

    pub(crate) fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.iter()
    }

    /// Processor time of all three so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.brokers.iter().map(Broker::cpu_seconds).sum()
    }

    /// Resident memory of all three, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        self.brokers.iter().map(Broker::resident_mib).sum()
    }
}

fn ours(program: &Path, directory: &Path, at: usize, ports: &[u16], between: &[u16]) -> Result<Command> {
    let mut text = format!("node_id = {}\nreplication_factor = 3\nmin_insync_replicas = 2\n", at + 1);
    for (peer, port) in ports.iter().enumerate() {
        let (wal, raft) = (between[peer], between[NODES + peer]);
        let id = peer + 1;
        text += &format!("\n[[peers]]\nid = {id}\nkafka = \"127.0.0.1:{port}\"\nwal = \"127.0.0.1:{wal}\"\nraft = \"127.0.0.1:{raft}\"\n");
    }
    let config = directory.join("chronik.toml");
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.args(["start", "--config"]).arg(config).arg("--data-dir").arg(directory.join("data"));
    Ok(command)
}
