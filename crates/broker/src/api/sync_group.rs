//! SyncGroup (key 14): the leader hands out the assignment, every member fetches its share. Versions 0 to 5.
//!
//! Answered when the leader has assigned and the group is in the log.
//!
//! KIP-345 (static members, v3), KIP-559 (protocol type and name are checked if given, and must be given from v5 on).

use chronik_state::group::{Reply as GroupReply, SyncReply, SyncRequest};
use chronik_wire::messages::{SyncGroupRequest, SyncGroupResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};

serves!(SyncGroup);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: SyncGroupRequest = request.decode()?;
    if request.version() >= 5 && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        return request.reply(&refused(ErrorCode::InconsistentGroupProtocol));
    }
    let sync = sync_request(&body);
    let group_id = body.group_id.as_str();
    let asked = request
        .node()
        .coordinator
        .ask_patiently(&request, group_id, |groups, ticket, now| groups.on_sync(ticket, sync, now));
    let response = match asked.await {
        Ok(GroupReply::Sync(reply)) => response(reply),
        Ok(_) => refused(ErrorCode::UnknownServerError),
        Err(error) => refused(error),
    };
    request.reply(&response)
}

fn sync_request(body: &SyncGroupRequest) -> SyncRequest {
    let text = |text: &Option<StrBytes>| text.as_ref().map(ToString::to_string);
    SyncRequest {
        group_id: body.group_id.to_string(),
        generation_id: body.generation_id,
        member_id: body.member_id.to_string(),
        group_instance_id: text(&body.group_instance_id),
        protocol_type: text(&body.protocol_type),
        protocol_name: text(&body.protocol_name),
        assignments: body
            .assignments
            .iter()
            .map(|assigned| (assigned.member_id.to_string(), assigned.assignment.to_vec()))
            .collect(),
    }
}

fn response(reply: SyncReply) -> SyncGroupResponse {
    message!(SyncGroupResponse {
        error_code: reply.error.map_or(ErrorCode::None, errors::group).code(),
        protocol_type: reply.protocol_type.map(StrBytes::from),
        protocol_name: reply.protocol_name.map(StrBytes::from),
        assignment: reply.assignment.into(),
    })
}

fn refused(error: ErrorCode) -> SyncGroupResponse {
    message!(SyncGroupResponse { error_code: error.code() })
}
