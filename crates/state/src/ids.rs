//! Identities: who and where. Each fences something different (see `docs/adr/0003-identities.md`).

use core::fmt;

/// A record's position in its partition: 0 for the first, dense within a batch.
pub type Offset = i64;
/// Bumped at every change of a partition's leader; −1 where unknown (KIP-101).
pub type LeaderEpoch = i32;
/// Index of a partition within its topic, from 0.
pub type PartitionIndex = i32;
/// A node's number, from 0.
pub type BrokerId = i32;
/// Id handed to an idempotent producer; −1 for none (KIP-98).
pub type ProducerId = i64;
/// Fences older incarnations of one producer id; −1 for none (KIP-98).
pub type ProducerEpoch = i16;
/// Milliseconds since the Unix epoch, as records carry them; −1 for none.
pub type TimestampMs = i64;

/// Identity of one creation of a topic: a topic deleted and created again gets another (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// Not an identity: what a request carries that names its topics.
    pub const ZERO: TopicId = TopicId([0; 16]);
    /// The cluster's metadata log, the id Kafka reserves for it (KIP-516).
    pub const METADATA: TopicId = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// True for the id that names no topic.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// As 32 lower-case hex digits, which is also the name of its directory.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition of one creation of a topic: what a log on disk belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogId {
    /// Which topic.
    pub topic: TopicId,
    /// Which of its partitions.
    pub partition: PartitionIndex,
}

impl LogId {
    /// The one log that holds the cluster's metadata.
    pub const METADATA: LogId = LogId { topic: TopicId::METADATA, partition: 0 };
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}
