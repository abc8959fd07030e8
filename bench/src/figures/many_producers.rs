//! Many producers that each wait for one durable record: what is shared between them.

use anyhow::Result;
use chronik_load::{BatchShape, ProduceLoad, Rhythm, Until};

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::peer::Peer;
use crate::raw::Syncs;
use crate::sample::{Samples, median};
use crate::topic::{RECORD_BYTES, Topic};

pub(crate) const FIGURE: Figure = Figure {
    name: "many-producers",
    about: "64 connections and 64 partitions (then 256): each producer sends one record of 1 KiB to a partition of its own, \
            all at once, and the next when all are acknowledged; beside them a write of 4 KiB with fdatasync",
    run,
};

const ROUNDS: usize = 7;
const BURSTS: usize = 150;
/// Kafka then syncs 64 files for each burst.
const BURSTS_FLUSHED: usize = 10;
const SYNCS: usize = 500;

fn run(lab: &mut Lab) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let peers = lab.present(&[Peer::Ours, Peer::Kafka, Peer::KafkaFlushed, Peer::Floor]);
    let (series, raw) = measure(lab, &peers, 64, &mut outcome)?;
    outcome.claim(Claim::at_most(
        "many-producers",
        "64 producers on 64 partitions, one record each, synced: p50 against raw fdatasync",
        "×",
        series[0].0.over(&raw),
        4.0,
        2.5,
    ));
    let (p50, p99): (Vec<_>, Vec<_>) =
        peers.iter().zip(series).map(|(peer, (p50, p99))| ((peer.name(), p50), (peer.name(), p99))).unzip();
    let raw = [("raw fdatasync", raw)];
    outcome.row("64 producers on 64 partitions, p50", "µs", p50.into_iter().chain(raw).collect());
    outcome.row("64 producers on 64 partitions, p99", "µs", p99);
    let peers = [Peer::Ours, Peer::Floor];
    let (series, raw) = measure(lab, &peers, 256, &mut outcome)?;
    let p50 = peers.iter().zip(series).map(|(peer, (p50, _))| (peer.name(), p50));
    outcome.row("256 producers on 256 partitions, p50", "µs", p50.chain([("raw fdatasync", raw)]).collect());
    Ok(outcome)
}

/// p50 and p99 of each peer, and the median of raw syncs.
type Measured = (Vec<(Samples, Samples)>, Samples);

fn measure(lab: &mut Lab, peers: &[Peer], producers: usize, outcome: &mut Outcome) -> Result<Measured> {
    let mut syncs = Syncs::new(&lab.scratch("syncs"))?;
    let mut topics = Vec::new();
    for peer in peers {
        let name =
            if *peer == Peer::KafkaFlushed { format!("flushed-{producers}") } else { format!("many-{producers}") };
        topics.push((*peer, Topic::create(lab.broker(*peer)?, *peer, &name, producers)?));
    }
    let mut series: Vec<(Samples, Samples)> = peers.iter().map(|_| Default::default()).collect();
    let mut raw = Samples::default();
    let mut permitted = machine::real_time(std::process::id(), true);
    for round in 0..=lab.rounds(ROUNDS) {
        let syncs_us = syncs.run(lab.size(SYNCS, 20))?;
        if round > 0 {
            raw.add(median(&syncs_us));
        }
        for ((peer, topic), (p50, p99)) in topics.iter().zip(&mut series) {
            let bursts = lab.size(if *peer == Peer::KafkaFlushed { BURSTS_FLUSHED } else { BURSTS }, 3);
            let load = ProduceLoad {
                producers,
                rhythm: Rhythm::Bursts,
                ..ProduceLoad::new(BatchShape::plain(1, RECORD_BYTES), Until::Records((producers * bursts) as u64))
            };
            let process = lab.broker(*peer)?.id();
            permitted &= machine::real_time(process, true);
            let produced = topic.produce(&load);
            machine::real_time(process, false);
            let latency = produced?.latency;
            if round > 0 {
                p50.add(latency.percentile_us(50.0));
                p99.add(latency.percentile_us(99.0));
            }
        }
    }
    machine::real_time(std::process::id(), false);
    if !permitted {
        outcome.remark("The system did not permit real-time priority: the scheduler is part of these latencies.");
    }
    for (_, topic) in topics {
        topic.delete()?;
    }
    Ok((series, raw))
}
