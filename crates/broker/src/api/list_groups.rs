//! ListGroups (key 16): the groups that this node coordinates. Versions 0 to 5.
//!
//! KIP-518 (filter by state, v4), KIP-848 (filter by type, v5). A state or type that nobody knows filters everything out.

use chronik_state::group;
use chronik_wire::message;
use chronik_wire::messages::list_groups_response::ListedGroup;
use chronik_wire::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(ListGroups);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: ListGroupsRequest = request.decode()?;
    let states: Vec<String> = body.states_filter.iter().map(ToString::to_string).collect();
    let types: Vec<String> = body.types_filter.iter().map(ToString::to_string).collect();
    let coordinator = &request.node().coordinator;
    let looked = coordinator.look_everywhere(request.reactor, |groups| groups.list(&states, &types));
    let response = match looked.await {
        Ok(groups) => message!(ListGroupsResponse { groups: groups.into_iter().flatten().map(listed).collect() }),
        Err(error) => message!(ListGroupsResponse { error_code: error.code() }),
    };
    request.reply(&response)
}

fn listed(group: group::ListedGroup) -> ListedGroup {
    message!(ListedGroup {
        group_id: group.group_id.into(),
        protocol_type: group.protocol_type.into(),
        group_state: group.state.name().into(),
        group_type: group.group_type.name().into(),
    })
}
