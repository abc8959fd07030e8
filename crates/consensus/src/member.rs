//! One member of the group.

use bytes::Bytes;
use raft::eraftpb::{self, Message};
use raft::{RawNode, Ready, StateRole};
use thiserror::Error;

use crate::membership::{decode_change, proposal};
use crate::store::{SavedSnapshot, Store};
use crate::work::{Committed, Effect, HardState, Rest, Work};
use crate::{Change, Entry, Membership, Payload, logger};

/// What may be proposed and not yet committed, in bytes: more is refused.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;

/// What a member is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Its id, which belongs to its directory: never 0, never used again by another.
    pub id: u64,
    /// Ticks without a word from the leader until it would be one. Each waits for one to two times this, by its id and the term.
    pub election_ticks: usize,
    /// Ticks between a leader's words.
    pub heartbeat_ticks: usize,
    /// Mixed into how long each waits.
    pub seed: u64,
    /// Entries in one message, in bytes; one entry may be larger.
    pub message_bytes_max: u64,
    /// Messages with entries on their way to one member.
    pub in_flight_max: usize,
}

impl Settings {
    /// With the messages that members usually send.
    pub fn new(id: u64, election_ticks: usize, heartbeat_ticks: usize, seed: u64) -> Settings {
        Settings { id, election_ticks, heartbeat_ticks, seed, message_bytes_max: 1 << 20, in_flight_max: 256 }
    }
}

/// What the disk held at the start.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    pub hard_state: HardState,
    /// The newest snapshot: [`SavedSnapshot::founding`] on the first voters of a new group, the default on whoever is to join one.
    pub snapshot: SavedSnapshot,
    /// The entries behind it, without a gap.
    pub entries: Vec<Entry>,
}

/// Why a member cannot be made of what the disk held. Nobody may guess here: a log that is shorter than what was acknowledged must not vote.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadState {
    #[error("entry {found} of the metadata log stands where entry {expected} should")]
    Gap { expected: u64, found: u64 },
    #[error("the metadata log ends at entry {last}, but entry {commit} was committed: part of the log is lost")]
    ShorterThanCommitted { commit: u64, last: u64 },
    #[error("the metadata log was begun for member {0}, which is not a valid id")]
    Id(u64),
    #[error("the consensus library refuses the state: {0}")]
    Library(String),
}

/// Why something was not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotTaken {
    #[error("this node is not the metadata leader")]
    NotLeader,
    #[error("a change of the membership is still on its way")]
    ChangePending,
    #[error("the metadata leader hands over, or has too much that is not yet committed")]
    Busy,
    #[error("the message is not for this member or not from one it knows")]
    Foreign,
    /// No member says such a thing; the library would panic, or keep it for ever.
    #[error("no member says that: {0}")]
    Unsound(&'static str),
    #[error("the consensus library refuses it: {0}")]
    Library(String),
}

/// What a member is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    /// Asks whether it could win, or stands for election.
    Candidate,
    Leader,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub term: u64,
    /// The leader of that term, as far as it is known.
    pub leader: Option<u64>,
    pub commit: u64,
    pub last_index: u64,
}

/// One member. The driver calls it from one thread:
///
/// 1. an event: [`Member::tick`], [`Member::step`], [`Member::propose`] and the like;
/// 2. while [`Member::begin`] gives [`Work`]: carry it out in the order of its fields, call [`Member::done`], carry out what that gives.
///
/// Between `begin` and `done` no event may come in; that is a fault of the driver and ends it.
pub struct Member {
    raw: RawNode<Store>,
    settings: Settings,
    /// Handed out by `begin` and not yet done.
    under_way: Option<Ready>,
}

impl Member {
    /// A member from what its disk held.
    pub fn new(settings: Settings, saved: Saved) -> Result<Member, BadState> {
        if settings.id == 0 {
            return Err(BadState::Id(settings.id));
        }
        let mut expected = saved.snapshot.index + 1;
        for entry in &saved.entries {
            if entry.index != expected {
                return Err(BadState::Gap { expected, found: entry.index });
            }
            expected += 1;
        }
        let last = expected - 1;
        let commit = saved.hard_state.commit.max(saved.snapshot.index);
        if commit > last {
            return Err(BadState::ShorterThanCommitted { commit, last });
        }
        let newest_term = saved.entries.last().map_or(saved.snapshot.term, |entry| entry.term);
        let hard_state = eraftpb::HardState {
            // A term that is in the log was seen, whatever the other file says.
            term: saved.hard_state.term.max(newest_term),
            vote: if saved.hard_state.term < newest_term { 0 } else { saved.hard_state.vote },
            commit,
        };
        let applied = saved.snapshot.index;
        let mut store = Store::new(hard_state, saved.snapshot);
        store.append(saved.entries.into_iter().map(eraftpb::Entry::from).collect());
        let config = raft::Config {
            id: settings.id,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied,
            max_size_per_msg: settings.message_bytes_max,
            max_inflight_msgs: settings.in_flight_max,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            ..raft::Config::default()
        };
        let raw = RawNode::new(&config, store, &logger::logger(settings.id))
            .map_err(|error| BadState::Library(error.to_string()))?;
        let mut member = Member { raw, settings, under_way: None };
        member.set_patience();
        Ok(member)
    }

    /// Time passed: one tick.
    pub fn tick(&mut self) {
        self.between_rounds();
        self.raw.tick();
        self.set_patience();
    }

    /// Asks to be the leader now: the only voter at its start, or a member that saw the leader's connection break.
    pub fn campaign(&mut self) {
        self.between_rounds();
        // The library would let one that knows of no voter win at once, without a vote.
        if !self.raw.raft.promotable() {
            return;
        }
        // Refused only for a leader, or a member with a change to apply first: then there is nothing to be asked.
        let _ = self.raw.campaign();
        self.set_patience();
    }

    /// The leader's process is known to have ended. Without this a member refuses to vote for as long as the leader may only be slow
    /// (check-quorum); that patience saves a leader from being disturbed, no safety rests on it.
    pub fn leader_gone(&mut self) {
        self.between_rounds();
        if self.raw.raft.state == StateRole::Follower {
            self.raw.raft.leader_id = raft::INVALID_ID;
        }
    }

    /// A message of another member.
    pub fn step(&mut self, message: Message) -> Result<(), NotTaken> {
        self.between_rounds();
        if message.to != self.settings.id || message.from == self.settings.id {
            return Err(NotTaken::Foreign);
        }
        crate::sound::check(&message, self.raw.raft.raft_log.last_index())?;
        let outcome = self.raw.step(message).map_err(|error| match error {
            raft::Error::StepPeerNotFound | raft::Error::StepLocalMsg => NotTaken::Foreign,
            other => NotTaken::Library(other.to_string()),
        });
        self.set_patience();
        outcome
    }

    /// Appends an entry, on the leader. It is committed once an entry of this index *and this term* is: with another term there, it was lost.
    pub fn propose(&mut self, data: Bytes) -> Result<(u64, u64), NotTaken> {
        self.between_rounds();
        assert!(!data.is_empty(), "an empty entry says nothing");
        if self.raw.raft.state != StateRole::Leader {
            return Err(NotTaken::NotLeader);
        }
        match self.raw.propose(Vec::new(), data.into()) {
            Ok(()) => Ok((self.raw.raft.raft_log.last_index(), self.raw.raft.term)),
            Err(raft::Error::ProposalDropped) => Err(NotTaken::Busy),
            Err(error) => Err(NotTaken::Library(error.to_string())),
        }
    }

    /// Changes who belongs to the group, on the leader: several steps in one go. As with [`Member::propose`].
    pub fn change_membership(&mut self, changes: &[Change]) -> Result<(u64, u64), NotTaken> {
        self.between_rounds();
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(NotTaken::NotLeader);
        }
        // The library would append an empty entry in its place and say nothing. Before the first commit of its term a leader may not
        // change anything either: an older change may be in its log, unknown to a majority (the flaw of one-step changes in the thesis,
        // found in 2015).
        let applied = raft.raft_log.applied;
        let committed_own_term = raft.raft_log.term(raft.raft_log.committed).is_ok_and(|term| term == raft.term);
        if raft.pending_conf_index > applied || !committed_own_term || self.membership().is_joint() {
            return Err(NotTaken::ChangePending);
        }
        match self.raw.propose_conf_change(Vec::new(), proposal(changes)) {
            Ok(()) => Ok((self.raw.raft.raft_log.last_index(), self.raw.raft.term)),
            Err(raft::Error::ProposalDropped) => Err(NotTaken::Busy),
            Err(error) => Err(NotTaken::Library(error.to_string())),
        }
    }

    /// Hands the leadership to a member, once that has all entries.
    pub fn transfer_leadership(&mut self, to: u64) {
        self.between_rounds();
        self.raw.transfer_leader(to);
    }

    /// A message could not be delivered.
    pub fn unreachable(&mut self, id: u64) {
        self.between_rounds();
        self.raw.report_unreachable(id);
    }

    /// What became of a snapshot that was sent. Without a word the library would wait for ever.
    pub fn snapshot_sent(&mut self, id: u64, arrived: bool) {
        self.between_rounds();
        let status = if arrived { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.raw.report_snapshot(id, status);
    }

    /// The next round of work, if there is any.
    pub fn begin(&mut self) -> Option<Work> {
        self.between_rounds();
        if !self.raw.has_ready() {
            return None;
        }
        let mut ready = self.raw.ready();
        let mut work = Work {
            messages: ready.take_messages(),
            entries: ready.entries().iter().map(Entry::from).collect(),
            hard_state: ready.hs().map(|state| HardState { term: state.term, vote: state.vote, commit: state.commit }),
            must_sync: ready.must_sync(),
            messages_after_sync: ready.take_persisted_messages(),
            ..Work::default()
        };
        if !ready.snapshot().is_empty() {
            let snapshot = ready.snapshot();
            work.snapshot = Some(SavedSnapshot {
                index: snapshot.get_metadata().index,
                term: snapshot.get_metadata().term,
                membership: snapshot.get_metadata().get_conf_state().clone().into(),
                data: snapshot.data.clone(),
            });
        }
        let committed = ready.take_committed_entries();
        work.committed = self.effects(&committed);
        self.under_way = Some(ready);
        Some(work)
    }

    /// The round is carried out: everything is on disk that had to be, and applied.
    pub fn done(&mut self, work: Work) -> Rest {
        let ready = self.under_way.take().expect("a round that was begun");
        let store = self.raw.mut_store();
        if let Some(snapshot) = work.snapshot {
            store.install(snapshot);
        }
        store.append(ready.entries().clone());
        if let Some(state) = ready.hs() {
            store.hard_state = state.clone();
        }
        let mut light = self.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.raw.mut_store().hard_state.commit = commit;
        }
        let messages = light.take_messages();
        let committed = light.take_committed_entries();
        let committed = self.effects(&committed);
        self.raw.advance_apply();
        self.set_patience();
        Rest { messages, committed }
    }

    /// A snapshot of the application's state takes the place of the entries up to the last applied one; `keep` of those stay, for members
    /// that are a little behind. What belongs on disk, before the log's beginning is cut there; nothing if there is nothing new.
    pub fn compact(&mut self, data: Bytes, keep: u64) -> Option<SavedSnapshot> {
        self.between_rounds();
        let (index, membership) = (self.raw.raft.raft_log.applied, self.membership());
        let store = self.raw.mut_store();
        if index <= store.snapshot_index() {
            return None;
        }
        let snapshot = SavedSnapshot { index, term: store.term_of(index)?, membership, data };
        store.compact(snapshot.clone(), (index + 1).saturating_sub(keep));
        Some(snapshot)
    }

    /// Lets go of all applied entries in memory. Only the sole member of a group may: another one that is behind could be given neither
    /// them nor a snapshot.
    pub fn forget_applied(&mut self) {
        self.between_rounds();
        let applied = self.raw.raft.raft_log.applied;
        self.raw.mut_store().forget(applied);
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        let raft = &self.raw.raft;
        Standing {
            role: match raft.state {
                StateRole::Leader => Role::Leader,
                StateRole::Follower => Role::Follower,
                StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            },
            term: raft.term,
            leader: (raft.leader_id != 0).then_some(raft.leader_id),
            commit: raft.raft_log.committed,
            last_index: raft.raft_log.last_index(),
        }
    }

    /// The term of the last entry.
    pub fn last_term(&self) -> u64 {
        self.raw.raft.raft_log.last_term()
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.settings.id
    }

    /// Who belongs to the group, as far as it has been applied.
    pub fn membership(&self) -> Membership {
        self.raw.store().membership.clone().into()
    }

    /// The first entry that is still there, and the last one that the newest snapshot holds.
    pub fn kept(&self) -> (u64, u64) {
        (self.raw.store().first(), self.raw.store().snapshot_index())
    }

    /// How far each member's log is known to agree with the leader's, on the leader; 0 where it is not known.
    pub fn matched(&self) -> Vec<(u64, u64)> {
        if self.raw.raft.state != StateRole::Leader {
            return Vec::new();
        }
        let mut matched: Vec<_> = self.raw.raft.prs().iter().map(|(id, progress)| (*id, progress.matched)).collect();
        matched.sort_unstable();
        matched
    }

    fn between_rounds(&self) {
        assert!(self.under_way.is_none(), "an event came in while a round was under way");
    }

    /// Entries as what they do; a change of the membership takes effect here.
    fn effects(&mut self, entries: &[eraftpb::Entry]) -> Vec<Committed> {
        let mut effects = Vec::with_capacity(entries.len());
        for entry in entries.iter().map(Entry::from) {
            let effect = match entry.payload {
                Payload::Nothing => Effect::Nothing,
                Payload::Data(data) => Effect::Data(data),
                Payload::Membership(data) => {
                    // Each was encoded by this program; an empty one ends a joint membership.
                    let change = decode_change(&data).expect("a change of the membership that was agreed on");
                    match self.raw.apply_conf_change(&change) {
                        Ok(state) => {
                            self.raw.mut_store().membership = state.clone();
                            Effect::Membership(state.into())
                        }
                        // The same on every member: one that cannot be applied changes nothing.
                        Err(error) => {
                            tracing::warn!(%error, index = entry.index, "a change of the membership was agreed on and is refused");
                            Effect::Nothing
                        }
                    }
                }
            };
            effects.push(Committed { index: entry.index, term: entry.term, effect });
        }
        effects
    }

    /// The library draws how long it waits from the thread's randomness whenever it begins anew. Here it follows from seed, id and
    /// term, so that a run can be repeated; ids differ, so waits do.
    fn set_patience(&mut self) {
        let range = self.settings.election_ticks as u64;
        let draw = mix(self.settings.seed ^ mix(self.settings.id ^ mix(self.raw.raft.term))) % range;
        self.raw.raft.set_randomized_election_timeout((range + draw) as usize);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): each bit of the input reaches each of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
