//! DescribeLogDirs (key 35): how much room partitions take. Versions 1 to 5.
//!
//! One directory, this node's data directory. All partitions on it (null), or those asked for that exist; sizes are of all
//! record batches, those still in memory included. From version 4 on the size and free space of its file system (KIP-827).
//!
//! KIP-113.

use chronik_state::ids::LogId;
use chronik_state::metadata::Topic;
use chronik_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use chronik_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use chronik_wire::{StrBytes, message};

use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};
use crate::node::Node;

serves!(DescribeLogDirs);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DescribeLogDirsRequest = request.decode()?;
    let node = request.node();
    let mut result = message!(DescribeLogDirsResult { log_dir: directory(node), topics: topics(node, &body) });
    if request.version() >= 4 {
        match node.storage.disk_space() {
            Ok(space) => {
                result.total_bytes = signed(space.total_bytes);
                result.usable_bytes = signed(space.usable_bytes);
            }
            // Left at −1, unknown.
            Err(error) => tracing::warn!("the file system of the data directory does not tell its size: {error}"),
        }
    }
    request.reply(&message!(DescribeLogDirsResponse { results: vec![result] }))
}

/// The one directory, as clients are told of it.
pub(crate) fn directory(node: &Node) -> StrBytes {
    node.config.absolute_data_dir().to_string_lossy().into_owned().into()
}

fn topics(node: &Node, body: &DescribeLogDirsRequest) -> Vec<DescribeLogDirsTopic> {
    let image = node.metadata.image();
    let described = match &body.topics {
        None => image
            .topics()
            .map(|topic| described(node, topic, topic.partitions.iter().map(|(index, _)| *index)))
            .collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| Some(described(node, image.topic(&asked.topic)?, asked.partitions.iter().copied())))
            .collect::<Vec<_>>(),
    };
    described.into_iter().filter(|topic| !topic.partitions.is_empty()).collect()
}

fn described(node: &Node, topic: &Topic, partitions: impl Iterator<Item = i32>) -> DescribeLogDirsTopic {
    let here = partitions.filter_map(|index| {
        let partition = node.partitions.partition(LogId { topic: topic.id, partition: index })?;
        let partition_size = signed(partition.log.size_bytes());
        Some(message!(DescribeLogDirsPartition { partition_index: index, partition_size }))
    });
    message!(DescribeLogDirsTopic { name: StrBytes::from(&*topic.name), partitions: here.collect() })
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
