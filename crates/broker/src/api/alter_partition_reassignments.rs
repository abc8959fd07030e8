//! AlterPartitionReassignments (key 45): partitions move between brokers. Versions 0 and 1.
//!
//! With one node a partition is where it can be: that assignment is accepted and changes nothing. Errors, each for its
//! partition: UNKNOWN_TOPIC_OR_PARTITION, INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS (to null replicas, which
//! call a move off).
//!
//! KIP-455, KIP-860 (version 1: `allow_replication_factor_change`).

use chronik_state::metadata::Reassignment;
use chronik_wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use chronik_wire::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use chronik_wire::{StrBytes, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(AlterPartitionReassignments);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: AlterPartitionReassignmentsRequest = request.decode()?;
    let wanted: Vec<Reassignment> = body
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| Reassignment {
                topic: topic.name.as_str().to_owned(),
                partition: partition.partition_index,
                replicas: partition.replicas.clone(),
            })
        })
        .collect();
    let metadata = &request.node().metadata;
    let results = metadata.submit(request.reactor, |controller| controller.reassign_partitions(&wanted)).await;
    let mut results = match results {
        Ok(results) => results.into_iter().map(|result| result.map_err(Failure::from)).collect(),
        Err(error) => vec![Err(Failure::from(error)); wanted.len()],
    }
    .into_iter();
    let mut responses = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let partitions = topic.partitions.iter().zip(&mut results);
        let partitions = partitions.map(|(partition, result)| response(partition.partition_index, result)).collect();
        responses.push(message!(ReassignableTopicResponse { name: topic.name.clone(), partitions }));
    }
    request.reply(&message!(AlterPartitionReassignmentsResponse {
        error_message: None,
        allow_replication_factor_change: body.allow_replication_factor_change,
        responses,
    }))
}

fn response(partition_index: i32, result: Result<(), Failure>) -> ReassignablePartitionResponse {
    let mut response = message!(ReassignablePartitionResponse { partition_index, error_message: None });
    if let Err(failure) = result {
        response.error_code = failure.code.code();
        response.error_message = failure.message.map(StrBytes::from);
    }
    response
}
