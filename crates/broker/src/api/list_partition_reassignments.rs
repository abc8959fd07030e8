//! ListPartitionReassignments (key 46): which partitions are on the move. Version 0.
//!
//! Whatever is asked for, what is not moving is left out, also where it does not exist; with one node nothing moves.
//!
//! KIP-455.

use chronik_wire::message;
use chronik_wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(ListPartitionReassignments);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let _: ListPartitionReassignmentsRequest = request.decode()?;
    request.reply(&message!(ListPartitionReassignmentsResponse { error_message: None }))
}
