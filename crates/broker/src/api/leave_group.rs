//! LeaveGroup (key 13): members go, so that nobody waits for their silence to become too long. Versions 0 to 5.
//!
//! Before version 3 it is one member, and its error is the answer's; from then on several, by member id or by
//! instance id, each with an error of its own (KIP-345). Version 5 has a reason (KIP-800), for our log only.

use chronik_state::group::{LeaveReply, LeavingMember, LeftMember, Reply as GroupReply};
use chronik_wire::messages::leave_group_request::MemberIdentity;
use chronik_wire::messages::leave_group_response::MemberResponse;
use chronik_wire::messages::{LeaveGroupRequest, LeaveGroupResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};

serves!(LeaveGroup);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: LeaveGroupRequest = request.decode()?;
    let members = leaving(&body, request.version());
    let group_id = body.group_id.as_str();
    let asked = request
        .node()
        .coordinator
        .ask(request.reactor, group_id, |groups, ticket, now| groups.on_leave(ticket, group_id, &members, now));
    let response = match asked.await {
        Ok(GroupReply::Leave(reply)) => response(reply, request.version()),
        Ok(_) => refused(ErrorCode::UnknownServerError),
        Err(error) => refused(error),
    };
    request.reply(&response)
}

fn leaving(body: &LeaveGroupRequest, version: i16) -> Vec<LeavingMember> {
    if version < 3 {
        return vec![LeavingMember { member_id: body.member_id.to_string(), group_instance_id: None }];
    }
    let leaving = |member: &MemberIdentity| {
        if let Some(reason) = member.reason.as_deref().filter(|reason| !reason.is_empty()) {
            tracing::debug!(group = %body.group_id, member = %member.member_id, reason, "leaves");
        }
        LeavingMember {
            member_id: member.member_id.to_string(),
            group_instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        }
    };
    body.members.iter().map(leaving).collect()
}

fn response(reply: LeaveReply, version: i16) -> LeaveGroupResponse {
    let first_error = reply.members.iter().find_map(|member| member.error).filter(|_| version < 3);
    let members = if version < 3 { Vec::new() } else { reply.members };
    message!(LeaveGroupResponse {
        error_code: reply.error.or(first_error).map_or(ErrorCode::None, errors::group).code(),
        members: members.into_iter().map(left).collect(),
    })
}

fn left(member: LeftMember) -> MemberResponse {
    message!(MemberResponse {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(StrBytes::from),
        error_code: member.error.map_or(ErrorCode::None, errors::group).code(),
    })
}

fn refused(error: ErrorCode) -> LeaveGroupResponse {
    message!(LeaveGroupResponse { error_code: error.code() })
}
