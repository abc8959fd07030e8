//! The controller: who may lead, and what leaders ask for.

use std::sync::Arc;

use chronik_state::ids::{BrokerId, LeaderEpoch};
use chronik_state::metadata::alter_partition::{AlterError, alter_with};
use chronik_state::metadata::elect::Edit;
use chronik_state::partition::leader::{Outcome, Standing};

use super::{NODES, Version, World};
use crate::model::node::Role;

impl World {
    pub(super) fn change(&mut self, edit: impl FnOnce(&mut Edit, &dyn Fn(BrokerId) -> bool), standings: [Standing; NODES as usize]) {
        let partition = self.latest().partition.clone();
        let mut change = Edit::of(&partition);
        edit(&mut change, &|id| standings[id as usize].eligible);
        let partition = change.finish().unwrap_or(partition);
        Arc::make_mut(&mut self.history).push(Version { partition, standings });
    }

    pub(super) fn fence(&mut self, id: BrokerId) {
        self.change_standing(id, false);
    }

    pub(super) fn unfence(&mut self, id: BrokerId) {
        self.change_standing(id, true);
    }

    pub(super) fn change_standing(&mut self, id: BrokerId, eligible: bool) {
        let mut standings = self.latest().standings;
        standings[id as usize].eligible = eligible;
        self.change(|edit, may_lead| edit.change_standing(id, may_lead), standings);
    }

    pub(super) fn restart(&mut self, id: BrokerId, keeps_its_end: bool) {
        let mut standings = self.latest().standings;
        let epoch = self.versions() as i64;
        standings[id as usize] = Standing { broker_epoch: epoch, eligible: false };
        self.change(|edit, may_lead| edit.restart(id, keeps_its_end, may_lead), standings);
        let known = self.versions() - 2;
        let node = self.node(id);
        node.up = true;
        node.broker_epoch = epoch;
        node.known = known;
        for other in 0..NODES {
            self.connect_to(other, id);
        }
    }

    pub(super) fn leadership(&self) -> (BrokerId, LeaderEpoch) {
        let partition = &self.latest().partition;
        (partition.leader, partition.leader_epoch)
    }

    pub(super) fn decide(&mut self, index: usize) {
        let (from, proposal) = self.proposals.remove(index);
        let version = self.latest().clone();
        let standing = |id: BrokerId| {
            let standing = version.standings[id as usize];
            Some((standing.broker_epoch, standing.eligible))
        };
        let outcome = match alter_with(standing, &version.partition, from, &proposal) {
            Ok(partition) => {
                let version = Version { partition, standings: version.standings };
                let agreed = version.agreed();
                if version != *self.latest() {
                    Arc::make_mut(&mut self.history).push(version);
                }
                Outcome::Agreed(agreed)
            }
            Err(AlterError::IneligibleReplica(_) | AlterError::Invalid) => Outcome::Refused,
            Err(AlterError::FencedLeaderEpoch | AlterError::InvalidUpdateVersion | AlterError::UnknownPartition) => Outcome::Outdated,
            Err(AlterError::Behind) => unreachable!("the controller's metadata is the latest"),
        };
        self.outcomes.push((from, proposal.partition_epoch, outcome));
    }

    pub(super) fn hear(&mut self, index: usize, lost: bool) {
        let (to, partition_epoch, outcome) = self.outcomes.remove(index);
        let now_ms = self.now_ms;
        let Role::Leader(machine) = &mut self.node(to).role else { return };
        let effects = match lost {
            false => machine.on_outcome(partition_epoch, outcome, now_ms),
            true => machine.on_proposal_lost(partition_epoch),
        };
        self.carry_out(to, effects);
    }
}
