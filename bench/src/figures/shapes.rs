//! Loads of other shapes: what the headline figures leave out.

use anyhow::{Context, Result};
use chronik_load::{BatchShape, Compression, ProduceLoad, Until};

use crate::figure::{Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::meter::Meter;
use crate::peer::Peer;
use crate::sample::Samples;
use crate::topic::{RECORD_BYTES, Topic};

pub(crate) const FIGURE: Figure = Figure {
    name: "shapes",
    about: "produce in other shapes: small and large batches, 50 producers, 64 and 1,000 partitions, keys; ours syncs \
            before each acknowledgement, Kafka as it ships does not",
    run,
};

const ROUNDS: usize = 3;
const PREFAULT_BYTES: usize = 512 << 20;

struct Shape {
    what: &'static str,
    batch: BatchShape,
    partitions: usize,
    producers: usize,
    in_flight: usize,
    megabytes: usize,
}

fn shapes() -> Vec<Shape> {
    let one = |what, records, megabytes| Shape {
        what,
        batch: BatchShape::plain(records, RECORD_BYTES),
        partitions: 1,
        producers: 1,
        in_flight: 4,
        megabytes,
    };
    vec![
        Shape { in_flight: 64, ..one("1 record to a batch, 64 in flight", 1, 40) },
        Shape { in_flight: 16, ..one("10 records to a batch, 16 in flight", 10, 150) },
        // Kafka takes batches of up to 1 MiB with everything around them.
        Shape { batch: BatchShape::plain(1_000, 1_000), ..one("1,000 records of 1,000 bytes to a batch", 1, 300) },
        Shape { producers: 50, in_flight: 1, ..one("50 producers, 100 records to a batch", 100, 300) },
        Shape { partitions: 64, producers: 4, ..one("64 partitions, 4 producers, 100 records to a batch", 100, 300) },
        Shape {
            partitions: 1_000,
            producers: 50,
            in_flight: 1,
            ..one("1,000 partitions, 50 producers, 10 records to a batch", 10, 100)
        },
        Shape {
            batch: BatchShape {
                records: 100,
                record_bytes: RECORD_BYTES,
                keys: Some(1_000),
                compression: Compression::None,
            },
            partitions: 12,
            ..one("1,000 keys on 12 partitions, 100 records to a batch", 100, 300)
        },
    ]
}

fn run(lab: &mut Lab) -> Result<Outcome> {
    let peers = lab.present(&[Peer::Ours, Peer::Kafka]);
    let mut outcome = Outcome::default();
    for shape in shapes() {
        let mut topics = Vec::new();
        for peer in &peers {
            let name = lab.topic_name("shape");
            topics.push(Topic::create(lab.broker(*peer)?, *peer, &name, shape.partitions)?);
        }
        let [mut cpu, mut rate]: [Vec<Samples>; 2] =
            std::array::from_fn(|_| peers.iter().map(|_| Samples::default()).collect());
        for round in 0..=lab.rounds(ROUNDS) {
            let mut order: Vec<usize> = (0..peers.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let (spent, megabytes_per_second) =
                    one(lab, peers[at], &topics[at], &shape).with_context(|| shape.what)?;
                if round > 0 {
                    cpu[at].add(spent);
                    rate[at].add(megabytes_per_second);
                }
            }
        }
        let names = || peers.iter().map(|peer| peer.name());
        outcome.row(shape.what, "CPU-s/GB", names().zip(cpu).collect());
        outcome.row(shape.what, "MB/s", names().zip(rate).collect());
        for topic in topics {
            topic.delete()?;
        }
    }
    Ok(outcome)
}

/// CPU-s/GB and MB/s.
fn one(lab: &mut Lab, peer: Peer, topic: &Topic, shape: &Shape) -> Result<(f64, f64)> {
    let records = lab.size(shape.megabytes, 2) as u64 * 1_000_000 / shape.batch.record_bytes as u64;
    let load = ProduceLoad {
        producers: shape.producers,
        in_flight: shape.in_flight,
        ..ProduceLoad::new(shape.batch.clone(), Until::Records(records))
    };
    machine::prefault(lab.size(PREFAULT_BYTES, 16 << 20));
    let broker = lab.broker(peer)?;
    let meter = Meter::start(broker)?;
    let produced = topic.produce(&load)?;
    let (cpu, _) = meter.stop(broker)?;
    machine::settle();
    let gigabytes = produced.bytes as f64 / 1e9;
    Ok((cpu / gigabytes, gigabytes * 1e3 / produced.seconds))
}
