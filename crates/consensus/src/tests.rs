//! A group of members in one thread: messages are lost, doubled and reordered, members crash at every step of a round, and what they
//! forget is what was not synced. Seeds repeat.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    BadState, Change, Committed, Effect, Entry, HardState, Member, Membership, Message, NotTaken, Payload, Role, Saved,
    SavedSnapshot, Settings, Work,
};

/// A generator of the test's own (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What is on a member's disk.
#[derive(Clone, Default)]
struct Disk {
    state: HardState,
    snapshot: SavedSnapshot,
    entries: Vec<Entry>,
}

impl Disk {
    fn write(&mut self, work: &Work) {
        if let Some(snapshot) = &work.snapshot {
            self.snapshot = snapshot.clone();
            self.entries.clear();
        }
        if let Some(first) = work.entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(work.entries.iter().cloned());
        }
        if let Some(state) = work.hard_state {
            self.state = state;
        }
    }
}

struct Node {
    id: u64,
    disk: Disk,
    member: Option<Member>,
    /// The application's state: what was applied, by index.
    applied: Vec<(u64, Bytes)>,
    applied_to: u64,
}

struct Group {
    dice: Dice,
    nodes: Vec<Node>,
    network: VecDeque<Message>,
    /// What any member applied at an index: all must agree.
    agreed: BTreeMap<u64, (u64, Effect)>,
    /// Who led each term.
    leaders: BTreeMap<u64, u64>,
    faults: bool,
    /// A driver with a flaw: it answers before it writes.
    answers_early: bool,
    seed: u64,
}

impl Group {
    fn new(seed: u64, voters: u64) -> Group {
        let membership = Membership::of(1..=voters);
        let founding = SavedSnapshot::founding(membership, Bytes::new());
        let nodes = (1..=voters).map(|id| Node::new(id, founding.clone())).collect();
        let mut group = Group {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            nodes,
            network: VecDeque::new(),
            agreed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            faults: false,
            answers_early: false,
            seed,
        };
        (0..group.nodes.len()).for_each(|at| group.start(at));
        group
    }

    fn start(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let disk = node.disk.clone();
        node.applied_to = disk.snapshot.index;
        node.applied = decode(&disk.snapshot.data);
        let settings = Settings::new(node.id, 10, 2, self.seed);
        let saved = Saved { hard_state: disk.state, snapshot: disk.snapshot, entries: disk.entries };
        node.member = Some(Member::new(settings, saved).unwrap());
    }

    /// Carries out all rounds of a member. With faults it may crash at each step of them.
    fn settle(&mut self, at: usize) {
        while let Some(work) = self.nodes[at].member.as_mut().and_then(Member::begin) {
            self.network.extend(work.messages.iter().cloned());
            if self.answers_early {
                self.network.extend(work.messages_after_sync.iter().cloned());
            }
            if self.crashes(at) {
                return;
            }
            let node = &mut self.nodes[at];
            if let Some(snapshot) = &work.snapshot {
                assert!(work.committed.is_empty());
                node.applied = decode(&snapshot.data);
                node.applied_to = snapshot.index;
            }
            node.disk.write(&work);
            if self.crashes(at) {
                return;
            }
            if !self.answers_early {
                self.network.extend(work.messages_after_sync.iter().cloned());
            }
            self.apply(at, &work.committed);
            if self.crashes(at) {
                return;
            }
            let rest = self.nodes[at].member.as_mut().unwrap().done(work);
            self.network.extend(rest.messages);
            self.apply(at, &rest.committed);
            let standing = self.nodes[at].member.as_ref().unwrap().standing();
            if standing.role == Role::Leader {
                let leader = *self.leaders.entry(standing.term).or_insert(self.nodes[at].id);
                assert_eq!(leader, self.nodes[at].id, "two leaders of term {}", standing.term);
            }
        }
        self.maybe_compact(at);
    }

    fn crashes(&mut self, at: usize) -> bool {
        let crashes = self.faults && self.dice.roll(400) == 0;
        if crashes {
            self.nodes[at].member = None;
        }
        crashes
    }

    fn apply(&mut self, at: usize, committed: &[Committed]) {
        for entry in committed {
            let node = &mut self.nodes[at];
            assert_eq!(entry.index, node.applied_to + 1, "entries are applied without a gap");
            node.applied_to = entry.index;
            let said = (entry.term, entry.effect.clone());
            let first = self.agreed.entry(entry.index).or_insert_with(|| said.clone());
            assert_eq!(*first, said, "member {} applies something else at {}", node.id, entry.index);
            if let Effect::Data(data) = &entry.effect {
                node.applied.push((entry.index, data.clone()));
            }
        }
    }

    fn maybe_compact(&mut self, at: usize) {
        if self.dice.roll(20) != 0 {
            return;
        }
        let node = &mut self.nodes[at];
        if node.member.is_none() {
            return;
        }
        node.compact(5);
    }

    fn step(&mut self) {
        let nodes = self.nodes.len() as u64;
        match self.dice.roll(10) {
            0..=5 => self.deliver(),
            6..=7 => {
                let at = self.dice.roll(nodes) as usize;
                if let Some(member) = self.nodes[at].member.as_mut() {
                    member.tick();
                }
                self.settle(at);
            }
            8 => {
                let at = self.dice.roll(nodes) as usize;
                let data = Bytes::from(self.dice.roll(u64::MAX).to_le_bytes().to_vec());
                if let Some(member) = self.nodes[at].member.as_mut() {
                    let _ = member.propose(data);
                }
                self.settle(at);
            }
            _ => {
                let at = self.dice.roll(nodes) as usize;
                if self.nodes[at].member.is_none() {
                    self.start(at);
                }
                self.settle(at);
            }
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let place = if self.faults { self.dice.roll(self.network.len() as u64) as usize } else { 0 };
        let Some(message) = self.network.remove(place) else { return };
        let is_lost = self.faults && self.dice.roll(10) == 0;
        if !is_lost && self.faults && self.dice.roll(20) == 0 {
            self.network.push_back(message.clone());
        }
        let (sender, addressee, is_snapshot) = (message.from, message.to, message.snapshot.is_some());
        let at = self.nodes.iter().position(|node| node.id == addressee && node.member.is_some() && !is_lost);
        if let Some(at) = at {
            let _ = self.nodes[at].member.as_mut().unwrap().step(message);
            self.settle(at);
        }
        // Whoever sends a snapshot says what became of it; whether it was installed is another matter.
        let sender = self.nodes.iter_mut().find(|node| node.id == sender).and_then(|node| node.member.as_mut());
        if is_snapshot && let Some(member) = sender {
            member.snapshot_sent(addressee, at.is_some());
        }
    }

    /// No faults from now on; everybody runs. Until all have applied the same and one leads.
    fn heal(&mut self) {
        self.faults = false;
        for at in 0..self.nodes.len() {
            if self.nodes[at].member.is_none() {
                self.start(at);
            }
        }
        for _ in 0..2_000 {
            for at in 0..self.nodes.len() {
                self.nodes[at].member.as_mut().unwrap().tick();
                self.settle(at);
            }
            while !self.network.is_empty() {
                self.deliver();
            }
            if self.is_whole() {
                return;
            }
        }
        let standings: Vec<_> = self.nodes.iter().map(|node| node.member.as_ref().unwrap().standing()).collect();
        panic!("the group does not heal: {standings:?}");
    }

    /// A member asks for votes, and all that comes of it comes of it.
    fn stand(&mut self, at: usize) {
        self.nodes[at].member.as_mut().unwrap().campaign();
        self.settle(at);
        while !self.network.is_empty() {
            self.deliver();
        }
    }

    fn is_whole(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let member = self.nodes[leader].member.as_ref().unwrap();
        let (goal, members) = (member.standing(), member.membership());
        let belongs = |node: &&Node| members.voters.contains(&node.id) || members.learners.contains(&node.id);
        self.nodes.iter().filter(belongs).all(|node| node.applied_to == goal.last_index)
            && goal.commit == goal.last_index
            && !members.is_joint()
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| node.member.as_ref().is_some_and(|member| member.standing().role == Role::Leader);
        let newest = self.nodes.iter().filter(|node| leads(node)).max_by_key(|node| node.member.as_ref().unwrap().standing().term)?;
        self.nodes.iter().position(|node| node.id == newest.id)
    }

    fn propose(&mut self, data: &'static str) {
        let leader = self.leader().unwrap();
        self.nodes[leader].member.as_mut().unwrap().propose(Bytes::from_static(data.as_bytes())).unwrap();
        self.settle(leader);
    }
}

impl Node {
    fn new(id: u64, snapshot: SavedSnapshot) -> Node {
        let disk = Disk { snapshot, ..Disk::default() };
        Node { id, disk, member: None, applied: Vec::new(), applied_to: 0 }
    }

    fn compact(&mut self, keep: u64) {
        let data = encode(&self.applied);
        if let Some(snapshot) = self.member.as_mut().unwrap().compact(data, keep) {
            assert_eq!(snapshot.index, self.applied_to);
            self.disk.entries.retain(|entry| entry.index > snapshot.index);
            self.disk.snapshot = snapshot;
        }
    }
}

fn encode(applied: &[(u64, Bytes)]) -> Bytes {
    let mut bytes = Vec::new();
    for (index, data) in applied {
        bytes.extend(index.to_le_bytes());
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
    }
    bytes.into()
}

fn decode(mut bytes: &[u8]) -> Vec<(u64, Bytes)> {
    let mut applied = Vec::new();
    while !bytes.is_empty() {
        let index = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
        applied.push((index, Bytes::copy_from_slice(&bytes[12..12 + length])));
        bytes = &bytes[12 + length..];
    }
    applied
}

#[test]
fn members_that_crash_and_hear_badly_agree_on_every_entry() {
    for seed in 0..150 {
        let mut group = Group::new(seed, if seed % 3 == 0 { 5 } else { 3 });
        group.faults = true;
        (0..3_000).for_each(|_| group.step());
        group.heal();
        let whole = &group.nodes[0].applied;
        assert!(group.nodes.iter().all(|node| node.applied == *whole), "seed {seed}");
    }
}

#[test]
fn a_driver_that_answers_before_it_writes_is_found_out() {
    let survives = |seed| {
        let run = move || {
            let mut group = Group::new(seed, 3);
            (group.faults, group.answers_early) = (true, true);
            (0..3_000).for_each(|_| group.step());
            group.heal();
        };
        std::panic::catch_unwind(run).is_ok()
    };
    assert!(!(0..200).all(survives), "200 seeds did not notice");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut group = Group::new(seed, 3);
        group.faults = true;
        (0..3_000).for_each(|_| group.step());
        group.heal();
        (group.leaders, group.agreed)
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn the_only_voter_leads_at_once_and_commits_by_itself() {
    let mut group = Group::new(1, 1);
    group.nodes[0].member.as_mut().unwrap().campaign();
    group.settle(0);
    group.propose("a");
    assert_eq!(group.nodes[0].applied, [(3, Bytes::from_static(b"a"))]);
    assert!(group.network.is_empty());
}

#[test]
fn a_sole_member_forgets_what_it_has_applied_and_still_makes_snapshots() {
    let mut group = Group::new(1, 1);
    let member = group.nodes[0].member.as_mut().unwrap();
    member.campaign();
    group.settle(0);
    for number in 0..5u8 {
        let member = group.nodes[0].member.as_mut().unwrap();
        member.propose(Bytes::from(vec![number + 1])).unwrap();
        group.settle(0);
        group.nodes[0].member.as_mut().unwrap().forget_applied();
    }
    let member = group.nodes[0].member.as_mut().unwrap();
    let (applied, (first, snapshot)) = (member.standing().commit, member.kept());
    assert_eq!(first, applied + 1, "no entry is left");
    assert!(snapshot < applied, "and the snapshot is what it was");
    let taken = member.compact(Bytes::from_static(b"all"), 0).unwrap();
    assert_eq!((taken.index, taken.term), (applied, member.standing().term));
}

#[test]
fn one_that_knows_of_no_voter_does_not_elect_itself() {
    let settings = Settings::new(7, 10, 2, 1);
    let mut member = Member::new(settings, Saved::default()).unwrap();
    member.campaign();
    (0..100).for_each(|_| member.tick());
    assert_eq!((member.standing().role, member.standing().term), (Role::Follower, 0));
    assert!(member.begin().is_none());
}

/// Each of these ended the process of the member that got it, or every later one on the same disk.
#[test]
fn what_no_member_says_is_refused() {
    use raft::eraftpb::{self, EntryType, MessageType};

    let mut group = Group::new(3, 3);
    group.heal();
    let leader = group.leader().unwrap();
    let follower = (leader + 1) % 3;
    let standing = group.nodes[leader].member.as_ref().unwrap().standing();
    let (from, to) = (group.nodes[leader].id, group.nodes[follower].id);
    let message = |kind: MessageType| {
        let (term, index, log_term) = (standing.term, standing.last_index, standing.term);
        Message { msg_type: kind.into(), from, to, term, index, log_term, ..Message::default() }
    };
    let entry = |index: u64, term: u64, kind: EntryType, data: &'static [u8]| eraftpb::Entry {
        entry_type: kind.into(),
        index,
        term,
        data: Bytes::from_static(data),
        ..eraftpb::Entry::default()
    };
    let (next, term) = (standing.last_index + 1, standing.term);
    let unsound = [
        Message { commit: next, ..message(MessageType::MsgHeartbeat) },
        Message { term: u64::MAX, ..message(MessageType::MsgHeartbeat) },
        Message { term: u64::MAX, ..message(MessageType::MsgRequestVote) },
        Message { index: u64::MAX, ..message(MessageType::MsgAppend) },
        Message { entries: vec![entry(next + 1, term, EntryType::EntryNormal, b"")], ..message(MessageType::MsgAppend) },
        Message { entries: vec![entry(next, term + 1, EntryType::EntryNormal, b"")], ..message(MessageType::MsgAppend) },
        Message { entries: vec![entry(next, term, EntryType::EntryConfChangeV2, b"\xff")], ..message(MessageType::MsgAppend) },
        Message { snapshot: None, ..message(MessageType::MsgSnapshot) },
        Message { snapshot: Some(eraftpb::Snapshot::default()), ..message(MessageType::MsgSnapshot) },
        message(MessageType::MsgPropose),
        message(MessageType::MsgHup),
    ];
    for message in unsound {
        let told = format!("{message:?}");
        let member = group.nodes[follower].member.as_mut().unwrap();
        assert!(matches!(member.step(message), Err(NotTaken::Unsound(_) | NotTaken::Foreign)), "{told}");
    }
    let lie = Message { from: to, to: from, index: next, ..message(MessageType::MsgAppendResponse) };
    assert!(matches!(group.nodes[leader].member.as_mut().unwrap().step(lie), Err(NotTaken::Unsound(_))));
    group.propose("x");
    group.heal();
    assert_eq!(group.leader(), Some(leader), "nobody was disturbed");
}

#[test]
fn followers_of_a_leader_that_ended_elect_another_at_once() {
    let mut group = Group::new(3, 3);
    group.heal();
    let leader = group.leader().unwrap();
    let [first, second] = [(leader + 1) % 3, (leader + 2) % 3];
    group.nodes[leader].member = None;
    // Told by nobody, they take the leader for slow and do not vote.
    group.stand(first);
    assert_eq!(group.leader(), None);
    group.nodes[second].member.as_mut().unwrap().leader_gone();
    group.stand(first);
    assert_eq!(group.leader(), Some(first));
}

#[test]
fn a_learner_follows_becomes_a_voter_and_an_old_one_goes() {
    let mut group = Group::new(7, 3);
    group.heal();
    group.propose("a");
    group.nodes.push(Node::new(4, SavedSnapshot::default()));
    group.start(3);
    for (change, voters, learners) in [
        (vec![Change::Learner(4)], vec![1, 2, 3], vec![4]),
        (vec![Change::Voter(4)], vec![1, 2, 3, 4], vec![]),
        // Two steps in one go: by way of a joint membership, which ends by itself.
        (vec![Change::Learner(1), Change::Voter(4)], vec![2, 3, 4], vec![1]),
    ] {
        group.heal();
        let leader = group.leader().unwrap();
        group.nodes[leader].member.as_mut().unwrap().change_membership(&change).unwrap();
        group.settle(leader);
        group.heal();
        let leader = group.leader().unwrap();
        let mut membership = group.nodes[leader].member.as_ref().unwrap().membership();
        membership.voters.sort_unstable();
        assert_eq!((membership.voters, membership.learners), (voters, learners));
        assert!(membership.outgoing.is_empty());
    }
    group.propose("b");
    group.heal();
    assert_eq!(group.nodes[3].applied.len(), 2, "the new one has what was there before it");
}

#[test]
fn a_second_change_waits_for_the_first() {
    let mut group = Group::new(3, 3);
    group.heal();
    let leader = group.leader().unwrap();
    let member = group.nodes[leader].member.as_mut().unwrap();
    member.change_membership(&[Change::Learner(9)]).unwrap();
    assert_eq!(member.change_membership(&[Change::Learner(8)]), Err(NotTaken::ChangePending));
}

#[test]
fn a_leader_hands_over() {
    let mut group = Group::new(5, 3);
    group.heal();
    let old = group.leader().unwrap();
    let next = group.nodes[(old + 1) % 3].id;
    group.nodes[old].member.as_mut().unwrap().transfer_leadership(next);
    group.settle(old);
    group.heal();
    assert_eq!(group.nodes[group.leader().unwrap()].id, next);
}

#[test]
fn a_member_that_was_away_for_long_gets_a_snapshot() {
    let mut group = Group::new(11, 3);
    group.heal();
    let leader = group.leader().unwrap();
    let away = (leader + 1) % 3;
    group.nodes[away].member = None;
    for _ in 0..50 {
        group.propose("x");
        while !group.network.is_empty() {
            group.deliver();
        }
    }
    for at in 0..3 {
        if at == away {
            continue;
        }
        group.nodes[at].compact(0);
    }
    group.heal();
    assert_eq!(group.nodes[away].applied.len(), 50);
    assert!(group.nodes[away].disk.snapshot.index >= 50);
}

#[test]
fn a_log_that_lost_its_end_does_not_take_part() {
    let entry = |index| Entry { index, term: 1, payload: Payload::Data(Bytes::from_static(b"x")) };
    let settings = Settings::new(1, 10, 2, 0);
    let snapshot = SavedSnapshot::founding(Membership::of([1]), Bytes::new());
    let saved = |commit, entries| Saved {
        hard_state: HardState { term: 1, vote: 1, commit },
        snapshot: snapshot.clone(),
        entries,
    };
    let refused = |saved| Member::new(settings, saved).err().unwrap();
    assert_eq!(refused(saved(3, vec![entry(2)])), BadState::ShorterThanCommitted { commit: 3, last: 2 });
    assert_eq!(refused(saved(0, vec![entry(2), entry(4)])), BadState::Gap { expected: 3, found: 4 });
    assert!(Member::new(settings, saved(3, vec![entry(2), entry(3)])).is_ok());
}

#[test]
fn messages_for_others_and_proposals_from_outside_are_refused() {
    let mut group = Group::new(2, 3);
    let member = group.nodes[0].member.as_mut().unwrap();
    let message = |to, from, kind: raft::eraftpb::MessageType| Message { to, from, msg_type: kind.into(), ..Message::default() };
    use raft::eraftpb::MessageType::{MsgAppendResponse, MsgHeartbeat, MsgPropose};
    assert_eq!(member.step(message(2, 3, MsgHeartbeat)), Err(NotTaken::Foreign));
    assert_eq!(member.step(message(1, 2, MsgPropose)), Err(NotTaken::Foreign));
    assert_eq!(member.step(message(1, 9, MsgAppendResponse)), Err(NotTaken::Foreign));
}
