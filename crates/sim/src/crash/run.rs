//! One seed: a few lives of a node, each ended in some way, each start checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chronik_log::disk::Disk;
use chronik_log::{Lsn, Storage, StorageError, StorageOptions};
use chronik_state::ids::LogId;

use super::model::{LogView, Model};
use super::workload::{Stopped, Workload, read_all};
use crate::disk::{Faults, Lies, SimDisk, Stop};
use crate::random::Random;

/// What a run is to do, beside what its seed decides.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Promises that the disk breaks.
    pub lies: Lies,
    /// A rule that is taken out of the storage.
    pub mutation: Option<chronik_log::Mutation>,
    /// The power fails at this operation of the first life, instead of one chosen by the seed.
    pub cut_at: Option<u64>,
}

/// What a seed showed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What happened in it.
    pub statistics: Statistics,
    /// What was wrong, if anything was.
    pub failure: Option<Failure>,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// What was found.
    pub what: String,
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statistics {
    /// Starts after a crash.
    pub recoveries: u64,
    /// Starts that were themselves cut off.
    pub interrupted_recoveries: u64,
    /// Starts that found a torn tail.
    pub torn_tails: u64,
    /// Batches appended.
    pub appended: u64,
    /// Disk operations of the first life, up to its end.
    pub operations: u64,
}

/// Lives through `seed`.
pub fn run(seed: u64, plan: &Plan) -> Outcome {
    Run::new(seed, plan, false).live()
}

/// The same, with everything written down.
pub fn run_traced(seed: u64, plan: &Plan) -> (Outcome, Vec<String>) {
    let mut run = Run::new(seed, plan, true);
    let outcome = run.live();
    let mut lines = std::mem::take(&mut run.trace);
    lines.append(&mut run.disk.take_trace());
    (outcome, lines)
}

struct Run<'a> {
    seed: u64,
    plan: &'a Plan,
    random: Random,
    disk: SimDisk,
    options: StorageOptions,
    model: Model,
    now_ms: i64,
    /// What has been called durable, and must never be lost.
    durable: Lsn,
    statistics: Statistics,
    traced: bool,
    trace: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(seed: u64, plan: &'a Plan, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.fork());
        disk.set_lies(plan.lies);
        let options = tiny(&mut random, plan);
        Run {
            seed,
            plan,
            random,
            disk,
            options,
            model: Model::default(),
            now_ms: 1_000_000,
            durable: 0,
            statistics: Statistics::default(),
            traced,
            trace: Vec::new(),
        }
    }

    fn live(&mut self) -> Outcome {
        let lives = 2 + self.random.below(3);
        let failure = (0..lives).find_map(|life| self.life(life).err());
        let failure = failure.map(|what| Failure { seed: self.seed, what });
        Outcome { statistics: self.statistics, failure }
    }

    /// Starts, checks what is there, works, and stops in some way.
    fn life(&mut self, life: u64) -> Result<(), String> {
        let storage = self.recover()?;
        let faults = self.choose_faults(life);
        self.disk.set_faults(faults);
        let steps = 20 + self.random.below(180);
        let mut random = self.random.fork();
        let before = self.disk.operations();
        let mut workload = Workload::new(Arc::clone(&storage), &mut self.model, &mut random, &mut self.now_ms);
        workload.may_be_full = faults.capacity.is_some();
        workload.trace = self.traced.then_some(&mut self.trace);
        let ended = workload.run(steps);
        self.durable = self.durable.max(workload.durable).max(storage.durable_lsn());
        self.statistics.appended += workload.appended;
        self.statistics.operations = self.disk.operations() - before;
        match ended {
            Err(Stopped::Wrong(what)) => return Err(format!("life {life}: {what}")),
            Err(Stopped::Fatal) => self.check_stays_stopped(&storage)?,
            Ok(()) if faults.capacity.is_some() => self.check_full_passes(&storage)?,
            Ok(()) => {}
        }
        self.stop(&storage);
        Ok(())
    }

    /// What goes wrong in this life: mostly the power; sometimes a sync, or the space; sometimes nothing.
    fn choose_faults(&mut self, life: u64) -> Faults {
        let now = self.disk.operations();
        if let Some(cut_at) = self.plan.cut_at.filter(|_| life == 0) {
            return Faults { cut_at: Some(now + cut_at), ..Faults::default() };
        }
        let soon = now + 1 + self.random.below(400);
        match self.random.below(10) {
            0..6 => Faults { cut_at: Some(soon), ..Faults::default() },
            6 => Faults { fail_sync_at: Some(soon), ..Faults::default() },
            7 => Faults { capacity: Some(60_000 + self.random.below(400_000)), ..Faults::default() },
            _ => Faults::default(),
        }
    }

    fn stop(&mut self, storage: &Storage) {
        self.now_ms += 1_000;
        if self.disk.is_powered() && self.random.chance(20) && storage.close(self.now_ms).is_ok() {
            self.durable = self.durable.max(storage.durable_lsn());
        }
        let stop = if self.random.chance(80) { Stop::PowerCut } else { Stop::Kill };
        let trace = self.disk.take_trace();
        self.trace.extend(trace);
        self.trace.push(format!("--- {stop:?}, durable to {}", self.durable));
        self.disk = self.disk.restart(stop);
    }

    /// After a failure of the disk, nothing is written any more.
    fn check_stays_stopped(&mut self, storage: &Storage) -> Result<(), String> {
        let before = self.disk.operations();
        for _ in 0..3 {
            let commit = storage.commit();
            let upkeep = storage.upkeep(self.now_ms, true);
            // Without power nothing can be said but by the disk; with it, the storage must have stopped by itself.
            if self.disk.is_powered() && (commit.is_ok() || upkeep.is_ok()) {
                return Err("the storage goes on after its disk has failed".into());
            }
        }
        if self.disk.operations() != before {
            return Err("the storage tried again after its disk had failed".into());
        }
        Ok(())
    }

    /// When there is space again, everything works again.
    fn check_full_passes(&mut self, storage: &Arc<Storage>) -> Result<(), String> {
        self.disk.set_faults(Faults::default());
        storage.upkeep(self.now_ms, true).map_err(|error| format!("with space again: {error}"))?;
        let mut random = self.random.fork();
        let mut workload = Workload::new(Arc::clone(storage), &mut self.model, &mut random, &mut self.now_ms);
        let ended = workload.run(30);
        self.durable = self.durable.max(workload.durable);
        match ended {
            Ok(()) => Ok(()),
            Err(stopped) => Err(format!("with space again: {stopped:?}")),
        }
    }

    /// Opens the storage, now and then with the power failing meanwhile, and checks what it finds.
    fn recover(&mut self) -> Result<Arc<Storage>, String> {
        while self.random.chance(25) {
            self.interrupt_recovery()?;
        }
        let twin = self.disk.duplicate();
        if self.traced {
            self.disk.start_trace();
        }
        let (storage, recovered) = self.open(&self.disk).map_err(|error| format!("opening: {error}"))?;
        self.statistics.recoveries += 1;
        self.statistics.torn_tails += u64::from(recovered.torn_tail);
        let end = storage.appended_lsn();
        self.trace.push(format!("--- recovered to {end}: {recovered:?}"));
        let views = self.check(&storage, end)?;
        let (second, _) = self.open(&twin).map_err(|error| format!("opening a second time: {error}"))?;
        let again = self.check(&second, second.appended_lsn())?;
        if second.appended_lsn() != end || again != views {
            return Err("opening a second time found something else".into());
        }
        self.durable = end;
        self.model.restart(end, views);
        Ok(storage)
    }

    fn interrupt_recovery(&mut self) -> Result<(), String> {
        let cut_at = self.disk.operations() + 1 + self.random.below(12);
        self.disk.set_faults(Faults { cut_at: Some(cut_at), ..Faults::default() });
        if self.traced {
            self.disk.start_trace();
        }
        let opened = self.open(&self.disk);
        self.trace.extend(self.disk.take_trace());
        self.statistics.interrupted_recoveries += 1;
        match opened {
            Ok((storage, _)) => {
                // It was open before the power failed: what it found counts as durable from then on.
                let views = self.check(&storage, storage.appended_lsn());
                if self.disk.is_powered() || views.is_ok() {
                    self.model.restart(storage.appended_lsn(), views?);
                }
                self.durable = self.durable.max(storage.durable_lsn());
            }
            Err(StorageError::Damaged { .. }) if self.disk.is_powered() => {
                return Err(format!("opening: {}", opened.err().expect("just matched")));
            }
            Err(_) => {}
        }
        let stop = if self.random.chance(80) { Stop::PowerCut } else { Stop::Kill };
        self.trace.push(format!("--- {stop:?} while starting"));
        self.disk = self.disk.restart(stop);
        Ok(())
    }

    fn open(&self, disk: &SimDisk) -> Result<(Arc<Storage>, chronik_log::Recovered), StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Storage::open(disk, self.options.clone(), self.now_ms)
    }

    /// Compares every log with what it must look like when the write-ahead log ends at `end`.
    fn check(&self, storage: &Storage, end: Lsn) -> Result<BTreeMap<LogId, LogView>, String> {
        if end < self.durable {
            return Err(format!("the log ends at {end}, but {} had been called durable", self.durable));
        }
        let mut views = BTreeMap::new();
        for id in storage.log_ids() {
            let log = storage.log(id).expect("it was listed");
            let batches = read_all(&log, self.now_ms).map_err(|error| format!("{id}: {error}"))?;
            let view = LogView::describe(&log, batches);
            self.check_log(id, &view, end)?;
            views.insert(id, view);
        }
        for id in self.model.ids().filter(|id| !views.contains_key(id)) {
            let expected = self.model.at(id, end);
            if !expected.iter().any(|view| view.as_ref().is_none_or(|view| *view == LogView::empty())) {
                return Err(format!("{id} is missing"));
            }
        }
        Ok(views)
    }

    fn check_log(&self, id: LogId, found: &LogView, end: Lsn) -> Result<(), String> {
        let expected = self.model.at(id, end);
        let empty = LogView::empty();
        if expected.iter().any(|view| view.as_ref().unwrap_or(&empty) == found) {
            return Ok(());
        }
        let expected = expected[0].as_ref().unwrap_or(&empty);
        Err(format!("{id} is not what was written up to {end}: {}", difference(expected, found)))
    }
}

fn difference(expected: &LogView, found: &LogView) -> String {
    let spans = ((expected.log_start, expected.log_end), (found.log_start, found.log_end));
    if spans.0 != spans.1 {
        return format!("it spans {:?} instead of {:?}", spans.1, spans.0);
    }
    let first = expected.batches.iter().zip(&found.batches).position(|(expected, found)| expected != found);
    match first {
        Some(index) => format!("batch {index} differs"),
        None if expected.batches.len() != found.batches.len() => {
            format!("it has {} batches instead of {}", found.batches.len(), expected.batches.len())
        }
        None if expected.epochs != found.epochs => format!("epochs are {:?} instead of {:?}", found.epochs, expected.epochs),
        None => "what is known of its producers differs".into(),
    }
}

/// Everything so small that files roll, recycle and fill all the time.
fn tiny(random: &mut Random, plan: &Plan) -> StorageOptions {
    let mut options = StorageOptions::new(PathBuf::from("/data"));
    options.wal_file_bytes = 4096 * (8 + random.below(16));
    options.wal_reserve_bytes = 4096 * random.below(3);
    options.checkpoint_distance_bytes = 8_000 + random.below(40_000);
    options.materialise_bytes = 1_000 + random.below(8_000);
    options.disk_reserve_bytes = 20_000;
    options.index_interval_bytes = 100 + random.below(600);
    options.chunk_bytes = 4096 * *random.pick(&[1, 2, 4]) as usize;
    options.chunks_kept = 4;
    options.aligned_batch_bytes = *random.pick(&[0, 300, usize::MAX]);
    options.recent_bytes_max = *random.pick(&[0, 16 << 10, 64 << 10]);
    options.seed = random.number();
    options.mutation = plan.mutation;
    options
}
