//! A topic on a broker under measurement.

use std::net::{SocketAddr, TcpStream};

use anyhow::Result;
use chronik_load::{BatchShape, Cluster, ConsumeLoad, Consumed, Offsets, ProduceLoad, Produced, Target, Until};

use crate::peer::Peer;
use crate::process::Broker;

/// A topic that is there as long as nobody deletes it.
pub(crate) struct Topic {
    pub(crate) target: Target,
    /// Absent for the floor, which is not asked for anything but records.
    cluster: Option<Cluster>,
    /// The floor begins its file anew when the last connection has left.
    _open: TcpStream,
}

impl Topic {
    /// Creates it, with the settings of the peer's class.
    pub(crate) fn create(broker: &Broker, peer: Peer, name: &str, partitions: usize) -> Result<Topic> {
        let address = SocketAddr::from(([127, 0, 0, 1], broker.port));
        let open = TcpStream::connect(address)?;
        if !peer.has_topics() {
            return Ok(Topic { target: Target::plain(address, name, partitions), cluster: None, _open: open });
        }
        let mut cluster = Cluster::connect(&address.to_string())?;
        let target = cluster.create_topic(name, partitions, peer.topic_settings())?;
        Ok(Topic { target, cluster: Some(cluster), _open: open })
    }

    pub(crate) fn produce(&self, load: &ProduceLoad) -> Result<Produced> {
        Ok(chronik_load::produce(&self.target, load)?)
    }

    /// Reads it from its beginning, `readers` times at once, in pieces of so many bytes.
    pub(crate) fn read(&mut self, records: u64, readers: usize, piece: u32) -> Result<Consumed> {
        let load = ConsumeLoad {
            groups: readers,
            max_bytes: piece,
            partition_max_bytes: piece,
            once: true,
            threads: readers,
            ..ConsumeLoad::new(Until::Records(records * readers as u64))
        };
        let offsets = self.offsets()?;
        Ok(chronik_load::consume(&self.target, &load, &offsets)?)
    }

    pub(crate) fn offsets(&mut self) -> Result<Offsets> {
        match &mut self.cluster {
            Some(cluster) => Ok(cluster.offsets(&self.target)?),
            None => Ok(Offsets::first_of(&self.target)?),
        }
    }

    pub(crate) fn delete(mut self) -> Result<()> {
        if let Some(cluster) = &mut self.cluster {
            cluster.delete_topic(self.target.topic())?;
        }
        Ok(())
    }
}

/// Batches of so many records of 1 KiB, as fast as they are acknowledged.
pub(crate) fn batches(records_in_batch: usize, batches: usize, in_flight: usize) -> ProduceLoad {
    ProduceLoad {
        in_flight,
        ..ProduceLoad::new(
            BatchShape::plain(records_in_batch, RECORD_BYTES),
            Until::Records((records_in_batch * batches) as u64),
        )
    }
}

/// Length of a value, unless a figure says otherwise.
pub(crate) const RECORD_BYTES: usize = 1024;
