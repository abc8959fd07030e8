//! A topic on a broker, as a load sees it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{LoadError, frames};

/// How long a broker may leave a request unanswered before a run is given up.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// A topic, who leads its partitions, and the versions in which they are asked.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) topic: String,
    /// The address of each partition's leader.
    pub(crate) leaders: Vec<SocketAddr>,
    pub(crate) produce_version: i16,
    pub(crate) fetch_version: i16,
}

impl Target {
    /// A topic at an address that is asked nothing before: the oldest versions, Produce 3 and Fetch 4. For brokers that
    /// know nothing else.
    pub fn plain(address: SocketAddr, topic: &str, partitions: usize) -> Target {
        Target {
            topic: topic.to_owned(),
            leaders: vec![address; partitions],
            produce_version: frames::PRODUCE.0,
            fetch_version: frames::FETCH.0,
        }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// The distinct leaders of those partitions that `wanted` names, each with its partitions.
    pub(crate) fn by_leader(&self, wanted: impl Fn(usize) -> bool) -> Vec<(SocketAddr, Vec<usize>)> {
        let mut grouped: Vec<(SocketAddr, Vec<usize>)> = Vec::new();
        for (partition, leader) in self.leaders.iter().enumerate().filter(|(partition, _)| wanted(*partition)) {
            match grouped.iter_mut().find(|(address, _)| address == leader) {
                Some((_, partitions)) => partitions.push(partition),
                None => grouped.push((*leader, vec![partition])),
            }
        }
        grouped
    }
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So many records were sent or read (whole batches: it may be a few more).
    Records(u64),
    /// So much time went by.
    Time(Duration),
}

pub(crate) fn refused(api: chronik_wire::ApiKey, code: i16) -> LoadError {
    let reason = chronik_wire::ErrorCode::from_code(code)
        .map_or_else(|| format!("error {code}"), |error| error.name().to_owned());
    LoadError::Refused { api, reason, code }
}
