//! This node's seat in the metadata's Raft group: what is proposed goes into the journal, what is committed is applied.
//!
//! ```text
//!   decide ──▶ propose ──▶ journal, synced ──▶ committed by a majority ──▶ applied ──▶ published, answered
//! ```
//! Rules, and what would be lost without them (Ongaro, "Consensus: Bridging Theory and Practice", §3; raft-rs, `raw_node.rs`):
//! - A vote, or the news that an entry is stored, leaves only after both are on disk: or two leaders of one term decide.
//! - A leader decides only once it has applied everything up to its own first entry: or it decides upon an image that lacks
//!   what an earlier leader promised.
//! - It decides upon all that it has decided so far, committed or not; when it is leader no longer, that is forgotten, and
//!   only what is committed counts.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use chronik_consensus::{Committed, Effect, HardState, Member, Message, NotTaken, Role, SavedSnapshot, Standing, Work};
use chronik_log::disk::Disk;
use chronik_log::vote::{self, Vote, VoteError};
use chronik_state::metadata::record::Record;
use chronik_state::metadata::{Controller, ControllerSettings, Image};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::journal::{Journal, JournalError};
use super::{SubmitError, decision};
use crate::net::reactor::Position;
use crate::node::now_ms;

/// See the module.
pub(crate) struct Council {
    pub(crate) member: Member,
    pub(super) journal: Journal,
    disk: Arc<dyn Disk>,
    data_directory: std::path::PathBuf,
    cluster_id: String,
    compress_snapshots: bool,
    vote: Vote,
    settings: ControllerSettings,
    /// Everything decided: what is applied, and what this leader has proposed on top of it.
    controller: Controller,
    /// Everything committed, up to `applied_index`.
    applied: Image,
    applied_index: u64,
    /// What this process has applied of the log.
    applied_bytes: u64,
    /// Proposed by this leader, and in `controller` already.
    proposed: VecDeque<(u64, u64)>,
    /// Who waits for an entry: index, term, and where to tell whether it was that entry which was committed.
    waiting: Vec<Waiting>,
    /// As leader of this term it decides once this entry is applied.
    leads: Option<Leads>,
    /// Messages for other members; nobody listens on a node without any.
    outbox: mpsc::UnboundedSender<Message>,
}

struct Waiting {
    index: u64,
    term: u64,
    tell: oneshot::Sender<bool>,
}

#[derive(Clone, Copy)]
struct Leads {
    term: u64,
    from_index: u64,
}

/// What a start brings together.
pub(super) struct Seat {
    pub(super) member: Member,
    pub(super) journal: Journal,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) data_directory: std::path::PathBuf,
    /// The cluster that this directory belongs to.
    pub(super) cluster_id: String,
    pub(super) compress_snapshots: bool,
    pub(super) vote: Vote,
    pub(super) settings: ControllerSettings,
    /// What the snapshot came to.
    pub(super) image: Image,
    pub(super) snapshot_index: u64,
    pub(super) outbox: mpsc::UnboundedSender<Message>,
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
    Snapshot(#[from] chronik_log::snapshot::SnapshotError),
    /// What was agreed on is of a later version.
    #[error("entry {index} of the metadata log cannot be understood: {source}\n\nFix: start this data directory with the version of the program that wrote it, or a later one")]
    Entry { index: u64, source: super::codec::CodecError },
    /// A snapshot of another cluster.
    #[error("another node sent a snapshot of another cluster's metadata\n\nNothing of it was written.\n\nFix: see that the nodes of [[peers]] are those of this cluster")]
    Foreign,
    /// The log could not be synced.
    #[error("{0}")]
    Disk(chronik_log::Fatal),
    /// The node goes down.
    #[error("the node stops")]
    NodeStops,
}

/// One committed decision, carried out.
pub(crate) struct Applied {
    /// All that is committed now.
    pub(crate) image: Image,
    /// What changed, or nothing where the image came whole.
    pub(crate) change: Change,
}

/// See [`Applied`].
pub(crate) enum Change {
    Records(Vec<Record>),
    /// A snapshot took the place of everything.
    Whole,
}

impl Council {
    pub(super) fn new(seat: Seat) -> Council {
        let Seat { member, journal, disk, data_directory, cluster_id, compress_snapshots, vote, settings, image, snapshot_index, outbox } = seat;
        Council {
            controller: Controller::new(settings.clone(), image.clone()),
            applied: image,
            applied_index: snapshot_index,
            applied_bytes: 0,
            proposed: VecDeque::new(),
            waiting: Vec::new(),
            leads: None,
            member,
            journal,
            disk,
            data_directory,
            cluster_id,
            compress_snapshots,
            vote,
            settings,
            outbox,
        }
    }

    /// Everything decided so far, if it is this node's to decide.
    ///
    /// # Errors
    /// [`SubmitError::NotController`]
    pub(crate) fn decider(&self) -> Result<&Controller, SubmitError> {
        match self.leads {
            Some(leads) if self.applied_index >= leads.from_index => Ok(&self.controller),
            // Perhaps leader since a moment ago: what came before is being applied.
            _ => Err(SubmitError::NotController),
        }
    }

    /// All that is committed and applied.
    pub(crate) fn applied(&self) -> &Image {
        &self.applied
    }

    /// The last entry that is applied.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// How much of the log this process has applied.
    pub(super) fn applied_bytes(&self) -> u64 {
        self.applied_bytes
    }

    /// Where the member stands.
    pub(crate) fn standing(&self) -> Standing {
        self.member.standing()
    }

    /// Index that the next entry proposed here gets.
    pub(crate) fn next_index(&self) -> u64 {
        self.member.standing().last_index + 1
    }

    /// A message of another member.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(crate) fn step(&mut self, message: Message) -> Result<(), String> {
        if let Some(snapshot) = &message.snapshot {
            let image = decision::image(&snapshot.data).map_err(|error| error.to_string())?;
            self.check_own(&image).map_err(|error| error.to_string())?;
        }
        self.member.step(message).map_err(|error| error.to_string())
    }

    /// Proposes records that were decided upon [`Council::decider`]. Told to whoever holds what is returned: true once they are
    /// committed and applied, false if something else was committed in their place.
    pub(super) fn propose(&mut self, records: &[Record]) -> Result<oneshot::Receiver<bool>, SubmitError> {
        let (index, term) = self.member.propose(decision::encode(records).into()).map_err(|error| match error {
            NotTaken::NotLeader => SubmitError::NotController,
            other => SubmitError::Busy(other.to_string()),
        })?;
        for record in records {
            self.controller.apply(record);
        }
        self.proposed.push_back((index, term));
        let (tell, told) = oneshot::channel();
        self.waiting.push(Waiting { index, term, tell });
        Ok(told)
    }

    /// Carries out all that is due after events. `sync` returns once the log is on disk up to a position; `publish` is told of
    /// each decision that is committed, in order.
    ///
    /// # Errors
    /// Nothing more may be said in this member's name.
    pub(super) async fn settle(
        &mut self,
        sync: impl AsyncFn(Position) -> Result<(), CouncilError>,
        mut publish: impl FnMut(Applied),
    ) -> Result<(), CouncilError> {
        self.look_at_role();
        while let Some(mut work) = self.member.begin() {
            self.send(std::mem::take(&mut work.messages));
            self.store(&mut work, &sync, &mut publish).await?;
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
        work: &mut Work,
        sync: &impl AsyncFn(Position) -> Result<(), CouncilError>,
        publish: &mut impl FnMut(Applied),
    ) -> Result<(), CouncilError> {
        if let Some(snapshot) = &work.snapshot {
            self.install(snapshot, publish)?;
        }
        let written = self.journal.append(&work.entries, now_ms())?;
        if let Some(state) = work.hard_state {
            self.remember(state)?;
        }
        if let Some(lsn) = written
            && work.must_sync
        {
            sync(Position { lsn, durable: true }).await?;
        }
        Ok(())
    }

    /// The term and the vote are on disk when this returns. The commit index needs no place there: what is committed is
    /// found out again.
    fn remember(&mut self, state: HardState) -> Result<(), VoteError> {
        let vote = Vote { term: state.term, voted_for: state.vote };
        if vote != self.vote {
            vote::write(self.disk.as_ref(), &self.data_directory, vote)?;
            self.vote = vote;
        }
        Ok(())
    }

    /// The snapshot is on disk before the entries that it replaces are gone.
    fn install(&mut self, snapshot: &SavedSnapshot, publish: &mut impl FnMut(Applied)) -> Result<(), CouncilError> {
        let image = decision::image(&snapshot.data)
            .map_err(|source| CouncilError::Entry { index: snapshot.index, source })?;
        self.check_own(&image)?;
        super::snapshot::write(self.disk.as_ref(), &self.data_directory, snapshot, self.compress_snapshots)?;
        self.journal.begin_behind(snapshot.index)?;
        self.applied = image;
        self.applied_index = snapshot.index;
        self.forget_proposed();
        self.answer_up_to(snapshot.index, None);
        publish(Applied { image: self.applied.clone(), change: Change::Whole });
        Ok(())
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
        if let Effect::Data(data) = effect {
            self.applied_bytes += data.len() as u64;
            let records = decision::decode(&data).map_err(|source| CouncilError::Entry { index, source })?;
            if !own {
                records.iter().for_each(|record| self.controller.apply(record));
            }
            if self.proposed.is_empty() {
                // Both know the same now, and share it.
                self.applied = self.controller.image().clone();
            } else {
                records.iter().for_each(|record| self.applied.apply(record));
            }
            publish(Applied { image: self.applied.clone(), change: Change::Records(records) });
        }
        self.applied_index = index;
        self.journal.note_committed(index);
        self.answer_up_to(index, Some(term));
        Ok(())
    }

    /// Who waits for `index` hears whether it was their entry; who waits for an earlier one, that it was not.
    fn answer_up_to(&mut self, index: u64, term: Option<u64>) {
        for waiting in self.waiting.extract_if(.., |waiting| waiting.index <= index) {
            // Nobody listens any more where the client has gone.
            let _ = waiting.tell.send(waiting.index == index && term == Some(waiting.term));
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
        self.controller = Controller::new(self.settings.clone(), self.applied.clone());
    }

    fn send(&self, messages: Vec<Message>) {
        for message in messages {
            // Nobody listens on a node that is alone, or that stops.
            let _ = self.outbox.send(message);
        }
    }

    /// A snapshot of all that is applied, taken by the member; nothing if there is nothing new. What is returned belongs on disk
    /// before the journal's beginning is let go.
    pub(super) fn compact(&mut self, keep: u64) -> Option<SavedSnapshot> {
        let data = Bytes::from(decision::encode(&self.applied.to_records()));
        self.member.compact(data, keep)
    }

    /// On a node that is alone nobody else will ever ask for entries: they need not be kept in memory.
    pub(super) fn forget_entries(&mut self) {
        self.member.forget_applied();
    }
}
