//! The most used client: what our server gives it of what its own mock broker gives it, which keeps nothing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::meter::Meter;
use crate::peer::Peer;
use crate::sample::Samples;
use crate::topic::Topic;

pub(crate) const FIGURE: Figure = Figure {
    name: "librdkafka",
    about: "a librdkafka producer with its default settings, 500,000 records of 1 KiB a run, one partition; its mock broker \
            runs in a process of its own",
    run,
};

const RECORDS: usize = 500_000;
const RECORD_BYTES: usize = 1024;
const ROUNDS: usize = 7;
const TOPIC: &str = "from-librdkafka";
const PREFAULT_BYTES: usize = 1 << 30;

fn run(lab: &mut Lab) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let Some(library) = lab.programs.librdkafka.clone() else {
        outcome.remark("librdkafka was not there.");
        return Ok(outcome);
    };
    let program = std::env::current_exe()?.with_file_name("librdkafka-load");
    let mock = Mock::start(&program, &library)?;
    let records = lab.size(RECORDS, 5_000);
    let peers = lab.present(&[Peer::Ours, Peer::Kafka]);
    let producer = Producer { program, library, records };
    // The mock broker, then the peers.
    let mut rates: Vec<Samples> = (0..=peers.len()).map(|_| Samples::default()).collect();
    let mut cpu: Vec<Samples> = peers.iter().map(|_| Samples::default()).collect();
    for round in 0..=lab.rounds(ROUNDS) {
        let mut order: Vec<usize> = (0..=peers.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            machine::prefault(lab.size(PREFAULT_BYTES, 64 << 20));
            let (rate, seconds) = match at.checked_sub(1) {
                None => (producer.run(&mock.address, TOPIC)?, 0.0),
                Some(peer) => one(lab, peers[peer], &producer)?,
            };
            if round > 0 {
                rates[at].add(rate);
                if at > 0 {
                    cpu[at - 1].add(seconds / producer.gigabytes());
                }
            }
        }
    }
    let mock_rates = rates.remove(0);
    let what = "with a librdkafka producer: share of what its mock broker gets";
    outcome.claim(Claim::at_least("librdkafka", what, "×", rates[0].over(&mock_rates), 0.75, 0.9));
    let mut columns: Vec<_> = peers.iter().map(|peer| peer.name()).zip(rates).collect();
    columns.push(("its mock broker", mock_rates));
    outcome.row("produced by librdkafka", "MB/s", columns);
    let columns = peers.iter().map(|peer| peer.name()).zip(cpu).collect();
    outcome.row("produced by librdkafka: broker, its warm-up included", "CPU-s/GB", columns);
    Ok(outcome)
}

/// Rate, and processor seconds of the broker.
fn one(lab: &mut Lab, peer: Peer, producer: &Producer) -> Result<(f64, f64)> {
    let name = lab.topic_name(TOPIC);
    let broker = lab.broker(peer)?;
    let topic = Topic::create(broker, peer, &name, 1)?;
    let meter = Meter::start(broker)?;
    let rate = producer.run(&format!("127.0.0.1:{}", broker.port), &name)?;
    let (seconds, _) = meter.stop(broker)?;
    topic.delete()?;
    machine::settle();
    Ok((rate, seconds))
}

struct Producer {
    program: PathBuf,
    library: PathBuf,
    records: usize,
}

impl Producer {
    /// Megabytes of values in a second.
    fn run(&self, address: &str, topic: &str) -> Result<f64> {
        let mut command = Command::new(&self.program);
        command.arg(&self.library).args(["produce", address, topic]);
        command.args([self.records.to_string(), RECORD_BYTES.to_string()]);
        let output = command.stdin(Stdio::null()).output().context("the producer does not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the producer ended with {}: {said}", output.status);
        let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        Ok((self.records * RECORD_BYTES) as f64 / 1e6 / seconds)
    }

    fn gigabytes(&self) -> f64 {
        // As many as the producer warms up with: see its source.
        (self.records + self.records.min(50_000)) as f64 * RECORD_BYTES as f64 / 1e9
    }
}

/// librdkafka's mock broker in its process.
struct Mock {
    process: Child,
    address: String,
}

impl Mock {
    fn start(program: &Path, library: &Path) -> Result<Mock> {
        let mut command = Command::new(program);
        command.arg(library).args(["mock", TOPIC]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the mock broker does not start")?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut address)?;
        ensure!(!address.is_empty(), "the mock broker did not say where it listens");
        Ok(Mock { process, address: address.trim().to_owned() })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
