//! Three nodes: what a replicated gigabyte costs, how long a commit takes, and what idle partitions cost.

use std::time::Duration;

use anyhow::{Context, Result};
use chronik_load::{BatchShape, ProduceLoad, Rhythm, Until};

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::peer::Peer;
use crate::sample::{Samples, median};
use crate::topic::{RECORD_BYTES, Topic, batches};
use crate::trio::Trio;

pub(crate) const FIGURE: Figure = Figure {
    name: "cluster",
    about: "three nodes on this machine, a topic of six partitions with three copies, acks=all, two of three in sync required: \
            batches of 100 records of 1 KiB, two in flight to each node, as fast as possible and at half of that; then 1,000 idle partitions; \
            ours syncs on all three before it acknowledges, Kafka as it ships does not",
    run,
};

const PARTITIONS: usize = 6;
const RECORDS: usize = 100;
const IN_FLIGHT: usize = 2;
const BATCHES: usize = 4_000;
const BATCHES_SMALL: usize = 120;
const WARM_UP: usize = 300;
const ROUNDS: usize = 5;
const ROUNDS_AT_RATE: usize = 3;
const SECONDS_AT_RATE: u64 = 5;
const IDLE_PARTITIONS: usize = 1_000;
const IDLE_SETTLE: Duration = Duration::from_secs(15);
const IDLE_WINDOW: Duration = Duration::from_secs(10);
/// Before Kafka's compiler has seen what is measured, its figures mean nothing.
const KAFKA_WARM_UP: usize = 3_000;

struct Side {
    peer: Peer,
    trio: Trio,
}

fn run(lab: &mut Lab) -> Result<Outcome> {
    // They would share the machine with six more.
    lab.stop_all();
    let mut sides = Vec::new();
    for peer in lab.present(&[Peer::Ours, Peer::Kafka]) {
        let trio = Trio::launch(lab, peer)?;
        if peer == Peer::Kafka {
            let topic = Topic::create(trio.first(), peer, "warm-up", PARTITIONS)?;
            topic.produce(&load(lab.size(KAFKA_WARM_UP, WARM_UP)))?;
            topic.delete()?;
        }
        sides.push(Side { peer, trio });
    }
    let mut outcome = Outcome::default();
    let most = fast(lab, &sides, &mut outcome)?;
    at_half(lab, &sides, &most, &mut outcome)?;
    idle(lab, &sides, &mut outcome)?;
    outcome.remark(
        "All nodes and the load share the machine's cores: throughput is that of the processor time left, and says nothing of three machines.",
    );
    outcome.remark(
        "An acknowledgement with acks=all leaves once every in-sync replica has the record, and all three were: its time bounds how far followers lag.",
    );
    Ok(outcome)
}

fn load(count: usize) -> ProduceLoad {
    batches(RECORDS, count, IN_FLIGHT)
}

/// Records per second of each side, as fast as they are taken.
fn fast(lab: &mut Lab, sides: &[Side], outcome: &mut Outcome) -> Result<Vec<f64>> {
    let count = lab.size(BATCHES, BATCHES_SMALL);
    let [mut cpu, mut rate, mut resident]: [Vec<Samples>; 3] =
        std::array::from_fn(|_| sides.iter().map(|_| Samples::default()).collect());
    let mut alone = Samples::default();
    let mut records_per_second: Vec<Vec<f64>> = sides.iter().map(|_| Vec::new()).collect();
    for round in 0..=lab.rounds(ROUNDS) {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let Side { peer, trio } = &sides[at];
            let topic = Topic::create(trio.first(), *peer, &lab.topic_name("replicated"), PARTITIONS)?;
            topic.produce(&load(WARM_UP.min(count))).context("warming up")?;
            let before = trio.cpu_seconds()?;
            let produced = topic.produce(&load(count)).context("producing")?;
            let spent = trio.cpu_seconds()? - before;
            let gigabytes = produced.bytes as f64 / 1e9;
            if round > 0 {
                cpu[at].add(spent / gigabytes);
                rate[at].add(gigabytes * 1e3 / produced.seconds);
                resident[at].add(trio.resident_mib()?);
                records_per_second[at].push(produced.records as f64 / produced.seconds);
            }
            topic.delete()?;
            machine::settle();
        }
        let megabytes = one_node(lab, count)?;
        if round > 0 {
            alone.add(megabytes);
        }
    }
    if let [ours, kafka] = &cpu[..] {
        let what = "cluster of three: CPU per replicated GB, all nodes together, against Apache Kafka as it ships";
        outcome.claim(Claim::at_most("cluster-cpu", what, "×", ours.over(kafka), 0.5, 0.25));
    }
    let share = Samples { values: rate[0].over(&alone), loads: alone.loads.clone() };
    let names = || sides.iter().map(|side| side.peer.name());
    outcome.row("produce to three copies: all nodes together", "CPU-s/GB", names().zip(cpu).collect());
    outcome.row("produce to three copies: throughput", "MB/s", names().zip(rate).chain([("ours, one node", alone)]).collect());
    outcome.row("the same as a share of one node's, on the same cores", "×", vec![(Peer::Ours.name(), share)]);
    outcome.row("resident memory of all nodes at the end of a run", "MiB", names().zip(resident).collect());
    Ok(records_per_second.iter().map(|rates| median(rates)).collect())
}

/// MB/s of a single node of ours under the same load.
fn one_node(lab: &mut Lab, count: usize) -> Result<f64> {
    let name = lab.topic_name("alone");
    let broker = lab.broker(Peer::Ours)?;
    let topic = Topic::create(broker, Peer::Ours, &name, PARTITIONS)?;
    // Two for each of three leaders there: six here.
    let load = |count| batches(RECORDS, count, 3 * IN_FLIGHT);
    topic.produce(&load(WARM_UP.min(count)))?;
    let produced = topic.produce(&load(count))?;
    topic.delete()?;
    machine::settle();
    Ok(produced.bytes as f64 / 1e6 / produced.seconds)
}

/// How long an acknowledgement takes at half of what each side takes at most.
fn at_half(lab: &mut Lab, sides: &[Side], most: &[f64], outcome: &mut Outcome) -> Result<()> {
    let [mut p50, mut p99]: [Vec<Samples>; 2] = std::array::from_fn(|_| sides.iter().map(|_| Samples::default()).collect());
    let time = if lab.small { Duration::from_millis(500) } else { Duration::from_secs(SECONDS_AT_RATE) };
    for _ in 0..lab.rounds(ROUNDS_AT_RATE) {
        for (at, Side { peer, trio }) in sides.iter().enumerate() {
            let topic = Topic::create(trio.first(), *peer, &lab.topic_name("at-half"), PARTITIONS)?;
            let load = ProduceLoad {
                in_flight: usize::MAX,
                rhythm: Rhythm::Rate(most[at] / 2.0),
                warm_up: Duration::from_secs(1),
                ..ProduceLoad::new(BatchShape::plain(RECORDS, RECORD_BYTES), Until::Time(time))
            };
            let produced = topic.produce(&load)?;
            p50[at].add(produced.latency.percentile_us(50.0) / 1e3);
            p99[at].add(produced.latency.percentile_us(99.0) / 1e3);
            topic.delete()?;
            machine::settle();
        }
    }
    let what = "cluster of three: commit latency p99 at half of the most it takes";
    outcome.claim(Claim::at_most("cluster-commit", what, "ms", p99[0].values.clone(), 50.0, 20.0));
    let names = || sides.iter().map(|side| side.peer.name());
    outcome.row("commit latency at half of the most, p50", "ms", names().zip(p50).collect());
    outcome.row("commit latency at half of the most, p99", "ms", names().zip(p99).collect());
    Ok(())
}

/// What partitions cost that nobody uses; every node has a copy of each.
fn idle(lab: &mut Lab, sides: &[Side], outcome: &mut Outcome) -> Result<()> {
    let count = lab.size(IDLE_PARTITIONS, 30);
    let [mut cpu, mut memory]: [Vec<Samples>; 2] = std::array::from_fn(|_| sides.iter().map(|_| Samples::default()).collect());
    for (at, Side { peer, trio }) in sides.iter().enumerate() {
        let settle = if lab.small { Duration::from_secs(1) } else { IDLE_SETTLE };
        std::thread::sleep(settle);
        let before = trio.resident_mib()?;
        let topic = Topic::create(trio.first(), *peer, "idle", count)?;
        std::thread::sleep(settle);
        memory[at].add((trio.resident_mib()? - before) * 1024.0 / (count * trio.brokers().count()) as f64);
        let began = trio.brokers().map(|broker| broker.cpu_seconds()).collect::<Result<Vec<_>>>()?;
        std::thread::sleep(IDLE_WINDOW);
        for (broker, began) in trio.brokers().zip(began) {
            cpu[at].add((broker.cpu_seconds()? - began) / IDLE_WINDOW.as_secs_f64() * 100.0);
        }
        topic.delete()?;
    }
    let what = "cluster of three: processor of a node with 1,000 idle partitions";
    outcome.claim(Claim::at_most("cluster-idle", what, "% of a core", cpu[0].values.clone(), 2.0, 0.5));
    let names = || sides.iter().map(|side| side.peer.name());
    outcome.row("1,000 idle partitions: processor of each node", "% of a core", names().zip(cpu).collect());
    outcome.row("1,000 idle partitions: added memory for each copy", "KiB", names().zip(memory).collect());
    Ok(())
}
