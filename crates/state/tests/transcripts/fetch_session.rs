//! Commands to the fetch sessions of a node: slots, log (what a partition holds), fetch, show.
//!
//! A fetch names partitions as `topic-partition@offset`. The logs behind are a table: a partition has records for a
//! client whose offset is below the high watermark, and one that is not in the table is an error.

use std::collections::BTreeMap;
use std::fmt::Write;

use chronik_state::fetch_session::{
    FetchContext, FetchOutcome, FetchPartition, FetchPosition, FetchSessionRequest, FetchSessions, FetchTopic, Slot,
};
use chronik_state::ids::{Offset, TopicId};

use crate::script::{Command, Machine};

pub(crate) struct Session {
    sessions: FetchSessions,
    /// High watermark and log start by the written name of the partition.
    logs: BTreeMap<String, (Offset, Offset)>,
    now_ms: i64,
}

impl Default for Session {
    fn default() -> Self {
        Session { sessions: FetchSessions::new(2), logs: BTreeMap::new(), now_ms: 0 }
    }
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        self.now_ms = command.maybe("now").unwrap_or(self.now_ms);
        match command.name() {
            "slots" => {
                self.sessions = FetchSessions::new(command.value("count"));
                String::new()
            }
            "log" => {
                let log = (command.value("hw"), command.maybe("start").unwrap_or(0));
                self.logs.extend(command.plain().map(|name| (name.to_owned(), log)));
                String::new()
            }
            "lose" => {
                self.logs.retain(|name, _| !command.says(name));
                String::new()
            }
            "fetch" => self.fetch(command),
            "show" => format!(
                "{} sessions, {} partitions, {} evictions",
                self.sessions.len(),
                self.sessions.partition_count(),
                self.sessions.evictions()
            ),
            _ => command.unknown(),
        }
    }
}

impl Session {
    fn fetch(&mut self, command: &Command) -> String {
        match self.sessions.begin(request(command), self.now_ms) {
            Err(error) => format!("refused: {error}"),
            Ok(context) if command.says("disconnect") => {
                self.sessions.abandon(context);
                "nobody hears the answer".into()
            }
            Ok(context) => self.respond(context, command.maybe("seed").unwrap_or(14)),
        }
    }

    fn respond(&mut self, mut context: FetchContext, seed: u32) -> String {
        let mut said = String::from("reads:");
        let mut read: Vec<(Slot, String, FetchOutcome)> = Vec::new();
        for (slot, partition, position) in context.partitions() {
            let name = written(partition);
            write!(said, " {name}@{}", position.fetch_offset).unwrap();
            let outcome = self.outcome(&name, position);
            read.push((slot, name, outcome));
        }
        for (slot, name, outcome) in read {
            if context.include(slot, &outcome) {
                write!(said, "\ntells: {name}").unwrap();
                match outcome.error {
                    true => write!(said, " an error").unwrap(),
                    false => {
                        write!(said, " high watermark {} start {}", outcome.high_watermark, outcome.log_start_offset)
                            .unwrap()
                    }
                }
                said.push_str(if outcome.has_records { " with records" } else { "" });
            }
        }
        let kind = if context.is_incremental() { "incremental" } else { "full" };
        let session_id = self.sessions.complete(context, self.now_ms, seed);
        write!(said, "\n{kind} answer in session {session_id}").unwrap();
        said
    }

    fn outcome(&self, name: &str, position: &FetchPosition) -> FetchOutcome {
        let log = self.logs.get(name);
        let (high_watermark, log_start_offset) = log.copied().unwrap_or((-1, -1));
        let has_records = position.fetch_offset < high_watermark;
        FetchOutcome { high_watermark, log_start_offset, has_records, error: log.is_none(), redirected: false }
    }
}

fn request(command: &Command) -> FetchSessionRequest {
    let uses_topic_ids = command.says("ids");
    let wanted = |text: String| {
        let (name, offset) = text.split_once('@').expect("topic-partition@offset");
        let position = FetchPosition {
            fetch_offset: offset.parse().unwrap(),
            max_bytes: 1 << 20,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
        };
        (partition(name, uses_topic_ids), position)
    };
    FetchSessionRequest {
        session_id: command.maybe("id").unwrap_or(0),
        epoch: command.value("epoch"),
        uses_topic_ids,
        partitions: command.list("want").into_iter().map(wanted).collect(),
        forgotten: command.list::<String>("forget").iter().map(|name| partition(name, uses_topic_ids)).collect(),
    }
}

/// With topic ids, the id of a topic is its one-letter name in every byte.
fn partition(name: &str, uses_topic_ids: bool) -> FetchPartition {
    let (topic, index) = name.rsplit_once('-').expect("topic-partition");
    let topic = match uses_topic_ids {
        true => FetchTopic::Id(TopicId([topic.as_bytes()[0]; 16])),
        false => FetchTopic::Name(topic.into()),
    };
    FetchPartition { topic, partition: index.parse().unwrap() }
}

fn written(partition: &FetchPartition) -> String {
    match &partition.topic {
        FetchTopic::Id(id) => format!("{}-{}", char::from(id.0[0]), partition.partition),
        FetchTopic::Name(_) => partition.to_string(),
    }
}
