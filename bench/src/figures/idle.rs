//! A broker with nothing to do.

use std::time::Duration;

use anyhow::Result;

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::sample::Samples;
use crate::topic::{Topic, batches};

pub(crate) const FIGURE: Figure = Figure {
    name: "idle",
    about: "a fresh broker with one topic and one record, three seconds later: resident memory, and how often one of its \
            threads wakes up, in windows of two seconds",
    run,
};

const SETTLE: Duration = Duration::from_secs(3);
const WINDOW: Duration = Duration::from_secs(2);
const WINDOWS: usize = 6;

fn run(lab: &mut Lab) -> Result<Outcome> {
    let mut brokers = Vec::new();
    for peer in lab.present(&[Peer::Ours, Peer::Kafka]) {
        let broker = lab.fresh(peer)?;
        broker.wait()?;
        Topic::create(&broker, peer, "idle", 1)?.produce(&batches(1, 1, 1))?;
        brokers.push((peer, broker));
    }
    std::thread::sleep(SETTLE);
    let [mut resident, mut wakeups, mut cpu]: [Vec<Samples>; 3] =
        std::array::from_fn(|_| brokers.iter().map(|_| Samples::default()).collect());
    for _ in 0..lab.rounds(WINDOWS) {
        let mut before = Vec::new();
        for (_, broker) in &brokers {
            before.push((broker.sleeps()?, broker.cpu_seconds()?));
        }
        std::thread::sleep(WINDOW);
        let seconds = WINDOW.as_secs_f64();
        for (at, (_, broker)) in brokers.iter().enumerate() {
            wakeups[at].add((broker.sleeps()? - before[at].0) as f64 / seconds);
            cpu[at].add((broker.cpu_seconds()? - before[at].1) / seconds * 100.0);
            resident[at].add(broker.resident_mib()?);
        }
    }
    let mut outcome = Outcome::default();
    let what = "idle: resident memory";
    outcome.claim(Claim::at_most("idle-memory", what, "MiB", resident[0].values.clone(), 20.0, 12.0));
    let what = "idle: wake-ups";
    outcome.claim(Claim::at_most("idle-wakeups", what, "/s", wakeups[0].values.clone(), 10.0, 1.0));
    let mut row = |what: &str, unit: &str, samples: Vec<Samples>| {
        outcome.row(what, unit, brokers.iter().map(|(peer, _)| peer.name()).zip(samples).collect());
    };
    row("idle: resident memory", "MiB", resident);
    row("idle: wake-ups", "/s", wakeups);
    row("idle: processor", "% of a core", cpu);
    Ok(outcome)
}
