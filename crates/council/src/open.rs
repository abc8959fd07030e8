//! A seat at a start: the vote, the newest snapshot, and what the log holds behind it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronik_consensus::{self as consensus, BadState, HardState, Member, Message, SavedSnapshot, Settings};
use chronik_log::disk::Disk;
use chronik_log::snapshot::{self as snapshot_file, SnapshotError};
use chronik_log::vote::{self, Vote, VoteError};
use chronik_log::{PartitionLog, ReadError};
use chronik_state::ids::{Offset, TimestampMs};
use chronik_state::metadata::{Controller, ControllerSettings};
use thiserror::Error;

use crate::codec::CodecError;
use crate::journal::{Journal, JournalError, offset_of};
use crate::{Council, decision, snapshot};

/// Why a seat cannot be taken. Nobody may guess here.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The snapshot is damaged.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The log is damaged.
    #[error("the metadata log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// Its bytes are not whole.
    #[error("the metadata log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A batch is not one.
    #[error("the metadata log cannot be read at offset {offset}: {reason}")]
    Batch { offset: Offset, reason: String },
    /// A record is not one, or of a later version.
    #[error("the metadata log cannot be understood at offset {offset}: {source}\n\nFix: start this data directory with the version of the program that wrote it, or a later one")]
    Record { offset: Offset, source: CodecError },
    /// Part of the metadata is gone.
    #[error("the metadata log holds offsets {log_start_offset} to {log_end_offset}, but the newest snapshot ends at offset {snapshot_end_offset}: what lies between is missing\n\nTopics that are not known would be deleted with their records, so nothing here was touched.\n\nFix: restore the directory `metadata` of the data directory from a backup")]
    Missing { log_start_offset: Offset, log_end_offset: Offset, snapshot_end_offset: Offset },
    /// The newest snapshot does not say who belongs to the group.
    #[error("the metadata snapshot does not say who belongs to the metadata's Raft group: {0}\n\nFix: restore the directory `metadata` of the data directory from a backup")]
    Membership(String),
    /// The vote cannot be read.
    #[error("{0}")]
    Vote(#[from] VoteError),
    /// The vote is gone.
    #[error("the file `metadata/vote` of the data directory is missing\n\nIt says whom this node voted for. Without it the node could vote twice and two metadata leaders decide, so it does not start.\n\nFix: restore the file from a backup of the same node")]
    NoVote,
    /// The log cannot be what the group agreed on.
    #[error("{0}")]
    Group(#[from] BadState),
    /// The log could not be cut to what the snapshot says.
    #[error("{0}")]
    Journal(#[from] JournalError),
}

/// What the files beside the log say.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The newest snapshot.
    pub snapshot: SavedSnapshot,
    /// The vote.
    pub vote: Vote,
    /// A member that founds its group alone has written the vote of its first election ahead: the election is still to come, and
    /// then has nothing left to sync.
    pub is_ahead: bool,
}

/// What the files of a directory say; nothing where no Raft group has begun.
///
/// # Errors
/// They are damaged, or one of them is gone.
pub fn saved(disk: &dyn Disk, data_directory: &Path) -> Result<Option<Saved>, OpenError> {
    let Some(file) = snapshot_file::read_latest(disk, data_directory)? else { return Ok(None) };
    let Some(snapshot) = snapshot::read(&file) else { return Ok(None) };
    let snapshot = snapshot.map_err(OpenError::Membership)?;
    let vote = vote::read(disk, data_directory)?.ok_or(OpenError::NoVote)?;
    Ok(Some(Saved { snapshot, vote, is_ahead: false }))
}

/// What a seat is made with.
pub struct Seat {
    /// The member's id and times.
    pub settings: Settings,
    /// `LogId::METADATA` of the node's storage.
    pub log: Arc<PartitionLog>,
    /// The disk under it.
    pub disk: Arc<dyn Disk>,
    /// Where vote and snapshots are.
    pub data_directory: PathBuf,
    /// The cluster that this directory belongs to.
    pub cluster_id: String,
    /// Whether large snapshots are compressed.
    pub compress_snapshots: bool,
    /// What the controller goes by.
    pub controller: ControllerSettings,
    /// Takes messages for other members.
    pub outbox: Box<dyn Fn(Message) + Send>,
}

impl Council {
    /// Takes the seat that the disk speaks of.
    ///
    /// # Errors
    /// Nobody may act in this member's name.
    pub fn open(seat: Seat, saved: Saved, now_ms: TimestampMs) -> Result<Council, OpenError> {
        let Saved { snapshot, vote, is_ahead } = saved;
        let own_id = seat.settings.id;
        let members = &snapshot.membership;
        let alone = members.voters == [own_id] && members.learners.is_empty() && !members.is_joint();
        let journal = Journal::new(seat.log);
        cut_to_fit(&journal, &snapshot, alone)?;
        let entries = journal.read(snapshot.index + 1, now_ms)?;
        let image = decision::image(&snapshot.data)
            .map_err(|source| OpenError::Record { offset: offset_of(snapshot.index), source })?;
        let applied_index = snapshot.index;
        let reached = if is_ahead { Vote { term: snapshot.term, voted_for: 0 } } else { vote };
        let hard_state = HardState { term: reached.term, vote: reached.voted_for, commit: 0 };
        let member = Member::new(seat.settings, consensus::Saved { hard_state, snapshot, entries })?;
        Ok(Council {
            controller: Controller::new(seat.controller.clone(), image.clone()),
            applied: image,
            applied_index,
            applied_bytes: 0,
            snapshot_bytes: 0,
            proposed: VecDeque::new(),
            waiting: Vec::new(),
            leads: None,
            member,
            journal,
            disk: seat.disk,
            data_directory: seat.data_directory,
            cluster_id: seat.cluster_id,
            compress_snapshots: seat.compress_snapshots,
            vote,
            settings: seat.controller,
            outbox: seat.outbox,
        })
    }
}

/// The log goes on where the snapshot ends. Nothing must be missing in between.
///
/// One of several members may have been stopped between writing a leader's snapshot and beginning its log anew: a log that
/// ends before the snapshot, or that goes on behind it in an older term, is of a history that the snapshot has replaced.
fn cut_to_fit(journal: &Journal, snapshot: &SavedSnapshot, alone: bool) -> Result<(), OpenError> {
    // A member that has heard nothing yet has no entry at all, not even the founding one, which lies in no log.
    let end_offset = (offset_of(snapshot.index) + 1).max(0);
    if !alone {
        let is_shorter = journal.log().log_end_offset() < end_offset;
        if is_shorter || journal.term_of(snapshot.index + 1).is_some_and(|term| term < snapshot.term) {
            journal.begin_behind(snapshot.index)?;
        }
    }
    check_whole(journal.log(), end_offset)
}

/// The log goes on where the snapshot ends, which is 0 without one. Nothing must be missing in between, nor behind: what
/// is appended next must have offsets that no later snapshot claims to hold.
///
/// # Errors
/// [`OpenError::Missing`]
pub fn check_whole(log: &PartitionLog, snapshot_end_offset: Offset) -> Result<(), OpenError> {
    let (log_start_offset, log_end_offset) = (log.log_start_offset(), log.log_end_offset());
    if (log_start_offset..=log_end_offset).contains(&snapshot_end_offset) {
        return Ok(());
    }
    Err(OpenError::Missing { log_start_offset, log_end_offset, snapshot_end_offset })
}
