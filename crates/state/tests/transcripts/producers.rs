//! Commands to the producers of a partition: produce (check, and apply if new), replay, expire, truncate, snapshot.

use std::fmt::Write;

use chronik_state::ids::{Offset, TimestampMs};
use chronik_state::partition::producers::{Appended, ProducerBatch, Producers, Verdict, last_sequence};

use crate::script::{Command, Machine};

#[derive(Default)]
pub(crate) struct Session {
    producers: Producers,
    log_end: Offset,
    now_ms: TimestampMs,
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        self.now_ms = command.maybe("now").unwrap_or(self.now_ms);
        match command.name() {
            "produce" => self.produce(command),
            "replay" => self.append(command),
            "expire" => format!("forgot {}", self.producers.expire(self.now_ms, command.value("after"))),
            "truncate" => {
                self.log_end = command.value("to");
                format!("{:?}\n{}", self.producers.truncate_to(self.log_end), self.known())
            }
            "log-start" => {
                self.producers.advance_log_start(command.value("offset"));
                self.known()
            }
            "snapshot" => {
                let bytes = self.producers.snapshot();
                assert_eq!(Producers::restore(&bytes).unwrap(), self.producers);
                format!("{} bytes: {bytes:02x?}", bytes.len())
            }
            "show" => self.known(),
            _ => command.unknown(),
        }
    }
}

impl Session {
    fn produce(&mut self, command: &Command) -> String {
        match self.producers.check(&batch(command)) {
            Ok(Verdict::Append) => self.append(command),
            Ok(Verdict::Duplicate(original)) => {
                let Appended { base_offset, last_offset, timestamp } = original;
                format!("duplicate of {base_offset}..{last_offset}, timestamp {timestamp}")
            }
            Err(error) => format!("refused: {error}"),
        }
    }

    fn append(&mut self, command: &Command) -> String {
        let count: Offset = command.value("count");
        let (base_offset, last_offset) = (self.log_end, self.log_end + count - 1);
        let timestamp = command.maybe("timestamp").unwrap_or(-1);
        self.producers.apply(&batch(command), Appended { base_offset, last_offset, timestamp }, self.now_ms);
        self.log_end = last_offset + 1;
        format!("appended at {base_offset}..{last_offset}")
    }

    fn known(&self) -> String {
        let mut said = String::new();
        for (producer_id, state) in self.producers.iter() {
            write!(said, "producer {producer_id} epoch {}", state.producer_epoch()).unwrap();
            write!(said, " last sequence {}", state.last_sequence()).unwrap();
            write!(said, " seen at {} ms", state.last_seen_ms()).unwrap();
            match state.transaction_first_offset() {
                Some(offset) => writeln!(said, " transaction from {offset}").unwrap(),
                None => writeln!(said).unwrap(),
            }
        }
        if said.is_empty() { "no producers".into() } else { said }
    }
}

fn batch(command: &Command) -> ProducerBatch {
    let first_sequence = command.value("first");
    ProducerBatch {
        producer_id: command.value("id"),
        producer_epoch: command.maybe("epoch").unwrap_or(0),
        first_sequence,
        last_sequence: last_sequence(first_sequence, command.value("count")),
        is_transactional: command.says("transactional"),
    }
}
