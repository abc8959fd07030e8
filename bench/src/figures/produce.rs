//! A gigabyte produced: what it costs the broker.

use anyhow::{Context, Result};

use crate::figure::{Claim, Figure, Outcome, rounds};
use crate::lab::Lab;
use crate::machine;
use crate::meter::Meter;
use crate::peer::Peer;
use crate::sample::Samples;
use crate::topic::{Topic, batches};

pub(crate) const SYNCED: Figure = Figure {
    name: "produce-synced",
    about: "batches of 100 records of 1 KiB, four in flight on one connection, 1 GB a run; ours and the floor sync before \
            each acknowledgement, Kafka as it ships does not",
    run: synced,
};
pub(crate) const UNSYNCED: Figure = Figure {
    name: "produce-unsynced",
    about: "the same load without a sync before the acknowledgement (ours: `sync = \"interval\"`)",
    run: unsynced,
};

const RECORDS: usize = 100;
const IN_FLIGHT: usize = 4;
const BATCHES: usize = 10_000;
const BATCHES_SMALL: usize = 400;
/// A sync for each append takes Kafka ten times as long: enough of it is enough.
const BATCHES_FLUSHED: usize = 2_000;
const WARM_UP: usize = 500;
const ROUNDS: usize = 7;
/// What a run dirties, and a half more.
const PREFAULT_BYTES: usize = 1_536 << 20;

fn synced(lab: &mut Lab) -> Result<Outcome> {
    let peers = [Peer::Ours, Peer::Kafka, Peer::KafkaFlushed, Peer::Floor];
    let mut outcome = Outcome::default();
    let measured = measure(lab, &peers, &mut outcome)?;
    let ours = &measured.cpu(Peer::Ours);
    outcome.claim(Claim::at_most(
        "produce-synced-floor",
        "produce, 100 × 1 KiB batches, synced: CPU per GB against the floor with sync",
        "×",
        ours.over(&measured.cpu(Peer::Floor)),
        1.6,
        1.25,
    ));
    outcome.claim(Claim::at_most(
        "produce-synced-kafka",
        "the same against Apache Kafka as it ships (which does not sync)",
        "×",
        ours.over(&measured.cpu(Peer::Kafka)),
        0.5,
        0.25,
    ));
    Ok(outcome)
}

fn unsynced(lab: &mut Lab) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let measured = measure(lab, &[Peer::OursUnsynced, Peer::FloorUnsynced], &mut outcome)?;
    outcome.claim(Claim::at_most(
        "produce-unsynced-floor",
        "produce, sync off: CPU per GB against the floor without sync",
        "×",
        measured.cpu(Peer::OursUnsynced).over(&measured.cpu(Peer::FloorUnsynced)),
        1.8,
        1.5,
    ));
    Ok(outcome)
}

/// CPU-s/GB, CPU-s/GB as the whole machine less the client saw it, MB/s, MiB resident at the end.
struct Measured(Vec<(Peer, [Samples; 4])>);

impl Measured {
    /// Of a peer that was not there, nothing.
    fn cpu(&self, peer: Peer) -> Samples {
        self.0.iter().find(|(who, _)| *who == peer).map(|(_, [cpu, ..])| cpu.clone()).unwrap_or_default()
    }

    fn row(&self, quantity: usize) -> Vec<(&'static str, Samples)> {
        self.0.iter().map(|(peer, quantities)| (peer.name(), quantities[quantity].clone())).collect()
    }
}

fn measure(lab: &mut Lab, peers: &[Peer], outcome: &mut Outcome) -> Result<Measured> {
    let peers = lab.present(peers);
    let kept = lab.rounds(ROUNDS);
    let samples = rounds(lab, &peers, kept, one)?;
    let measured = Measured(peers.into_iter().zip(samples).collect());
    outcome.row("produce, 100 × 1 KiB batches: broker", "CPU-s/GB", measured.row(0));
    outcome.row("the same, by the whole machine less the client", "CPU-s/GB", measured.row(1));
    outcome.row("throughput", "MB/s", measured.row(2));
    outcome.row("resident memory at the end of the run", "MiB", measured.row(3));
    Ok(measured)
}

fn one(lab: &mut Lab, peer: Peer, _: usize) -> Result<[f64; 4]> {
    let count = match peer {
        Peer::KafkaFlushed => lab.size(BATCHES_FLUSHED, BATCHES_SMALL),
        _ => lab.size(BATCHES, BATCHES_SMALL),
    };
    let prefault = lab.size(PREFAULT_BYTES, 64 << 20);
    let name = lab.topic_name("produce");
    let broker = lab.broker(peer)?;
    let topic = Topic::create(broker, peer, &name, 1)?;
    machine::prefault(prefault);
    topic.produce(&batches(RECORDS, WARM_UP.min(count), IN_FLIGHT)).context("warming up")?;
    let meter = Meter::start(broker)?;
    let produced = topic.produce(&batches(RECORDS, count, IN_FLIGHT)).context("producing")?;
    let (cpu, cpu_by_machine) = meter.stop(broker)?;
    let resident = broker.resident_mib()?;
    let gigabytes = produced.bytes as f64 / 1e9;
    topic.delete()?;
    machine::settle();
    Ok([cpu / gigabytes, cpu_by_machine / gigabytes, gigabytes * 1e3 / produced.seconds, resident])
}
