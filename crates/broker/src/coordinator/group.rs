//! One shard: the machine of one partition of `__consumer_offsets`, its log, and the requests that wait for it.
//!
//! An event is decided, appended and applied under one lock; what it answers leaves when the partition's high watermark
//! has come to where the log ended at that moment.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chronik_log::records::{self, BatchBuilder};
use chronik_log::{AppendError, ReadError, ReadRequest, batch};
use chronik_state::group::{Append, Effects, GroupConfig, GroupError, GroupRecord, Groups, Reply, Ticket};
use chronik_state::ids::{LeaderEpoch, Offset, TimestampMs};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::oneshot;

use super::codec;
use crate::net::reactor::Reactor;
use crate::node::now_ms;
use crate::partition::append::Refused;
use crate::partition::{Partition, Waiter};

/// Bytes of log that are read between two looks at other work.
const LOAD_BYTES: usize = 256 << 10;

/// No deadline.
const NEVER: TimestampMs = TimestampMs::MAX;

/// The groups of one partition.
pub(crate) struct Shard {
    pub(super) partition: Arc<Partition>,
    /// In which leadership of this node.
    pub(super) leader_epoch: LeaderEpoch,
    state: Mutex<State>,
    /// A copy of the machine's, to be looked at without the lock. Sequentially consistent together with the time keeper's
    /// alarm: of an event and the keeper that goes to sleep, one sees the other.
    next_deadline: AtomicI64,
}

enum State {
    /// Nobody has asked for a group of it since the node started.
    Unloaded,
    Loading,
    Active(Box<Active>),
    /// The partition is not this node's any more.
    Resigned,
}

impl State {
    /// Why it cannot be asked.
    fn why(&self) -> NotActive {
        match self {
            State::Loading => NotActive::Loading,
            State::Resigned => NotActive::Resigned,
            State::Unloaded | State::Active(_) => NotActive::Unloaded,
        }
    }
}

struct Active {
    groups: Groups,
    waiting: BTreeMap<Ticket, oneshot::Sender<Answer>>,
    next_ticket: u64,
    /// Where the log ends.
    end_offset: Offset,
}

/// A reply, and how far the log must be committed before it may leave.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) end_offset: Offset,
}

/// Why a shard cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotActive {
    Unloaded,
    Loading,
    Resigned,
}

/// Why a shard could not be read from its log.
#[derive(Debug, Error)]
pub(super) enum LoadError {
    #[error("another request reads it just now")]
    Busy,
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("offset {offset}: {why}")]
    Content { offset: Offset, why: String },
}

impl Shard {
    pub(super) fn new(partition: Arc<Partition>, leader_epoch: LeaderEpoch) -> Arc<Self> {
        Arc::new(Shard { partition, leader_epoch, state: Mutex::new(State::Unloaded), next_deadline: AtomicI64::new(NEVER) })
    }

    /// Feeds one event to the machine, on behalf of a request; its answer comes by the receiver.
    pub(super) fn ask(
        &self,
        reactor: &Rc<Reactor>,
        now: TimestampMs,
        event: impl FnOnce(&mut Groups, Ticket) -> Effects,
    ) -> Result<oneshot::Receiver<Answer>, NotActive> {
        self.with_active(|active| {
            let (sender, receiver) = oneshot::channel();
            let ticket = Ticket(active.next_ticket);
            active.next_ticket += 1;
            active.waiting.insert(ticket, sender);
            let effects = event(&mut active.groups, ticket);
            self.carry_out(reactor, active, effects, now);
            receiver
        })
    }

    /// Feeds an event to the machine that nobody waits for.
    pub(super) fn tell(
        &self,
        reactor: &Rc<Reactor>,
        now: TimestampMs,
        event: impl FnOnce(&mut Groups) -> Effects,
    ) -> Result<(), NotActive> {
        self.with_active(|active| {
            let effects = event(&mut active.groups);
            self.carry_out(reactor, active, effects, now);
        })
    }

    /// Looks into the machine. What was seen may be told when the log is committed up to the offset that comes with it. From any
    /// thread, and at any time: the deadlines stay in the time keeper's sight.
    pub(super) fn look<T>(&self, query: impl FnOnce(&Groups) -> T) -> Result<(T, Offset), NotActive> {
        let state = self.state.lock();
        match &*state {
            State::Active(active) => Ok((query(&active.groups), active.end_offset)),
            not_active => Err(not_active.why()),
        }
    }

    /// When the machine wants to be called; [`NEVER`] if it does not.
    pub(super) fn next_deadline(&self) -> TimestampMs {
        self.next_deadline.load(Ordering::SeqCst)
    }

    /// Carries out what is due.
    pub(super) fn keep_time(&self, reactor: &Rc<Reactor>, now: TimestampMs) {
        // A shard that is not active has no deadlines.
        let _ = self.with_active(|active| {
            while active.groups.next_deadline().is_some_and(|deadline| deadline <= now) {
                let effects = active.groups.on_deadline(now);
                self.carry_out(reactor, active, effects, now);
            }
        });
    }

    /// Reads the log, giving way to others in between. Replays up to the log's end, not only to the high watermark:
    /// what this node appended before it asked is part of what it decided.
    pub(super) async fn load(
        &self,
        reactor: &Rc<Reactor>,
        config: GroupConfig,
        clock: impl Fn() -> TimestampMs,
    ) -> Result<(), LoadError> {
        let Some(loading) = Loading::begin(self) else { return Err(LoadError::Busy) };
        let mut groups = Groups::new(config);
        let end_offset = self.partition.log.log_end_offset();
        let mut offset = self.partition.log.log_start_offset();
        while offset < end_offset {
            offset = self.replay_from(offset, end_offset, &mut groups)?;
            tokio::task::yield_now().await;
        }
        let active = Active { groups, waiting: BTreeMap::new(), next_ticket: 0, end_offset };
        loading.finish(Box::new(active));
        let now = clock();
        // Resigned in between: the next request hears of it.
        let _ = self.tell(reactor, now, |groups| groups.on_loaded(now));
        Ok(())
    }

    /// The partition is another's, or gone: whoever waits is told to look for the coordinator again.
    pub(super) fn resign(&self) {
        let State::Active(mut active) = std::mem::replace(&mut *self.state.lock(), State::Resigned) else { return };
        self.next_deadline.store(NEVER, Ordering::SeqCst);
        let replies = active.groups.resign();
        // Nothing is claimed, so nothing need be committed first.
        active.end_offset = 0;
        active.send(replies);
    }

    /// Returns when the log is committed up to `end_offset`; an error if this leadership ends first.
    pub(super) async fn committed(&self, end_offset: Offset) -> Result<(), NotActive> {
        if end_offset == 0 {
            // Nothing is claimed.
            return Ok(());
        }
        if self.partition.high_watermark() >= end_offset {
            return self.check_leads();
        }
        let waiting = Waiting::begin(&self.partition);
        loop {
            self.check_leads()?;
            if self.partition.high_watermark() >= end_offset {
                return Ok(());
            }
            waiting.waiter.notified().await;
        }
    }

    /// The leadership that this shard belongs to goes on.
    pub(super) fn check_leads(&self) -> Result<(), NotActive> {
        if self.partition.leads_in() == Some(self.leader_epoch) { Ok(()) } else { Err(NotActive::Resigned) }
    }

    /// The machine is taken out while it works: should it panic, the shard is left unloaded, and what the log says is
    /// read again by whoever asks next.
    fn with_active<T>(&self, work: impl FnOnce(&mut Active) -> T) -> Result<T, NotActive> {
        let mut state = self.state.lock();
        let mut active = match std::mem::replace(&mut *state, State::Unloaded) {
            State::Active(active) => active,
            not_active => {
                let why = not_active.why();
                *state = not_active;
                return Err(why);
            }
        };
        self.next_deadline.store(NEVER, Ordering::SeqCst);
        let result = work(&mut active);
        self.next_deadline.store(active.groups.next_deadline().unwrap_or(NEVER), Ordering::SeqCst);
        *state = State::Active(active);
        Ok(result)
    }

    fn carry_out(&self, reactor: &Rc<Reactor>, active: &mut Active, effects: Effects, now: TimestampMs) {
        let mut effects = effects;
        loop {
            let replies = std::mem::take(&mut effects.replies);
            let Some(append) = effects.append.take() else { return active.send(replies) };
            let outcome = self.append(reactor, &append);
            if let Ok(base_offset) = outcome {
                active.end_offset = base_offset + append.records.len() as Offset;
            }
            active.send(replies);
            effects = active.groups.on_appended(append, outcome, now);
        }
    }

    /// One batch for one decision, so that a decision is in the log whole or not at all.
    fn append(&self, reactor: &Rc<Reactor>, append: &Append) -> Result<Offset, GroupError> {
        let bytes: usize = append.records.iter().map(GroupRecord::bytes).sum();
        let bytes_max = self.partition.settings().max_message_bytes.max(GroupConfig::default().batch_bytes_max);
        if bytes > bytes_max {
            tracing::warn!(bytes, bytes_max, "a group with so many members or so much metadata cannot be kept");
            return Err(GroupError::UnknownServerError);
        }
        let now_ms = now_ms();
        let batch = build(&append.records, now_ms).build();
        let taken = self
            .partition
            .append_own(batch.as_valid(), now_ms, !append.records.iter().any(is_commit), self.leader_epoch)
            .map_err(|error| {
                tracing::warn!(partition = %self.partition.id, "group records are not appended: {error}");
                refused(&error)
            })?;
        reactor.show_at(taken.position, &self.partition, taken.end_offset);
        append.records.iter().for_each(tell_log);
        Ok(taken.base_offset)
    }

    fn replay_from(&self, offset: Offset, end_offset: Offset, groups: &mut Groups) -> Result<Offset, LoadError> {
        let request = ReadRequest { offset, max_bytes: LOAD_BYTES, end_offset, at_least_one: true, now_ms: now_ms() };
        let bytes = self.partition.log.read(request)?.to_vec()?;
        let mut next = offset;
        for batch in batch::batches(&bytes) {
            let view = batch.map_err(|error| LoadError::Content { offset: next, why: error.to_string() })?;
            let last = view.last_offset();
            if !view.is_control() {
                replay_batch(&view, groups)?;
            }
            next = last + 1;
        }
        match next > offset {
            true => Ok(next),
            false => Err(LoadError::Content { offset, why: "nothing is there, but the log goes on".to_owned() }),
        }
    }
}

impl Active {
    fn send(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            if let Some(sender) = self.waiting.remove(&ticket) {
                // Its connection may have ended meanwhile: then nobody wants it.
                let _ = sender.send(Answer { reply, end_offset: self.end_offset });
            }
        }
    }
}

fn replay_batch(view: &batch::BatchView<'_>, groups: &mut Groups) -> Result<(), LoadError> {
    for record in records::read(view) {
        let offset = view.base_offset();
        let record = record.map_err(|error| LoadError::Content { offset, why: error.to_string() })?;
        match codec::decode(record.key, record.value) {
            Ok(Some(decoded)) => groups.replay(&decoded, record.offset),
            Ok(None) => tracing::warn!(offset = record.offset, "a record of an unknown kind is passed over"),
            Err(error) => return Err(LoadError::Content { offset: record.offset, why: error.to_string() }),
        }
    }
    Ok(())
}

/// While the disk is full, groups go on: their members rebalance, and what is not needed any more can be deleted. Only
/// commits wait, because there may be any number of them.
fn is_commit(record: &GroupRecord) -> bool {
    matches!(record, GroupRecord::Offset { value: Some(_), .. })
}

/// What an operator wants to see of a group's life: each of its generations, and its end.
fn tell_log(record: &GroupRecord) {
    match record {
        GroupRecord::Group { group_id, value: Some(value) } => {
            let leader = value.leader.as_deref().unwrap_or("none");
            tracing::info!(group = %group_id, generation = value.generation_id, members = value.members.len(), leader, "group");
        }
        GroupRecord::Group { group_id, value: None } => tracing::info!(group = %group_id, "group deleted"),
        GroupRecord::Offset { .. } => {}
    }
}

fn build(records: &[GroupRecord], timestamp_ms: TimestampMs) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for record in records {
        let (key, value) = codec::encode(record);
        builder.record(timestamp_ms, Some(&key), value.as_deref(), &[]);
    }
    builder
}

/// As `GroupMetadataManager.appendGroupMetadataErrorToResponseError` of Apache Kafka has it: a full disk and too few replicas in
/// sync pass, everything else is for another node to answer.
fn refused(error: &Refused) -> GroupError {
    match error {
        Refused::Log(AppendError::Full) | Refused::NotEnoughReplicas(_) => GroupError::CoordinatorNotAvailable,
        Refused::NotLeader | Refused::Log(AppendError::Deleted | AppendError::Fatal(_)) => GroupError::NotCoordinator,
        _ => GroupError::UnknownServerError,
    }
}

/// Gives the shard back if its loading does not come to an end, as when the connection that asked for it is closed.
struct Loading<'a> {
    shard: &'a Shard,
}

impl<'a> Loading<'a> {
    fn begin(shard: &'a Shard) -> Option<Self> {
        let mut state = shard.state.lock();
        matches!(*state, State::Unloaded).then(|| {
            *state = State::Loading;
            Loading { shard }
        })
    }

    fn finish(self, active: Box<Active>) {
        let mut state = self.shard.state.lock();
        if matches!(*state, State::Loading) {
            *state = State::Active(active);
        }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut state = self.shard.state.lock();
        if matches!(*state, State::Loading) {
            *state = State::Unloaded;
        }
    }
}

/// A waiter that the partition knows of; it forgets it when this ends.
struct Waiting<'a> {
    partition: &'a Arc<Partition>,
    waiter: Arc<Waiter>,
}

impl<'a> Waiting<'a> {
    fn begin(partition: &'a Arc<Partition>) -> Self {
        let waiter = Arc::new(Waiter::new());
        partition.wait(&waiter);
        Waiting { partition, waiter }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.partition.stop_waiting(&self.waiter);
    }
}
