//! DeleteRecords (key 21): raises the start of a partition's log. Versions 0 to 2.
//!
//! −1 means everything that readers may see. The answer gives the start as it is then (`low_watermark`), and comes when that is on
//! disk; followers hear of it at once, and are not waited for. An offset below the start changes nothing. Errors: UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE (beyond the high
//! watermark, or negative), POLICY_VIOLATION (the topic is compacted only), INVALID_TOPIC_EXCEPTION (the node's own topics).
//!
//! KIP-107.

use std::sync::Arc;

use chronik_log::Lsn;
use chronik_state::metadata::{Image, topic_name};
use chronik_wire::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use chronik_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use chronik_wire::{ErrorCode, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request, errors};
use crate::net::reactor::Position;
use crate::node::Node;
use crate::partition::Partition;
use crate::partition::find::led_here;

serves!(DeleteRecords);

/// Everything up to the high watermark.
const HIGH_WATERMARK: i64 = -1;
/// Stands where there is an error.
const NO_LOW_WATERMARK: i64 = -1;

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DeleteRecordsRequest = request.decode()?;
    let image = request.node().metadata.image();
    let mut wait_for: Option<Lsn> = None;
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let deleted = delete(request.node(), &image, &topic.name, asked.partition_index, asked.offset);
            if let Ok((_, lsn)) = &deleted {
                wait_for = wait_for.max(Some(*lsn));
            }
            partitions.push((asked.partition_index, deleted.map(|(partition, _)| partition)));
        }
        topics.push((topic.name.clone(), partitions));
    }
    if let Some(lsn) = wait_for
        && request.reactor.until(Position { lsn, durable: true }).await.is_err()
    {
        fail_all(&mut topics, ErrorCode::RequestTimedOut);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        message!(DeleteRecordsTopicResult { name, partitions: partitions.into_iter().map(result).collect() })
    });
    request.reply(&message!(DeleteRecordsResponse { topics: topics.collect() }))
}

type Deleted = (i32, Result<Arc<Partition>, ErrorCode>);

fn delete(
    node: &Node,
    image: &Image,
    topic: &str,
    index: i32,
    offset: i64,
) -> Result<(Arc<Partition>, Lsn), ErrorCode> {
    let partition = led_here(node, image, topic, index)?;
    if topic_name::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !partition.settings().delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let high_watermark = partition.high_watermark();
    let offset = if offset == HIGH_WATERMARK { high_watermark } else { offset };
    if !(0..=high_watermark).contains(&offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let lsn = partition.log.advance_log_start(offset).map_err(|error| errors::append(&error))?;
    partition.on_log_start();
    Ok((partition, lsn))
}

fn fail_all<T>(topics: &mut [(T, Vec<Deleted>)], error: ErrorCode) {
    for (_, partitions) in topics {
        partitions.iter_mut().filter(|(_, deleted)| deleted.is_ok()).for_each(|(_, deleted)| *deleted = Err(error));
    }
}

fn result((partition_index, deleted): Deleted) -> DeleteRecordsPartitionResult {
    let (low_watermark, error) = match deleted {
        Ok(partition) => (partition.log.log_start_offset(), ErrorCode::None),
        Err(error) => (NO_LOW_WATERMARK, error),
    };
    message!(DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: error.code() })
}
