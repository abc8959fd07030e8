//! Leaders are elected and replicas moved at an operator's word (KIP-183, KIP-460, KIP-455), refused in Kafka's words.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{BrokerId, PartitionIndex};
use crate::metadata::elect::{Edit, Policy};
use crate::metadata::record::{NO_LEADER, Record};
use crate::metadata::{Controller, Decision, MetadataError, Partition};

/// Whom an election may make leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica of the assignment, if it is in sync.
    Preferred,
    /// Where there is no leader: a replica in sync, or else any that lives, whatever it misses.
    Unclean,
}

/// Where a partition is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// The topic's name.
    pub topic: String,
    /// Which partition.
    pub partition: PartitionIndex,
    /// Its brokers, the preferred leader first; none to call off what is under way.
    pub replicas: Option<Vec<BrokerId>>,
}

impl Controller {
    /// Lets the preferred replicas lead again where they could and another does: after a restart others lead in their place (Kafka's
    /// `auto.leader.rebalance.enable`). Answers how many do from now on.
    pub fn rebalance_leaders(&self) -> Decision<usize> {
        let may_lead = |id: BrokerId| self.image.is_active(id);
        let mut records = Vec::new();
        for topic in self.image.topics() {
            for (index, partition) in topic.partitions.iter() {
                let mut edit = Edit::of(partition);
                edit.elect_preferred(may_lead);
                let elected = edit.finish().map(|after| Record::PartitionChange(after.to_change(topic.id, *index)));
                records.extend(elected);
            }
        }
        let reply = records.len();
        Decision { records, reply }
    }

    /// Does a broker that shuts down lead nothing any more that another could? What has no other replica in sync cannot be handed over.
    pub fn may_stop(&self, broker: BrokerId) -> bool {
        let could_be_led = |partition: &Partition| {
            partition.in_sync.iter().any(|other| *other != broker && self.image.is_active(*other))
        };
        let mut partitions = self.image.topics().flat_map(|topic| topic.partitions.iter());
        partitions.all(|(_, partition)| partition.leader != broker || !could_be_led(partition))
    }

    /// Elects leaders of partitions, named by topic and index. Answers stand in the order of the request.
    pub fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: &[(String, PartitionIndex)],
    ) -> Decision<Vec<Result<(), MetadataError>>> {
        let mut records = Vec::new();
        let elect = |(topic, index): &(String, PartitionIndex)| {
            records.push(self.elect(election, topic, *index)?);
            Ok(())
        };
        let reply = partitions.iter().map(elect).collect();
        Decision { records, reply }
    }

    /// Moves partitions. Answers stand in the order of the request. As nothing copies records between brokers yet, the
    /// one assignment that is accepted is the one that there is.
    pub fn reassign_partitions(&self, wanted: &[Reassignment]) -> Decision<Vec<Result<(), MetadataError>>> {
        Decision { records: Vec::new(), reply: wanted.iter().map(|wanted| self.reassign(wanted)).collect() }
    }

    fn elect(&self, election: ElectionType, name: &str, index: PartitionIndex) -> Result<Record, MetadataError> {
        let unknown = MetadataError::UnknownTopicOrPartition;
        let topic = self.image.topic(name).ok_or_else(|| unknown(format!("No such topic as {name}")))?;
        let partition =
            topic.partitions.get(&index).ok_or_else(|| unknown(format!("No such partition as {name}-{index}")))?;
        let settled = match election {
            ElectionType::Preferred => partition.replicas.first() == Some(&partition.leader),
            ElectionType::Unclean => partition.leader != NO_LEADER,
        };
        if settled {
            return Err(MetadataError::ElectionNotNeeded);
        }
        let may_lead = |id: BrokerId| self.image.is_active(id);
        let mut edit = Edit::of(partition);
        let error = match election {
            ElectionType::Preferred => {
                edit.elect_preferred(may_lead);
                MetadataError::PreferredLeaderNotAvailable
            }
            ElectionType::Unclean => {
                edit.elect(Policy::Unclean, may_lead);
                MetadataError::EligibleLeadersNotAvailable
            }
        };
        let elected = edit.finish().filter(|after| after.leader != partition.leader).ok_or(error)?;
        Ok(Record::PartitionChange(elected.to_change(topic.id, index)))
    }

    fn reassign(&self, wanted: &Reassignment) -> Result<(), MetadataError> {
        let Reassignment { topic: name, partition: index, replicas } = wanted;
        let unknown = MetadataError::UnknownTopicOrPartition;
        let topic = self.image.topic(name).ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let partition =
            topic.partitions.get(index).ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
        let replicas = replicas.as_ref().ok_or(MetadataError::NoReassignmentInProgress)?;
        self.check_assignment(*index, replicas, None)?;
        match **replicas == *partition.replicas {
            true => Ok(()),
            false => Err(MetadataError::InvalidReplicaAssignment("Replicas are not moved between brokers yet.".into())),
        }
    }
}
