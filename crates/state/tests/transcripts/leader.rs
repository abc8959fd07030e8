//! Commands to a partition's leader: elect, append, durable, rules, check, check-after; replicate, sent, ack, lost; tick,
//! outcome, unheard, partition, brokers.
//!
//! A session is written epoch.number. Brokers are of epoch 1 and eligible unless `brokers` said otherwise.

use std::collections::{BTreeMap, BTreeSet};

use chronik_state::ids::BrokerId;
use chronik_state::partition::epochs::LeaderEpochs;
use chronik_state::partition::leader::{
    AgreedPartition, Confirmation, Effects, Election, Leader, NotEnoughReplicas, Outcome, Proposal, Rules, Standing,
};
use chronik_state::partition::stream::{Ack, Replicate, SessionId, Verdict};

use crate::script::{Command, Machine};

#[derive(Default)]
pub(crate) struct Session {
    leader: Option<Leader>,
    epochs: LeaderEpochs,
    standings: BTreeMap<BrokerId, Standing>,
    now_ms: i64,
}

impl Machine for Session {
    fn run(&mut self, command: &Command) -> String {
        self.now_ms = command.maybe("at").unwrap_or(self.now_ms);
        if command.name() == "elect" {
            return self.elect(command);
        }
        let now_ms = self.now_ms;
        let standings = &mut self.standings;
        let leader = self.leader.as_mut().expect("a transcript begins with elect");
        match command.name() {
            "append" => describe(leader.on_append(command.value("end"), now_ms)),
            "durable" => describe(leader.on_durable(command.value("end"), now_ms)),
            "rules" => describe(leader.on_rules(rules(command), now_ms)),
            "check" => enough(leader.check_in_sync()),
            "check-after" => enough(leader.check_in_sync_after_append()),
            "replicate" => {
                let (answer, effects) = leader.on_replicate(&asked(command), &self.epochs, now_ms);
                format!("{}\n{}", verdict(answer.verdict), describe(effects))
            }
            "sent" => match leader.on_sent(session(command), command.value("end")) {
                true => "sent".into(),
                false => "not sent: the session is over".into(),
            },
            "next" => format!("{:?}", leader.next_frame(session(command))),
            "ack" => describe(leader.on_ack(ack(command), now_ms)),
            "lost" => describe(leader.on_session_lost(session(command), now_ms)),
            "tick" => describe(leader.on_tick(now_ms)),
            "outcome" => {
                let outcome = match () {
                    () if command.says("refused") => Outcome::Refused,
                    () if command.says("outdated") => Outcome::Outdated,
                    () => Outcome::Agreed(agreed(command, leader, standings)),
                };
                describe(leader.on_outcome(command.value("upon"), outcome, now_ms))
            }
            "unheard" => describe(leader.on_proposal_lost(command.value("upon"))),
            "partition" => describe(leader.on_partition(agreed(command, leader, standings), now_ms)),
            "brokers" => {
                change_standings(standings, command);
                describe(leader.on_brokers(|id| standings.get(&id).copied(), now_ms))
            }
            _ => command.unknown(),
        }
    }
}

impl Session {
    fn elect(&mut self, command: &Command) -> String {
        self.epochs = epochs(command);
        self.standings = command.list::<BrokerId>("replicas").into_iter().map(|id| (id, GOOD)).collect();
        let end = command.value("end");
        let leader_epoch = command.value("epoch");
        self.epochs.assign(leader_epoch, end);
        let (leader, effects) = Leader::elect(Election {
            broker_id: command.value("id"),
            broker_epoch: 1,
            leader_epoch,
            partition_epoch: command.maybe("version").unwrap_or(0),
            replicas: self.standings.clone(),
            in_sync: command.list("isr").into_iter().collect(),
            min_in_sync_replicas: command.value("min"),
            log_start_offset: command.maybe("start").unwrap_or(0),
            log_end_offset: end,
            durable_end_offset: command.maybe("durable").unwrap_or(end),
            high_watermark: command.value("hw"),
            rules: rules(command),
            now_ms: self.now_ms,
        });
        let known = if leader.high_watermark_is_known() { "known" } else { "a lower bound" };
        let said = format!("{}\nhigh watermark {} is {known}", describe(effects), leader.high_watermark());
        self.leader = Some(leader);
        said
    }
}

const GOOD: Standing = Standing { broker_epoch: 1, eligible: true };

fn change_standings(standings: &mut BTreeMap<BrokerId, Standing>, command: &Command) {
    let fenced: BTreeSet<BrokerId> = command.list("fenced").into_iter().collect();
    for (id, standing) in standings.iter_mut() {
        standing.eligible = !fenced.contains(id);
    }
    for text in command.list::<String>("epochs") {
        let (id, epoch) = text.split_once(':').expect("id:epoch");
        let standing = standings.get_mut(&id.parse().unwrap()).expect("a replica");
        standing.broker_epoch = epoch.parse().unwrap();
    }
}

/// What is not said stays as it is.
fn agreed(command: &Command, leader: &Leader, standings: &mut BTreeMap<BrokerId, Standing>) -> AgreedPartition {
    if command.text("replicas").is_some() {
        let replicas: BTreeSet<BrokerId> = command.list("replicas").into_iter().collect();
        standings.retain(|id, _| replicas.contains(id));
        replicas.iter().for_each(|id| _ = standings.entry(*id).or_insert(GOOD));
    }
    AgreedPartition {
        leader_epoch: command.maybe("epoch").unwrap_or(leader.leader_epoch()),
        partition_epoch: command.value("version"),
        replicas: standings.clone(),
        in_sync: command.list("isr").into_iter().collect(),
        min_in_sync_replicas: command.maybe("min").unwrap_or(leader.min_in_sync_replicas()),
    }
}

fn rules(command: &Command) -> Rules {
    let confirmation = match command.says("written") {
        true => Confirmation::Written,
        false => Confirmation::Durable,
    };
    Rules { confirmation, lag_max_ms: command.maybe("lag").unwrap_or(1000) }
}

fn asked(command: &Command) -> Replicate {
    let end = command.value("end");
    Replicate {
        ask: command.maybe("ask").unwrap_or(1),
        broker_id: command.value("from"),
        broker_epoch: command.maybe("broker").unwrap_or(1),
        leader_epoch: command.value("epoch"),
        log_end_offset: end,
        durable_end_offset: command.maybe("durable").unwrap_or(end),
        last_epoch: command.maybe("last"),
    }
}

fn ack(command: &Command) -> Ack {
    let written_end_offset = command.value("written");
    let durable_end_offset = command.maybe("durable").unwrap_or(written_end_offset);
    Ack { session: session(command), written_end_offset, durable_end_offset }
}

/// The entries `epoch:offset` of `epochs=`.
pub(crate) fn epochs(command: &Command) -> LeaderEpochs {
    let mut epochs = LeaderEpochs::default();
    for text in command.list::<String>("epochs") {
        let (epoch, offset) = text.split_once(':').expect("epoch:offset");
        epochs.assign(epoch.parse().unwrap(), offset.parse().unwrap());
    }
    epochs
}

/// `session=epoch.number`
pub(crate) fn session(command: &Command) -> SessionId {
    let text: String = command.value("session");
    let (leader_epoch, number) = text.split_once('.').expect("epoch.number");
    SessionId { leader_epoch: leader_epoch.parse().unwrap(), number: number.parse().unwrap() }
}

pub(crate) fn name(session: SessionId) -> String {
    format!("{}.{}", session.leader_epoch, session.number)
}

fn enough(checked: Result<(), NotEnoughReplicas>) -> String {
    checked.map_or_else(|error| format!("refused: {error}"), |()| "enough".into())
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Fenced => "fenced".into(),
        Verdict::UnknownEpoch => "unknown epoch".into(),
        Verdict::OutOfRange { log_start_offset } => format!("out of range: begins at {log_start_offset}"),
        Verdict::Diverged { epoch, end_offset } => format!("diverged: epoch {epoch} ends at {end_offset}"),
        Verdict::Stream(session) => format!("stream {}", name(session)),
    }
}

fn proposal(proposal: &Proposal) -> String {
    let members: Vec<String> = proposal.in_sync.iter().map(|(id, epoch)| format!("{id}:{epoch}")).collect();
    format!("propose {} in epoch {} upon version {}", members.join(","), proposal.leader_epoch, proposal.partition_epoch)
}

fn describe(effects: Effects) -> String {
    let ended = effects.ended.iter().map(|session| format!("session {} is over", name(*session)));
    let advanced = effects.high_watermark_advanced.map(|offset| format!("high watermark advanced to {offset}"));
    let said: Vec<String> = ended.chain(advanced).chain(effects.propose.as_ref().map(proposal)).collect();
    if said.is_empty() { "nothing".into() } else { said.join("\n") }
}
