//! A node's day, at random: appends, commits, upkeep, cuts at both ends, deletions, reads.

use std::sync::Arc;

use chronik_log::batch::batches;
use chronik_log::records::{BatchBuilder, OwnedBatch};
use chronik_log::{Append, AppendError, Commit, CutError, LogConfig, Lsn, PartitionLog, ReadRequest, Storage, SyncClass, UpkeepError};
use chronik_state::ids::{LogId, TopicId};

use super::model::{LogView, Model, last_offset};
use crate::random::Random;

/// Bytes of a log-start or truncation entry at least: its header.
const ENTRY_HEADER_BYTES: Lsn = 48;
const LOGS: u64 = 4;

/// Why a workload ended before its time.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The storage stopped, as it must when its disk fails.
    Fatal,
    /// Something was wrong.
    Wrong(String),
}

type Step = Result<(), Stopped>;

/// A storage with its user.
pub(super) struct Workload<'a> {
    pub(super) storage: Arc<Storage>,
    pub(super) model: &'a mut Model,
    pub(super) random: &'a mut Random,
    pub(super) now_ms: &'a mut i64,
    /// The largest position that the storage has called durable.
    pub(super) durable: Lsn,
    pub(super) appended: u64,
    /// The disk may be full.
    pub(super) may_be_full: bool,
    pub(super) trace: Option<&'a mut Vec<String>>,
    sequences: [(i16, i32); 3],
}

impl<'a> Workload<'a> {
    pub(super) fn new(storage: Arc<Storage>, model: &'a mut Model, random: &'a mut Random, now_ms: &'a mut i64) -> Self {
        let durable = storage.durable_lsn();
        Workload {
            storage,
            model,
            random,
            now_ms,
            durable,
            appended: 0,
            may_be_full: false,
            trace: None,
            sequences: [(0, 0); 3],
        }
    }

    /// Does `steps` things, or as many as the disk lets it.
    pub(super) fn run(&mut self, steps: u64) -> Step {
        // Producers of an earlier life come back with a new epoch.
        let epoch = (*self.now_ms % 30_000) as i16;
        self.sequences = [(epoch, 0); 3];
        for _ in 0..steps {
            *self.now_ms += 1 + self.random.below(40) as i64;
            let step = self.step();
            self.durable = self.durable.max(self.storage.durable_lsn());
            step?;
        }
        Ok(())
    }

    fn step(&mut self) -> Step {
        match self.random.below(100) {
            0..50 => self.append(),
            50..68 => self.commit(),
            68..74 => self.upkeep(false),
            74..78 => self.upkeep(true),
            78..81 => self.sync_written(),
            81..84 => self.advance_log_start(),
            84..86 => self.truncate(),
            86..87 => self.reset(),
            87..88 => self.delete(),
            88..90 => self.retention(),
            _ => self.read(),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    fn log(&mut self) -> Result<Arc<PartitionLog>, Stopped> {
        let id = LogId { topic: TopicId([9; 16]), partition: self.random.below(LOGS) as i32 };
        let config = LogConfig {
            segment_bytes: 600 + 700 * id.partition as u64,
            segment_ms: 20_000,
            retention_ms: if id.partition % 2 == 0 { -1 } else { 4_000 },
            retention_bytes: if id.partition == 2 { 2_500 } else { -1 },
            log_append_time: id.partition == 3,
            ..LogConfig::default()
        };
        self.storage.create(id, config).map_err(|_| Stopped::Fatal)
    }

    fn append(&mut self) -> Step {
        let log = self.log()?;
        let producer = self.random.below(6) as usize;
        let batch = self.batch(producer);
        let sync = if self.random.chance(70) { SyncClass::Commit } else { SyncClass::Interval };
        let append = Append { leader_epoch: (*self.now_ms / 500) as i32, now_ms: *self.now_ms, sync, privileged: self.random.chance(5) };
        let before = self.view(&log)?;
        match log.append(batch.as_valid(), append) {
            Ok(appended) => {
                if appended.duplicate {
                    return Err(Stopped::Wrong("a new batch was called a duplicate".into()));
                }
                self.appended += 1;
                self.advance_sequence(producer, batch.as_valid().record_count());
                let expected = assigned(&batch, &log, append, appended.base_offset);
                let mut after = LogView::describe(&log, before.batches);
                after.batches.push(expected.into());
                self.note(|| format!("append {} at {} → lsn {}", log.id(), appended.base_offset, appended.lsn));
                self.model.decide(log.id(), appended.lsn, appended.lsn, Some(after));
                if self.random.chance(5) { self.append_again(&log, &batch, append, appended.base_offset) } else { Ok(()) }
            }
            Err(AppendError::Full) if self.may_be_full => Ok(()),
            Err(AppendError::Fatal(_)) => Err(Stopped::Fatal),
            Err(error) => Err(Stopped::Wrong(format!("append: {error}"))),
        }
    }

    /// The retry of an idempotent producer must find its batch.
    fn append_again(&mut self, log: &PartitionLog, batch: &OwnedBatch, append: Append, base_offset: i64) -> Step {
        if batch.as_valid().producer_id() < 0 {
            return Ok(());
        }
        match log.append(batch.as_valid(), append) {
            Ok(again) if again.duplicate && again.base_offset == base_offset => Ok(()),
            Ok(again) => Err(Stopped::Wrong(format!("a retry became {again:?}"))),
            Err(AppendError::Fatal(_)) => Err(Stopped::Fatal),
            Err(error) => Err(Stopped::Wrong(format!("retry: {error}"))),
        }
    }

    fn batch(&mut self, producer: usize) -> OwnedBatch {
        let mut builder = BatchBuilder::new();
        if let Some((epoch, sequence)) = self.sequences.get(producer) {
            builder = builder.producer(100 + producer as i64, *epoch, *sequence);
        }
        let large = if self.random.chance(3) { 9_000 } else { 0 };
        for _ in 0..1 + self.random.below(3) {
            let length = self.random.below(180) + large;
            let value: Vec<u8> = (0..length).map(|_| self.random.number() as u8).collect();
            builder.record(*self.now_ms - self.random.below(500) as i64, Some(b"key"), Some(&value), &[]);
        }
        builder.build()
    }

    /// Each producer writes to whatever log comes, so its sequence starts anew in a new epoch each time: what
    /// is checked here is that the machine's state survives, not its rules.
    fn advance_sequence(&mut self, producer: usize, _records: i32) {
        if let Some(sequence) = self.sequences.get_mut(producer) {
            sequence.0 = sequence.0.wrapping_add(1).max(0);
        }
    }

    fn commit(&mut self) -> Step {
        match self.storage.commit() {
            Ok(Commit::Busy) => Err(Stopped::Wrong("commit is busy with one thread".into())),
            Ok(commit) => {
                self.note(|| format!("{commit:?}"));
                Ok(())
            }
            Err(_) => Err(Stopped::Fatal),
        }
    }

    fn sync_written(&mut self) -> Step {
        self.storage.sync_written().map(drop).map_err(|_| Stopped::Fatal)
    }

    fn upkeep(&mut self, force: bool) -> Step {
        self.note(|| format!("upkeep, force {force}"));
        let done = self.storage.upkeep(*self.now_ms, force);
        self.allow_full(done)
    }

    fn allow_full(&mut self, done: Result<(), UpkeepError>) -> Step {
        match done {
            Ok(()) => Ok(()),
            Err(UpkeepError::Full) if self.may_be_full => Ok(()),
            Err(UpkeepError::Full) => Err(Stopped::Wrong("the disk is called full".into())),
            Err(UpkeepError::Fatal(_)) => Err(Stopped::Fatal),
        }
    }

    fn advance_log_start(&mut self) -> Step {
        let log = self.log()?;
        let before = self.view(&log)?;
        let length = (before.log_end - before.log_start).max(0) as u64;
        let offset = before.log_start + self.random.below(length + 1) as i64;
        match log.advance_log_start(offset) {
            Ok(lsn) => {
                self.note(|| format!("log start of {} to {offset} → lsn {lsn}", log.id()));
                if offset > before.log_start {
                    let after = LogView::describe(&log, before.batches).starting_at_its_start();
                    self.model.decide(log.id(), lsn, lsn, Some(after));
                }
                Ok(())
            }
            Err(AppendError::Full) if self.may_be_full => Ok(()),
            Err(AppendError::Fatal(_)) => Err(Stopped::Fatal),
            Err(error) => Err(Stopped::Wrong(format!("log start: {error}"))),
        }
    }

    fn truncate(&mut self) -> Step {
        let log = self.log()?;
        let before = self.view(&log)?;
        if before.batches.is_empty() || !self.random.chance(40) {
            return Ok(());
        }
        let kept = self.random.below(before.batches.len() as u64 + 1) as usize;
        let offset = before.batches.get(kept).map_or(before.log_end, |batch| first_offset(batch)).max(before.log_start);
        let lsn_before = self.storage.appended_lsn();
        let done = log.truncate_to(offset, *self.now_ms);
        let lsn = self.storage.appended_lsn();
        self.note(|| format!("truncate {} to {offset} → {done:?}", log.id()));
        if lsn > lsn_before {
            let mut after = LogView::describe(&log, before.batches);
            let end = after.log_end;
            after.batches.retain(|batch| last_offset(batch) < end);
            self.model.decide(log.id(), lsn, lsn, Some(after));
        }
        match done {
            Ok(()) => Ok(()),
            Err(CutError::Full) if self.may_be_full => Ok(()),
            Err(CutError::Fatal(_)) => Err(Stopped::Fatal),
            Err(error) => self.wrong_unless_stopped(format!("truncate: {error}")),
        }
    }

    fn reset(&mut self) -> Step {
        let log = self.log()?;
        let before = self.view(&log)?;
        if before.batches.is_empty() || !self.random.chance(40) {
            return Ok(());
        }
        // Before its start, within it, or behind its end.
        let offset = self.random.below(before.log_end as u64 + 20) as i64;
        let lsn_before = self.storage.appended_lsn();
        let done = log.reset_to(offset);
        let lsn = self.storage.appended_lsn();
        self.note(|| format!("reset {} to {offset} → {done:?}", log.id()));
        if lsn > lsn_before {
            let after = LogView { log_start: offset, log_end: offset, ..LogView::empty() };
            self.model.decide(log.id(), lsn, lsn, Some(after));
        }
        match done {
            Ok(()) => Ok(()),
            Err(CutError::Full) if self.may_be_full => Ok(()),
            Err(CutError::Fatal(_)) => Err(Stopped::Fatal),
            Err(error) => self.wrong_unless_stopped(format!("reset: {error}")),
        }
    }

    fn delete(&mut self) -> Step {
        let log = self.log()?;
        match self.storage.delete(log.id()) {
            Ok(lsn) => {
                self.note(|| format!("delete {} → lsn {lsn}", log.id()));
                self.model.decide(log.id(), lsn, lsn, None);
                Ok(())
            }
            Err(UpkeepError::Full) if self.may_be_full => Ok(()),
            Err(_) => Err(Stopped::Fatal),
        }
    }

    fn retention(&mut self) -> Step {
        let ids = self.storage.log_ids();
        let logs: Vec<_> = ids.iter().filter_map(|id| self.storage.log(*id)).collect();
        let mut before = Vec::new();
        for log in &logs {
            log.note_high_watermark(log.log_end_offset());
            before.push(self.view(log)?);
        }
        let lsn_min = self.storage.appended_lsn() + ENTRY_HEADER_BYTES;
        self.storage.expire_producers(*self.now_ms);
        let done = self.storage.retention(*self.now_ms);
        let lsn = self.storage.appended_lsn();
        self.note(|| format!("retention → {done:?}"));
        for (log, before) in logs.iter().zip(before) {
            if log.log_start_offset() != before.log_start {
                let after = LogView::describe(log, before.batches).starting_at_its_start();
                self.model.decide(log.id(), lsn_min, lsn, Some(after));
            }
        }
        self.allow_full(done)
    }

    /// Reads a part, with limits, and compares it with what is known to be there.
    fn read(&mut self) -> Step {
        let log = self.log()?;
        let view = self.view(&log)?;
        if view.batches.is_empty() {
            return Ok(());
        }
        let offset = view.log_start + self.random.below((view.log_end - view.log_start) as u64 + 1) as i64;
        let request = ReadRequest {
            offset,
            max_bytes: self.random.below(3_000) as usize,
            end_offset: offset + self.random.below(30) as i64,
            at_least_one: self.random.chance(50),
            now_ms: *self.now_ms,
        };
        let bytes = match log.read(request).map(|outcome| outcome.to_vec()) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return self.wrong_unless_stopped(format!("read: {error}")),
            Err(error) => return self.wrong_unless_stopped(format!("read: {error}")),
        };
        let expected = expected_read(&view, &request);
        if bytes != expected {
            return Err(Stopped::Wrong(format!("read {request:?} of {} gave {} bytes, not {}", log.id(), bytes.len(), expected.len())));
        }
        Ok(())
    }

    fn wrong_unless_stopped(&self, what: String) -> Step {
        let stopped = self.storage.disk_space().is_err() || self.storage.commit().is_err();
        Err(if stopped { Stopped::Fatal } else { Stopped::Wrong(what) })
    }

    /// How the log looks now according to the model; a new one is empty.
    fn view(&mut self, log: &PartitionLog) -> Result<LogView, Stopped> {
        let view = self.model.now(log.id()).cloned().unwrap_or_else(LogView::empty);
        if (log.log_start_offset(), log.log_end_offset()) != (view.log_start, view.log_end) {
            let found = (log.log_start_offset(), log.log_end_offset());
            return Err(Stopped::Wrong(format!("{} spans {found:?}, not {:?}", log.id(), (view.log_start, view.log_end))));
        }
        Ok(view)
    }
}

/// All batches of a log, read whole.
pub(super) fn read_all(log: &PartitionLog, now_ms: i64) -> Result<Vec<Arc<[u8]>>, String> {
    let request = ReadRequest { offset: log.log_start_offset(), max_bytes: usize::MAX, end_offset: i64::MAX, at_least_one: true, now_ms };
    let outcome = log.read(request).map_err(|error| error.to_string())?;
    let bytes = outcome.to_vec().map_err(|error| error.to_string())?;
    batches(&bytes).map(|batch| batch.map(|batch| Arc::from(batch.bytes())).map_err(|error| error.to_string())).collect()
}

fn expected_read(view: &LogView, request: &ReadRequest) -> Vec<u8> {
    let mut bytes = Vec::new();
    for batch in view.batches.iter().filter(|batch| last_offset(batch) >= request.offset) {
        let must = request.at_least_one && bytes.is_empty();
        if last_offset(batch) >= request.end_offset || (bytes.len() + batch.len() > request.max_bytes && !must) {
            break;
        }
        bytes.extend_from_slice(batch);
    }
    bytes
}

/// The batch as the log must hold it: made here from the bytes that were sent, not read from the log.
fn assigned(batch: &OwnedBatch, log: &PartitionLog, append: Append, base_offset: i64) -> Vec<u8> {
    let mut bytes = batch.bytes().to_vec();
    bytes[0..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&append.leader_epoch.to_be_bytes());
    if log.config().log_append_time {
        bytes[22] |= 0x08;
        bytes[35..43].copy_from_slice(&append.now_ms.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

fn first_offset(batch: &[u8]) -> i64 {
    i64::from_be_bytes(batch[..8].try_into().expect("8 bytes"))
}
