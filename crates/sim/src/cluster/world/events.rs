//! What may happen, and who sees to it.

use chronik_consensus::Message as RaftMessage;
use chronik_state::ids::{BrokerId, Offset, PartitionIndex};

use super::World;
use crate::cluster::places::Place;
use crate::cluster::replica::{Message, Refused};
use crate::cluster::requests::{Asker, Reply, Request};
use crate::disk::Stop;

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Event {
    // Nodes.
    Start { node: BrokerId, life: u32 },
    Tick { node: BrokerId, life: u32 },
    Commit { node: BrokerId, life: u32 },
    PowerCut { node: BrokerId, life: u32 },
    // Replicas of a partition speak on a connection, in order.
    Arrive { from: BrokerId, to: BrokerId, connection: u32, place: Place, message: Message },
    Break { one: BrokerId, other: BrokerId, connection: u32 },
    Connect { one: BrokerId, other: BrokerId },
    // Members of the Raft group, without any order.
    RaftTick { node: BrokerId, life: u32 },
    Raft { to: BrokerId, message: Box<RaftMessage> },
    SnapshotSent { node: BrokerId, life: u32, to: u64, arrived: bool },
    // What is asked of the metadata leader.
    Ask { asker: Asker, to: BrokerId, request: Request },
    Reply { to: Asker, reply: Reply },
    // Clients.
    Produce { producer: usize, attempt: u32, to: BrokerId },
    Answered { producer: usize, attempt: u32, answer: Result<Offset, Refused> },
    Impatience { producer: usize, attempt: u32 },
    Consume { place: Place },
    CommitOffset { attempt: u64 },
    OffsetCommit { attempt: u64, offset: Offset, to: BrokerId },
    OffsetCommitted { attempt: u64 },
    OffsetFetch { at_least: Offset, to: BrokerId },
    // Operators.
    WantTopic { topic: PartitionIndex },
    ReplaceDisk { old: u64, new: u64 },
    EmptyDisk { node: BrokerId },
    Trouble,
    Check,
}

impl Event {
    /// Whose process has to be awake for it.
    pub(super) fn node(&self) -> Option<BrokerId> {
        match self {
            Event::Arrive { to, .. }
            | Event::Produce { to, .. }
            | Event::Raft { to, .. }
            | Event::Ask { to, .. }
            | Event::OffsetCommit { to, .. }
            | Event::OffsetFetch { to, .. } => Some(*to),
            Event::Tick { node, .. }
            | Event::Commit { node, .. }
            | Event::RaftTick { node, .. }
            | Event::SnapshotSent { node, .. }
            | Event::Reply { to: Asker::Node(node, _), .. } => Some(*node),
            _ => None,
        }
    }

    fn is_routine(&self) -> bool {
        matches!(self, Event::Tick { .. } | Event::RaftTick { .. } | Event::Check | Event::Consume { .. })
    }
}

impl World {
    pub(super) fn happen(&mut self, event: Event) -> Result<(), String> {
        if self.traced && !event.is_routine() {
            let line = format!("{event:?}");
            self.note(|| line.chars().take(300).collect());
        }
        match event {
            Event::Start { node, life } if self.nodes[&node].life == life => self.start(node)?,
            Event::Tick { node, life } if self.lives(node, life) => self.tick(node),
            Event::Commit { node, life } if self.lives(node, life) => self.commit(node),
            Event::PowerCut { node, life } if self.lives(node, life) => self.crash(node, Stop::PowerCut),
            Event::Arrive { from, to, connection, place, message } => self.arrive(from, to, connection, place, message),
            Event::Break { one, other, connection } => {
                if self.link(one, other).number == connection {
                    self.break_link(one, other);
                }
            }
            Event::Connect { one, other } => self.connect(one, other),
            Event::RaftTick { node, life } if self.lives(node, life) => self.raft_tick(node)?,
            Event::Raft { to, message } => self.on_raft(to, *message)?,
            Event::SnapshotSent { node, life, to, arrived } if self.lives(node, life) => self.on_snapshot_sent(node, to, arrived)?,
            Event::Ask { asker, to, request } => self.on_ask(asker, to, request)?,
            Event::Reply { to, reply } => self.on_reply(to, reply),
            Event::Produce { producer, attempt, to } => self.produce(producer, attempt, to),
            Event::Answered { producer, attempt, answer } => self.on_answered(producer, attempt, answer),
            Event::Impatience { producer, attempt } => self.on_impatience(producer, attempt),
            Event::Consume { place } => self.consume(place),
            Event::CommitOffset { attempt } => self.commit_offset(attempt),
            Event::OffsetCommit { attempt, offset, to } => self.on_offset_commit(attempt, offset, to),
            Event::OffsetCommitted { attempt } => self.on_offset_committed(attempt),
            Event::OffsetFetch { at_least, to } => self.on_offset_fetch(at_least, to),
            Event::WantTopic { topic } => self.want_topic(topic),
            Event::ReplaceDisk { old, new } => self.replace_disk(old, new)?,
            Event::EmptyDisk { node } => self.empty_disk(node),
            Event::Trouble => self.trouble(),
            Event::Check => {
                self.check(false)?;
                self.replace_rotten_disks();
                self.after(500, Event::Check);
            }
            // Meant for a process that is gone.
            Event::Start { .. }
            | Event::Tick { .. }
            | Event::Commit { .. }
            | Event::PowerCut { .. }
            | Event::RaftTick { .. }
            | Event::SnapshotSent { .. } => {}
        }
        Ok(())
    }
}
