//! Restarts: how long after `exec` a broker that was killed acknowledges a record again, by how much it had on disk.

use std::time::Duration;

use anyhow::{Result, ensure};
use chronik_load::Target;

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::process::Broker;
use crate::sample::Samples;
use crate::topic::{Topic, batches};

pub(crate) const FIGURE: Figure = Figure {
    name: "restart",
    about: "kill -9 right after the acknowledgement of the last of some 300 MB produced at full speed, with 1 and with 10 GB in \
            one partition, and with 1 GB in a thousand; from exec to the first acknowledged record",
    run: restart,
};

const RECORDS: usize = 100;
const IN_FLIGHT: usize = 4;
/// Batches of about 100 KiB in a gigabyte.
const BATCHES_PER_GB: usize = 9_700;
const MANY: usize = 1_000;
const ROUNDS: usize = 7;
const ROUNDS_KAFKA: usize = 3;
/// Produced between a start and the next kill. A little more each time, so that the kill meets all phases between two
/// checkpoints.
const BATCHES_BETWEEN: usize = 2_900;
const BATCHES_MORE: usize = 97;
/// How long a broker may take to come back.
const PATIENCE: Duration = Duration::from_secs(120);
const TOPIC: &str = "restart";

/// A broker with so much on disk.
struct Loaded {
    broker: Broker,
    target: Target,
    milliseconds: Samples,
}

fn restart(lab: &mut Lab) -> Result<Outcome> {
    lab.stop_all();
    let mut outcome = Outcome::default();
    let rounds = lab.rounds(ROUNDS);
    let between = lab.size(BATCHES_BETWEEN, 100);
    let mut one = Loaded::new(lab, Peer::Ours, 1, 1)?;
    let mut ten = Loaded::new(lab, Peer::Ours, 10, 1)?;
    for round in 0..=rounds {
        // The same load before each kill of a pair: what differs is what lies on disk.
        let batches = between + round * BATCHES_MORE;
        one.kill_and_start(batches, round > 0)?;
        ten.kill_and_start(batches, round > 0)?;
    }
    drop(one.broker);
    drop(ten.broker);
    let mut many = Loaded::new(lab, Peer::Ours, 1, MANY)?;
    for round in 0..=rounds {
        many.kill_and_start(between + round * BATCHES_MORE, round > 0)?;
    }
    drop(many.broker);
    let kafka = kafka(lab, between)?;
    outcome.claim(Claim::at_most(
        "restart-10gb",
        "kill -9 with 10 GB on disk: exec to first acknowledged record",
        "ms",
        ten.milliseconds.values.clone(),
        1_000.0,
        250.0,
    ));
    outcome.claim(Claim::at_most(
        "restart-ratio",
        "the same, against 1 GB on disk",
        "×",
        ten.milliseconds.over(&one.milliseconds),
        1.5,
        1.2,
    ));
    outcome.claim(Claim::at_most(
        "restart-1000",
        "kill -9 with 1 GB in 1,000 partitions: exec to first acknowledged record",
        "ms",
        many.milliseconds.values.clone(),
        1_000.0,
        250.0,
    ));
    let columns = kafka.into_iter().map(|samples| (Peer::Kafka.name(), samples));
    let columns = std::iter::once((Peer::Ours.name(), one.milliseconds)).chain(columns).collect();
    outcome.row("kill -9, 1 GB on disk in one partition", "ms", columns);
    outcome.row("kill -9, 10 GB on disk in one partition", "ms", vec![(Peer::Ours.name(), ten.milliseconds)]);
    outcome.row("kill -9, 1 GB on disk in 1,000 partitions", "ms", vec![(Peer::Ours.name(), many.milliseconds)]);
    outcome.remark("Kafka's records were acknowledged from memory; what it finds after a kill of the process alone is in the page cache.");
    Ok(outcome)
}

/// Kafka with a gigabyte, where it is there.
fn kafka(lab: &mut Lab, between: usize) -> Result<Option<Samples>> {
    if lab.present(&[Peer::Kafka]).is_empty() {
        return Ok(None);
    }
    let mut kafka = Loaded::new(lab, Peer::Kafka, 1, 1)?;
    for round in 0..lab.rounds(ROUNDS_KAFKA) {
        kafka.kill_and_start(between + round * BATCHES_MORE, true)?;
    }
    Ok(Some(kafka.milliseconds))
}

impl Loaded {
    fn new(lab: &mut Lab, peer: Peer, gigabytes: usize, partitions: usize) -> Result<Loaded> {
        let partitions = lab.size(partitions, partitions.min(20));
        let broker = lab.fresh(peer)?;
        broker.wait()?;
        // The connections of this handle end with the broker; the target goes on.
        let target = Topic::create(&broker, peer, TOPIC, partitions)?.target;
        let loaded = Loaded { broker, target, milliseconds: Samples::default() };
        loaded.produce(lab.size(gigabytes * BATCHES_PER_GB, gigabytes * 100))?;
        Ok(loaded)
    }

    fn produce(&self, count: usize) -> Result<()> {
        chronik_load::produce(&self.target, &batches(RECORDS, count, IN_FLIGHT))?;
        Ok(())
    }

    fn kill_and_start(&mut self, batches: usize, keep: bool) -> Result<()> {
        self.produce(batches)?;
        self.broker.kill()?;
        let milliseconds = start_again(&mut self.broker, &self.target)?;
        if keep {
            self.milliseconds.add(milliseconds);
        }
        Ok(())
    }
}

/// Starts a killed broker on its files; milliseconds from `exec` to the first record that it acknowledges.
pub(super) fn start_again(broker: &mut Broker, target: &Target) -> Result<f64> {
    broker.launch_again()?;
    while chronik_load::produce(target, &batches(1, 1, 1)).is_err() {
        ensure!(broker.launched().elapsed() < PATIENCE, "no record was taken {PATIENCE:?} after a start");
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(broker.launched().elapsed().as_secs_f64() * 1e3)
}
