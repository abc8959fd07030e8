//! Brokers come and go: the birth of the cluster, registration, and what a restart does to leaderships.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ids::{BrokerId, Offset};
use crate::metadata::image::Partition;
use crate::metadata::record::{
    BrokerRecord, ClusterRecord, Endpoint, FeatureLevelRecord, NO_LEADER, Record,
};
use crate::metadata::replicas::led_by;
use crate::metadata::{Controller, Decision, MetadataError};

/// The first command a cluster hears; heard again at each start to make sure that the data is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStart {
    /// The cluster's name for itself.
    pub cluster_id: String,
    /// Features finalized at birth. One the cluster has already is left as it is.
    pub features: BTreeMap<String, i16>,
}

/// A broker process introduces itself (KIP-631).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The node's number.
    pub id: BrokerId,
    /// Fresh at every start of the process.
    pub incarnation_id: [u8; 16],
    /// Identity of the disk under it (KIP-858).
    pub directory_id: [u8; 16],
    /// Where clients and nodes reach it.
    pub endpoints: Vec<Endpoint>,
    /// Where it stands (KIP-36).
    pub rack: Option<String>,
}

impl Controller {
    /// Names the cluster, or refuses data of another one.
    pub fn start_cluster(&self, start: &ClusterStart) -> Decision<Result<(), MetadataError>> {
        let mut records = Vec::new();
        match self.image.cluster_id() {
            Some(known) if known != start.cluster_id => {
                let found = &start.cluster_id;
                let text = format!("Expected cluster ID {known}, but got cluster ID {found}.");
                return Decision::refuse(MetadataError::InconsistentClusterId(text));
            }
            Some(_) => {}
            None => records.push(Record::Cluster(ClusterRecord { cluster_id: start.cluster_id.clone() })),
        }
        for (name, level) in &start.features {
            if !self.image.features().contains_key(name) {
                records.push(Record::FeatureLevel(FeatureLevelRecord { name: name.clone(), level: *level }));
            }
        }
        Decision { records, reply: Ok(()) }
    }

    /// Registers a broker and answers with its epoch, which is `next_offset`, the offset the metadata log will give the
    /// registration.
    ///
    /// A new incarnation never goes on in a leader epoch that an earlier one led: what was not synced may be gone, and
    /// (epoch, offset) has to name one record for ever. So every leadership of the broker begins anew, with the same
    /// leader and a higher epoch.
    pub fn register_broker(&self, registration: &BrokerRegistration, next_offset: Offset) -> Decision<i64> {
        let before = self.image.broker(registration.id);
        let same_process = before.is_some_and(|broker| broker.incarnation_id == registration.incarnation_id);
        let epoch = match before {
            Some(broker) if same_process => broker.epoch,
            Some(broker) => next_offset.max(broker.epoch + 1),
            None => next_offset,
        };
        let broker = registration.at_epoch(epoch);
        if before.is_some_and(|before| **before == broker) {
            return Decision { records: Vec::new(), reply: epoch };
        }
        let mut records = Vec::from([Record::Broker(broker)]);
        if !same_process {
            self.renew_leaderships(registration.id, &mut records);
        }
        Decision { records, reply: epoch }
    }

    /// Is this the incarnation the cluster knows?
    pub(crate) fn check_broker(&self, id: BrokerId, epoch: i64) -> Result<(), MetadataError> {
        match self.image.broker(id) {
            None => Err(MetadataError::BrokerIdNotRegistered(format!("No broker with id {id} found."))),
            Some(broker) if broker.epoch != epoch => {
                let known = broker.epoch;
                Err(MetadataError::StaleBrokerEpoch(format!(
                    "Expected broker epoch {known} of broker {id}, not {epoch}."
                )))
            }
            Some(_) => Ok(()),
        }
    }

    fn renew_leaderships(&self, broker_id: BrokerId, records: &mut Vec<Record>) {
        for topic in self.image.topics() {
            for (index, partition) in topic.partitions.iter() {
                if leads_or_may(partition, broker_id) {
                    records.push(led_by(topic, *index, partition, broker_id));
                }
            }
        }
    }
}

impl<T> Decision<Result<T, MetadataError>> {
    /// Nothing changes, and the asker hears why.
    pub(crate) fn refuse(error: MetadataError) -> Self {
        Decision { records: Vec::new(), reply: Err(error) }
    }
}

impl BrokerRegistration {
    fn at_epoch(&self, epoch: i64) -> BrokerRecord {
        BrokerRecord {
            id: self.id,
            incarnation_id: self.incarnation_id,
            epoch,
            directory_id: self.directory_id,
            endpoints: self.endpoints.clone(),
            rack: self.rack.as_ref().map(ToString::to_string),
            fenced: false,
        }
    }
}

fn leads_or_may(partition: &Partition, broker_id: BrokerId) -> bool {
    partition.leader == broker_id || (partition.leader == NO_LEADER && partition.in_sync.contains(&broker_id))
}
