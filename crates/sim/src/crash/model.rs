//! What a storage has decided, in order, and what each log must therefore look like at any position.

use std::collections::BTreeMap;
use std::sync::Arc;

use chronik_log::{Lsn, PartitionLog};
use chronik_state::ids::{LogId, Offset};
use chronik_state::partition::epochs::LeaderEpochs;
use chronik_state::partition::producers::Producers;

/// One log at one position: everything a user of it could see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogView {
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    /// All batches that may be read, as they lie in the log.
    pub(super) batches: Vec<Arc<[u8]>>,
    pub(super) epochs: LeaderEpochs,
    pub(super) producers: Vec<u8>,
}

/// A decision, and how the log looked after it.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    /// It is in the write-ahead log when this much is.
    pub(super) lsn: Lsn,
    /// It may be there already from here on: the exact place is not known.
    pub(super) lsn_min: Lsn,
    /// `None` where the log is gone.
    pub(super) after: Option<LogView>,
}

/// Every log's decisions, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    logs: BTreeMap<LogId, Vec<Decision>>,
}

impl Model {
    /// Notes a decision that ends at `lsn`.
    pub(super) fn decide(&mut self, log: LogId, lsn_min: Lsn, lsn: Lsn, after: Option<LogView>) {
        self.logs.entry(log).or_default().push(Decision { lsn, lsn_min, after });
    }

    /// How the log looks now; `None` if there is none.
    pub(super) fn now(&self, log: LogId) -> Option<&LogView> {
        self.logs.get(&log)?.last()?.after.as_ref()
    }

    /// The logs that may exist.
    pub(super) fn ids(&self) -> impl Iterator<Item = LogId> + '_ {
        self.logs.keys().copied()
    }

    /// How the log may look when the write-ahead log ends at `lsn`: usually in one way.
    pub(super) fn at(&self, log: LogId, lsn: Lsn) -> Vec<Option<LogView>> {
        let decisions = self.logs.get(&log).map_or(&[][..], Vec::as_slice);
        let certain = decisions.iter().rposition(|decision| decision.lsn <= lsn);
        let mut views = vec![certain.and_then(|index| decisions[index].after.clone())];
        for decision in &decisions[certain.map_or(0, |index| index + 1)..] {
            if decision.lsn_min < lsn {
                views.push(decision.after.clone());
            }
        }
        views
    }

    /// The node went on from `views`: what came after is forgotten, and never comes back.
    pub(super) fn restart(&mut self, lsn: Lsn, views: BTreeMap<LogId, LogView>) {
        self.logs = views
            .into_iter()
            .map(|(log, view)| (log, vec![Decision { lsn, lsn_min: lsn, after: Some(view) }]))
            .collect();
    }
}

impl LogView {
    /// A log to which nothing has happened.
    pub(super) fn empty() -> Self {
        LogView {
            log_start: 0,
            log_end: 0,
            batches: Vec::new(),
            epochs: LeaderEpochs::default(),
            producers: Producers::default().snapshot(),
        }
    }

    /// Everything but the batches, as the log says it.
    pub(super) fn describe(log: &PartitionLog, batches: Vec<Arc<[u8]>>) -> Self {
        LogView {
            log_start: log.log_start_offset(),
            log_end: log.log_end_offset(),
            batches,
            epochs: (*log.epochs()).clone(),
            producers: log.with_producers(|producers| producers.snapshot()),
        }
    }

    /// Leaves out what lies before the log's start.
    pub(super) fn starting_at_its_start(mut self) -> Self {
        let start = self.log_start;
        self.batches.retain(|batch| last_offset(batch) >= start);
        self
    }
}

pub(super) fn last_offset(batch: &[u8]) -> Offset {
    chronik_log::batch::BatchView::parse(batch).expect("the model holds whole batches").last_offset()
}
