//! Who is measured: our server, Apache Kafka, and a broker that does the least possible.

/// A system under measurement, in one class of durability. Two classes are never compared without saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// Our server as it ships: an acknowledged record is on disk.
    Ours,
    /// Our server with `[storage] sync = "interval"`.
    OursUnsynced,
    /// Apache Kafka as it ships: an acknowledged record is in the page cache.
    Kafka,
    /// Apache Kafka with `flush.messages=1` on the topic: it syncs each append before it acknowledges it.
    KafkaFlushed,
    /// The floor broker with one sync for each turn of its loop.
    Floor,
    /// The floor broker without any sync.
    FloorUnsynced,
}

impl Peer {
    /// As it stands in tables and charts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Ours => "ours",
            Peer::OursUnsynced => "ours, sync = interval",
            Peer::Kafka => "Kafka",
            Peer::KafkaFlushed => "Kafka, flush.messages=1",
            Peer::Floor => "floor",
            Peer::FloorUnsynced => "floor, no sync",
        }
    }

    /// The process that plays it: Kafka's two classes differ by a setting of the topic.
    pub(crate) fn process(self) -> Peer {
        if self == Peer::KafkaFlushed { Peer::Kafka } else { self }
    }

    /// Whether topics are created and deleted on it. The floor has one log and takes every name for it.
    pub(crate) fn has_topics(self) -> bool {
        !matches!(self, Peer::Floor | Peer::FloorUnsynced)
    }

    /// Settings of every topic that is created on it. Kafka deletes files a minute late unless told otherwise, in the
    /// middle of somebody else's run.
    pub(crate) fn topic_settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Peer::Kafka => &[("file.delete.delay.ms", "100")],
            Peer::KafkaFlushed => &[("file.delete.delay.ms", "100"), ("flush.messages", "1")],
            _ => &[],
        }
    }
}
