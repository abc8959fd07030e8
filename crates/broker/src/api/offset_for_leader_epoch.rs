//! OffsetForLeaderEpoch (key 23): where a leader epoch ends in the log, by which a reader finds out that its log and the
//! leader's part ways. Versions 2 to 4.
//!
//! The answer is the largest epoch that is not above the one asked for, and one past its last offset; −1 and −1 where that is
//! undefined. A partition that is not there is UNKNOWN_TOPIC_OR_PARTITION; a current epoch that is not this leader's is
//! FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH.
//!
//! KIP-101, KIP-279, KIP-320.

use chronik_state::metadata::Image;
use chronik_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use chronik_wire::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use chronik_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};
use crate::node::Node;
use crate::partition::find::led_here;

serves!(OffsetForLeaderEpoch);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: OffsetForLeaderEpochRequest = request.decode()?;
    let image = request.node().metadata.image();
    let topics = body
        .topics
        .iter()
        .map(|topic| {
            let partitions =
                topic.partitions.iter().map(|asked| response(asked, end(request.node(), &image, &topic.topic, asked)));
            message!(OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions: partitions.collect() })
        })
        .collect();
    request.reply(&message!(OffsetForLeaderEpochResponse { topics }))
}

/// Epoch and end offset; none where it is undefined.
fn end(
    node: &Node,
    image: &Image,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    let partition = led_here(node, image, topic, asked.partition)?;
    partition.check_epoch(asked.current_leader_epoch).map_err(|error| errors::not_given(&error))?;
    Ok(partition.log.epoch_end_offset(asked.leader_epoch).map(|end| (end.epoch, end.end_offset)))
}

fn response(asked: &OffsetForLeaderPartition, end: Result<Option<(i32, i64)>, ErrorCode>) -> EpochEndOffset {
    let mut response = message!(EpochEndOffset { partition: asked.partition });
    match end {
        Ok(Some((leader_epoch, end_offset))) => {
            response.leader_epoch = leader_epoch;
            response.end_offset = end_offset;
        }
        Ok(None) => {}
        Err(error) => response.error_code = error.code(),
    }
    response
}
