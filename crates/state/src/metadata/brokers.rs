//! Brokers come and go: the birth of the cluster, registration, and what a restart does to leaderships.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::ids::{BrokerId, Offset};
use crate::metadata::configs::SyncPolicy;
use crate::metadata::elect::Edit;
use crate::metadata::image::{Partition, Topic};
use crate::metadata::record::{BrokerRecord, ClusterRecord, Endpoint, FeatureLevelRecord, Record};
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
    /// How its last incarnation ended.
    pub restart: Restart,
    /// It may have confirmed records of any topic before they were on its disk: what it is told of its own (its file, or configs of this one
    /// broker) is not what the controller knows of a topic.
    pub confirms_unsynced: bool,
    /// It begins fenced, and is let in once it has caught up with the metadata. A node that is its own metadata is let in
    /// at once.
    pub fenced: bool,
}

/// What a broker can say of its disk at a start, by the marks that the last run left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// It was stopped, and everything synced before.
    Clean,
    /// It was killed or lost power. What it had synced is there, and nothing was found damaged.
    Crash,
    /// The disk is new, was restored from elsewhere, or something on it was damaged.
    Damage,
}

/// When a record counts as acknowledged.
const SYNC_CONFIG: &str = "chronik.sync";

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

    /// Takes a process in as a broker of the cluster that `start` describes: [`Controller::register_broker`], after what it says of its last
    /// run has been held against what is known. `stopped_epoch`: the broker epoch in the mark that a stop in good order left on its disk.
    pub fn admit_broker(
        &self,
        start: &ClusterStart,
        registration: &BrokerRegistration,
        stopped_epoch: Option<i64>,
        next_offset: Offset,
    ) -> Decision<Result<i64, MetadataError>> {
        let started = self.start_cluster(start);
        if let Err(error) = started.reply {
            return Decision::refuse(error);
        }
        let mut registration = registration.clone();
        // The mark of the process that the cluster knew, not of one before it whose data was put back.
        let known = self.image.broker(registration.id).map(|broker| broker.epoch);
        if registration.restart == Restart::Crash && stopped_epoch.is_some() && stopped_epoch == known {
            registration.restart = Restart::Clean;
        }
        // Set on this one broker, it is not what a controller knows of a topic.
        let own = self.image.broker_configs(&registration.id.to_string());
        registration.confirms_unsynced |= own.contains_key(SYNC_CONFIG);
        let registered = self.register_broker(&registration, next_offset);
        let mut records = started.records;
        records.extend(registered.records);
        Decision { records, reply: Ok(registered.reply) }
    }

    /// Registers a broker and answers with its epoch, which is `next_offset`, the offset the metadata log will give the
    /// registration.
    ///
    /// What becomes of its leaderships: [`Edit::restart`].
    pub fn register_broker(&self, registration: &BrokerRegistration, next_offset: Offset) -> Decision<i64> {
        let before = self.image.broker(registration.id);
        let same_process = before.is_some_and(|broker| broker.incarnation_id == registration.incarnation_id);
        let epoch = match before {
            Some(broker) if same_process => broker.epoch,
            Some(broker) => next_offset.max(broker.epoch + 1),
            None => next_offset,
        };
        let mut broker = registration.at_epoch(epoch);
        if let Some(before) = before.filter(|_| same_process) {
            (broker.fenced, broker.shutting_down) = (before.fenced, before.shutting_down);
        }
        if before.is_some_and(|before| **before == broker) {
            return Decision { records: Vec::new(), reply: epoch };
        }
        let mut records = Vec::from([Record::Broker(broker)]);
        if !same_process {
            self.end_incarnation(registration, &mut records);
        }
        Decision { records, reply: epoch }
    }

    /// The broker is not heard of any more: it leaves every in-sync set, and others lead, in the same batch.
    pub fn fence_broker(&self, id: BrokerId, epoch: i64) -> Decision<Result<(), MetadataError>> {
        self.change_broker(id, epoch, |broker| broker.fenced = true)
    }

    /// The broker is heard of, and has applied its own registration: it may lead.
    pub fn unfence_broker(&self, id: BrokerId, epoch: i64) -> Decision<Result<(), MetadataError>> {
        self.change_broker(id, epoch, |broker| broker.fenced = false)
    }

    /// The broker wants to stop (KIP-841): others lead from now on, and it does not come back into any in-sync set.
    pub fn shut_down_broker(&self, id: BrokerId, epoch: i64) -> Decision<Result<(), MetadataError>> {
        self.change_broker(id, epoch, |broker| broker.shutting_down = true)
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

    fn change_broker(
        &self,
        id: BrokerId,
        epoch: i64,
        change: impl FnOnce(&mut BrokerRecord),
    ) -> Decision<Result<(), MetadataError>> {
        if let Err(error) = self.check_broker(id, epoch) {
            return Decision::refuse(error);
        }
        let Some(before) = self.image.broker(id) else { return Decision { records: Vec::new(), reply: Ok(()) } };
        let mut broker = BrokerRecord::clone(before);
        change(&mut broker);
        if broker == **before {
            return Decision { records: Vec::new(), reply: Ok(()) };
        }
        let may_lead = |other: BrokerId| if other == id { broker.may_lead() } else { self.image.is_active(other) };
        let mut records = Vec::from([Record::Broker(broker.clone())]);
        self.edit_partitions(&mut records, |_, _, edit| edit.change_standing(id, may_lead));
        Decision { records, reply: Ok(()) }
    }

    fn end_incarnation(&self, registration: &BrokerRegistration, records: &mut Vec<Record>) {
        let id = registration.id;
        // Another disk than the one that was known, whatever its broker says of it: it may have been started before without
        // being heard, and then it does not look new any more (KIP-858).
        let same_disk = self.image.broker(id).is_none_or(|known| known.directory_id == registration.directory_id);
        let restart = if same_disk { registration.restart } else { Restart::Damage };
        let may_lead = |other: BrokerId| if other == id { !registration.fenced } else { self.image.is_active(other) };
        self.edit_partitions(records, |topic, partition, edit| {
            // Where there is no other copy, what this one has is what there is.
            let is_sole = partition.replicas.len() == 1 && restart != Restart::Damage;
            let keeps_its_end = self.keeps_its_end(topic, restart, registration.confirms_unsynced);
            edit.restart(id, is_sole || keeps_its_end, may_lead);
        });
    }

    /// Is everything that the broker ever confirmed of this topic still in its log?
    fn keeps_its_end(&self, topic: &Topic, restart: Restart, confirms_unsynced: bool) -> bool {
        match restart {
            Restart::Clean => true,
            Restart::Crash => !confirms_unsynced && self.topic_settings(&topic.configs).sync == SyncPolicy::Commit,
            Restart::Damage => false,
        }
    }

    fn edit_partitions(&self, records: &mut Vec<Record>, edit: impl Fn(&Topic, &Partition, &mut Edit)) {
        for topic in self.image.topics() {
            for (index, partition) in topic.partitions.iter() {
                let mut change = Edit::of(partition);
                edit(topic, partition, &mut change);
                if let Some(changed) = change.finish() {
                    records.push(Record::PartitionChange(changed.to_change(topic.id, *index)));
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
            fenced: self.fenced,
            shutting_down: false,
        }
    }
}
