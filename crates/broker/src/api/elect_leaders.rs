//! ElectLeaders (key 43): an operator asks for elections. Versions 0 to 2.
//!
//! Version 0 knows the preferred replica only. Null stands for all partitions, and is answered with every topic and with those
//! partitions alone whose leader changed or could not be elected. Errors, each for its partition:
//! UNKNOWN_TOPIC_OR_PARTITION, ELECTION_NOT_NEEDED (it has the leader already), PREFERRED_LEADER_NOT_AVAILABLE,
//! ELIGIBLE_LEADERS_NOT_AVAILABLE; for a kind of election that does not exist all of it is INVALID_REQUEST.
//!
//! KIP-183, KIP-460 (kinds).

use chronik_state::ids::PartitionIndex;
use chronik_state::metadata::{ElectionType, Image};
use chronik_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use chronik_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(ElectLeaders);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: ElectLeadersRequest = request.decode()?;
    let all = body.topic_partitions.is_none();
    let topics = asked(&body, &request.node().metadata.image());
    let Some(election) = election(body.election_type) else {
        // All partitions are nobody's in particular.
        let named = if all { &[][..] } else { &topics };
        return request.reply(&unknown_election(body.election_type, named));
    };
    let partitions: Vec<(String, PartitionIndex)> = topics
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(|index| (topic.as_str().to_owned(), *index)))
        .collect();
    let metadata = &request.node().metadata;
    let results = metadata.submit(request.reactor, |controller| controller.elect_leaders(election, &partitions)).await;
    let mut results = match results {
        Ok(results) => results.into_iter().map(|result| result.map_err(Failure::from)).collect(),
        Err(error) => vec![Err(Failure::from(error)); partitions.len()],
    }
    .into_iter();
    let mut told = |index: &PartitionIndex| {
        let result = results.next().expect("one result a partition");
        let needless = matches!(&result, Err(failure) if failure.code == ErrorCode::ElectionNotNeeded);
        (!all || !needless).then(|| partition(*index, result))
    };
    let topics = topics.iter().map(|(topic, partitions)| {
        let partition_result = partitions.iter().filter_map(&mut told).collect();
        message!(ReplicaElectionResult { topic: topic.clone(), partition_result })
    });
    request.reply(&message!(ElectLeadersResponse { replica_election_results: topics.collect() }))
}

type TopicPartitions = (StrBytes, Vec<PartitionIndex>);

fn asked(body: &ElectLeadersRequest, image: &Image) -> Vec<TopicPartitions> {
    match &body.topic_partitions {
        Some(topics) => topics.iter().map(|asked| (asked.topic.clone(), asked.partitions.clone())).collect(),
        None => image
            .topics()
            .map(|topic| (StrBytes::from(&*topic.name), topic.partitions.iter().map(|(index, _)| *index).collect()))
            .collect(),
    }
}

/// Kafka's numbers (`org.apache.kafka.common.ElectionType`).
fn election(code: i8) -> Option<ElectionType> {
    match code {
        0 => Some(ElectionType::Preferred),
        1 => Some(ElectionType::Unclean),
        _ => None,
    }
}

fn unknown_election(code: i8, topics: &[TopicPartitions]) -> ElectLeadersResponse {
    let failure = Failure { code: ErrorCode::InvalidRequest, message: Some(format!("Unknown election type {code}")) };
    let topics = topics.iter().map(|(topic, partitions)| {
        let partition_result = partitions.iter().map(|index| partition(*index, Err(failure.clone()))).collect();
        message!(ReplicaElectionResult { topic: topic.clone(), partition_result })
    });
    message!(ElectLeadersResponse { error_code: failure.code.code(), replica_election_results: topics.collect() })
}

fn partition(partition_id: PartitionIndex, result: Result<(), Failure>) -> PartitionResult {
    let mut response = message!(PartitionResult { partition_id });
    if let Err(failure) = result {
        response.error_code = failure.code.code();
        response.error_message = failure.message.map(StrBytes::from);
    }
    response
}
