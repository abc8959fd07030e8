//! Finds the shard that a group lives on, loads it when it is first asked for, and keeps time for all of them.
//!
//! The group's id says which partition of `__consumer_offsets` (as Kafka computes it, so that tools agree), and the
//! node that leads the partition coordinates the group. A node without groups has no timer: one task sleeps until the
//! earliest deadline of any shard, or until there is one.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chronik_state::group::{Effects, FetchedOffset, GroupConfig, Groups, Reply, Ticket};
use chronik_state::ids::{LogId, PartitionIndex, TimestampMs};
use chronik_state::metadata::Topic;
use chronik_wire::ErrorCode;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::group::{Answer, LoadError, NotActive, Shard};
use super::offsets_topic::OFFSETS_TOPIC;
use crate::dispatch::Request;
use crate::net::reactor::Reactor;
use crate::node::now_ms;
use crate::settings::Settings;

/// How long an answer waits for other replicas: the default of Kafka's `offsets.commit.timeout.ms`, and what its clients hear then
/// (`GroupCoordinatorService.handleOperationException`). What was written may be committed yet.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// All groups that this node coordinates.
pub(crate) struct Coordinator {
    config: GroupConfig,
    clock: Clock,
    shards: Mutex<FxHashMap<LogId, Arc<Shard>>>,
    /// Topics that are gone and that groups may still have offsets of.
    deleted: Mutex<Vec<(String, Vec<PartitionIndex>)>>,
    /// What the time keeper sleeps until.
    alarm: AtomicI64,
    /// Wakes it when there is something earlier, or something to forget.
    earlier: Notify,
}

impl Coordinator {
    pub(crate) fn new(settings: &Settings) -> Self {
        Coordinator {
            config: config(settings),
            clock: Clock::start(),
            shards: Mutex::default(),
            deleted: Mutex::default(),
            alarm: AtomicI64::new(TimestampMs::MAX),
            earlier: Notify::new(),
        }
    }

    /// Puts an event of one group to its machine and answers what the machine says, once that is committed.
    pub(crate) async fn ask(
        &self,
        reactor: &Rc<Reactor>,
        group_id: &str,
        event: impl FnOnce(&mut Groups, Ticket, TimestampMs) -> Effects,
    ) -> Result<Reply, ErrorCode> {
        let shard = self.shard_of(reactor, group_id).await?;
        let now = self.clock.now_ms();
        let asked = shard.ask(reactor, now, |groups, ticket| event(groups, ticket, now));
        self.set_alarm(&shard);
        let answer = asked.map_err(error_code)?;
        let mut stopping = reactor.node.stopping();
        let Answer { reply, end_offset } = tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| ErrorCode::NotCoordinator)?,
            _ = stopping.wait_for(|stopping| *stopping) => return Err(ErrorCode::NotCoordinator),
        };
        self.committed(reactor, &shard, end_offset).await?;
        Ok(reply)
    }

    /// The same for what may wait long, as a rebalance does: given up when the client has gone.
    pub(crate) async fn ask_patiently(
        &self,
        request: &Request<'_>,
        group_id: &str,
        event: impl FnOnce(&mut Groups, Ticket, TimestampMs) -> Effects,
    ) -> Result<Reply, ErrorCode> {
        let gone = request.connection.gone();
        tokio::select! {
            biased;
            reply = self.ask(request.reactor, group_id, event) => reply,
            () = gone.wait() => Err(ErrorCode::NotCoordinator),
        }
    }

    /// What a group's machine knows, once that is committed.
    pub(crate) async fn look<T>(
        &self,
        reactor: &Rc<Reactor>,
        group_id: &str,
        query: impl FnOnce(&Groups) -> T,
    ) -> Result<T, ErrorCode> {
        let shard = self.shard_of(reactor, group_id).await?;
        let (found, end_offset) = shard.look(query).map_err(error_code)?;
        self.committed(reactor, &shard, end_offset).await?;
        Ok(found)
    }

    /// What all machines of this node know.
    pub(crate) async fn look_everywhere<T>(
        &self,
        reactor: &Rc<Reactor>,
        query: impl Fn(&Groups) -> T,
    ) -> Result<Vec<T>, ErrorCode> {
        let mut found = Vec::new();
        for shard in self.shards_in_use(reactor).await? {
            let (known, end_offset) = shard.look(&query).map_err(error_code)?;
            self.committed(reactor, &shard, end_offset).await?;
            found.push(known);
        }
        Ok(found)
    }

    /// The groups that this node coordinates and that somebody has asked about, in numbers; with what they have committed, if that is
    /// wanted. Waits for nobody: it is looked at and not told to clients.
    pub(crate) fn census(&self, with_committed: bool) -> Vec<GroupNumbers> {
        let shards: Vec<Arc<Shard>> = self.shards.lock().values().map(Arc::clone).collect();
        let numbers = |groups: &Groups| -> Vec<GroupNumbers> {
            let numbers = groups.census().map(|group| GroupNumbers {
                group_id: group.group_id.to_owned(),
                members: group.members,
                generation_id: group.generation_id,
                committed: if with_committed { groups.fetch_all_offsets(group.group_id) } else { Vec::new() },
            });
            numbers.collect()
        };
        let mut all: Vec<_> = shards.iter().filter_map(|shard| shard.look(numbers).ok()).flat_map(|(found, _)| found).collect();
        all.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        all
    }

    /// A topic is gone: groups forget, soon, what they had committed there. If it is the topic of the groups, so are they.
    pub(crate) fn on_topic_deleted(&self, topic: &Topic) {
        let partitions: Vec<PartitionIndex> = topic.partitions.iter().map(|(index, _)| *index).collect();
        if &*topic.name == OFFSETS_TOPIC {
            partitions.into_iter().for_each(|partition| self.resign(LogId { topic: topic.id, partition }));
        } else {
            self.deleted.lock().push((topic.name.to_string(), partitions));
            self.earlier.notify_one();
        }
    }

    /// Carries out deadlines, and forgets deleted topics, for as long as the node runs. One such task per node.
    pub(crate) async fn keep_time(&self, reactor: &Rc<Reactor>) {
        loop {
            self.forget_deleted(reactor).await;
            let deadline = self.next_deadline();
            self.alarm.store(deadline, Ordering::SeqCst);
            // Looked at again after the alarm is set: who brought something earlier before that did not ring.
            if self.next_deadline() < deadline {
                continue;
            }
            if deadline == TimestampMs::MAX {
                self.earlier.notified().await;
            } else if deadline > self.clock.now_ms() {
                tokio::select! {
                    () = self.earlier.notified() => {}
                    () = tokio::time::sleep_until(self.clock.instant(deadline)) => {}
                }
            } else {
                self.carry_out_deadlines(reactor);
                tokio::task::yield_now().await;
            }
        }
    }

    /// What this node is to a partition of the offsets topic may have changed: if it leads no longer, or anew, who waits is told to
    /// look for the coordinator again.
    pub(crate) fn on_role(&self, id: LogId) {
        let is_over = self.shards.lock().get(&id).is_some_and(|shard| shard.check_leads().is_err());
        if is_over {
            self.resign(id);
        }
    }

    /// The node leads this partition of the offsets topic no longer.
    fn resign(&self, id: LogId) {
        let resigned = self.shards.lock().remove(&id);
        if let Some(shard) = resigned {
            shard.resign();
        }
    }

    async fn forget_deleted(&self, reactor: &Rc<Reactor>) {
        let deleted = std::mem::take(&mut *self.deleted.lock());
        if deleted.is_empty() {
            return;
        }
        let shards = match self.shards_in_use(reactor).await {
            Ok(shards) => shards,
            Err(error) => return tracing::warn!("offsets of deleted topics are kept: {error}"),
        };
        for (shard, (topic, partitions)) in
            shards.iter().flat_map(|shard| deleted.iter().map(move |deleted| (shard, deleted)))
        {
            // One that is resigned meanwhile is for its next owner to clean.
            let _ = shard.tell(reactor, self.clock.now_ms(), |groups| groups.on_partitions_deleted(topic, partitions));
        }
    }

    fn carry_out_deadlines(&self, reactor: &Rc<Reactor>) {
        let now = self.clock.now_ms();
        let shards: Vec<Arc<Shard>> = self.shards.lock().values().map(Arc::clone).collect();
        for shard in shards.iter().filter(|shard| shard.next_deadline() <= now) {
            shard.keep_time(reactor, now);
        }
    }

    fn next_deadline(&self) -> TimestampMs {
        self.shards.lock().values().map(|shard| shard.next_deadline()).min().unwrap_or(TimestampMs::MAX)
    }

    fn set_alarm(&self, shard: &Shard) {
        if shard.next_deadline() < self.alarm.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// The loaded shard of a group. Whoever asks first loads it; others are told to come back.
    async fn shard_of(&self, reactor: &Rc<Reactor>, group_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        let image = reactor.node.metadata.image();
        let topic = image.topic(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let partition = partition_of(group_id, topic.partitions.len() as i32);
        let shard = self.shard(reactor, LogId { topic: topic.id, partition }).ok_or(ErrorCode::NotCoordinator)?;
        self.load(reactor, &shard).await?;
        Ok(shard)
    }

    /// All shards that hold anything, loaded.
    async fn shards_in_use(&self, reactor: &Rc<Reactor>) -> Result<Vec<Arc<Shard>>, ErrorCode> {
        let image = reactor.node.metadata.image();
        let Some(topic) = image.topic(OFFSETS_TOPIC) else { return Ok(Vec::new()) };
        let ids = (0..topic.partitions.len() as i32).map(|partition| LogId { topic: topic.id, partition });
        let mut shards: Vec<Arc<Shard>> = ids.filter_map(|id| self.shard(reactor, id)).collect();
        shards.retain(|shard| shard.partition.log.log_end_offset() > shard.partition.log.log_start_offset());
        for shard in &shards {
            self.load(reactor, shard).await?;
        }
        Ok(shards)
    }

    /// The shard of a partition that this node leads. Led anew, in another epoch, it is another shard: what the old
    /// one knew may have been decided otherwise in between.
    fn shard(&self, reactor: &Rc<Reactor>, id: LogId) -> Option<Arc<Shard>> {
        let partition = reactor.node.partitions.partition(id)?;
        let Some(leader_epoch) = partition.leads_in() else {
            self.resign(id);
            return None;
        };
        let mut shards = self.shards.lock();
        let is_current = |shard: &&Arc<Shard>| Arc::ptr_eq(&shard.partition, &partition) && shard.leader_epoch == leader_epoch;
        if let Some(shard) = shards.get(&id).filter(is_current) {
            return Some(Arc::clone(shard));
        }
        let shard = Shard::new(partition, leader_epoch);
        if let Some(former) = shards.insert(id, Arc::clone(&shard)) {
            former.resign();
        }
        Some(shard)
    }

    async fn load(&self, reactor: &Rc<Reactor>, shard: &Arc<Shard>) -> Result<(), ErrorCode> {
        match shard.look(|_| ()) {
            Ok(_) => return Ok(()),
            Err(NotActive::Unloaded) => {}
            Err(not_active) => return Err(error_code(not_active)),
        }
        let loaded = shard.load(reactor, self.config.clone(), || self.clock.now_ms()).await;
        self.set_alarm(shard);
        match loaded {
            Ok(()) => Ok(()),
            Err(LoadError::Busy) => Err(ErrorCode::CoordinatorLoadInProgress),
            Err(error) => {
                tracing::error!(partition = %shard.partition.id, "groups cannot be read: {error}");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
        }
    }

    async fn committed(&self, reactor: &Rc<Reactor>, shard: &Shard, end_offset: i64) -> Result<(), ErrorCode> {
        tokio::select! {
            biased;
            committed = shard.committed(end_offset) => committed.map_err(error_code),
            () = tokio::time::sleep(COMMIT_TIMEOUT), if shard.partition.is_replicated() => Err(ErrorCode::CoordinatorNotAvailable),
            // Nothing will be committed any more.
            () = reactor.node.failed() => Err(ErrorCode::NotCoordinator),
        }
    }
}

/// See [`Coordinator::census`].
pub(crate) struct GroupNumbers {
    pub(crate) group_id: String,
    pub(crate) members: usize,
    pub(crate) generation_id: i32,
    pub(crate) committed: Vec<(String, Vec<FetchedOffset>)>,
}

/// The partition of the offsets topic that a group lives on: `abs(String.hashCode()) % partitions`, as Kafka has it.
pub(crate) fn partition_of(group_id: &str, partitions: i32) -> PartitionIndex {
    let hash = group_id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

fn config(settings: &Settings) -> GroupConfig {
    GroupConfig {
        session_timeout_ms_min: settings.group_session_timeout_ms_min,
        session_timeout_ms_max: settings.group_session_timeout_ms_max,
        initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
        size_max: settings.group_members_max,
        offset_metadata_length_max: settings.offset_metadata_bytes_max,
        offsets_retention_ms: settings.offsets_retention_ms,
        offsets_retention_check_interval_ms: settings.offsets_retention_check_interval.as_millis() as i64,
        ..GroupConfig::default()
    }
}

fn error_code(not_active: NotActive) -> ErrorCode {
    match not_active {
        NotActive::Unloaded | NotActive::Loading => ErrorCode::CoordinatorLoadInProgress,
        NotActive::Resigned => ErrorCode::NotCoordinator,
    }
}

/// The wall clock as it stood when the node started, moving steadily since: a clock that is set forward must not end
/// every member's session at once, nor one set back keep dead members for hours.
struct Clock {
    started_at: Instant,
    started_at_ms: TimestampMs,
}

impl Clock {
    fn start() -> Self {
        Clock { started_at: Instant::now(), started_at_ms: now_ms() }
    }

    fn now_ms(&self) -> TimestampMs {
        self.started_at_ms + self.started_at.elapsed().as_millis() as i64
    }

    fn instant(&self, timestamp_ms: TimestampMs) -> Instant {
        self.started_at + Duration::from_millis(timestamp_ms.saturating_sub(self.started_at_ms).max(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    /// Computed by `Utils.abs(groupId.hashCode()) % 50` of Apache Kafka; the last one's hash is `Integer.MIN_VALUE`.
    #[test]
    fn groups_live_where_kafka_would_put_them() {
        for (group_id, partition) in [
            ("", 0),
            ("a", 47),
            ("my-group", 12),
            ("console-consumer-12345", 6),
            ("grüße", 23),
            ("polygenelubricants", 0),
        ] {
            assert_eq!(partition_of(group_id, 50), partition, "{group_id}");
        }
    }
}
