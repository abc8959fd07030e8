//! AlterReplicaLogDirs (key 34): replicas move between the directories of this node. Versions 1 and 2.
//!
//! There is one directory, and to be told to stay in it is no error. Errors, each for its partition: LOG_DIR_NOT_FOUND (any
//! other path), UNKNOWN_TOPIC_OR_PARTITION.
//!
//! KIP-113.

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
    let moves = body.dirs.iter().flat_map(|dir| dir.topics.iter().map(|topic| (&dir.path, topic)));
    let results = moves.map(|(path, topic)| {
        let partitions = topic.partitions.iter().map(|index| {
            let moved = moved(node, &image, *path == own, &topic.name, *index);
            message!(AlterReplicaLogDirPartitionResult { partition_index: *index, error_code: moved.code() })
        });
        message!(AlterReplicaLogDirTopicResult { topic_name: topic.name.clone(), partitions: partitions.collect() })
    });
    request.reply(&message!(AlterReplicaLogDirsResponse { results: results.collect() }))
}

fn moved(node: &Node, image: &Image, to_own: bool, topic: &StrBytes, index: i32) -> ErrorCode {
    match to_own {
        true => led_here(node, image, topic, index).err().unwrap_or_default(),
        false => ErrorCode::LogDirNotFound,
    }
}
