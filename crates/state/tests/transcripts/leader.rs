//! Commands to a partition's leader: elect, append, durable, settings, check.

use std::collections::BTreeSet;

use chronik_state::ids::BrokerId;
use chronik_state::partition::leader::{Confirmation, Effects, Election, Leader};

use crate::script::{Command, Machine};

#[derive(Default)]
pub(crate) struct Session {
    leader: Option<Leader>,
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        if command.name() == "elect" {
            let (leader, effects) = Leader::elect(election(command));
            let known = if leader.high_watermark_is_known() { "known" } else { "a lower bound" };
            let said = format!("{}\nhigh watermark {} is {known}", describe(effects), leader.high_watermark());
            self.leader = Some(leader);
            return said;
        }
        let leader = self.leader.as_mut().expect("a transcript begins with elect");
        match command.name() {
            "append" => describe(leader.on_append(command.value("end"))),
            "durable" => describe(leader.on_durable(command.value("end"))),
            "settings" => describe(leader.on_settings(command.value("min"), confirmation(command))),
            "check" => match leader.check_in_sync() {
                Ok(()) => "enough".into(),
                Err(error) => format!("refused: {error}"),
            },
            _ => command.unknown(),
        }
    }
}

fn election(command: &Command) -> Election {
    let set = |key| command.list::<BrokerId>(key).into_iter().collect::<BTreeSet<_>>();
    Election {
        broker_id: command.value("id"),
        leader_epoch: command.value("epoch"),
        replicas: set("replicas"),
        in_sync: set("isr"),
        log_end_offset: command.value("end"),
        high_watermark: command.value("hw"),
        min_in_sync_replicas: command.value("min"),
        confirmation: confirmation(command),
    }
}

fn confirmation(command: &Command) -> Confirmation {
    match command.says("written") {
        true => Confirmation::Written,
        false => Confirmation::Durable,
    }
}

fn describe(effects: Effects) -> String {
    match effects.high_watermark_advanced {
        Some(offset) => format!("high watermark advanced to {offset}"),
        None => "nothing".into(),
    }
}
