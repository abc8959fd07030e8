//! Two defects of the Raft library that its later versions mend and 0.7.0 has, and what becomes of them here.

use bytes::Bytes;
use chronik_consensus::{Committed, Effect, Member, Membership, Message, Role, Saved, SavedSnapshot, Settings};

const LEADER: u64 = 1;
const FOLLOWER: u64 = 2;

struct Peer {
    member: Member,
    applied: Vec<Committed>,
}

impl Peer {
    fn new(id: u64) -> Peer {
        let snapshot = SavedSnapshot::founding(Membership::of([LEADER, FOLLOWER]), Bytes::new());
        let saved = Saved { snapshot, ..Saved::default() };
        Peer { member: Member::new(Settings::new(id, 10, 2, 7), saved).unwrap(), applied: Vec::new() }
    }

    /// Carries out all rounds; what it says.
    fn settle(&mut self) -> Vec<Message> {
        let mut said = Vec::new();
        while let Some(mut work) = self.member.begin() {
            said.append(&mut work.messages);
            said.append(&mut work.messages_after_sync);
            assert!(work.snapshot.is_none(), "whoever has every entry needs no snapshot");
            self.applied.append(&mut work.committed);
            let rest = self.member.done(work);
            said.extend(rest.messages);
            self.applied.extend(rest.committed);
        }
        said
    }

    fn hear(&mut self, message: Message) -> Vec<Message> {
        self.member.step(message).unwrap();
        self.settle()
    }

    fn propose(&mut self, data: &'static [u8]) -> Vec<Message> {
        self.member.propose(Bytes::from_static(data)).unwrap();
        self.settle()
    }

    fn data(&self) -> Vec<Bytes> {
        let data = |committed: &Committed| match &committed.effect {
            Effect::Data(data) => Some(data.clone()),
            _ => None,
        };
        self.applied.iter().filter_map(data).collect()
    }
}

/// Everything that is said is heard, until nobody has anything to say.
fn talk(peers: &mut [Peer; 2], mut said: Vec<Message>) {
    while !said.is_empty() {
        let mut answers = Vec::new();
        for message in said {
            let (from, to) = (message.from, message.to);
            let carries_snapshot = message.snapshot.is_some();
            answers.extend(peers[to as usize - 1].hear(message));
            if carries_snapshot {
                peers[from as usize - 1].member.snapshot_sent(to, true);
                answers.extend(peers[from as usize - 1].settle());
            }
        }
        said = answers;
    }
}

/// A leader and its follower, who agree.
fn group() -> [Peer; 2] {
    let mut peers = [Peer::new(LEADER), Peer::new(FOLLOWER)];
    peers[0].member.campaign();
    let said = peers[0].settle();
    talk(&mut peers, said);
    assert_eq!(peers[0].member.standing().role, Role::Leader);
    peers
}

/// raft-rs #557 (fixed after 0.7.0). A follower refuses an entry that overtook the one before it, then takes both. The refusal comes late, when
/// the leader has had to begin anew with this follower: the leader then believes less than it knew, and goes back before what the
/// follower has confirmed. If its log begins behind that, it sends a snapshot of what the follower has.
///
/// Nothing is lost by it: a follower that has the snapshot's last entry keeps its log, and says how far it is.
#[test]
fn a_late_refusal_sends_a_leader_back_and_no_entry_is_lost() {
    for compacts in [false, true] {
        let mut peers = group();
        let first = peers[0].propose(b"first");
        let second = peers[0].propose(b"second");
        assert!(!first.is_empty() && !second.is_empty(), "both are on their way");
        let refusals: Vec<Message> = second.iter().flat_map(|message| peers[1].hear(message.clone())).collect();
        assert!(refusals.iter().all(|refusal| refusal.reject) && !refusals.is_empty());
        let confirmations: Vec<Message> = first.into_iter().flat_map(|message| peers[1].hear(message)).collect();
        for confirmation in confirmations {
            // What the leader says then is lost, and it hears that the follower cannot be reached.
            peers[0].hear(confirmation);
        }
        peers[0].member.unreachable(FOLLOWER);
        assert_eq!(peers[0].data(), [&b"first"[..]], "a majority has the first");
        if compacts {
            peers[0].member.compact(Bytes::from_static(b"all of it"), 0).expect("there is something to compact");
        }
        let said: Vec<Message> = refusals.into_iter().flat_map(|refusal| peers[0].hear(refusal)).collect();
        talk(&mut peers, said);
        let third = peers[0].propose(b"third");
        talk(&mut peers, third);
        for _ in 0..6 {
            peers[0].member.tick();
            let said = peers[0].settle();
            talk(&mut peers, said);
        }
        for peer in &peers {
            assert_eq!(peer.data(), [&b"first"[..], b"second", b"third"], "with a shortened log: {compacts}");
        }
    }
}

/// raft-rs #530 (fixed after 0.7.0). Whoever stands for election reads, all at once, every entry that is committed and not yet applied, to see
/// whether the membership changes: with a long backlog that takes any amount of memory.
///
/// There is no backlog here: a round applies all that it finds committed, and no event comes in before it has ended. And what is
/// read is not copied (`store.rs` has the test).
#[test]
fn nothing_committed_waits_when_a_member_stands_for_election() {
    let mut peers = group();
    for turn in 0..50 {
        // Several proposals and messages before a round, as the server does it.
        for _ in 0..=turn % 7 {
            peers[0].member.propose(Bytes::from(vec![turn; 10_000])).unwrap();
        }
        let said = peers[0].settle();
        talk(&mut peers, said);
        for peer in &peers {
            let applied = peer.applied.last().expect("something was agreed on").index;
            assert_eq!(peer.member.standing().commit, applied, "turn {turn}");
        }
    }
    let commit = peers[0].member.standing().commit;
    peers[1].member.leader_gone();
    peers[0].member.transfer_leadership(FOLLOWER);
    let said = peers[0].settle();
    talk(&mut peers, said);
    assert_eq!(peers[1].member.standing().role, Role::Leader);
    assert!(peers[1].member.standing().commit > commit);
}
