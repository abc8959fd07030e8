//! From a fetch request to the partitions it means, and from what they gave to the response (KIP-227).

use std::sync::Arc;

use chronik_log::Piece;
use chronik_state::ids::{LogId, TopicId};
use chronik_wire::ErrorCode;
use chronik_wire::fetch::{FetchResponse, TopicKey};
use chronik_wire::messages::FetchRequest;
use chronik_wire::messages::fetch_request::{FetchPartition, FetchTopic};

use super::partition_response;
use crate::dispatch::Request;
use crate::node::Node;
use crate::partition::Partition;
use crate::partition::read::{Given, Wanted};

/// The sessions of all clients.
pub(crate) struct FetchSessions {}

impl FetchSessions {
    pub(crate) fn new(_slots: usize) -> Self {
        FetchSessions {}
    }
}

/// One partition that is to be read.
pub(crate) struct Target {
    pub(crate) index: i32,
    pub(crate) partition: Result<Arc<Partition>, ErrorCode>,
    pub(crate) wanted: Wanted,
}

/// A request on its way to its response.
pub(crate) struct Exchange {
    topics: Vec<(TopicKey, usize)>,
    targets: Vec<Target>,
}

impl Exchange {
    pub(crate) fn begin(request: &Request<'_>, body: &FetchRequest) -> Result<Exchange, ErrorCode> {
        let mut exchange = Exchange { topics: Vec::new(), targets: Vec::new() };
        for topic in &body.topics {
            let (key, found) = resolve(request, topic);
            exchange.topics.push((key, topic.partitions.len()));
            let partitions = topic.partitions.iter().map(|partition| target(request.node(), found, partition));
            exchange.targets.extend(partitions);
        }
        Ok(exchange)
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The response, and the records of each of its partitions.
    pub(crate) fn finish(
        self,
        _request: &Request<'_>,
        results: Vec<Result<Given, ErrorCode>>,
        committed_only: bool,
    ) -> (FetchResponse, Vec<Vec<Piece>>) {
        let mut response = FetchResponse { topics: self.topics, ..FetchResponse::default() };
        let mut records = Vec::with_capacity(results.len());
        for (target, result) in self.targets.iter().zip(results) {
            response.partitions.push(partition_response(target.index, &result, committed_only));
            records.push(result.map_or_else(|_| Vec::new(), |given| given.pieces));
        }
        (response, records)
    }
}

fn resolve(request: &Request<'_>, topic: &FetchTopic) -> (TopicKey, Result<TopicId, ErrorCode>) {
    let image = request.node().metadata.image();
    if request.version() >= 13 {
        let id = TopicId(*topic.topic_id.as_bytes());
        let found = image.topic_by_id(id).map(|topic| topic.id).ok_or(ErrorCode::UnknownTopicId);
        return (TopicKey::Id(id.0), found);
    }
    let found = image.topic(&topic.topic).map(|topic| topic.id).ok_or(ErrorCode::UnknownTopicOrPartition);
    (TopicKey::Name((&*topic.topic).into()), found)
}

fn target(node: &Node, topic: Result<TopicId, ErrorCode>, asked: &FetchPartition) -> Target {
    let partition = topic.and_then(|topic| {
        let id = LogId { topic, partition: asked.partition };
        node.partitions.partition(id).ok_or(ErrorCode::UnknownTopicOrPartition)
    });
    let wanted = Wanted {
        offset: asked.fetch_offset,
        bytes_max: asked.partition_max_bytes.max(0) as usize,
        current_leader_epoch: asked.current_leader_epoch,
        last_fetched_epoch: asked.last_fetched_epoch,
    };
    Target { index: asked.partition, partition, wanted }
}
