//! From exec to the first acknowledged record, on an empty directory.

use anyhow::Result;

use crate::figure::{Claim, Figure, Outcome};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::sample::Samples;
use crate::topic::{Topic, batches};

pub(crate) const FIGURE: Figure = Figure {
    name: "start",
    about: "exec on an empty directory until a record of a new topic is acknowledged (Kafka's directory is formatted before)",
    run,
};

const STARTS: usize = 11;
/// Seconds each.
const STARTS_KAFKA: usize = 3;

fn run(lab: &mut Lab) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut columns = Vec::new();
    for peer in lab.present(&[Peer::Ours, Peer::Kafka]) {
        let starts = if peer == Peer::Ours { STARTS } else { STARTS_KAFKA };
        let mut milliseconds = Samples::default();
        for start in 0..=lab.rounds(starts) {
            let taken = one(lab, peer)?;
            if start > 0 {
                milliseconds.add(taken);
            }
        }
        if peer == Peer::Ours {
            let what = "exec to first acknowledged record: empty";
            outcome.claim(Claim::at_most("start-empty", what, "ms", milliseconds.values.clone(), 50.0, 20.0));
        }
        columns.push((peer.name(), milliseconds));
    }
    outcome.row("exec to first acknowledged record", "ms", columns);
    Ok(outcome)
}

fn one(lab: &mut Lab, peer: Peer) -> Result<f64> {
    let broker = lab.fresh(peer)?;
    broker.wait()?;
    let topic = Topic::create(&broker, peer, "first", 1)?;
    topic.produce(&batches(1, 1, 1))?;
    Ok(broker.launched().elapsed().as_secs_f64() * 1e3)
}
