//! The quick comparison: two or three minutes, every figure beside the floor's from the same minutes.
//!
//! Runs are taken in turns (ours, floor, floor, ours, …), the first pair is thrown away, ratios are medians of pairs.
//! Before each run as much memory as it will dirty is touched and given back: memory that the host has taken away in
//! the meantime costs ten times as much to write to, and whoever runs first would pay for both.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::encode;
use crate::load::Client;
use crate::process::{Broker, Kind};
use crate::sample::{Pairs, median};

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
/// Longer than the load, so that the floor's file holds a whole run to be fetched.
const FLOOR_FILE_MIB: usize = 400;
const PREFAULT_BYTES: usize = 768 << 20;

/// Programs to measure, and a directory on the disk to measure them on.
pub(crate) struct Paths {
    pub(crate) server: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) directory: PathBuf,
}

pub(crate) fn run(paths: &Paths) -> Result<()> {
    for program in [&paths.server, &paths.floor] {
        ensure!(program.exists(), "{} is not there", program.display());
    }
    println!("load average {}", load_average()?);
    println!("{:<44} {:>10} {:>10} {:>8}   {}", "", "ours", "floor", "ratio", "lowest – highest ratio");
    let (unsynced, _, _) = bulk(paths, false)?;
    row("produce, no sync, CPU-s/GB", &unsynced.cpu);
    row("produce, no sync, MB/s", &unsynced.rate);
    let (synced, fetched, single) = bulk(paths, true)?;
    row("produce, synced before ack, CPU-s/GB", &synced.cpu);
    row("produce, synced before ack, MB/s", &synced.rate);
    row("fetch from cache, CPU-s/GB", &fetched.cpu);
    row("fetch from cache, MB/s", &fetched.rate);
    row("one durable record, p50 µs", &single.median);
    row("one durable record, p99 µs", &single.tail);
    let starts = starts(paths)?;
    println!("{:<44} {:>10.1}", "exec to first acknowledged record, ms", median(&starts.milliseconds));
    println!("{:<44} {:>10.1}", "resident when idle after it, MiB", median(&starts.resident_mib));
    println!("load average {}", load_average()?);
    Ok(())
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
fn bulk(paths: &Paths, sync: bool) -> Result<(Bulk, Bulk, Single)> {
    let ours = Kind::Server { program: &paths.server, sync: if sync { "commit" } else { "interval" } };
    let floor = Kind::Floor { program: &paths.floor, sync, file_mib: FLOOR_FILE_MIB };
    let ours = Broker::start(&ours, paths.directory.join("ours"))?;
    let floor = Broker::start(&floor, paths.directory.join("floor"))?;
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
        client.create_topic(topic)?;
    }
    let mut template = encode::produce(topic, RECORDS, RECORD_BYTES);
    prefault();
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
fn starts(paths: &Paths) -> Result<Starts> {
    let kind = Kind::Server { program: &paths.server, sync: "commit" };
    let mut starts = Starts { milliseconds: Vec::new(), resident_mib: Vec::new() };
    for number in 0..STARTS {
        let started = Instant::now();
        let broker = Broker::launch(&kind, paths.directory.join(format!("start-{number}")))?;
        broker.wait()?;
        Client::connect(broker.port)?.create_topic("first")?;
        starts.milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_secs(1));
        starts.resident_mib.push(broker.resident_mib()?);
    }
    Ok(starts)
}

fn row(what: &str, pairs: &Pairs) {
    let (low, high) = pairs.spread();
    let digits = if pairs.ours() < 10.0 { 3 } else { 1 };
    println!(
        "{what:<44} {:>10.digits$} {:>10.digits$} {:>8.2}   {low:.2} – {high:.2}",
        pairs.ours(),
        pairs.floor(),
        pairs.ratio()
    );
}

/// Touches memory and gives it back, so that the run after it finds pages that are there.
fn prefault() {
    let mut memory = vec![0u8; PREFAULT_BYTES];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}

fn load_average() -> Result<String> {
    let text = std::fs::read_to_string(Path::new("/proc/loadavg"))?;
    Ok(text.split_whitespace().next().context("empty loadavg")?.to_owned())
}
