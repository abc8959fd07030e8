//! AlterReplicaLogDirs (key 34): replicas move between the directories of this node. Versions 1 and 2.
//!
//! There is one directory, and to be told to stay in it is no error. Of two places for one partition the last holds. Errors,
//! each for its partition: LOG_DIR_NOT_FOUND (any other path), UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION (no
//! directory of Kafka's could bear the name while it is filled).
//!
//! KIP-113.

use std::collections::BTreeMap;

use chronik_state::metadata::Image;
use chronik_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use chronik_wire::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use chronik_wire::{ErrorCode, StrBytes, message};

use super::describe_log_dirs::directory;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::Node;
use crate::partition::find::led_here;

serves!(AlterReplicaLogDirs);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: AlterReplicaLogDirsRequest = request.decode()?;
    let (node, own) = (request.node(), directory(request.node()));
    let image = node.metadata.image();
    let results = moves(&body).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, path)| {
            let moved = moved(node, &image, *path == own, topic, partition_index);
            message!(AlterReplicaLogDirPartitionResult { partition_index, error_code: moved.code() })
        });
        message!(AlterReplicaLogDirTopicResult { topic_name: topic.clone(), partitions: partitions.collect() })
    });
    request.reply(&message!(AlterReplicaLogDirsResponse { results: results.collect() }))
}

/// Where the partitions of each topic are to go, topics in the order of the request.
fn moves(body: &AlterReplicaLogDirsRequest) -> Vec<(&StrBytes, BTreeMap<i32, &StrBytes>)> {
    let mut moves: Vec<(&StrBytes, BTreeMap<i32, &StrBytes>)> = Vec::new();
    let mut places = BTreeMap::new();
    for (path, topic) in body.dirs.iter().flat_map(|dir| dir.topics.iter().map(|topic| (&dir.path, topic))) {
        let place = *places.entry(topic.name.as_str()).or_insert_with(|| {
            moves.push((&topic.name, BTreeMap::new()));
            moves.len() - 1
        });
        moves[place].1.extend(topic.partitions.iter().map(|index| (*index, path)));
    }
    moves.retain(|(_, partitions)| !partitions.is_empty());
    moves
}

/// The longest name of a file, and what Kafka writes behind the topic and its partition: a point, 32 digits, `-future`.
const FILE_NAME_BYTES_MAX: usize = 255;
const FUTURE_BYTES: usize = 1 + 32 + "-future".len();

fn moved(node: &Node, image: &Image, to_own: bool, topic: &StrBytes, index: i32) -> ErrorCode {
    match to_own {
        _ if format!("{}-{index}", topic.as_str()).len() + FUTURE_BYTES > FILE_NAME_BYTES_MAX => {
            ErrorCode::InvalidTopicException
        }
        true => led_here(node, image, topic, index).err().unwrap_or_default(),
        false => ErrorCode::LogDirNotFound,
    }
}
