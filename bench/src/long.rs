//! The long run: one broker under a steady load for half an hour and more, over many segments, with old ones deleted
//! under its consumers. It is not about how fast it is; it is about whether that stays so.
//!
//! A producer at a fixed rate and a consumer at the log's end run in slices of ten seconds; each slice ends when every
//! acknowledged record was delivered. A second consumer begins at the earliest record again and again, and is sometimes
//! overtaken by retention.

mod catch_up;
mod chart;
mod series;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chronik_load::{BatchShape, Cluster, ConsumeLoad, ProduceLoad, Rhythm, Target, Until};

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::process::Broker;
use crate::sample::Samples;
use series::{Second, Series, Slice};

pub(crate) const FIGURE: Figure = Figure {
    name: "long",
    about: "one producer at a fixed rate and one consumer at the end of four partitions, another that reads from the earliest \
            record again and again; batches of 10 records of 1 KiB, segments of 128 MiB, 512 MiB kept of a partition",
    run,
};

const PARTITIONS: usize = 4;
const RECORDS: usize = 10;
const RECORD_BYTES: usize = 1024;
const SLICE: Duration = Duration::from_secs(10);
/// Left out at the beginning: connections, caches and the first segments find their places.
const RUN_IN_SLICES: usize = 6;
const CAPACITY: Duration = Duration::from_secs(5);
/// The rate is this share of what the same machine took as fast as it could, and no more than the bound.
const SHARE: f64 = 0.25;
const RATE_MAX: f64 = 50_000.0;
const SETTINGS: [(&str, &str); 3] =
    [("segment.bytes", "134217728"), ("retention.bytes", "536870912"), ("retention.ms", "-1")];
const BROKER_SETTINGS: &str = "[kafka]\n\"log.retention.check.interval.ms\" = 10000\n";

/// Judges the last third by the first; the series and a chart of it go to the results.
fn run(lab: &mut Lab) -> Result<Outcome> {
    let minutes = if lab.small { 0.5 } else { lab.minutes };
    let slices = (minutes * 60.0 / SLICE.as_secs_f64()).round() as usize + RUN_IN_SLICES;
    lab.stop_all();
    let broker = configured(lab)?;
    let mut cluster = Cluster::connect(&format!("127.0.0.1:{}", broker.port))?;
    let capacity = capacity(&mut cluster)?;
    let rate = (capacity * SHARE).min(RATE_MAX);
    println!("  {capacity:.0} records/s as fast as possible; {rate:.0} records/s from here on");
    let target = cluster.create_topic("long", PARTITIONS, &SETTINGS)?;
    let mut series = Series::new(capacity, rate);
    let ended = AtomicBool::new(false);
    let begun = Instant::now();
    let address = format!("127.0.0.1:{}", broker.port);
    let (taken, seconds, passes) = thread::scope(|scope| {
        let sampling = scope.spawn(|| sample_each_second(&broker, begun, &ended));
        let catching_up = scope.spawn(|| catch_up::again_and_again(&address, &target, begun, &ended));
        let taken = take_slices(&mut cluster, &target, rate, slices, begun);
        ended.store(true, Ordering::SeqCst);
        (taken, sampling.join().expect("it does not panic"), catching_up.join().expect("it does not panic"))
    });
    (series.slices, series.seconds, series.passes) = (taken?, seconds?, passes?);
    let deleted = cluster.offsets(&target)?.0.iter().map(|range| range.start).sum::<u64>();
    let outcome = judge(&series, deleted);
    if let Some(results) = &lab.results {
        fs::create_dir_all(results)?;
        fs::write(results.join("long-series.json"), serde_json::to_string(&series)? + "\n")?;
        chart::draw(&series, &results.join("long.svg"))?;
    }
    Ok(outcome)
}

/// A broker that looks for old segments every ten seconds.
fn configured(lab: &mut Lab) -> Result<Broker> {
    let mut broker = lab.fresh(Peer::Ours)?;
    broker.wait()?;
    broker.kill()?;
    let file = broker.directory().join("chronik.toml");
    let text = fs::read_to_string(&file).context("our server has no configuration file")? + BROKER_SETTINGS;
    fs::write(file, text)?;
    broker.launch_again()?;
    broker.wait()?;
    Ok(broker)
}

fn producing(rhythm: Rhythm, until: Duration) -> ProduceLoad {
    let batch = BatchShape::plain(RECORDS, RECORD_BYTES);
    ProduceLoad { rhythm, in_flight: 64, ..ProduceLoad::new(batch, Until::Time(until)) }
}

/// Records per second as fast as one connection with 64 batches in flight gets them acknowledged.
fn capacity(cluster: &mut Cluster) -> Result<f64> {
    let target = cluster.create_topic("capacity", PARTITIONS, &SETTINGS)?;
    let produced = chronik_load::produce(&target, &producing(Rhythm::Fast, CAPACITY))?;
    cluster.delete_topic("capacity")?;
    Ok(produced.records as f64 / produced.seconds)
}

fn take_slices(cluster: &mut Cluster, target: &Target, rate: f64, slices: usize, begun: Instant) -> Result<Vec<Slice>> {
    let load = producing(Rhythm::Rate(rate), SLICE);
    let consuming = ConsumeLoad::new(Until::Time(SLICE));
    let mut taken = Vec::with_capacity(slices);
    for number in 0..slices {
        let second = begun.elapsed().as_secs_f64();
        let offsets = cluster.offsets(target)?;
        let (produced, consumed) = chronik_load::end_to_end(target, &load, &consuming, &offsets)?;
        // Every acknowledged record was delivered, or there would have been an error; none twice.
        ensure!(
            consumed.records == produced.records,
            "{} records were acknowledged and {} delivered",
            produced.records,
            consumed.records
        );
        let slice = Slice::new(second, &produced, &consumed);
        if number % 6 == 0 {
            println!("  {}", slice.line());
        }
        taken.push(slice);
    }
    Ok(taken)
}

fn sample_each_second(broker: &Broker, begun: Instant, ended: &AtomicBool) -> Result<Vec<Second>> {
    let mut seconds: Vec<Second> = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_secs(1));
        seconds.push(Second::take(broker, begun)?);
    }
    Ok(seconds)
}

/// The last third of the slices beside the first third, the n-th beside the n-th.
fn judge(series: &Series, deleted: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let slices = &series.slices[RUN_IN_SLICES.min(series.slices.len())..];
    let from = slices.first().map_or(0.0, |slice| slice.second);
    let seconds: Vec<&Second> = series.seconds.iter().filter(|second| second.second >= from).collect();
    let ratio = |one: f64, other: f64| one / other;
    let difference = |one: f64, other: f64| one - other;
    outcome.claim(Claim::at_least(
        "long-throughput",
        "long run: throughput of the last third against the first",
        "×",
        last_beside_first(slices, |slice| slice.records_per_second, ratio),
        0.99,
        0.999,
    ));
    for (name, what, value) in [
        (
            "long-p99",
            "long run: p99 of the acknowledgement, last third against the first",
            Slice::produce_p99 as fn(&Slice) -> f64,
        ),
        ("long-delivery-p99", "long run: p99 of the delivery, last third against the first", Slice::delivery_p99),
    ] {
        outcome.claim(Claim::at_most(name, what, "×", last_beside_first(slices, value, ratio), 1.25, 1.1));
    }
    let memory = last_beside_first(&seconds, |second| second.resident_mib, difference);
    outcome.claim(Claim::at_most(
        "long-memory",
        "long run: growth of resident memory, last third less first",
        "MiB",
        memory,
        8.0,
        1.0,
    ));
    let descriptors = last_beside_first(&seconds, |second| second.descriptors, difference);
    outcome.claim(Claim::at_most(
        "long-descriptors",
        "long run: descriptors, last third less first",
        "",
        descriptors,
        8.0,
        1.0,
    ));
    for (what, unit, value) in Slice::QUANTITIES {
        let samples = Samples { values: slices.iter().map(value).collect(), ..Samples::default() };
        outcome.row(what, unit, vec![(Peer::Ours.name(), samples)]);
    }
    for (what, unit, value) in Second::QUANTITIES {
        let samples = Samples { values: seconds.iter().map(|second| value(second)).collect(), ..Samples::default() };
        outcome.row(what, unit, vec![(Peer::Ours.name(), samples)]);
    }
    outcome.remark(series.summary(deleted));
    outcome
}

/// Pairs of a value in the last third and the value at the same place of the first.
fn last_beside_first<T>(all: &[T], value: impl Fn(&T) -> f64, compare: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let third = all.len() / 3;
    let (first, last) = (&all[..third], &all[all.len() - third..]);
    first.iter().zip(last).map(|(first, last)| compare(value(last), value(first))).collect()
}

#[cfg(test)]
mod tests {
    use super::last_beside_first;

    #[test]
    fn thirds_are_compared_place_by_place() {
        let values = [1.0, 2.0, 9.0, 9.0, 9.0, 2.0, 6.0];
        assert_eq!(last_beside_first(&values, |value| *value, |last, first| last / first), [2.0, 3.0]);
    }
}
