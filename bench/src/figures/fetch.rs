//! A gigabyte read back from memory: what it costs the broker, and how fast it comes.

use anyhow::{Context, Result};
use chronik_load::Consumed;

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::meter::Meter;
use crate::peer::Peer;
use crate::raw::Sendfile;
use crate::sample::Samples;
use crate::topic::{RECORD_BYTES, Topic, batches};

pub(crate) const FIGURE: Figure = Figure {
    name: "fetch",
    about: "1 GB in batches of 100 records of 1 KiB, written shortly before, read by one consumer in pieces of 1 MiB (what \
            clients ask of a partition unless told otherwise) and of 8 MiB, and by ten at once; beside it a file sent by \
            sendfile in pieces of 8 MiB, asked for one by one",
    run,
};

const RECORDS: usize = 100;
const BATCHES: usize = 10_000;
const PIECE: u32 = 8 << 20;
/// What a consumer asks for unless it is told otherwise.
const PIECE_DEFAULT: u32 = 1 << 20;
const ROUNDS: usize = 7;
const READERS: usize = 10;

/// A peer with its data, and what was seen of it.
struct Source {
    peer: Peer,
    topic: Topic,
    cpu: Samples,
    cpu_by_machine: Samples,
    rate: Samples,
    cpu_default: Samples,
    cpu_ten: Samples,
    rate_ten: Samples,
}

fn run(lab: &mut Lab) -> Result<Outcome> {
    let records = (lab.size(BATCHES, 400) * RECORDS) as u64;
    let bytes = records * RECORD_BYTES as u64;
    let file = Sendfile::new(&lab.scratch("sendfile"), bytes)?;
    let mut sources = Vec::new();
    for peer in lab.present(&[Peer::Ours, Peer::Kafka, Peer::Floor]) {
        sources.push(write(lab, peer, records)?);
    }
    machine::settle();
    let (mut raw_rate, mut raw_cpu) = (Samples::default(), Samples::default());
    for round in 0..=lab.rounds(ROUNDS) {
        let (rate, cpu) = file.run(PIECE as usize)?;
        if round > 0 {
            raw_rate.add(rate / 1e6);
            raw_cpu.add(cpu / (bytes as f64 / 1e9));
        }
        if round % 2 == 0 {
            sources.reverse();
        }
        for source in &mut sources {
            let peer = source.peer.name();
            source.read(lab, records, round > 0).with_context(|| format!("reading from {peer}, round {round}"))?;
        }
    }
    sources.sort_by_key(|source| source.peer);
    let mut outcome = claims(&sources, &raw_rate);
    let row = |of: for<'a> fn(&'a Source) -> &'a Samples| -> Vec<(&str, Samples)> {
        sources.iter().map(|source| (source.peer.name(), of(source).clone())).collect()
    };
    let mut cpu = row(|source| &source.cpu);
    cpu.push(("raw sendfile", raw_cpu));
    let mut rate = row(|source| &source.rate);
    rate.push(("raw sendfile", raw_rate));
    outcome.row("fetch from cache, pieces of 8 MiB: broker", "CPU-s/GB", cpu);
    outcome.row("the same, by the whole machine less the client", "CPU-s/GB", row(|source| &source.cpu_by_machine));
    outcome.row("throughput", "MB/s", rate);
    outcome.row("fetch from cache, pieces of 1 MiB: broker", "CPU-s/GB", row(|source| &source.cpu_default));
    outcome.row("ten readers of one topic at once: broker", "CPU-s/GB", row(|source| &source.cpu_ten));
    outcome.row("ten readers of one topic at once: all together", "MB/s", row(|source| &source.rate_ten));
    for source in sources {
        source.topic.delete()?;
    }
    Ok(outcome)
}

fn claims(sources: &[Source], raw_rate: &Samples) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(ours) = sources.iter().find(|source| source.peer == Peer::Ours) else { return outcome };
    if let Some(kafka) = sources.iter().find(|source| source.peer == Peer::Kafka) {
        let what = "fetch from cache: CPU per GB against Kafka";
        outcome.claim(Claim::at_most("fetch-kafka", what, "×", ours.cpu_default.over(&kafka.cpu_default), 0.6, 0.25));
    }
    let what = "fetch from cache: throughput against raw sendfile";
    outcome.claim(Claim::at_least("fetch-sendfile", what, "×", ours.rate.over(raw_rate), 0.5, 0.7));
    outcome
}

fn write(lab: &mut Lab, peer: Peer, records: u64) -> Result<Source> {
    let topic = Topic::create(lab.broker(peer)?, peer, "fetched", 1)?;
    topic.produce(&batches(RECORDS, records as usize / RECORDS, 4)).context("writing")?;
    let [cpu, cpu_by_machine, rate, cpu_default, cpu_ten, rate_ten] = std::array::from_fn(|_| Samples::default());
    Ok(Source { peer, topic, cpu, cpu_by_machine, rate, cpu_default, cpu_ten, rate_ten })
}

impl Source {
    fn read(&mut self, lab: &mut Lab, records: u64, keep: bool) -> Result<()> {
        let broker = lab.broker(self.peer)?;
        let gigabytes = |consumed: &Consumed| consumed.wire_bytes as f64 / 1e9;
        let meter = Meter::start(broker)?;
        let one = self.topic.read(records, 1, PIECE)?;
        let (cpu, cpu_by_machine) = meter.stop(broker)?;
        let meter = Meter::start(broker)?;
        let default = self.topic.read(records, 1, PIECE_DEFAULT)?;
        let (cpu_default, _) = meter.stop(broker)?;
        let meter = Meter::start(broker)?;
        let ten = self.topic.read(records / 4, READERS, PIECE)?;
        let (cpu_ten, _) = meter.stop(broker)?;
        if keep {
            self.cpu.add(cpu / gigabytes(&one));
            self.cpu_by_machine.add(cpu_by_machine / gigabytes(&one));
            self.rate.add(gigabytes(&one) * 1e3 / one.seconds);
            self.cpu_default.add(cpu_default / gigabytes(&default));
            self.cpu_ten.add(cpu_ten / gigabytes(&ten));
            self.rate_ten.add(gigabytes(&ten) * 1e3 / ten.seconds);
        }
        Ok(())
    }
}
