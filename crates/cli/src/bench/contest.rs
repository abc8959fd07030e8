//! The turns: one broker after the other, and back (A B B A), so that what the machine does meanwhile hits both.

use chronik_load::{
    Cluster, ConsumeLoad, Consumed, LoadError, Offsets, ProduceLoad, Produced, Target, consume, end_to_end, produce,
};

use super::Load;
use super::arguments::At;
use super::topics::OwnTopics;

/// What came of all turns.
pub(super) struct Contest {
    pub(super) topic: String,
    pub(super) partitions: usize,
    /// The broker that was asked about and, if there is one, the other.
    pub(super) sides: Vec<Side>,
}

/// One broker.
pub(super) struct Side {
    pub(super) bootstrap: String,
    pub(super) rounds: Vec<Round>,
}

/// One turn of one broker.
#[derive(Clone, Default)]
pub(super) struct Round {
    pub(super) produced: Option<Produced>,
    pub(super) consumed: Option<Consumed>,
}

impl Side {
    /// All turns taken together.
    pub(super) fn total(&self) -> Round {
        let mut total = Round::default();
        for round in &self.rounds {
            if let Some(produced) = &round.produced {
                total.produced.get_or_insert_default().add(produced);
            }
            if let Some(consumed) = &round.consumed {
                total.consumed.get_or_insert_default().add(consumed);
            }
        }
        total
    }
}

/// A broker with its topic ready.
struct Ready {
    bootstrap: String,
    target: Target,
    offsets: Offsets,
}

pub(super) fn run(at: &At, load: &Load) -> Result<Contest, LoadError> {
    let own = OwnTopics::guarded()?;
    let outcome = turns(at, load, &own);
    own.delete();
    outcome
}

fn turns(at: &At, load: &Load, own: &OwnTopics) -> Result<Contest, LoadError> {
    let topic = at.topic.clone().unwrap_or_else(own_name);
    let mut ready = Vec::new();
    for bootstrap in [Some(&at.bootstrap_server), at.against.as_ref()].into_iter().flatten() {
        ready.push(prepare(at, load, bootstrap, &topic, own)?);
    }
    let mut rounds = vec![Vec::new(); ready.len()];
    for round in 0..at.rounds() {
        let mut order: Vec<usize> = (0..ready.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for side in order {
            if ready.len() > 1 {
                eprintln!("round {} of {}: {}", round + 1, at.rounds(), ready[side].bootstrap);
            }
            rounds[side].push(one(load, &mut ready[side])?);
        }
    }
    let partitions = ready[0].target.partitions();
    let side = |(ready, rounds): (Ready, Vec<Round>)| Side { bootstrap: ready.bootstrap, rounds };
    Ok(Contest { topic, partitions, sides: ready.into_iter().zip(rounds).map(side).collect() })
}

/// Finds or makes the topic, and what is to be read of it.
fn prepare(at: &At, load: &Load, bootstrap: &str, topic: &str, own: &OwnTopics) -> Result<Ready, LoadError> {
    let mut cluster = Cluster::connect(bootstrap)?;
    let existing = match &at.topic {
        Some(topic) => match cluster.describe_topic(topic) {
            Err(LoadError::NoTopic(_)) if !matches!(load, Load::Consume(..)) => None,
            found => Some(found?),
        },
        None => None,
    };
    let is_new = existing.is_none();
    let target = match existing {
        Some(target) => target,
        None => {
            let settings: Vec<(&str, &str)> =
                at.topic_config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            cluster.ask_for_topic(topic, at.partitions as usize, &settings)?;
            own.add(bootstrap, topic);
            cluster.wait_for_topic(topic, at.partitions as usize)?
        }
    };
    if let (Load::Consume(filling, _), true) = (load, is_new) {
        produce(&target, filling)?;
    }
    let offsets = cluster.offsets(&target)?;
    Ok(Ready { bootstrap: bootstrap.to_owned(), target, offsets })
}

fn one(load: &Load, ready: &mut Ready) -> Result<Round, LoadError> {
    Ok(match load {
        Load::Produce(load) => Round { produced: Some(produce(&ready.target, load)?), consumed: None },
        Load::Consume(_, load) => {
            Round { produced: None, consumed: Some(consume(&ready.target, load, &ready.offsets)?) }
        }
        Load::EndToEnd(producing, consuming) => both(ready, producing, consuming)?,
    })
}

fn both(ready: &mut Ready, producing: &ProduceLoad, consuming: &ConsumeLoad) -> Result<Round, LoadError> {
    // What an earlier turn has sent is not to be read again.
    ready.offsets = Cluster::connect(&ready.bootstrap)?.offsets(&ready.target)?;
    let (produced, consumed) = end_to_end(&ready.target, producing, consuming, &ready.offsets)?;
    Ok(Round { produced: Some(produced), consumed: Some(consumed) })
}

/// A name that no other run has.
fn own_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("chronik-bench-{}-{}", since.as_millis(), std::process::id())
}
