//! One durable record at a time: how long the producer waits.

use anyhow::Result;

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::peer::Peer;
use crate::raw::{Echo, Syncs};
use crate::sample::{Samples, median};
use crate::topic::{RECORD_BYTES, Topic, batches};

pub(crate) const FIGURE: Figure = Figure {
    name: "one-record",
    about: "one record of 1 KiB, the next after its acknowledgement, 1,000 a run; beside them a loopback round trip of the \
            same bytes and a write of 4 KiB with fdatasync to a file that is written over",
    run,
};

const RECORDS: usize = 1_000;
const ROUNDS: usize = 11;
/// What a Produce request of one record holds beside its value, and about as much as the answer has.
const FRAME_BYTES: usize = 150;
const ANSWER_BYTES: usize = 60;

/// p50 and p99, of one system after the other.
#[derive(Default)]
struct Series {
    p50: Samples,
    p99: Samples,
}

impl Series {
    fn add(&mut self, mut latencies_us: Vec<f64>) {
        latencies_us.sort_by(f64::total_cmp);
        self.p50.add(median(&latencies_us));
        self.p99.add(latencies_us[latencies_us.len() * 99 / 100]);
    }
}

fn run(lab: &mut Lab) -> Result<Outcome> {
    let peers = lab.present(&[Peer::Ours, Peer::Kafka, Peer::KafkaFlushed, Peer::Floor]);
    let records = lab.size(RECORDS, 50);
    let mut syncs = Syncs::new(&lab.scratch("syncs"))?;
    let mut echo = Echo::new(FRAME_BYTES + RECORD_BYTES, ANSWER_BYTES)?;
    let mut topics = Vec::new();
    for peer in &peers {
        // Kafka's two classes share a process, and a topic has one of them.
        let name = if *peer == Peer::KafkaFlushed { "one-record-flushed" } else { "one-record" };
        topics.push((*peer, Topic::create(lab.broker(*peer)?, *peer, name, 1)?));
    }
    let mut series: Vec<Series> = topics.iter().map(|_| Series::default()).collect();
    let (mut raw_sync, mut raw_echo) = (Series::default(), Series::default());
    let mut permitted = machine::real_time(std::process::id(), true);
    for round in 0..=lab.rounds(ROUNDS) {
        let syncs_us = syncs.run(records)?;
        let echoes_us = echo.run(records)?;
        if round > 0 {
            raw_sync.add(syncs_us);
            raw_echo.add(echoes_us);
        }
        for ((peer, topic), series) in topics.iter().zip(&mut series) {
            let process = lab.broker(*peer)?.id();
            permitted &= machine::real_time(process, true);
            let produced = topic.produce(&batches(1, records, 1));
            machine::real_time(process, false);
            let latency = produced?.latency;
            if round > 0 {
                series.p50.add(latency.percentile_us(50.0));
                series.p99.add(latency.percentile_us(99.0));
            }
        }
    }
    machine::real_time(std::process::id(), false);

    let mut outcome = Outcome::default();
    if !permitted {
        outcome.remark("The system did not permit real-time priority: the scheduler is part of these latencies.");
    }
    let least = sum(&raw_sync.p50, &raw_echo.p50);
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for (peer, series) in peers.iter().zip(series) {
        if *peer == Peer::Ours {
            outcome.claim(Claim::at_most(
                "one-record",
                "one durable record at a time: p50 against loopback echo + raw fdatasync in the same minute",
                "×",
                series.p50.over(&least),
                1.6,
                1.25,
            ));
        }
        p50.push((peer.name(), series.p50));
        p99.push((peer.name(), series.p99));
    }
    p50.extend([("raw fdatasync", raw_sync.p50), ("loopback echo", raw_echo.p50)]);
    p99.extend([("raw fdatasync", raw_sync.p99), ("loopback echo", raw_echo.p99)]);
    outcome.row("one record at a time, p50", "µs", p50);
    outcome.row("one record at a time, p99", "µs", p99);
    Ok(outcome)
}

fn sum(one: &Samples, other: &Samples) -> Samples {
    let values = one.values.iter().zip(&other.values).map(|(one, other)| one + other).collect();
    Samples { values, loads: one.loads.clone() }
}
