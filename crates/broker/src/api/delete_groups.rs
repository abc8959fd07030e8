//! DeleteGroups (key 42): groups without members go, with all that they had committed (KIP-229). Versions 0 to 2.

use std::collections::BTreeSet;

use chronik_state::group::Reply as GroupReply;
use chronik_wire::messages::delete_groups_response::DeletableGroupResult;
use chronik_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};

serves!(DeleteGroups);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DeleteGroupsRequest = request.decode()?;
    let mut seen = BTreeSet::new();
    let mut results = Vec::new();
    for group_id in &body.groups_names {
        if seen.insert(group_id.as_str()) {
            let error = delete(&request, group_id).await;
            results.push(message!(DeletableGroupResult { group_id: group_id.clone(), error_code: error.code() }));
        }
    }
    request.reply(&message!(DeleteGroupsResponse { results: results }))
}

async fn delete(request: &Request<'_>, group_id: &str) -> ErrorCode {
    let coordinator = &request.node().coordinator;
    match coordinator.ask(request.reactor, group_id, |groups, ticket, _| groups.on_delete_group(ticket, group_id)).await
    {
        Ok(GroupReply::DeleteGroup(Ok(()))) => ErrorCode::None,
        Ok(GroupReply::DeleteGroup(Err(error))) => errors::group(error),
        Ok(_) => ErrorCode::UnknownServerError,
        Err(error) => error,
    }
}
