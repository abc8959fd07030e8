//! A leader asks for another in-sync set (AlterPartition; the order of checks is that of Kafka's
//! `ReplicationControlManager.validateAlterPartitionData`).

use alloc::vec::Vec;

use crate::ids::{BrokerId, PartitionIndex, TopicId};
use crate::metadata::elect::Edit;
use crate::metadata::image::{Image, Partition};
use crate::metadata::record::Record;
use crate::metadata::{Controller, Decision, MetadataError};
use crate::partition::leader::Proposal;
use crate::rule::{Rule, upheld};

/// What one broker asks for the partitions that it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitions {
    /// Who asks.
    pub broker_id: BrokerId,
    /// Which incarnation of it.
    pub broker_epoch: i64,
    /// Each for itself.
    pub proposals: Vec<(TopicId, PartitionIndex, Proposal)>,
}

/// Why a proposal is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// UNKNOWN_TOPIC_ID: it is gone, or was created anew.
    #[error("no such partition")]
    UnknownPartition,
    /// NOT_CONTROLLER: the asker knows of a later record than the one who is asked, whose metadata is behind.
    #[error("the metadata here is behind the asker's")]
    Behind,
    /// FENCED_LEADER_EPOCH: somebody else leads by now.
    #[error("the leader epoch is over")]
    FencedLeaderEpoch,
    /// INVALID_REQUEST: it never led, or leaves itself out.
    #[error("not a proposal of the leader, or not of replicas")]
    Invalid,
    /// INVALID_UPDATE_VERSION: the record has changed since.
    #[error("the partition epoch is over")]
    InvalidUpdateVersion,
    /// INELIGIBLE_REPLICA: somebody in the set is fenced, on its way out, or another incarnation.
    #[error("broker {0} may not be in sync")]
    IneligibleReplica(BrokerId),
}

impl Controller {
    /// Decides upon proposals. Each is answered with the partition as it is then.
    pub fn alter_partitions(
        &self,
        command: &AlterPartitions,
    ) -> Decision<Result<Vec<Result<Partition, AlterError>>, MetadataError>> {
        if let Err(error) = self.check_broker(command.broker_id, command.broker_epoch) {
            return Decision::refuse(error);
        }
        let mut records = Vec::new();
        let mut replies = Vec::with_capacity(command.proposals.len());
        for (topic_id, index, proposal) in &command.proposals {
            let reply = match self.image.partition(*topic_id, *index) {
                None => Err(AlterError::UnknownPartition),
                Some(partition) => alter(&self.image, partition, command.broker_id, proposal),
            };
            if let Ok(altered) = &reply
                && self.image.partition(*topic_id, *index) != Some(altered)
            {
                records.push(Record::PartitionChange(altered.to_change(*topic_id, *index)));
            }
            replies.push(reply);
        }
        Decision { records, reply: Ok(replies) }
    }
}

/// The partition after a proposal, if that may be.
pub(crate) fn alter(
    image: &Image,
    partition: &Partition,
    broker_id: BrokerId,
    proposal: &Proposal,
) -> Result<Partition, AlterError> {
    let standing = |id: BrokerId| image.broker(id).map(|broker| (broker.epoch, broker.may_lead()));
    alter_with(standing, partition, broker_id, proposal)
}

/// The same, where brokers are known by a function: epoch, and whether it may be in sync.
pub fn alter_with(
    standing: impl Fn(BrokerId) -> Option<(i64, bool)>,
    partition: &Partition,
    broker_id: BrokerId,
    proposal: &Proposal,
) -> Result<Partition, AlterError> {
    let members: Vec<BrokerId> = proposal.in_sync.iter().map(|(id, _)| *id).collect();
    if proposal.leader_epoch > partition.leader_epoch || proposal.partition_epoch > partition.partition_epoch {
        return Err(AlterError::Behind);
    }
    if proposal.leader_epoch < partition.leader_epoch {
        return Err(AlterError::FencedLeaderEpoch);
    }
    if partition.leader != broker_id {
        return Err(AlterError::Invalid);
    }
    if proposal.partition_epoch < partition.partition_epoch && upheld(Rule::UponTheVersionKnown) {
        return Err(AlterError::InvalidUpdateVersion);
    }
    if !members.contains(&broker_id) || members.iter().any(|id| !partition.replicas.contains(id)) {
        return Err(AlterError::Invalid);
    }
    if partition.recovering && members.len() > 1 {
        return Err(AlterError::Invalid);
    }
    for (id, epoch) in &proposal.in_sync {
        let Some((registered, is_eligible)) = standing(*id) else { return Err(AlterError::IneligibleReplica(*id)) };
        let is_registered = registered == *epoch || !upheld(Rule::JoinsAsRegistered);
        if !is_registered || (!is_eligible && upheld(Rule::OnlyEligibleJoin)) {
            return Err(AlterError::IneligibleReplica(*id));
        }
    }
    let mut edit = Edit::of(partition);
    edit.set_in_sync(&members);
    edit.recovered();
    Ok(edit.finish().unwrap_or_else(|| partition.clone()))
}
