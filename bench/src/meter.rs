//! Processor time of a broker over a stretch of time, seen from two sides.

use anyhow::Result;

use crate::machine;
use crate::process::Broker;

/// Started before a load and stopped after it.
pub(crate) struct Meter {
    broker: f64,
    machine: f64,
    client: f64,
}

impl Meter {
    pub(crate) fn start(broker: &Broker) -> Result<Meter> {
        Ok(Meter {
            broker: broker.cpu_seconds()?,
            machine: machine::busy_seconds()?,
            client: machine::own_cpu_seconds()?,
        })
    }

    /// Seconds of the broker's own threads; and of the whole machine less this process. The second holds what the kernel
    /// does for the broker outside of it (writing back its dirty pages), and everything else that runs.
    pub(crate) fn stop(self, broker: &Broker) -> Result<(f64, f64)> {
        let broker = broker.cpu_seconds()? - self.broker;
        let machine = machine::busy_seconds()? - self.machine;
        let client = machine::own_cpu_seconds()? - self.client;
        Ok((broker, machine - client))
    }
}
