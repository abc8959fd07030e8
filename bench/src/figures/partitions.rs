//! Many partitions of which nothing is asked: what each of them costs, and what they add to a start.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use chronik_load::{BatchShape, ProduceLoad, Target, Until};

use super::restart::start_again;
use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::process::Broker;
use crate::sample::Samples;
use crate::topic::Topic;

pub(crate) const FIGURE: Figure = Figure {
    name: "partitions",
    about: "10,000 partitions in ten topics, one record of 100 bytes in each: starts after kill -9, and what they cost when idle",
    run,
};

const TOPICS: usize = 10;
const PARTITIONS_EACH: usize = 1_000;
const STARTS: usize = 7;
/// After this long the server has checkpointed what it was given (ten seconds of quiet, and the time it takes) and, after ten
/// more, given back what it held for that.
const SETTLING: Duration = Duration::from_secs(27);
const IDLE: Duration = Duration::from_secs(5);

fn run(lab: &mut Lab) -> Result<Outcome> {
    lab.stop_all();
    let each = lab.size(PARTITIONS_EACH, 20);
    let mut broker = lab.fresh(Peer::Ours)?;
    broker.wait()?;
    Topic::create(&broker, Peer::Ours, "first", 1)?;
    thread::sleep(Duration::from_secs(1));
    let before = broker.resident_mib()?;
    let descriptors_before = descriptors(&broker)?;
    let target = create(&broker, each)?;

    let mut unsettled = Samples::default();
    let mut settled = Samples::default();
    for _ in 0..lab.rounds(STARTS) {
        broker.kill()?;
        unsettled.add(start_again(&mut broker, &target)?);
    }
    let mut replayed_mib = Samples::default();
    replayed_mib.add(broker.resident_mib()? - before);
    thread::sleep(if lab.small { Duration::from_secs(1) } else { SETTLING });
    let (cpu, sleeps) = (broker.cpu_seconds()?, broker.sleeps()?);
    thread::sleep(if lab.small { Duration::from_secs(1) } else { IDLE });
    let idle_percent = (broker.cpu_seconds()? - cpu) / IDLE.as_secs_f64() * 100.0;
    let sleeps = (broker.sleeps()? - sleeps) as f64 / IDLE.as_secs_f64();
    let mut idle_mib = Samples::default();
    idle_mib.add(broker.resident_mib()? - before);
    let descriptors_added = descriptors(&broker)? as f64 - descriptors_before as f64;
    for _ in 0..lab.rounds(STARTS) {
        broker.kill()?;
        settled.add(start_again(&mut broker, &target)?);
    }
    let mut checkpoint_mib = Samples::default();
    checkpoint_mib.add(broker.resident_mib()? - before);

    let mut outcome = Outcome::default();
    outcome.claim(Claim::at_most(
        "start-10000",
        "exec to first acknowledged record with 10,000 partitions, all to be replayed",
        "ms",
        unsettled.values.clone(),
        200.0,
        60.0,
    ));
    outcome.claim(Claim::at_most(
        "idle-partitions",
        "10,000 idle partitions: added memory",
        "MiB",
        idle_mib.values.clone(),
        60.0,
        12.0,
    ));
    outcome.claim(Claim::at_most(
        "idle-partitions-cpu",
        "10,000 idle partitions: processor",
        "%",
        vec![idle_percent],
        0.1,
        0.1,
    ));
    let ours = Peer::Ours.name();
    let single = |value| {
        let mut samples = Samples::default();
        samples.add(value);
        samples
    };
    outcome.row("exec to first acknowledged record, 10,000 partitions to be replayed", "ms", vec![(ours, unsettled)]);
    outcome.row("exec to first acknowledged record, 10,000 partitions in the checkpoint", "ms", vec![(ours, settled)]);
    outcome.row("added memory when idle", "MiB", vec![(ours, idle_mib)]);
    outcome.row("added memory right after the replay", "MiB", vec![(ours, replayed_mib)]);
    outcome.row("added memory right after a start from the checkpoint", "MiB", vec![(ours, checkpoint_mib)]);
    outcome.row("idle: processor", "%", vec![(ours, single(idle_percent))]);
    outcome.row("idle: wake-ups", "1/s", vec![(ours, single(sleeps))]);
    outcome.row("added descriptors when idle", "", vec![(ours, single(descriptors_added))]);
    Ok(outcome)
}

/// Creates the topics and puts one record into each partition; returns the last of them.
fn create(broker: &Broker, each: usize) -> Result<Target> {
    let one_each =
        ProduceLoad { in_flight: 64, ..ProduceLoad::new(BatchShape::plain(1, 100), Until::Records(each as u64)) };
    let mut last = None;
    for number in 0..TOPICS {
        let topic = Topic::create(broker, Peer::Ours, &format!("idle-{number}"), each)?;
        topic.produce(&one_each)?;
        last = Some(topic.target);
    }
    last.context("there are no topics")
}

/// How many descriptors it holds.
fn descriptors(broker: &Broker) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", broker.id()))?.count())
}
