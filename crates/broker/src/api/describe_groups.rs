//! DescribeGroups (key 15): who is in groups, and what each has been assigned. Versions 0 to 6.
//!
//! Members' metadata and assignments are told only of a stable group. A group that does not exist is "Dead" without
//! an error, and from version 6 on GROUP_ID_NOT_FOUND (KIP-1043).
//!
//! KIP-345 (instance ids, v4), KIP-430 (allowed operations, v3: without access control, all of them).

use std::collections::BTreeSet;

use chronik_state::group::{GroupDescription, GroupState, MemberDescription};
use chronik_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use chronik_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(DescribeGroups);

/// One bit for each operation that exists for groups: READ (3), DELETE (6), DESCRIBE (8), DESCRIBE_CONFIGS (10),
/// ALTER_CONFIGS (11).
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
/// Nobody asked which.
const NO_OPERATIONS: i32 = i32::MIN;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeGroupsRequest = request.decode()?;
    let mut groups = Vec::new();
    // Named twice, answered once: nobody means it, and answers are much larger than questions.
    let mut seen = BTreeSet::new();
    for group_id in body.groups.iter().filter(|group_id| seen.insert(group_id.as_str())) {
        let coordinator = &request.node().coordinator;
        let looked = coordinator.look(request.reactor, group_id, |groups| groups.describe(group_id)).await;
        let mut described = match looked {
            Ok(Some(description)) => describe(group_id, description),
            Ok(None) => missing(group_id, request.version()),
            Err(error) => failed(group_id, error),
        };
        if body.include_authorized_operations && described.error_code == ErrorCode::None.code() {
            described.authorized_operations = ALL_OPERATIONS;
        }
        groups.push(described);
    }
    request.reply(&message!(DescribeGroupsResponse { groups: groups }))
}

fn describe(group_id: &StrBytes, description: GroupDescription) -> DescribedGroup {
    message!(DescribedGroup {
        group_id: group_id.clone(),
        group_state: description.state.name().into(),
        protocol_type: description.protocol_type.into(),
        protocol_data: description.protocol_name.into(),
        members: description.members.into_iter().map(member).collect(),
        authorized_operations: NO_OPERATIONS,
    })
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    message!(DescribedGroupMember {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(StrBytes::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.metadata.into(),
        member_assignment: member.assignment.into(),
    })
}

fn missing(group_id: &StrBytes, version: i16) -> DescribedGroup {
    let mut described = failed(group_id, if version >= 6 { ErrorCode::GroupIdNotFound } else { ErrorCode::None });
    described.group_state = GroupState::Dead.name().into();
    described.error_message = (version >= 6).then(|| format!("Group {group_id} not found.").into());
    described
}

fn failed(group_id: &StrBytes, error: ErrorCode) -> DescribedGroup {
    message!(DescribedGroup {
        error_code: error.code(),
        group_id: group_id.clone(),
        authorized_operations: NO_OPERATIONS,
    })
}
