//! Commands to a partition's follower: follow, connect, disconnect, answer, frame, durable, lost.
//!
//! What it wants done with its log is done to the epochs, and checked.

use chronik_state::ids::{LeaderEpoch, Offset};
use chronik_state::partition::epochs::LeaderEpochs;
use chronik_state::partition::follower::{Effects, Follower, Following};
use chronik_state::partition::stream::{Ack, Answer, BatchBounds, Frame, Replicate, Verdict};

use crate::leader::{epochs, name, session};
use crate::script::{Command, Machine};

#[derive(Default)]
pub(crate) struct Session {
    follower: Option<Follower>,
    epochs: LeaderEpochs,
    asks: u32,
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        if command.name() == "follow" {
            self.epochs = epochs(command);
            self.follower = Some(Follower::follow(following(command)));
            self.asks = 0;
            return "nothing".into();
        }
        let follower = self.follower.as_mut().expect("a transcript begins with follow");
        let mut misfit = None;
        let effects = match command.name() {
            "connect" => follower.on_connected(&self.epochs),
            "disconnect" => {
                follower.on_disconnected();
                Effects::default()
            }
            "answer" => {
                let answer = Answer {
                    leader_epoch: command.maybe("of").unwrap_or(follower.leader_epoch()),
                    ask: command.maybe("ask").unwrap_or(self.asks),
                    verdict: verdict(command),
                };
                follower.on_answer(answer, &self.epochs)
            }
            "frame" => {
                let frame = frame(command);
                let (effects, fits) = follower.on_frame(&frame, &self.epochs);
                let batches = frame.batches.iter().take(effects.append);
                batches.for_each(|batch| _ = self.epochs.assign(batch.epoch, batch.base_offset));
                misfit = fits.err();
                effects
            }
            "durable" => follower.on_durable(command.value("end")),
            "lost" => follower.on_session_lost(session(command), &self.epochs),
            _ => command.unknown(),
        };
        self.asks = effects.ask.map_or(self.asks, |ask| ask.ask);
        if let Some(end) = effects.truncate_to {
            self.epochs.truncate_from_end(end);
        }
        if effects.reset_to.is_some() {
            self.epochs.clear();
        }
        let follower = self.follower.as_ref().expect("still there");
        let misfit = misfit.map(|misfit| format!("misfit: {misfit}"));
        let said: Vec<String> = misfit.into_iter().chain(describe(&effects)).collect();
        let said = if said.is_empty() { "nothing".into() } else { said.join("\n") };
        let waits = if follower.waits() { ", waits" } else { "" };
        format!("{said}\nend {} high watermark {}{waits}", follower.log_end_offset(), follower.high_watermark())
    }
}

fn following(command: &Command) -> Following {
    let end = command.value("end");
    Following {
        broker_id: command.value("id"),
        broker_epoch: 1,
        leader_epoch: command.value("epoch"),
        log_start_offset: command.maybe("start").unwrap_or(0),
        log_end_offset: end,
        durable_end_offset: command.maybe("durable").unwrap_or(end),
        high_watermark: command.maybe("hw").unwrap_or(0),
    }
}

fn verdict(command: &Command) -> Verdict {
    match command.plain().next().expect("an answer says something") {
        "fenced" => Verdict::Fenced,
        "unknown" => Verdict::UnknownEpoch,
        "out-of-range" => Verdict::OutOfRange { log_start_offset: command.value("start") },
        "diverged" => Verdict::Diverged { epoch: command.value("epoch"), end_offset: command.value("end") },
        "stream" => Verdict::Stream(session(command)),
        _ => command.unknown(),
    }
}

fn frame(command: &Command) -> Frame {
    Frame {
        session: session(command),
        expected_end_offset: command.value("at"),
        previous_epoch: command.maybe("prev"),
        batches: command.list::<String>("batches").iter().map(|text| batch(text)).collect(),
        high_watermark: command.maybe("hw").unwrap_or(0),
        log_start_offset: command.maybe("start").unwrap_or(0),
    }
}

/// first-last@epoch
fn batch(text: &str) -> BatchBounds {
    let (offsets, epoch) = text.split_once('@').expect("first-last@epoch");
    let (base, last) = offsets.split_once('-').expect("first-last");
    let offset = |text: &str| text.parse::<Offset>().unwrap();
    BatchBounds { base_offset: offset(base), last_offset: offset(last), epoch: epoch.parse::<LeaderEpoch>().unwrap() }
}

fn describe(effects: &Effects) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(effects.truncate_to.map(|end| format!("cut to {end}")));
    said.extend(effects.reset_to.map(|start| format!("begin anew at {start}")));
    if effects.append > 0 {
        said.push(format!("append {} batches", effects.append));
    }
    said.extend(effects.high_watermark.map(|offset| format!("readers see up to {offset}")));
    said.extend(effects.log_start_offset.map(|offset| format!("begins at {offset}")));
    said.extend(effects.ask.map(|asked| ask(&asked)));
    said.extend(effects.ack.map(ack));
    said
}

fn ask(asked: &Replicate) -> String {
    let Replicate { leader_epoch, log_end_offset, durable_end_offset, last_epoch, .. } = asked;
    let last = last_epoch.map_or("none".into(), |epoch| epoch.to_string());
    format!("ask {}: epoch {leader_epoch} end {log_end_offset} durable {durable_end_offset} last epoch {last}", asked.ask)
}

fn ack(ack: Ack) -> String {
    format!("ack {}: written {} durable {}", name(ack.session), ack.written_end_offset, ack.durable_end_offset)
}
