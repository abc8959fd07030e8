//! Commands to a shard of groups: join, sync, heartbeat, leave, commit, fetch, delete-offsets, delete-group, list,
//! describe, wait, restart, resign. Requests are numbered in order; an answer says whose it is.
//!
//! Member ids are made from the client's name and the number of its request: `c#01` stands for such an id here.
//! `refuse=<error>` lets the appends of that command fail. Time stands still but for `wait`.

use std::fmt::Write;

use chronik_state::group::*;
use chronik_state::ids::TimestampMs;

use crate::script::{Command, Machine};

/// What stands between a client's name and the number in a member id.
const UUID: &str = "-00000000-0000-0000-0000-0000000000";

pub(crate) struct Session {
    groups: Groups,
    log: Vec<GroupRecord>,
    now_ms: TimestampMs,
    asked: u64,
    refuse: Option<GroupError>,
    said: String,
}

impl Default for Session {
    fn default() -> Self {
        let groups = Groups::new(config(4));
        Session { groups, log: Vec::new(), now_ms: 0, asked: 0, refuse: None, said: String::new() }
    }
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        self.refuse = command.text("refuse").map(|name| match name {
            "NotCoordinator" => GroupError::NotCoordinator,
            "CoordinatorNotAvailable" => GroupError::CoordinatorNotAvailable,
            other => panic!("cannot refuse with {other}"),
        });
        self.said.clear();
        match command.name() {
            "join" => self.join(command),
            "sync" => self.sync(command),
            "heartbeat" => self.heartbeat(command),
            "leave" => self.leave(command),
            "commit" => self.commit(command),
            "fetch" => self.fetch(command),
            "delete-offsets" => self.delete_offsets(command),
            "delete-group" => {
                let ticket = self.ticket();
                let effects = self.groups.on_delete_group(ticket, &group(command));
                self.carry_out(effects);
            }
            "topic-deleted" => {
                let effects =
                    self.groups.on_partitions_deleted(command.text("topic").unwrap(), &command.list("partitions"));
                self.carry_out(effects);
            }
            "list" => self.list(command),
            "describe" => self.describe(command),
            "wait" => self.wait(command.value("ms")),
            "restart" => self.restart(command),
            "resign" => {
                let replies = self.groups.resign();
                self.say_replies(replies);
            }
            _ => command.unknown(),
        }
        self.said.replace(UUID, "#")
    }
}

impl Session {
    fn ticket(&mut self) -> Ticket {
        self.asked += 1;
        Ticket(self.asked)
    }

    fn join(&mut self, command: &Command) {
        let ticket = self.ticket();
        let version: i32 = command.maybe("version").unwrap_or(9);
        let request = JoinRequest {
            group_id: group(command),
            member_id: member(command),
            group_instance_id: command.text("instance").map(String::from),
            client_id: command.text("client").unwrap_or("c").into(),
            client_host: "/127.0.0.1".into(),
            protocol_type: command.text("type").unwrap_or("consumer").into(),
            protocols: command.text("protocols").unwrap_or("range:t").split(',').map(protocol).collect(),
            session_timeout_ms: command.maybe("session").unwrap_or(10_000),
            rebalance_timeout_ms: command.maybe("rebalance").unwrap_or(60_000),
            requires_known_member_id: version >= 4,
            supports_skipping_assignment: version >= 9,
            fresh_id: u128::from_str_radix(&self.asked.to_string(), 16).unwrap(),
        };
        let effects = self.groups.on_join(ticket, request, self.now_ms);
        self.carry_out(effects);
    }

    fn sync(&mut self, command: &Command) {
        let ticket = self.ticket();
        let assignment = |item: String| {
            let (member, share) = item.split_once(':').unwrap();
            (member.replace('#', UUID), share.as_bytes().to_vec())
        };
        let request = SyncRequest {
            group_id: group(command),
            generation_id: command.value("generation"),
            member_id: member(command),
            group_instance_id: command.text("instance").map(String::from),
            protocol_type: command.text("type").map(String::from),
            protocol_name: command.text("protocol").map(String::from),
            assignments: command.list::<String>("assign").into_iter().map(assignment).collect(),
        };
        let effects = self.groups.on_sync(ticket, request, self.now_ms);
        self.carry_out(effects);
    }

    fn heartbeat(&mut self, command: &Command) {
        let ticket = self.ticket();
        let request = HeartbeatRequest {
            group_id: group(command),
            generation_id: command.value("generation"),
            member_id: member(command),
            group_instance_id: command.text("instance").map(String::from),
        };
        let effects = self.groups.on_heartbeat(ticket, &request, self.now_ms);
        self.carry_out(effects);
    }

    fn leave(&mut self, command: &Command) {
        let ticket = self.ticket();
        let leaving = |member_id: String, instance: Option<String>| LeavingMember {
            member_id: member_id.replace('#', UUID),
            group_instance_id: instance,
        };
        let members = command.list::<String>("members").into_iter().map(|id| leaving(id, None));
        let instances = command.list::<String>("instances").into_iter().map(|id| leaving(String::new(), Some(id)));
        let members: Vec<_> = members.chain(instances).collect();
        let effects = self.groups.on_leave(ticket, &group(command), &members, self.now_ms);
        self.carry_out(effects);
    }

    fn commit(&mut self, command: &Command) {
        let ticket = self.ticket();
        let commit = |item: String| {
            let (partition, offset) = item.split_once(':').unwrap();
            let metadata = command.maybe("metadata").map(|length| "x".repeat(length));
            let (partition, offset) = (partition.parse().unwrap(), offset.parse().unwrap());
            CommitPartition { partition, offset, leader_epoch: -1, metadata }
        };
        let request = CommitRequest {
            group_id: group(command),
            generation_id: command.maybe("generation").unwrap_or(NO_GENERATION),
            member_id: member(command),
            group_instance_id: command.text("instance").map(String::from),
            retention_time_ms: command.maybe("retention"),
            knows_group_id_not_found: command.maybe("version").unwrap_or(9) >= 9,
            topics: vec![(topic(command), command.list::<String>("offsets").into_iter().map(commit).collect())],
        };
        let effects = self.groups.on_commit(ticket, &request, self.now_ms);
        self.carry_out(effects);
    }

    fn fetch(&mut self, command: &Command) {
        let topics = match command.text("topic") {
            None => self.groups.fetch_all_offsets(&group(command)),
            Some(topic) => {
                let asked = [(topic.into(), command.list("partitions"))];
                self.groups.fetch_offsets(&group(command), &asked)
            }
        };
        for (topic, offsets) in topics {
            for fetched in offsets {
                writeln!(self.said, "{topic}-{} at {}", fetched.partition, fetched.offset).unwrap();
            }
        }
    }

    fn delete_offsets(&mut self, command: &Command) {
        let ticket = self.ticket();
        let topics = [(topic(command), command.list("partitions"))];
        let effects = self.groups.on_delete_offsets(ticket, &group(command), &topics);
        self.carry_out(effects);
    }

    fn list(&mut self, command: &Command) {
        for listed in self.groups.list(&command.list("states"), &command.list("types")) {
            let ListedGroup { group_id, protocol_type, state, group_type } = listed;
            writeln!(self.said, "{group_id} type={protocol_type} {} {}", state.name(), group_type.name()).unwrap();
        }
    }

    fn describe(&mut self, command: &Command) {
        let Some(group) = self.groups.describe(&group(command)) else { return self.said.push_str("no such group") };
        let GroupDescription { state, protocol_type, protocol_name, members } = group;
        writeln!(self.said, "{} type={protocol_type} protocol={protocol_name}", state.name()).unwrap();
        for member in members {
            let instance = member.group_instance_id.as_deref().unwrap_or("-");
            let share = String::from_utf8_lossy(&member.assignment);
            writeln!(self.said, "{} instance={instance} assigned={share}", member.member_id).unwrap();
        }
    }

    fn wait(&mut self, ms: TimestampMs) {
        let end_ms = self.now_ms + ms;
        while let Some(deadline) = self.groups.next_deadline().filter(|deadline| *deadline <= end_ms) {
            self.now_ms = self.now_ms.max(deadline);
            let before = self.said.len();
            let effects = self.groups.on_deadline(self.now_ms);
            self.carry_out(effects);
            if self.said.len() > before {
                let now_ms = self.now_ms;
                self.said.insert_str(before, &format!("at {now_ms} ms\n"));
            }
        }
        self.now_ms = end_ms;
    }

    fn restart(&mut self, command: &Command) {
        let size_max = command.maybe("size_max").unwrap_or(4);
        self.groups = Groups::new(config(size_max));
        for (offset, record) in self.log.iter().enumerate() {
            self.groups.replay(record, offset as i64);
        }
        let effects = self.groups.on_loaded(self.now_ms);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        if let Some(append) = effects.append {
            if self.said.lines().last().is_some_and(|line| line.starts_with("append")) {
                self.said.push_str("(next batch)\n");
            }
            append.records.iter().for_each(|record| say_record(&mut self.said, record));
            let outcome = self.refuse.map_or(Ok(self.log.len() as i64), Err);
            match outcome {
                Ok(_) => self.log.extend(append.records.iter().cloned()),
                Err(error) => writeln!(self.said, "  refused: {error:?}").unwrap(),
            }
            self.say_replies(effects.replies);
            let effects = self.groups.on_appended(append, outcome, self.now_ms);
            self.carry_out(effects);
        } else {
            self.say_replies(effects.replies);
        }
    }

    fn say_replies(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            write!(self.said, "reply to {}: ", ticket.0).unwrap();
            say_reply(&mut self.said, reply);
        }
    }
}

/// Batches so small that the purges of the transcripts take several.
fn config(size_max: usize) -> GroupConfig {
    GroupConfig { size_max, batch_bytes_max: 200, ..GroupConfig::default() }
}

fn group(command: &Command) -> String {
    command.text("group").unwrap_or("g").into()
}

fn topic(command: &Command) -> String {
    command.text("topic").unwrap_or("t").into()
}

fn member(command: &Command) -> String {
    command.text("member").unwrap_or_default().replace('#', UUID)
}

/// `name:topic+topic`, its metadata as consumers write it.
fn protocol(text: &str) -> Protocol {
    let (name, topics) = text.split_once(':').unwrap_or((text, ""));
    let topics: Vec<&str> = topics.split('+').filter(|topic| !topic.is_empty()).collect();
    let mut metadata = vec![0, 1];
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    Protocol { name: name.into(), metadata }
}

fn say_record(said: &mut String, record: &GroupRecord) {
    match record {
        GroupRecord::Group { group_id, value: None } => writeln!(said, "append group {group_id} deleted"),
        GroupRecord::Group { group_id, value: Some(value) } => {
            let members: Vec<&str> = value.members.iter().map(|member| member.member_id.as_str()).collect();
            let leader = value.leader.as_deref().unwrap_or("-");
            writeln!(
                said,
                "append group {group_id} generation={} leader={leader} members={members:?}",
                value.generation_id
            )
        }
        GroupRecord::Offset { group_id, topic, partition, value: None } => {
            writeln!(said, "append offset {group_id} {topic}-{partition} deleted")
        }
        GroupRecord::Offset { group_id, topic, partition, value: Some(value) } => {
            writeln!(said, "append offset {group_id} {topic}-{partition} at {}", value.offset)
        }
    }
    .unwrap();
}

fn say_reply(said: &mut String, reply: Reply) {
    match reply {
        Reply::Join(JoinReply { error: Some(error), member_id, .. }) => writeln!(said, "join {error:?} member={member_id}"),
        Reply::Join(reply) => {
            let members: Vec<&str> = reply.members.iter().map(|member| member.member_id.as_str()).collect();
            let skip = if reply.skip_assignment { " skip-assignment" } else { "" };
            let protocol = reply.protocol_name.unwrap_or_default();
            let (generation, leader, member) = (reply.generation_id, reply.leader, reply.member_id);
            writeln!(said, "join generation={generation} protocol={protocol} leader={leader} member={member} members={members:?}{skip}")
        }
        Reply::Sync(SyncReply { error: Some(error), .. }) => writeln!(said, "sync {error:?}"),
        Reply::Sync(reply) => writeln!(said, "sync assigned={}", String::from_utf8_lossy(&reply.assignment)),
        Reply::Heartbeat(result) => writeln!(said, "heartbeat {result:?}"),
        Reply::Leave(LeaveReply { error: Some(error), .. }) => writeln!(said, "leave {error:?}"),
        Reply::Leave(reply) => {
            let named = |member: LeftMember| {
                let name = member.group_instance_id.unwrap_or(member.member_id);
                member.error.map_or(name.clone(), |error| format!("{name}:{error:?}"))
            };
            writeln!(said, "left {:?}", reply.members.into_iter().map(named).collect::<Vec<_>>())
        }
        Reply::Commit(result) => writeln!(said, "commit {result:?}"),
        Reply::DeleteOffsets(result) => writeln!(said, "delete-offsets {result:?}"),
        Reply::DeleteGroup(result) => writeln!(said, "delete-group {result:?}"),
    }
    .unwrap();
}
