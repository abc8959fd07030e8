//! Commands to the leader-epoch cache: assign, end-of, epoch-at, truncate-end, truncate-start, snapshot.

use std::fmt::Write;

use chronik_state::partition::epochs::LeaderEpochs;

use crate::script::{Command, Machine};

#[derive(Default)]
pub(crate) struct Session {
    epochs: LeaderEpochs,
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        match command.name() {
            "assign" => {
                let changed = self.epochs.assign(command.value("epoch"), command.value("offset"));
                self.entries(changed)
            }
            "end-of" => self.end_of(command),
            "epoch-at" => format!("{:?}", self.epochs.epoch_at(command.value("offset"))),
            "truncate-end" => {
                let changed = self.epochs.truncate_from_end(command.value("offset"));
                self.entries(changed)
            }
            "truncate-start" => {
                let changed = self.epochs.truncate_from_start(command.value("offset"));
                self.entries(changed)
            }
            "snapshot" => {
                let bytes = self.epochs.snapshot();
                let restored = LeaderEpochs::restore(&bytes).unwrap();
                assert_eq!(restored, self.epochs);
                format!("{bytes:02x?}")
            }
            _ => command.unknown(),
        }
    }
}

impl Session {
    fn entries(&self, changed: bool) -> String {
        let mut said = String::from(if changed { "changed:" } else { "unchanged:" });
        for entry in self.epochs.entries() {
            write!(said, " {}@{}", entry.epoch, entry.start_offset).unwrap();
        }
        said
    }

    fn end_of(&self, command: &Command) -> String {
        match self.epochs.end_offset_for(command.value("epoch"), command.value("leo")) {
            Some(end) => format!("epoch {} ends at {}", end.epoch, end.end_offset),
            None => "undefined".into(),
        }
    }
}
