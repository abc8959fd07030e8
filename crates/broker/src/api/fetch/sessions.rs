//! From a fetch request to the partitions it means, and from what they gave to the response (KIP-227).
//!
//! The rules of sessions are a machine, [`chronik_state::fetch_session`]; here names become partitions, anew for each
//! request: a topic may have come or gone while the session lasted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chronik_log::Piece;
use chronik_state::fetch_session::{
    self as state, FetchContext, FetchOutcome, FetchPosition, FetchSessionError, FetchSessionRequest, FetchTopic, Slot,
};
use chronik_state::ids::{LogId, TopicId};
use chronik_state::metadata::Image;
use chronik_wire::ErrorCode;
use chronik_wire::fetch::{FetchResponse, TopicKey};
use chronik_wire::messages::FetchRequest;
use parking_lot::Mutex;

use super::partition_response;
use crate::dispatch::{Request, errors};
use crate::node::{Node, now_ms, random_id};
use crate::partition::Partition;
use crate::partition::read::{Given, Wanted};

/// The version from which a request names topics by id.
const TOPIC_IDS_VERSION: i16 = 13;
/// The version that brought sessions.
const SESSIONS_VERSION: i16 = 7;
/// The version from which followers may be read (KIP-392).
pub(super) const FOLLOWERS_VERSION: i16 = 11;
/// What a request without sessions amounts to: one full fetch.
const WITHOUT_SESSION: i32 = -1;

/// The sessions of all clients.
pub(crate) struct FetchSessions {
    sessions: Mutex<state::FetchSessions>,
    /// Where the next session id is looked for.
    seed: AtomicU32,
}

/// An odd number near 2³² divided by the golden ratio: its multiples visit every value before one comes again.
const SEED_STEP: u32 = 0x9e37_79b9;

impl FetchSessions {
    /// At most `slots` at a time.
    pub(crate) fn new(slots: usize) -> Self {
        let seed = u32::from_be_bytes(*random_id().first_chunk().expect("an id has 16 bytes"));
        FetchSessions { sessions: Mutex::new(state::FetchSessions::new(slots)), seed: AtomicU32::new(seed) }
    }
}

/// One partition that is to be read.
pub(crate) struct Target {
    pub(crate) partition: Result<Arc<Partition>, ErrorCode>,
    pub(crate) wanted: Wanted,
    slot: Slot,
    topic: FetchTopic,
    index: i32,
}

/// A request on its way to its response.
pub(crate) struct Exchange<'a> {
    sessions: &'a FetchSessions,
    /// None once the session was brought back.
    context: Option<FetchContext>,
    targets: Arc<[Target]>,
}

impl<'a> Exchange<'a> {
    pub(crate) fn begin(request: &'a Request<'_>, body: &FetchRequest) -> Result<Exchange<'a>, ErrorCode> {
        let node = request.node();
        let asked = session_request(request.version(), body);
        let begun = node.fetch_sessions.sessions.lock().begin(asked, now_ms());
        let context = begun.map_err(|error: FetchSessionError| errors::fetch_session(&error))?;
        let image = node.metadata.image();
        let targets = context
            .partitions()
            .map(|(slot, key, position)| Target {
                partition: find(node, &image, &key.topic, key.partition),
                wanted: wanted(position, request.version()),
                slot,
                topic: key.topic.clone(),
                index: key.partition,
            })
            .collect();
        Ok(Exchange { sessions: &node.fetch_sessions, context: Some(context), targets })
    }

    /// All that is to be read, in order.
    pub(crate) fn targets(&self) -> Arc<[Target]> {
        Arc::clone(&self.targets)
    }

    /// The response, and the records of each of its partitions.
    pub(crate) fn finish(
        mut self,
        results: Vec<Result<Given, ErrorCode>>,
        committed_only: bool,
    ) -> (FetchResponse, Vec<Vec<Piece>>) {
        let mut context = self.context.take().expect("a request is finished once");
        let mut response = FetchResponse::default();
        let mut records = Vec::new();
        let mut last_topic = None;
        for (target, result) in self.targets.iter().zip(results) {
            if !context.include(target.slot, &outcome(&result)) {
                continue;
            }
            if last_topic != Some(&target.topic) {
                response.topics.push((key(&target.topic), 0));
                last_topic = Some(&target.topic);
            }
            if let Some((_, count)) = response.topics.last_mut() {
                *count += 1;
            }
            response.partitions.push(partition_response(target.index, &result, committed_only));
            records.push(result.map_or_else(|_| Vec::new(), |given| given.pieces));
        }
        let seed = self.sessions.seed.fetch_add(SEED_STEP, Ordering::Relaxed);
        response.session_id = self.sessions.sessions.lock().complete(context, now_ms(), seed);
        (response, records)
    }
}

/// A request that is given up takes its session with it: the client cannot know what it was told.
impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            self.sessions.sessions.lock().abandon(context);
        }
    }
}

fn session_request(version: i16, body: &FetchRequest) -> FetchSessionRequest {
    let uses_topic_ids = version >= TOPIC_IDS_VERSION;
    let topic = |name: &str, id: &[u8; 16]| match uses_topic_ids {
        true => FetchTopic::Id(TopicId(*id)),
        false => FetchTopic::Name(name.into()),
    };
    let mut request = FetchSessionRequest {
        session_id: body.session_id,
        epoch: if version >= SESSIONS_VERSION { body.session_epoch } else { WITHOUT_SESSION },
        uses_topic_ids,
        partitions: Vec::new(),
        forgotten: Vec::new(),
    };
    for asked in &body.topics {
        let topic = topic(&asked.topic, asked.topic_id.as_bytes());
        request.partitions.extend(asked.partitions.iter().map(|partition| {
            let key = state::FetchPartition { topic: topic.clone(), partition: partition.partition };
            let position = FetchPosition {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start_offset: partition.log_start_offset,
            };
            (key, position)
        }));
    }
    for forgotten in &body.forgotten_topics_data {
        let topic = topic(&forgotten.topic, forgotten.topic_id.as_bytes());
        let keys = forgotten.partitions.iter().map(|index| state::FetchPartition { topic: topic.clone(), partition: *index });
        request.forgotten.extend(keys);
    }
    request
}

fn find(node: &Node, image: &Image, topic: &FetchTopic, index: i32) -> Result<Arc<Partition>, ErrorCode> {
    let topic = match topic {
        FetchTopic::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId)?,
        FetchTopic::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
    };
    let id = LogId { topic: topic.id, partition: index };
    node.partitions.partition(id).ok_or(match topic.partitions.contains_key(&index) {
        true => ErrorCode::NotLeaderOrFollower,
        false => ErrorCode::UnknownTopicOrPartition,
    })
}

fn wanted(position: &FetchPosition, version: i16) -> Wanted {
    Wanted {
        offset: position.fetch_offset,
        bytes_max: position.max_bytes.max(0) as usize,
        current_leader_epoch: position.current_leader_epoch,
        last_fetched_epoch: position.last_fetched_epoch,
        of_any_replica: version >= FOLLOWERS_VERSION,
    }
}

fn outcome(result: &Result<Given, ErrorCode>) -> FetchOutcome {
    match result {
        Ok(given) => FetchOutcome {
            high_watermark: given.high_watermark,
            log_start_offset: given.log_start_offset,
            has_records: given.bytes > 0,
            error: false,
            redirected: given.diverging.is_some() || given.preferred.is_some(),
        },
        Err(_) => {
            FetchOutcome { high_watermark: -1, log_start_offset: -1, has_records: false, error: true, redirected: false }
        }
    }
}

fn key(topic: &FetchTopic) -> TopicKey {
    match topic {
        FetchTopic::Id(id) => TopicKey::Id(id.0),
        FetchTopic::Name(name) => TopicKey::Name((&**name).into()),
    }
}
