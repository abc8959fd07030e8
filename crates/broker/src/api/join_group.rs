//! JoinGroup (key 11): become a member, or say that one still is, and wait for the group's next generation. Versions 0 to 9.
//!
//! Answered when all members have joined or the time for it is over; the leader's answer lists everybody.
//! From version 4 on a new member is first told its id and has to join again with it (KIP-394).
//!
//! KIP-134 (a new group waits for its first members), KIP-345 (static members, v5), KIP-559 (protocol type and name in
//! the answer, v7), KIP-800 (the reason, v8, for our log only), KIP-814 (a static leader that returns need not assign, v9).

use chronik_state::group::{JoinReply, JoinRequest, JoinedMember, Protocol, Reply as GroupReply};
use chronik_wire::messages::join_group_response::JoinGroupResponseMember;
use chronik_wire::messages::{JoinGroupRequest, JoinGroupResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};
use crate::node::random_id;

serves!(JoinGroup);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: JoinGroupRequest = request.decode()?;
    let join = join_request(&request, &body);
    if let Some(reason) = body.reason.as_deref().filter(|reason| !reason.is_empty()) {
        tracing::debug!(group = %join.group_id, member = %join.member_id, reason, "joins");
    }
    let group_id = body.group_id.as_str();
    let asked = request
        .node()
        .coordinator
        .ask_patiently(&request, group_id, |groups, ticket, now| groups.on_join(ticket, join, now));
    let response = match asked.await {
        Ok(GroupReply::Join(reply)) => response(reply, request.version()),
        Ok(_) => refused(ErrorCode::UnknownServerError, &body.member_id, request.version()),
        Err(error) => refused(error, &body.member_id, request.version()),
    };
    request.reply(&response)
}

fn join_request(request: &Request<'_>, body: &JoinGroupRequest) -> JoinRequest {
    let version = request.version();
    JoinRequest {
        group_id: body.group_id.to_string(),
        member_id: body.member_id.to_string(),
        group_instance_id: body.group_instance_id.as_ref().map(ToString::to_string),
        client_id: request.client_id().to_owned(),
        // As Java writes an address that has no name.
        client_host: format!("/{}", request.connection.peer.ip().to_canonical()),
        protocol_type: body.protocol_type.to_string(),
        protocols: body
            .protocols
            .iter()
            .map(|protocol| Protocol { name: protocol.name.to_string(), metadata: protocol.metadata.to_vec() })
            .collect(),
        session_timeout_ms: body.session_timeout_ms,
        // Version 0 knows only the one timeout.
        rebalance_timeout_ms: if version == 0 { body.session_timeout_ms } else { body.rebalance_timeout_ms },
        requires_known_member_id: version >= 4,
        supports_skipping_assignment: version >= 9,
        fresh_id: u128::from_be_bytes(random_id()),
    }
}

fn response(reply: JoinReply, version: i16) -> JoinGroupResponse {
    message!(JoinGroupResponse {
        error_code: reply.error.map_or(ErrorCode::None, errors::group).code(),
        generation_id: reply.generation_id,
        protocol_type: reply.protocol_type.map(StrBytes::from),
        protocol_name: protocol_name(reply.protocol_name.map(StrBytes::from), version),
        leader: reply.leader.into(),
        skip_assignment: reply.skip_assignment,
        member_id: reply.member_id.into(),
        members: reply.members.into_iter().map(member).collect(),
    })
}

fn refused(error: ErrorCode, member_id: &StrBytes, version: i16) -> JoinGroupResponse {
    message!(JoinGroupResponse {
        error_code: error.code(),
        generation_id: -1,
        protocol_name: protocol_name(None, version),
        member_id: member_id.clone(),
    })
}

/// Before version 7 it cannot be null.
fn protocol_name(name: Option<StrBytes>, version: i16) -> Option<StrBytes> {
    if version < 7 { Some(name.unwrap_or_default()) } else { name }
}

fn member(joined: JoinedMember) -> JoinGroupResponseMember {
    message!(JoinGroupResponseMember {
        member_id: joined.member_id.into(),
        group_instance_id: joined.group_instance_id.map(StrBytes::from),
        metadata: joined.metadata.into(),
    })
}
