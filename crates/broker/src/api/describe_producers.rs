//! DescribeProducers (key 61): the idempotent producers that a partition remembers. Version 0.
//!
//! By ascending id: epoch, sequence and time of the last batch, each −1 where it is not known. Coordinator epoch and start of an open
//! transaction are −1 as long as nothing is transactional. A partition that is not there is UNKNOWN_TOPIC_OR_PARTITION, as is its
//! topic, with a message then; a name that no topic can have is INVALID_TOPIC_EXCEPTION.
//!
//! KIP-664.

use chronik_state::ids::ProducerId;
use chronik_state::metadata::{Image, MetadataError, topic_name};
use chronik_state::partition::producers;
use chronik_wire::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use chronik_wire::messages::{DescribeProducersRequest, DescribeProducersResponse};
use chronik_wire::{StrBytes, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::Node;
use crate::partition::find::led_here;

serves!(DescribeProducers);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeProducersRequest = request.decode()?;
    let image = request.node().metadata.image();
    let topics = body
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic
                .partition_indexes
                .iter()
                .map(|index| response(*index, producers_of(request.node(), &image, &topic.name, *index)));
            message!(TopicResponse { name: topic.name.clone(), partitions: partitions.collect() })
        })
        .collect();
    request.reply(&message!(DescribeProducersResponse { topics }))
}

fn producers_of(node: &Node, image: &Image, topic: &str, index: i32) -> Result<Vec<ProducerState>, Failure> {
    topic_name::validate(topic)?;
    if image.topic(topic).is_none() {
        return Err(MetadataError::unknown_topic().into());
    }
    let partition = led_here(node, image, topic, index)?;
    Ok(partition.log.with_producers(|producers| producers.iter().map(described).collect()))
}

fn described((producer_id, state): (ProducerId, &producers::ProducerState)) -> ProducerState {
    message!(ProducerState {
        producer_id,
        producer_epoch: state.producer_epoch().into(),
        last_sequence: state.last_sequence(),
        last_timestamp: state.last_timestamp(),
        coordinator_epoch: state.coordinator_epoch(),
        current_txn_start_offset: state.transaction_first_offset().unwrap_or(-1),
    })
}

fn response(partition_index: i32, producers: Result<Vec<ProducerState>, Failure>) -> PartitionResponse {
    match producers {
        Ok(active_producers) => message!(PartitionResponse { partition_index, active_producers }),
        Err(failure) => message!(PartitionResponse {
            partition_index,
            error_code: failure.code.code(),
            error_message: failure.message.map(StrBytes::from),
        }),
    }
}
