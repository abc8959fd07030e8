//! How long a producer waits, and how long a record is under way, at rates that do not depend on the answers.

use std::time::Duration;

use anyhow::Result;
use chronik_load::{BatchShape, ConsumeLoad, Latencies, ProduceLoad, Rhythm, Until, end_to_end};

use crate::figure::{Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::peer::Peer;
use crate::sample::Samples;
use crate::topic::{RECORD_BYTES, Topic, batches};

pub(crate) const PRODUCE: Figure = Figure {
    name: "latency",
    about: "records of 1 KiB, one to a batch, on one connection at fixed rates, each timed from when it was due: at rates \
            that are the same for all, and at 25, 50 and 75 % of what each takes at most",
    run: produce,
};
pub(crate) const END_TO_END: Figure = Figure {
    name: "end-to-end",
    about: "records of 1 KiB, one to a batch, at fixed rates, each timed from when it was due to its arrival at a consumer \
            that waits for it on another connection",
    run: both_ends,
};

const RATES: &[f64] = &[1_000.0, 5_000.0];
const SHARES: &[f64] = &[0.25, 0.5, 0.75];
const RATES_END_TO_END: &[f64] = &[1_000.0, 5_000.0];
const ROUNDS: usize = 3;
const SECONDS: u64 = 2;
const WARM_UP: Duration = Duration::from_millis(300);
/// To find out what a broker takes at most.
const MOST_RECORDS: usize = 20_000;
const MOST_IN_FLIGHT: usize = 32;
const PERCENTILES: &[(&str, f64)] = &[("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)];

/// p50, p99, p99.9 and the share of the machine that was busy.
#[derive(Clone, Default)]
struct Series {
    percentiles: [Samples; 3],
    busy: Samples,
}

impl Series {
    fn add(&mut self, latency: &Latencies, busy: f64) {
        for (samples, (_, percentile)) in self.percentiles.iter_mut().zip(PERCENTILES) {
            samples.add(latency.percentile_us(*percentile));
        }
        self.busy.add(busy);
    }
}

/// A rate that a peer is tried at.
struct Try {
    /// `1,000/s` or `25 % of its most`.
    what: String,
    rate: f64,
    peer: usize,
    series: Series,
}

fn produce(lab: &mut Lab) -> Result<Outcome> {
    let peers = lab.present(&[Peer::Ours, Peer::Kafka, Peer::KafkaFlushed]);
    let mut topics = Vec::new();
    for peer in &peers {
        let name = if *peer == Peer::KafkaFlushed { "latency-flushed" } else { "latency" };
        topics.push(Topic::create(lab.broker(*peer)?, *peer, name, 1)?);
    }
    let mut outcome = Outcome::default();
    let permitted = machine::real_time(std::process::id(), true);
    let mut most = Vec::new();
    for (peer, topic) in peers.iter().zip(&topics) {
        let records = lab.size(MOST_RECORDS, 200) / if *peer == Peer::KafkaFlushed { 10 } else { 1 };
        topic.produce(&batches(1, records, MOST_IN_FLIGHT))?;
        let produced = topic.produce(&batches(1, records, MOST_IN_FLIGHT))?;
        most.push(produced.records as f64 / produced.seconds);
    }
    let mut tries = tries(&most);
    for round in 0..lab.rounds(ROUNDS) {
        if round % 2 == 1 {
            tries.reverse();
        }
        for attempt in &mut tries {
            let peer = peers[attempt.peer];
            let load = open_loop(lab, attempt.rate);
            let (produced, busy) = first_in_line(lab, peer, || topics[attempt.peer].produce(&load))?;
            attempt.series.add(&produced.latency, busy);
        }
    }
    machine::real_time(std::process::id(), false);
    remarks(&mut outcome, permitted);
    let columns = peers.iter().zip(most).map(|(peer, most)| {
        let mut samples = Samples::default();
        samples.add(most);
        (peer.name(), samples)
    });
    outcome.row("most records taken, one to a batch, 32 in flight", "/s", columns.collect());
    rows(&mut outcome, &peers, tries, "produce");
    for topic in topics {
        topic.delete()?;
    }
    Ok(outcome)
}

/// In the order of the table: the same rates for all who can keep up with them, then shares of each one's own most.
fn tries(most: &[f64]) -> Vec<Try> {
    let mut tries = Vec::new();
    for rate in RATES {
        for (peer, _) in most.iter().enumerate().filter(|(_, most)| *rate <= **most * 0.75) {
            tries.push(Try { what: format!("{rate:.0}/s"), rate: *rate, peer, series: Series::default() });
        }
    }
    for share in SHARES {
        for (peer, most) in most.iter().enumerate() {
            let what = format!("{:.0} % of its most", share * 100.0);
            tries.push(Try { what, rate: most * share, peer, series: Series::default() });
        }
    }
    tries
}

fn both_ends(lab: &mut Lab) -> Result<Outcome> {
    let peers = lab.present(&[Peer::Ours, Peer::Kafka]);
    let mut tries: Vec<Try> = Vec::new();
    for rate in RATES_END_TO_END {
        for peer in 0..peers.len() {
            tries.push(Try { what: format!("{rate:.0}/s"), rate: *rate, peer, series: Series::default() });
        }
    }
    let mut topics = Vec::new();
    for peer in &peers {
        topics.push(Topic::create(lab.broker(*peer)?, *peer, "end-to-end", 1)?);
    }
    let permitted = machine::real_time(std::process::id(), true);
    for round in 0..=lab.rounds(ROUNDS) {
        for attempt in &mut tries {
            let topic = &mut topics[attempt.peer];
            let offsets = topic.offsets()?;
            let producing = open_loop(lab, attempt.rate);
            let consuming = ConsumeLoad { warm_up: WARM_UP, ..ConsumeLoad::new(producing.until) };
            let run = || Ok(end_to_end(&topic.target, &producing, &consuming, &offsets)?);
            let ((_, consumed), busy) = first_in_line(lab, peers[attempt.peer], run)?;
            if round > 0 {
                attempt.series.add(&consumed.delivery, busy);
            }
        }
    }
    machine::real_time(std::process::id(), false);
    let mut outcome = Outcome::default();
    remarks(&mut outcome, permitted);
    rows(&mut outcome, &peers, tries, "end to end");
    for topic in topics {
        topic.delete()?;
    }
    Ok(outcome)
}

fn open_loop(lab: &Lab, rate: f64) -> ProduceLoad {
    let time = if lab.small { Duration::from_millis(200) } else { Duration::from_secs(SECONDS) };
    ProduceLoad {
        in_flight: usize::MAX,
        rhythm: Rhythm::Rate(rate),
        warm_up: WARM_UP,
        ..ProduceLoad::new(BatchShape::plain(1, RECORD_BYTES), Until::Time(time))
    }
}

/// Runs a load with the broker, too, before all other processes. And how much of the machine was busy, in percent.
fn first_in_line<T>(lab: &mut Lab, peer: Peer, run: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let process = lab.broker(peer)?.id();
    machine::real_time(process, true);
    let (before, started) = (machine::busy_seconds()?, std::time::Instant::now());
    let outcome = run();
    let busy = (machine::busy_seconds()? - before) / started.elapsed().as_secs_f64();
    machine::real_time(process, false);
    Ok((outcome?, 100.0 * busy / std::thread::available_parallelism()?.get() as f64))
}

fn remarks(outcome: &mut Outcome, permitted: bool) {
    if !permitted {
        outcome.remark("The system did not permit real-time priority: the scheduler is part of these latencies.");
    }
    outcome.remark("Where the machine was busy for more than 70 % of the time, latencies are also those of the load.");
}

/// A row for each rate and percentile, in the order of the tries.
fn rows(outcome: &mut Outcome, peers: &[Peer], mut tries: Vec<Try>, what: &str) {
    tries.sort_by_key(|attempt| attempt.what.contains('%'));
    let mut names: Vec<String> = Vec::new();
    for attempt in &tries {
        if !names.contains(&attempt.what) {
            names.push(attempt.what.clone());
        }
    }
    // Rounds turn the order about; 1,000 comes before 5,000 and 25 % before 50 %.
    names.sort_by_key(|name| (name.contains('%'), name.split(['/', ' ']).next().and_then(|n| n.parse::<u64>().ok())));
    for name in names {
        let at: Vec<&Try> = tries.iter().filter(|attempt| attempt.what == name).collect();
        let columns = |of: &dyn Fn(&Series) -> Samples| -> Vec<(&'static str, Samples)> {
            peers
                .iter()
                .enumerate()
                .filter_map(|(number, peer)| {
                    let attempt = at.iter().find(|attempt| attempt.peer == number)?;
                    Some((peer.name(), of(&attempt.series)))
                })
                .collect()
        };
        for (number, (percentile, _)) in PERCENTILES.iter().enumerate() {
            let row = columns(&|series| series.percentiles[number].clone());
            outcome.row(&format!("{what} at {name}, {percentile}"), "µs", row);
        }
        outcome.row(&format!("{what} at {name}: machine busy"), "%", columns(&|series| series.busy.clone()));
    }
}
