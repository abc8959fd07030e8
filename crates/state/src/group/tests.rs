//! What must hold for any sequence of events: the log read again gives the same groups, and every request is
//! answered once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const GROUPS: [&str; 2] = ["g", "h"];
/// A batch takes one offset: two do not fit into 100 bytes.
const TOPICS: [&str; 2] = ["t", "u"];

#[derive(Clone, Debug)]
enum Event {
    Join { group: usize, member: usize, instance: Option<usize>, protocols: usize, knows_ids: bool },
    Sync { group: usize, member: usize, instance: Option<usize> },
    Heartbeat { group: usize, member: usize },
    Leave { group: usize, member: usize },
    Commit { group: usize, member: Option<usize>, topic: usize, offset: i64 },
    DeleteOffsets { group: usize, topic: usize },
    DeleteGroup { group: usize },
    TopicDeleted { topic: usize },
    Wait { ms: i64 },
}

fn events() -> impl Strategy<Value = Event> {
    let group = 0..GROUPS.len();
    let member = 0..4_usize;
    let instance = prop::option::weighted(0.3, 0..2_usize);
    prop_oneof![
        6 => (group.clone(), member.clone(), instance.clone(), 0..3_usize, any::<bool>()).prop_map(
            |(group, member, instance, protocols, knows_ids)| Event::Join { group, member, instance, protocols, knows_ids }
        ),
        6 => (group.clone(), member.clone(), instance).prop_map(|(group, member, instance)| Event::Sync { group, member, instance }),
        2 => (group.clone(), member.clone()).prop_map(|(group, member)| Event::Heartbeat { group, member }),
        1 => (group.clone(), member.clone()).prop_map(|(group, member)| Event::Leave { group, member }),
        3 => (group.clone(), prop::option::of(member), 0..TOPICS.len(), 0..100_i64).prop_map(
            |(group, member, topic, offset)| Event::Commit { group, member, topic, offset }
        ),
        1 => (group.clone(), 0..TOPICS.len()).prop_map(|(group, topic)| Event::DeleteOffsets { group, topic }),
        1 => group.prop_map(|group| Event::DeleteGroup { group }),
        1 => (0..TOPICS.len()).prop_map(|topic| Event::TopicDeleted { topic }),
        4 => prop_oneof![0..4_000_i64, 0..100_000_i64, 0..700_000_000_i64].prop_map(|ms| Event::Wait { ms }),
    ]
}

/// A shard with its log, and what was asked and answered.
struct World {
    groups: Groups,
    log: Vec<GroupRecord>,
    now: TimestampMs,
    asked: u64,
    answered: BTreeSet<Ticket>,
    /// Whether the next appends succeed, in turn; empty: all do.
    outcomes: Vec<bool>,
}

impl World {
    fn new(outcomes: Vec<bool>) -> Self {
        let groups = Groups::new(GroupConfig { size_max: 3, batch_bytes_max: 100, ..GroupConfig::default() });
        World { groups, log: Vec::new(), now: 1, asked: 0, answered: BTreeSet::new(), outcomes }
    }

    fn run(&mut self, event: &Event) {
        let ticket = Ticket(self.asked);
        self.asked += 1;
        match *event {
            Event::Join { group, member, instance, protocols, knows_ids } => {
                let request = JoinRequest {
                    group_id: GROUPS[group].into(),
                    member_id: self.member_id(group, member),
                    group_instance_id: instance.map(|instance| format!("i{instance}")),
                    client_id: format!("c{member}"),
                    client_host: "/::1".into(),
                    protocol_type: "consumer".into(),
                    protocols: [&["range", "sticky"][..], &["range"], &["sticky", "range"]][protocols]
                        .iter()
                        .map(|name| Protocol {
                            name: String::from(*name),
                            metadata: vec![0, 0, 0, 0, 0, 1, 0, 1, b't'],
                        })
                        .collect(),
                    session_timeout_ms: 10_000,
                    rebalance_timeout_ms: 30_000,
                    requires_known_member_id: knows_ids,
                    supports_skipping_assignment: knows_ids,
                    fresh_id: u128::from(ticket.0),
                };
                let effects = self.groups.on_join(ticket, request, self.now);
                self.carry_out(effects);
            }
            Event::Sync { group, member, instance } => {
                let assignments = (0..4).map(|member| (self.member_id(group, member), vec![member as u8]));
                let request = SyncRequest {
                    group_id: GROUPS[group].into(),
                    generation_id: self.generation(group),
                    member_id: self.member_id(group, member),
                    group_instance_id: instance.map(|instance| format!("i{instance}")),
                    protocol_type: None,
                    protocol_name: None,
                    assignments: assignments.collect(),
                };
                let effects = self.groups.on_sync(ticket, request, self.now);
                self.carry_out(effects);
            }
            Event::Heartbeat { group, member } => {
                let request = HeartbeatRequest {
                    group_id: GROUPS[group].into(),
                    generation_id: self.generation(group),
                    member_id: self.member_id(group, member),
                    group_instance_id: None,
                };
                let effects = self.groups.on_heartbeat(ticket, &request, self.now);
                self.carry_out(effects);
            }
            Event::Leave { group, member } => {
                let leaving = LeavingMember { member_id: self.member_id(group, member), group_instance_id: None };
                let effects = self.groups.on_leave(ticket, GROUPS[group], &[leaving], self.now);
                self.carry_out(effects);
            }
            Event::Commit { group, member, topic, offset } => {
                let commit = CommitPartition { partition: 0, offset, leader_epoch: -1, metadata: None };
                let request = CommitRequest {
                    group_id: GROUPS[group].into(),
                    generation_id: member.map_or(NO_GENERATION, |_| self.generation(group)),
                    member_id: member.map(|member| self.member_id(group, member)).unwrap_or_default(),
                    group_instance_id: None,
                    retention_time_ms: None,
                    knows_group_id_not_found: true,
                    topics: vec![(TOPICS[topic].into(), vec![commit])],
                };
                let effects = self.groups.on_commit(ticket, &request, self.now);
                self.carry_out(effects);
            }
            Event::DeleteOffsets { group, topic } => {
                let effects = self.groups.on_delete_offsets(ticket, GROUPS[group], &[(TOPICS[topic].into(), vec![0])]);
                self.carry_out(effects);
            }
            Event::DeleteGroup { group } => {
                let effects = self.groups.on_delete_group(ticket, GROUPS[group]);
                self.carry_out(effects);
            }
            Event::TopicDeleted { topic } => {
                self.answered.insert(ticket);
                let effects = self.groups.on_partitions_deleted(TOPICS[topic], &[0]);
                self.carry_out(effects);
            }
            Event::Wait { ms } => {
                self.answered.insert(ticket);
                self.wait(ms);
            }
        }
    }

    fn wait(&mut self, ms: i64) {
        let end = self.now + ms;
        let mut fired = 0;
        while let Some(deadline) = self.groups.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            let effects = self.groups.on_deadline(self.now);
            self.carry_out(effects);
            fired += 1;
            assert!(fired < 100_000, "deadlines do not come to an end");
        }
        self.now = end;
    }

    fn carry_out(&mut self, effects: Effects) {
        for (ticket, _) in effects.replies {
            assert!(ticket.0 < self.asked && self.answered.insert(ticket), "{ticket:?} answered twice");
        }
        if let Some(append) = effects.append {
            let outcome = match self.outcomes.pop() {
                Some(false) => Err(GroupError::CoordinatorNotAvailable),
                _ => Ok(self.log.len() as i64),
            };
            if outcome.is_ok() {
                self.log.extend(append.records.iter().cloned());
            }
            let effects = self.groups.on_appended(append, outcome, self.now);
            self.carry_out(effects);
        }
    }

    fn replayed(&self) -> Groups {
        let mut groups = Groups::new(self.groups.config.clone());
        for (offset, record) in self.log.iter().enumerate() {
            groups.replay(record, offset as i64);
        }
        groups
    }

    fn classic(&self, group: usize) -> Option<&ClassicGroup> {
        self.groups.groups.get(GROUPS[group]).map(|Group::Classic(group)| &**group)
    }

    fn generation(&self, group: usize) -> i32 {
        self.classic(group).map_or(1, |group| group.generation_id)
    }

    /// Of the n-th member or pending member; empty if there is none.
    fn member_id(&self, group: usize, index: usize) -> String {
        let group = self.classic(group);
        let ids = group.into_iter().flat_map(|group| group.members.keys().chain(&group.pending_joins));
        ids.into_iter().nth(index).cloned().unwrap_or_default()
    }

    fn waiting(&self) -> BTreeSet<Ticket> {
        let members = self.groups.groups.values().flat_map(|Group::Classic(group)| group.members.values());
        members.flat_map(|member| member.awaiting_join.into_iter().chain(member.awaiting_sync)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn replay_gives_the_live_groups(events in prop::collection::vec(events(), 1..60)) {
        let mut world = World::new(Vec::new());
        for event in &events {
            world.run(event);
            let replayed = world.replayed();
            prop_assert_eq!(&replayed.offsets, &world.groups.offsets);
            prop_assert_eq!(
                replayed.groups.keys().collect::<Vec<_>>(),
                world.groups.groups.keys().collect::<Vec<_>>()
            );
            for (group_id, Group::Classic(live)) in &world.groups.groups {
                let Group::Classic(read) = &replayed.groups[group_id];
                if live.is(GroupState::Stable) || live.is(GroupState::Empty) {
                    prop_assert_eq!(live.state, read.state);
                    prop_assert_eq!(live.record(), read.record());
                    prop_assert_eq!(&live.static_members, &read.static_members);
                    prop_assert_eq!(&live.subscribed_topics, &read.subscribed_topics);
                }
            }
        }
    }

    #[test]
    fn every_request_is_answered_once_whatever_the_log_does(
        events in prop::collection::vec(events(), 1..60),
        outcomes in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let mut world = World::new(outcomes);
        for event in &events {
            world.run(event);
            prop_assert_eq!(&world.replayed().offsets, &world.groups.offsets);
            let unanswered: BTreeSet<Ticket> =
                (0..world.asked).map(Ticket).filter(|ticket| !world.answered.contains(ticket)).collect();
            prop_assert_eq!(unanswered, world.waiting());
        }
        // Nobody waits for ever, and what nobody uses goes away.
        world.wait(10_000_000_000);
        prop_assert!(world.waiting().is_empty());
        prop_assert!(world.groups.groups.is_empty());
        prop_assert_eq!(world.groups.next_deadline(), None);
    }

    #[test]
    fn who_loses_the_partition_answers_everybody(events in prop::collection::vec(events(), 1..60)) {
        let mut world = World::new(Vec::new());
        events.iter().for_each(|event| world.run(event));
        let replies = world.groups.resign();
        world.carry_out(Effects { append: None, replies });
        prop_assert_eq!(world.answered.len() as u64, world.asked);
    }
}
