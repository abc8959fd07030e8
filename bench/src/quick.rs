//! The quick comparison: two or three minutes, every figure beside the floor's from the same minutes.
//!
//! Runs are taken in turns (ours, floor, floor, ours, …), the first pair is thrown away, ratios are medians of pairs.
//! Before each run as much memory as it will dirty is touched and given back: memory that the host has taken away in
//! the meantime costs ten times as much to write to, and whoever runs first would pay for both.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::encode;
use crate::load::Client;
use crate::machine::{load_average, prefault};
use crate::peer::Peer;
use crate::process::{Broker, Programs};
use crate::sample::{Samples, median, middle};

/// The first is thrown away.
const PAIRS: usize = 10;
const RECORDS: usize = 100;
const RECORD_BYTES: usize = 1024;
/// About a quarter of a gigabyte: over before the host takes back the memory that was touched for it.
const BATCHES: usize = 2_500;
const WARM_UP_BATCHES: usize = 500;
const IN_FLIGHT: usize = 4;
const FETCH_MAX_BYTES: u32 = 8 << 20;
const SINGLE_RECORDS: usize = 1_000;
const STARTS: usize = 7;
const PREFAULT_BYTES: usize = 768 << 20;

pub(crate) fn run(programs: &Programs, directory: &Path) -> Result<()> {
    for program in [&programs.server, &programs.floor] {
        ensure!(program.exists(), "{} is not there", program.display());
    }
    println!("load average {:.2}", load_average()?);
    println!("{:<44} {:>10} {:>10} {:>8}   95 % of the ratio", "", "ours", "floor", "ratio");
    let (unsynced, _, _) = bulk(programs, directory, false)?;
    row("produce, no sync, CPU-s/GB", &unsynced.cpu);
    row("produce, no sync, MB/s", &unsynced.rate);
    let (synced, fetched, single) = bulk(programs, directory, true)?;
    row("produce, synced before ack, CPU-s/GB", &synced.cpu);
    row("produce, synced before ack, MB/s", &synced.rate);
    row("fetch from cache, CPU-s/GB", &fetched.cpu);
    row("fetch from cache, MB/s", &fetched.rate);
    row("one durable record, p50 µs", &single.median);
    row("one durable record, p99 µs", &single.tail);
    let starts = starts(programs, directory)?;
    println!("{:<44} {:>10.1}", "exec to first acknowledged record, ms", median(&starts.milliseconds));
    println!("{:<44} {:>10.1}", "resident when idle after it, MiB", median(&starts.resident_mib));
    println!("load average {:.2}", load_average()?);
    Ok(())
}

/// Figures for the same load, one from each system, taken next to each other.
#[derive(Default)]
struct Pairs {
    ours: Samples,
    floor: Samples,
}

impl Pairs {
    fn add(&mut self, ours: f64, floor: f64) {
        self.ours.add(ours);
        self.floor.add(floor);
    }
}

#[derive(Default)]
struct Bulk {
    cpu: Pairs,
    rate: Pairs,
}

#[derive(Default)]
struct Single {
    median: Pairs,
    tail: Pairs,
}

/// One run of one broker.
struct Figures {
    produce_cpu: f64,
    produce_rate: f64,
    fetch_cpu: f64,
    fetch_rate: f64,
    single_median: f64,
    single_tail: f64,
}

/// Produces and fetches in turns on both brokers; with syncs, also one record at a time.
fn bulk(programs: &Programs, directory: &Path, sync: bool) -> Result<(Bulk, Bulk, Single)> {
    let (ours, floor) = if sync { (Peer::Ours, Peer::Floor) } else { (Peer::OursUnsynced, Peer::FloorUnsynced) };
    let ours = Broker::start(programs, ours, directory.join("ours"))?;
    let floor = Broker::start(programs, floor, directory.join("floor"))?;
    let (mut produced, mut fetched, mut single) = (Bulk::default(), Bulk::default(), Single::default());
    for pair in 0..PAIRS {
        let topic = format!("bench-{pair}");
        let (mine, least) = if pair % 2 == 0 {
            let mine = one(&ours, &topic, sync, true)?;
            (mine, one(&floor, &topic, sync, false)?)
        } else {
            let least = one(&floor, &topic, sync, false)?;
            (one(&ours, &topic, sync, true)?, least)
        };
        if pair == 0 {
            continue;
        }
        produced.cpu.add(mine.produce_cpu, least.produce_cpu);
        produced.rate.add(mine.produce_rate, least.produce_rate);
        fetched.cpu.add(mine.fetch_cpu, least.fetch_cpu);
        fetched.rate.add(mine.fetch_rate, least.fetch_rate);
        single.median.add(mine.single_median, least.single_median);
        single.tail.add(mine.single_tail, least.single_tail);
    }
    Ok((produced, fetched, single))
}

fn one(broker: &Broker, topic: &str, sync: bool, has_topics: bool) -> Result<Figures> {
    let mut client = Client::connect(broker.port)?;
    if has_topics {
        client.create_topic(topic, 1, &[])?;
    }
    let mut template = encode::produce(topic, RECORDS, RECORD_BYTES);
    prefault(PREFAULT_BYTES);
    client.produce(topic, &mut template, WARM_UP_BATCHES, IN_FLIGHT).context("warming up")?;
    let before = broker.cpu_seconds()?;
    let produced = client.produce(topic, &mut template, BATCHES, IN_FLIGHT).context("producing")?;
    let after = broker.cpu_seconds()?;
    let gigabytes = produced.bytes as f64 / 1e9;
    let mut figures = Figures {
        produce_cpu: (after - before) / gigabytes,
        produce_rate: gigabytes * 1e3 / produced.seconds,
        fetch_cpu: f64::NAN,
        fetch_rate: f64::NAN,
        single_median: f64::NAN,
        single_tail: f64::NAN,
    };
    if sync {
        let mut single = encode::produce(topic, 1, RECORD_BYTES);
        let latencies = client.produce(topic, &mut single, SINGLE_RECORDS, 1)?.latencies_us;
        figures.single_median = latencies[latencies.len() / 2];
        figures.single_tail = latencies[latencies.len() * 99 / 100];
        fetch(broker, &mut client, topic, &mut figures)?;
    }
    if has_topics {
        client.delete_topic(topic)?;
    }
    let (cpu, rate) = (figures.produce_cpu, figures.produce_rate);
    eprintln!(
        "  {:<5} {topic}: produced at {cpu:.3} CPU-s/GB, {rate:.0} MB/s",
        if has_topics { "ours" } else { "floor" }
    );
    Ok(figures)
}

/// Reads back what was just produced, the warm-up left out: the end of a log is the least interesting part of it.
fn fetch(broker: &Broker, client: &mut Client, topic: &str, figures: &mut Figures) -> Result<()> {
    let bytes = (BATCHES * RECORDS * RECORD_BYTES) as u64;
    let first = client.first_offset(topic)?;
    let before = broker.cpu_seconds()?;
    let fetched = client.fetch(topic, first, bytes, FETCH_MAX_BYTES)?;
    let after = broker.cpu_seconds()?;
    let gigabytes = fetched.bytes as f64 / 1e9;
    figures.fetch_cpu = (after - before) / gigabytes;
    figures.fetch_rate = gigabytes * 1e3 / fetched.seconds;
    Ok(())
}

struct Starts {
    milliseconds: Vec<f64>,
    resident_mib: Vec<f64>,
}

/// From exec on an empty directory to the first record that is acknowledged, on a topic that has to be created.
fn starts(programs: &Programs, directory: &Path) -> Result<Starts> {
    let mut starts = Starts { milliseconds: Vec::new(), resident_mib: Vec::new() };
    for number in 0..STARTS {
        let started = Instant::now();
        let broker = Broker::launch(programs, Peer::Ours, directory.join(format!("start-{number}")))?;
        broker.wait()?;
        Client::connect(broker.port)?.create_topic("first", 1, &[])?;
        starts.milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_secs(1));
        starts.resident_mib.push(broker.resident_mib()?);
    }
    Ok(starts)
}

fn row(what: &str, pairs: &Pairs) {
    let (ours, floor) = (pairs.ours.middle().median, pairs.floor.middle().median);
    let ratio = middle(&pairs.ours.over(&pairs.floor));
    let digits = if ours < 10.0 { 3 } else { 1 };
    println!(
        "{what:<44} {ours:>10.digits$} {floor:>10.digits$} {:>8.2}   {:.2} – {:.2}",
        ratio.median, ratio.low, ratio.high
    );
}
