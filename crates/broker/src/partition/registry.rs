//! Which partitions this node holds. Looked up by every produce and fetch, changed rarely.

use std::sync::Arc;

use chronik_state::ids::LogId;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::Partition;

/// Power of two; so that lookups of different partitions seldom meet.
const SHARDS: usize = 16;

/// All partitions of this node.
#[derive(Default)]
pub(crate) struct Registry {
    shards: [RwLock<FxHashMap<LogId, Arc<Partition>>>; SHARDS],
}

impl Registry {
    /// The partition, if this node holds it.
    pub(crate) fn partition(&self, id: LogId) -> Option<Arc<Partition>> {
        self.shard(&id).read().get(&id).map(Arc::clone)
    }

    pub(crate) fn insert(&self, partition: Arc<Partition>) {
        self.shard(&partition.id).write().insert(partition.id, partition);
    }

    /// Takes it out; who still holds it finishes what it does.
    pub(crate) fn remove(&self, id: LogId) -> Option<Arc<Partition>> {
        self.shard(&id).write().remove(&id)
    }

    /// All partitions of this node, in no particular order.
    pub(crate) fn ids(&self) -> Vec<LogId> {
        self.shards.iter().flat_map(|shard| shard.read().keys().copied().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, id: &LogId) -> &RwLock<FxHashMap<LogId, Arc<Partition>>> {
        // The topic id is random except for the metadata log's; its last byte spreads well enough.
        let spread = usize::from(id.topic.0[15]) ^ (id.partition as usize);
        &self.shards[spread % SHARDS]
    }
}
