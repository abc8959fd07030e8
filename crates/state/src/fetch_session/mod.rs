//! Fetch sessions (KIP-227): a consumer of many partitions names only what changed, and is told only what changed.
//!
//! ```text
//!   request                      cache                             response
//!   id 0,  epoch 0   full        a slot is found, or made          id 7, all partitions
//!   id 7,  epoch 1   changes     the session is taken out ...      id 7, what changed
//!                                ... and put back, epoch 2
//!   id 7,  epoch 0   full        session 7 is closed               another id
//!   id 7,  epoch −1  full        session 7 is closed               id 0
//! ```
//! A request takes its session out of the cache with [`FetchSessions::begin`], works with it alone, and brings it back
//! with [`FetchSessions::complete`]: the cache is locked twice for an instant, however many partitions there are.

mod partitions;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use partitions::SessionPartitions;
pub use partitions::Slot;

/// Kafka's `max.incremental.fetch.session.cache.slots`.
pub const DEFAULT_SLOTS: usize = 1000;

/// A session unused for so long may go for any other; one that lives longer than this may go for a larger one.
pub const EVICTION_MS: i64 = 120_000;

/// Partitions that all sessions together remember at most; who would be beyond goes on without a session. It bounds the
/// memory that clients can take by asking for partitions, which need not even exist.
pub const PARTITIONS_MAX: usize = 1 << 18;

/// In a request: no session yet. In a response: no session made.
pub const NO_SESSION: i32 = 0;

/// A full request that would like a session.
const INITIAL_EPOCH: i32 = 0;

/// A full request that wants none, and closes the one it names.
const FINAL_EPOCH: i32 = -1;

/// How a request names a topic: from version 13 by identity (KIP-516). A session never mixes the two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchTopic {
    /// By its identity, known here or not.
    Id(TopicId),
    /// By its name.
    Name(Arc<str>),
}

/// One partition of a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchPartition {
    /// Its topic.
    pub topic: FetchTopic,
    /// Its index.
    pub partition: PartitionIndex,
}

/// What the client wants of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPosition {
    /// The first offset it does not have.
    pub fetch_offset: Offset,
    /// How much it wants at most.
    pub max_bytes: i32,
    /// The leader epoch it believes in; −1 for none (KIP-320).
    pub current_leader_epoch: LeaderEpoch,
    /// Epoch of the last record it has; −1 for none (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// Where a follower's log starts; −1 from consumers.
    pub log_start_offset: Offset,
}

/// The session part of a Fetch request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSessionRequest {
    /// The session, or [`NO_SESSION`]. Versions before 7 have none.
    pub session_id: i32,
    /// Counts the requests of a session; 0 opens one, −1 wants none. Versions before 7 count as −1.
    pub epoch: i32,
    /// True from version 13.
    pub uses_topic_ids: bool,
    /// All partitions of a full request, new and changed ones of another.
    pub partitions: Vec<(FetchPartition, FetchPosition)>,
    /// Partitions that leave the session.
    pub forgotten: Vec<FetchPartition>,
}

/// Why a request cannot go on with its session: the whole response is this error, and the client starts with a full
/// request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchSessionError {
    /// FETCH_SESSION_ID_NOT_FOUND: evicted, or never was.
    #[error("no fetch session {session_id}")]
    IdNotFound { session_id: i32 },
    /// INVALID_FETCH_SESSION_EPOCH: a request was lost, or came twice.
    #[error("fetch session {session_id} is at epoch {expected}, not {found}")]
    InvalidEpoch { session_id: i32, expected: i32, found: i32 },
    /// FETCH_SESSION_TOPIC_ID_ERROR: the client changed between names and identities.
    #[error("fetch session {session_id} names its topics in the other way")]
    TopicId { session_id: i32 },
}

/// What was found of one partition, as far as the session minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchOutcome {
    /// As the response tells it; −1 with an error.
    pub high_watermark: Offset,
    /// As the response tells it; −1 with an error.
    pub log_start_offset: Offset,
    /// There are records for the client.
    pub has_records: bool,
    /// There is an error.
    pub error: bool,
    /// There is a better replica to read from (KIP-392), or the client's log diverges (KIP-595).
    pub redirected: bool,
}

/// A request under way, with its session if it has one.
#[derive(Debug)]
pub struct FetchContext {
    kind: Kind,
    partitions: SessionPartitions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All is asked, all is told, nothing is remembered.
    Sessionless,
    /// All is asked, all is told, and remembered if there is a slot.
    Full { uses_topic_ids: bool },
    /// What changed is told.
    Incremental { session_id: i32, epoch: i32 },
}

impl FetchContext {
    /// Every partition to be read, in order; those that gave records last stand at the end.
    pub fn partitions(&self) -> impl Iterator<Item = (Slot, &FetchPartition, &FetchPosition)> {
        self.partitions.iter()
    }

    /// How many partitions are to be read.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// True without partitions.
    pub fn is_empty(&self) -> bool {
        self.partitions.len() == 0
    }

    /// True if the response may leave out what did not change.
    pub fn is_incremental(&self) -> bool {
        matches!(self.kind, Kind::Incremental { .. })
    }

    /// Does this partition belong into the response? To be asked once for each, when the response is made: the session
    /// then takes the client to know.
    pub fn include(&mut self, slot: Slot, outcome: &FetchOutcome) -> bool {
        let changed = self.partitions.note(slot, outcome);
        if !self.is_incremental() {
            return true;
        }
        if outcome.has_records {
            self.partitions.move_to_end(slot);
        }
        changed
    }
}

/// The sessions of a node.
#[derive(Debug)]
pub struct FetchSessions {
    slots: usize,
    sessions: BTreeMap<i32, Session>,
    by_last_use: BTreeSet<(TimestampMs, i32)>,
    /// Sessions old enough to go for a larger one, the smallest first.
    evictable: BTreeSet<(usize, i32)>,
    partition_count: usize,
    evictions: u64,
}

#[derive(Debug)]
struct Session {
    uses_topic_ids: bool,
    created_ms: TimestampMs,
    last_used_ms: TimestampMs,
    /// Expected in the next request.
    epoch: i32,
    size: usize,
    /// None while a request works with it.
    partitions: Option<SessionPartitions>,
}

impl FetchSessions {
    /// Room for so many sessions; 0 makes every fetch a full one.
    pub fn new(slots: usize) -> Self {
        FetchSessions {
            slots,
            sessions: BTreeMap::new(),
            by_last_use: BTreeSet::new(),
            evictable: BTreeSet::new(),
            partition_count: 0,
            evictions: 0,
        }
    }

    /// Takes up a request: what has to be read for it, or the error that is its whole response.
    pub fn begin(
        &mut self,
        request: FetchSessionRequest,
        now_ms: TimestampMs,
    ) -> Result<FetchContext, FetchSessionError> {
        if !matches!(request.epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            return self.go_on(request, now_ms);
        }
        self.remove(request.session_id);
        let kind = match request.epoch {
            FINAL_EPOCH => Kind::Sessionless,
            _ => Kind::Full { uses_topic_ids: request.uses_topic_ids },
        };
        Ok(FetchContext { kind, partitions: SessionPartitions::of(request.partitions) })
    }

    /// Brings the session back, or opens one, and answers with the session id for the response. `seed` is any random
    /// number, so that an id is not used again soon.
    pub fn complete(&mut self, context: FetchContext, now_ms: TimestampMs, seed: u32) -> i32 {
        match context.kind {
            Kind::Sessionless => NO_SESSION,
            Kind::Full { uses_topic_ids } => self.open(uses_topic_ids, context.partitions, now_ms, seed),
            Kind::Incremental { session_id, epoch } => {
                // Evicted meanwhile: the client hears of it with its next request.
                let session = self.sessions.get_mut(&session_id);
                if let Some(session) = session.filter(|session| session.epoch == epoch && session.partitions.is_none())
                {
                    session.partitions = Some(context.partitions);
                }
                session_id
            }
        }
    }

    /// The client is gone before its response: so is its session.
    pub fn abandon(&mut self, context: FetchContext) {
        if let Kind::Incremental { session_id, .. } = context.kind {
            self.remove(session_id);
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True without sessions.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many partitions all sessions remember.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// How many sessions had to go for others so far.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    fn go_on(&mut self, request: FetchSessionRequest, now_ms: TimestampMs) -> Result<FetchContext, FetchSessionError> {
        let FetchSessionRequest { session_id, epoch, .. } = request;
        let session = self.sessions.get_mut(&session_id).ok_or(FetchSessionError::IdNotFound { session_id })?;
        if session.epoch != epoch {
            let expected = session.epoch;
            return Err(FetchSessionError::InvalidEpoch { session_id, expected, found: epoch });
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(FetchSessionError::TopicId { session_id });
        }
        let Some(mut partitions) = session.partitions.take() else {
            // The response to the request before was never made.
            self.remove(session_id);
            return Err(FetchSessionError::IdNotFound { session_id });
        };
        // What it asks for, should it forget all the rest.
        let asked = if request.forgotten.is_empty() { Vec::new() } else { request.partitions.clone() };
        partitions.update(request.partitions, &request.forgotten);
        let others = self.partition_count - session.size;
        if partitions.len() == 0 {
            // As Kafka has it: the session ends, and what the request names is answered, also where it is forgotten.
            self.remove(session_id);
            return Ok(FetchContext { kind: Kind::Sessionless, partitions: SessionPartitions::of(asked) });
        }
        if others + partitions.len() > PARTITIONS_MAX {
            self.remove(session_id);
            return Ok(FetchContext { kind: Kind::Sessionless, partitions });
        }
        session.epoch = next_epoch(epoch);
        let kind = Kind::Incremental { session_id, epoch: session.epoch };
        self.touch(session_id, partitions.len(), now_ms);
        Ok(FetchContext { kind, partitions })
    }

    fn open(&mut self, uses_topic_ids: bool, partitions: SessionPartitions, now_ms: TimestampMs, seed: u32) -> i32 {
        let size = partitions.len();
        if self.is_full_for(size) {
            self.evict_for(size, now_ms);
        }
        if self.is_full_for(size) {
            return NO_SESSION;
        }
        let session_id = self.free_id(seed);
        let session = Session {
            uses_topic_ids,
            created_ms: now_ms,
            last_used_ms: now_ms,
            epoch: next_epoch(INITIAL_EPOCH),
            size: 0,
            partitions: Some(partitions),
        };
        self.sessions.insert(session_id, session);
        self.touch(session_id, size, now_ms);
        session_id
    }

    fn is_full_for(&self, size: usize) -> bool {
        self.sessions.len() >= self.slots || self.partition_count + size > PARTITIONS_MAX
    }

    /// Makes room: for anyone where a session is stale, for a larger session where one is old.
    fn evict_for(&mut self, size: usize, now_ms: TimestampMs) {
        let stale = self.by_last_use.first().filter(|(last_used_ms, _)| now_ms - last_used_ms > EVICTION_MS);
        let smaller = self.evictable.first().filter(|(smallest, _)| size > *smallest);
        if let Some(victim) = stale.map(|(_, id)| *id).or(smaller.map(|(_, id)| *id)) {
            self.remove(victim);
            self.evictions += 1;
        }
    }

    fn touch(&mut self, session_id: i32, size: usize, now_ms: TimestampMs) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        self.by_last_use.remove(&(session.last_used_ms, session_id));
        self.evictable.remove(&(session.size, session_id));
        self.partition_count = self.partition_count - session.size + size;
        session.last_used_ms = now_ms;
        session.size = size;
        self.by_last_use.insert((now_ms, session_id));
        if now_ms - session.created_ms > EVICTION_MS {
            self.evictable.insert((size, session_id));
        }
    }

    fn remove(&mut self, session_id: i32) {
        if let Some(session) = self.sessions.remove(&session_id) {
            self.by_last_use.remove(&(session.last_used_ms, session_id));
            self.evictable.remove(&(session.size, session_id));
            self.partition_count -= session.size;
        }
    }

    /// Positive and not in use.
    fn free_id(&self, seed: u32) -> i32 {
        let mut id = ((seed >> 1) as i32).max(1);
        while self.sessions.contains_key(&id) {
            id = next_epoch(id);
        }
        id
    }
}

/// Epochs count from 1, and after the largest come back to it.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

impl fmt::Display for FetchPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.topic {
            FetchTopic::Id(id) => write!(f, "{id}-{}", self.partition),
            FetchTopic::Name(name) => write!(f, "{name}-{}", self.partition),
        }
    }
}

#[cfg(test)]
mod tests;
