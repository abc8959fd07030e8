//! This node's seat in the metadata's Raft group: what is proposed goes into the journal, what is committed is applied.
//!
//! ```text
//!   decide ──▶ propose ──▶ journal, synced ──▶ committed by a majority ──▶ applied ──▶ published, answered
//! ```
//! Rules, and what would be lost without them, stand in `order.rs`, each under its name.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chronik_consensus::{Committed, Effect, HardState, Member, Message, NotTaken, Role, SavedSnapshot, Standing, Work};
use chronik_log::disk::Disk;
use chronik_log::snapshot::SnapshotError;
use chronik_log::vote::{self, Vote, VoteError};
use chronik_log::{Fatal, Lsn};
use chronik_state::ids::TimestampMs;
use chronik_state::metadata::record::Record;
use chronik_state::metadata::{Controller, ControllerSettings, Image};
use thiserror::Error;

use crate::codec::CodecError;
use crate::decision;
use crate::journal::{Journal, JournalError, offset_of};
use crate::order::{Order, upheld};
use crate::snapshot;

/// See the module.
pub struct Council {
    /// Takes events: each is followed by [`Council::settle`].
    pub member: Member,
    pub(crate) journal: Journal,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) data_directory: PathBuf,
    pub(crate) cluster_id: String,
    pub(crate) compress_snapshots: bool,
    pub(crate) vote: Vote,
    pub(crate) settings: ControllerSettings,
    /// Everything decided: what is applied, and what this leader has proposed on top of it.
    pub(crate) controller: Controller,
    /// Everything committed, up to `applied_index`.
    pub(crate) applied: Image,
    pub(crate) applied_index: u64,
    /// What this process has applied of the log.
    pub(crate) applied_bytes: u64,
    /// Of the last snapshot that it took.
    pub(crate) snapshot_bytes: u64,
    /// Proposed by this leader, and in `controller` already.
    pub(crate) proposed: VecDeque<(u64, u64)>,
    /// Who waits for an entry.
    pub(crate) waiting: Vec<Waiting>,
    /// As leader of this term it decides once this entry is applied.
    pub(crate) leads: Option<Leads>,
    /// Takes messages for other members.
    pub(crate) outbox: Outbox,
}

/// Where messages for other members go.
pub(crate) type Outbox = Box<dyn Fn(Message) + Send>;

/// An entry, and where to tell whether it was that entry which was committed.
pub(crate) struct Waiting {
    index: u64,
    term: u64,
    tell: Box<dyn FnOnce(bool) + Send>,
}

#[derive(Clone, Copy)]
pub(crate) struct Leads {
    term: u64,
    from_index: u64,
}

/// The member can no longer keep its promises: the node stops.
#[derive(Debug, Error)]
pub enum CouncilError {
    /// The log took nothing.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The vote could not be written.
    #[error("{0}")]
    Vote(#[from] VoteError),
    /// A leader's snapshot could not be written.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// What was agreed on is of a later version.
    #[error("entry {index} of the metadata log cannot be understood: {source}\n\nFix: start this data directory with the version of the program that wrote it, or a later one")]
    Entry { index: u64, source: CodecError },
    /// A snapshot of another cluster.
    #[error("another node sent a snapshot of another cluster's metadata\n\nNothing of it was written.\n\nFix: see that the nodes of [[peers]] are those of this cluster")]
    Foreign,
    /// The log could not be synced.
    #[error("{0}")]
    Disk(Fatal),
    /// The node goes down.
    #[error("the node stops")]
    NodeStops,
}

/// One committed decision, carried out.
#[derive(Debug)]
pub struct Applied {
    /// Its entry, or the last one of a snapshot.
    pub index: u64,
    /// The entry's term, or the snapshot's.
    pub term: u64,
    /// All that is committed now.
    pub image: Image,
    /// What changed, or nothing where the image came whole.
    pub change: Change,
}

/// See [`Applied`].
#[derive(Debug)]
pub enum Change {
    /// The decision's records.
    Records(Vec<Record>),
    /// A snapshot took the place of everything.
    Whole,
}

impl Council {
    /// Everything decided so far, if it is this node's to decide: not yet while a new leader applies what came before it.
    pub fn decider(&self) -> Option<&Controller> {
        let leads = self.leads?;
        let knows_all = self.applied_index >= leads.from_index || !upheld(Order::DecidesUponAllBefore);
        knows_all.then_some(&self.controller)
    }

    /// All that is committed and applied.
    pub fn applied(&self) -> &Image {
        &self.applied
    }

    /// The last entry that is applied.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// How much of the log this process has applied.
    pub fn applied_bytes(&self) -> u64 {
        self.applied_bytes
    }

    /// Where the member stands.
    pub fn standing(&self) -> Standing {
        self.member.standing()
    }

    /// Index that the next entry proposed here gets.
    pub fn next_index(&self) -> u64 {
        self.member.standing().last_index + 1
    }

    /// The term of the last entry.
    pub fn last_term(&self) -> u64 {
        self.member.last_term()
    }

    /// A message of another member.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn step(&mut self, message: Message) -> Result<(), String> {
        if let Some(snapshot) = &message.snapshot {
            let image = decision::image(&snapshot.data).map_err(|error| error.to_string())?;
            self.check_own(&image).map_err(|error| error.to_string())?;
        }
        self.member.step(message).map_err(|error| error.to_string())
    }

    /// Proposes records that were decided upon [`Council::decider`]. `tell` hears true once they are committed and applied, false if
    /// something else was committed in their place.
    ///
    /// # Errors
    /// Nothing was proposed, and `tell` hears nothing.
    pub fn propose(&mut self, records: &[Record], tell: impl FnOnce(bool) + Send + 'static) -> Result<(), NotTaken> {
        let (index, term) = self.member.propose(decision::encode(records).into())?;
        for record in records {
            self.controller.apply(record);
        }
        self.proposed.push_back((index, term));
        self.waiting.push(Waiting { index, term, tell: Box::new(tell) });
        Ok(())
    }

    /// For a decision that changes nothing: `tell` hears true once everything is committed and applied that it was decided upon, false if
    /// that was lost.
    pub fn when_agreed(&mut self, tell: impl FnOnce(bool) + Send + 'static) {
        match self.proposed.back() {
            Some((index, term)) if upheld(Order::AnsweredWhenAgreed) => {
                self.waiting.push(Waiting { index: *index, term: *term, tell: Box::new(tell) });
            }
            _ => tell(true),
        }
    }

    /// Carries out all that is due after events. `sync` returns once the log is on disk up to a position; `publish` is told of
    /// each decision that is committed, in order.
    ///
    /// # Errors
    /// Nothing more may be said in this member's name.
    pub async fn settle(
        &mut self,
        now_ms: TimestampMs,
        sync: impl AsyncFn(Lsn) -> Result<(), CouncilError>,
        mut publish: impl FnMut(Applied),
    ) -> Result<(), CouncilError> {
        self.look_at_role();
        while let Some(mut work) = self.member.begin() {
            self.send(std::mem::take(&mut work.messages));
            if !upheld(Order::StoredBeforeSaid) {
                self.send(std::mem::take(&mut work.messages_after_sync));
            }
            self.store(&work, now_ms, &sync, &mut publish).await?;
            self.send(std::mem::take(&mut work.messages_after_sync));
            for committed in std::mem::take(&mut work.committed) {
                self.apply(committed, &mut publish)?;
            }
            let rest = self.member.done(work);
            self.send(rest.messages);
            for committed in rest.committed {
                self.apply(committed, &mut publish)?;
            }
            self.look_at_role();
        }
        Ok(())
    }

    async fn store(
        &mut self,
        work: &Work,
        now_ms: TimestampMs,
        sync: &impl AsyncFn(Lsn) -> Result<(), CouncilError>,
        publish: &mut impl FnMut(Applied),
    ) -> Result<(), CouncilError> {
        if let Some(snapshot) = &work.snapshot {
            self.install(snapshot, publish)?;
        }
        let written = self.journal.append(&work.entries, now_ms)?;
        if let Some(state) = work.hard_state {
            self.remember(state)?;
        }
        if let Some(lsn) = written
            && work.must_sync
            && upheld(Order::EntriesAreSynced)
        {
            sync(lsn).await?;
        }
        Ok(())
    }

    /// The term and the vote are on disk when this returns. The commit index needs no place there: what is committed is
    /// found out again.
    fn remember(&mut self, state: HardState) -> Result<(), VoteError> {
        let vote = Vote { term: state.term, voted_for: state.vote };
        if vote != self.vote {
            if upheld(Order::VoteIsKept) {
                vote::write(self.disk.as_ref(), &self.data_directory, vote)?;
            }
            self.vote = vote;
        }
        Ok(())
    }

    /// The snapshot is on disk before the entries that it replaces are gone.
    fn install(&mut self, snapshot: &SavedSnapshot, publish: &mut impl FnMut(Applied)) -> Result<(), CouncilError> {
        let image = decision::image(&snapshot.data)
            .map_err(|source| CouncilError::Entry { index: snapshot.index, source })?;
        self.check_own(&image)?;
        if upheld(Order::SnapshotBeforeLog) {
            self.write_snapshot(snapshot)?;
            self.journal.begin_behind(snapshot.index)?;
        } else {
            self.journal.begin_behind(snapshot.index)?;
            self.write_snapshot(snapshot)?;
        }
        self.applied = image;
        self.applied_index = snapshot.index;
        self.forget_proposed();
        self.answer_up_to(snapshot.index, None);
        publish(Applied { index: snapshot.index, term: snapshot.term, image: self.applied.clone(), change: Change::Whole });
        Ok(())
    }

    fn write_snapshot(&self, snapshot: &SavedSnapshot) -> Result<(), SnapshotError> {
        snapshot::write(self.disk.as_ref(), &self.data_directory, snapshot, self.compress_snapshots)
    }

    /// An image of another cluster would delete every partition here.
    fn check_own(&self, image: &Image) -> Result<(), CouncilError> {
        if image.cluster_id() == Some(self.cluster_id.as_str()) { Ok(()) } else { Err(CouncilError::Foreign) }
    }

    fn apply(&mut self, committed: Committed, publish: &mut impl FnMut(Applied)) -> Result<(), CouncilError> {
        let Committed { index, term, effect } = committed;
        let own = self.proposed.front() == Some(&(index, term));
        if own {
            self.proposed.pop_front();
        }
        self.applied_index = index;
        if let Effect::Data(data) = effect {
            self.applied_bytes += data.len() as u64;
            let records = decision::decode(&data).map_err(|source| CouncilError::Entry { index, source })?;
            if !own {
                records.iter().for_each(|record| self.controller.apply(record));
            }
            if self.proposed.is_empty() && upheld(Order::LostIsForgotten) {
                // Both know the same now, and share it.
                self.applied = self.controller.image().clone();
            } else {
                records.iter().for_each(|record| self.applied.apply(record));
            }
            publish(Applied { index, term, image: self.applied.clone(), change: Change::Records(records) });
        }
        self.journal.note_committed(index);
        self.answer_up_to(index, Some(term));
        Ok(())
    }

    /// Who waits for `index` hears whether it was their entry; who waits for an earlier one, that it was not.
    fn answer_up_to(&mut self, index: u64, term: Option<u64>) {
        for waiting in self.waiting.extract_if(.., |waiting| waiting.index <= index) {
            (waiting.tell)(waiting.index == index && term == Some(waiting.term));
        }
    }

    fn look_at_role(&mut self) {
        let standing = self.member.standing();
        let leads = standing.role == Role::Leader;
        match self.leads {
            Some(led) if leads && led.term == standing.term => {}
            _ if leads => {
                self.forget_proposed();
                self.leads = Some(Leads { term: standing.term, from_index: standing.last_index });
            }
            Some(_) => {
                self.leads = None;
                self.forget_proposed();
            }
            None => {}
        }
    }

    fn forget_proposed(&mut self) {
        self.proposed.clear();
        if upheld(Order::LostIsForgotten) {
            self.controller = Controller::new(self.settings.clone(), self.applied.clone());
        }
    }

    fn send(&self, messages: Vec<Message>) {
        messages.into_iter().for_each(&self.outbox);
    }

    /// A snapshot of all that is applied, on disk before the log's beginning is let go; `keep` entries stay in memory for members that
    /// are a little behind. The last entry that it holds, or nothing if there is nothing new.
    ///
    /// # Errors
    /// The log is still whole then.
    pub fn snapshot(&mut self, keep: u64) -> Result<Option<u64>, SnapshotError> {
        let data = Bytes::from(decision::encode(&self.applied.to_records()));
        let Some(snapshot) = self.member.compact(data, keep) else { return Ok(None) };
        self.write_snapshot(&snapshot)?;
        self.snapshot_bytes = snapshot.data.len() as u64;
        if let Err(error) = self.journal.log().advance_log_start(offset_of(snapshot.index) + 1) {
            tracing::warn!("the metadata log before entry {} could not be let go: {error}", snapshot.index + 1);
        }
        Ok(Some(snapshot.index))
    }

    /// Bytes of the last snapshot that this process took, before compression; 0 for none.
    pub fn snapshot_bytes(&self) -> u64 {
        self.snapshot_bytes
    }

    /// On a node that is alone nobody else will ever ask for entries: they need not be kept in memory.
    pub fn forget_entries(&mut self) {
        self.member.forget_applied();
    }
}
