//! Heartbeat (key 12): a member lives, and hears whether it must join again. Versions 0 to 4.
//!
//! While the group is being read from its log the answer is simply no error, as Kafka has it: the member is not to blame.
//!
//! KIP-345 (static members, v3).

use chronik_state::group::{self, Reply as GroupReply};
use chronik_wire::messages::{HeartbeatRequest, HeartbeatResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};

serves!(Heartbeat);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: HeartbeatRequest = request.decode()?;
    let heartbeat = group::HeartbeatRequest {
        group_id: body.group_id.to_string(),
        generation_id: body.generation_id,
        member_id: body.member_id.to_string(),
        group_instance_id: body.group_instance_id.as_ref().map(ToString::to_string),
    };
    let coordinator = &request.node().coordinator;
    let asked = coordinator
        .ask(request.reactor, &body.group_id, |groups, ticket, now| groups.on_heartbeat(ticket, &heartbeat, now));
    let error = match asked.await {
        Ok(GroupReply::Heartbeat(Ok(()))) | Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Ok(GroupReply::Heartbeat(Err(error))) => errors::group(error),
        Ok(_) => ErrorCode::UnknownServerError,
        Err(error) => error,
    };
    request.reply(&message!(HeartbeatResponse { error_code: error.code() }))
}
