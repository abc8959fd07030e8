//! What operators ask: list, describe, delete.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::classic::GroupState;
use super::event::Effects;
use super::message::{GroupCensus, GroupDescription, GroupError, GroupType, ListedGroup, Reply, Ticket};
use super::purge::Purge;
use super::{Group, Groups};

impl Groups {
    /// ListGroups: in the order of their ids. Empty filters let everything through; names are compared without regard
    /// to case (KIP-518, KIP-848).
    pub fn list(&self, states: &[String], types: &[String]) -> Vec<ListedGroup> {
        let admits = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        let listed = |(group_id, Group::Classic(group)): (&String, &Group)| ListedGroup {
            group_id: group_id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
            group_type: GroupType::Classic,
        };
        let mut groups: Vec<ListedGroup> = self.groups.iter().map(listed).collect();
        groups.retain(|group| admits(states, group.state.name()) && admits(types, group.group_type.name()));
        groups
    }

    /// Every group in numbers, in the order of their ids.
    pub fn census(&self) -> impl Iterator<Item = GroupCensus<'_>> {
        self.groups.iter().map(|(group_id, Group::Classic(group))| GroupCensus {
            group_id,
            members: group.members.len(),
            generation_id: group.generation_id,
        })
    }

    /// DescribeGroups. None if there is no such group.
    pub fn describe(&self, group_id: &str) -> Option<GroupDescription> {
        let Group::Classic(group) = self.groups.get(group_id)?;
        let protocol_name = group.protocol_name.as_deref().filter(|_| group.is(GroupState::Stable));
        Some(GroupDescription {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol_name: protocol_name.unwrap_or_default().to_string(),
            members: group.members.values().map(|member| member.describe(protocol_name)).collect(),
        })
    }

    /// DeleteGroups, for one group: only if nobody is in it (KIP-229).
    pub fn on_delete_group(&mut self, ticket: Ticket, group_id: &str) -> Effects {
        let mut effects = Effects::default();
        let error = match self.groups.get(group_id) {
            None => GroupError::GroupIdNotFound,
            Some(Group::Classic(group)) if !group.is(GroupState::Empty) => GroupError::NonEmptyGroup,
            Some(_) => {
                let answer = (ticket, Reply::DeleteGroup(Ok(())));
                self.purge(Purge::Group { group_id: group_id.to_string() }, Some(answer), &mut effects);
                return effects;
            }
        };
        effects.answer(ticket, Reply::DeleteGroup(Err(error)));
        effects
    }
}
