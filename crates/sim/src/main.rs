//! Runs the simulations by hand: a long soak, or one seed with everything it did.

use std::process::ExitCode;
use std::time::Instant;

use chronik_council::order::Order;
use chronik_sim::cluster;
use chronik_sim::crash::{self, Plan, Statistics};
use chronik_sim::model::{self, Action, Bounds, LARGE, Push, SMALL, WALKED};
use chronik_state::rule::Rule;

const USAGE: &str = "chronik-sim soak --seeds N [--from S]   lives through N seeds\n\
                     chronik-sim replay SEED                 lives through one and prints what happened\n\
                     chronik-sim cluster soak --seeds N [--from S]   the same with whole clusters\n\
                     chronik-sim cluster replay SEED\n\
                     chronik-sim cluster rules --seeds N     takes out one rule after the other, and says which seed misses it\n\
                     chronik-sim rules --seeds N             takes out each rule, in the model and in N clusters; the table of docs/simulation.md\n\
                     chronik-sim model                       explores the model of the push stream\n\
                     chronik-sim model rules                 takes out one rule after the other, and says when it is missed";

/// How many walks through each world are taken.
const WALKS: u64 = 20_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["soak", "--seeds", seeds] => with_numbers(seeds, "0", soak),
        ["soak", "--seeds", seeds, "--from", from] => with_numbers(seeds, from, soak),
        ["cluster", "soak", "--seeds", seeds] => with_numbers(seeds, "0", cluster_soak),
        ["cluster", "soak", "--seeds", seeds, "--from", from] => with_numbers(seeds, from, cluster_soak),
        ["cluster", "replay", seed] => with_numbers(seed, "0", |seed, _| cluster_replay(seed)),
        ["cluster", "rules", "--seeds", seeds] => with_numbers(seeds, "0", |seeds, _| cluster_rules(seeds)),
        ["rules", "--seeds", seeds] => with_numbers(seeds, "0", |seeds, _| table(seeds)),
        ["model"] => model(),
        ["model", "rules"] => rules(),
        ["replay", seed] => with_numbers(seed, "0", |seed, _| replay(seed)),
        _ => usage(),
    }
}

fn cluster_soak(seeds: u64, from: u64) -> ExitCode {
    let begun = Instant::now();
    let (mut total, mut failures) = (cluster::Statistics::default(), 0_u64);
    for seed in from..from.saturating_add(seeds) {
        let outcome = cluster::run(seed, &cluster::Plan::default());
        total.add(&outcome.statistics);
        if let Some(what) = outcome.broken {
            failures += 1;
            println!("seed {seed}: {what}");
            println!("    cargo run --release -p chronik-sim -- cluster replay {seed}");
        }
    }
    println!("{seeds} seeds from {from}: {failures} failures; {total}; {:.0} s", begun.elapsed().as_secs_f64());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cluster_replay(seed: u64) -> ExitCode {
    let (outcome, trace) = cluster::run_traced(seed, &cluster::Plan::default());
    trace.iter().for_each(|line| println!("{line}"));
    println!("seed {seed}: {}", outcome.statistics);
    if outcome.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cluster_rules(seeds: u64) -> ExitCode {
    for rule in Rule::ALL {
        match cluster::missed(rule, seeds) {
            Some((seed, what)) => println!("{rule:?}: seed {seed}: {what}"),
            None => println!("{rule:?}: not missed in {seeds} seeds"),
        }
    }
    for order in Order::ALL {
        match cluster::order_missed(order, seeds) {
            Some((seed, what)) => println!("{order:?}: seed {seed}: {what}"),
            None => println!("{order:?}: not missed in {seeds} seeds"),
        }
    }
    ExitCode::SUCCESS
}

/// Where a scenario misses a rule that neither walks nor clusters do: `crates/sim/tests/scenarios.rs`.
const BY_SCENARIO: [Rule; 3] = [Rule::JoinsAsRegistered, Rule::OnlyEligibleJoin, Rule::FencedIsNotInSync];

/// Which simulation misses which rule, as a table for the documentation.
fn table(seeds: u64) -> ExitCode {
    println!("| rule | first walk of the model that misses it | first cluster | what breaks |\n|---|---|---|---|");
    let mut good = true;
    for rule in Rule::ALL {
        let walk = model::missed(rule, WALKS);
        let cluster = cluster::missed(rule, seeds);
        let by_scenario = BY_SCENARIO.contains(&rule);
        good &= walk.is_some() || cluster.is_some() || by_scenario;
        let what = match (&walk, &cluster) {
            (Some((_, what)), _) => (*what).to_owned(),
            (None, Some((_, what))) => promise(what),
            (None, None) if by_scenario => "a scenario".to_owned(),
            (None, None) => "nothing".to_owned(),
        };
        let number = |found: Option<u64>| found.map_or("–".to_owned(), |number| number.to_string());
        let (walk, cluster) = (number(walk.map(|(seed, _)| seed)), number(cluster.map(|(seed, _)| seed)));
        println!("| `{rule:?}` | {walk} | {cluster} | {} |", what.replace('|', "/"));
    }
    println!("\n| rule of the Raft group | first cluster | what breaks |\n|---|---|---|");
    for order in Order::ALL {
        let missed = cluster::order_missed(order, seeds);
        good &= missed.is_some();
        let (seed, what) = missed.map_or(("–".to_owned(), "nothing".to_owned()), |(seed, what)| (seed.to_string(), promise(&what)));
        println!("| `{order:?}` | {seed} | {what} |");
    }
    println!("\n{WALKS} walks through each of {} worlds, {seeds} clusters", WALKED.len());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Which promise was broken, without where.
fn promise(what: &str) -> String {
    what.split(": ").next().unwrap_or(what).replace('|', "/")
}

fn model() -> ExitCode {
    println!("records crashes fencings breaks lags min durable eager |   worlds depth");
    let explored = SMALL.iter().chain(&LARGE).map(|bounds| {
        let explored = model::explore(*bounds);
        println!("{} | {:8} {:5}", columns(bounds), explored.unique, explored.depth);
        explored.broken.is_none_or(|(what, actions)| tell_way(what, &actions))
    });
    let walked = WALKED.iter().map(|bounds| {
        let (mut steps, mut good) = (0, true);
        for seed in 0..WALKS {
            let walked = model::walk(&Push { bounds: *bounds }, seed);
            steps += walked.actions.len();
            good &= walked.broken.is_none_or(|what| tell_way(what, &walked.actions));
        }
        println!("{} | {WALKS} walks, {steps} steps", columns(bounds));
        good
    });
    let good: Vec<bool> = explored.chain(walked).collect();
    if good.into_iter().all(|good| good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn columns(bounds: &Bounds) -> String {
    let Bounds { records, crashes, fencings, breaks, lags, min_in_sync_replicas, durable, eager } = bounds;
    format!("{records:7} {crashes:7} {fencings:8} {breaks:6} {lags:4} {min_in_sync_replicas:3} {durable:7} {eager:5}")
}

fn tell_way(what: &str, actions: &[Action]) -> bool {
    println!("broken: {what}");
    actions.iter().for_each(|action| println!("    {action:?}"));
    false
}

/// After how many walks each rule is missed.
fn rules() -> ExitCode {
    let mut good = true;
    for rule in Rule::ALL {
        let missed = model::missed(rule, WALKS);
        good &= missed.is_some();
        match missed {
            Some((seed, what)) => println!("{rule:?}: walk {seed}: {what}"),
            None => println!("{rule:?}: not missed in {WALKS} walks"),
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn with_numbers(first: &str, second: &str, run: impl FnOnce(u64, u64) -> ExitCode) -> ExitCode {
    match (first.parse(), second.parse()) {
        (Ok(first), Ok(second)) => run(first, second),
        _ => usage(),
    }
}

fn soak(seeds: u64, from: u64) -> ExitCode {
    let begun = Instant::now();
    let mut total = Statistics::default();
    let mut failures = 0_u64;
    for seed in from..from.saturating_add(seeds) {
        let outcome = crash::run(seed, &Plan::default());
        total.recoveries += outcome.statistics.recoveries;
        total.interrupted_recoveries += outcome.statistics.interrupted_recoveries;
        total.torn_tails += outcome.statistics.torn_tails;
        total.appended += outcome.statistics.appended;
        if let Some(failure) = outcome.failure {
            failures += 1;
            println!("seed {seed}: {}", failure.what);
            println!("    cargo run --release -p chronik-sim -- replay {seed}");
        }
        if (seed - from + 1).is_multiple_of(10_000) {
            println!("{} seeds, {failures} failures, {:.0} s", seed - from + 1, begun.elapsed().as_secs_f64());
        }
    }
    println!(
        "{seeds} seeds from {from}: {failures} failures; {} batches, {} recoveries ({} interrupted), {} torn tails; {:.0} s",
        total.appended,
        total.recoveries,
        total.interrupted_recoveries,
        total.torn_tails,
        begun.elapsed().as_secs_f64(),
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> ExitCode {
    let (outcome, trace) = crash::run_traced(seed, &Plan::default());
    trace.iter().for_each(|line| println!("{line}"));
    match outcome.failure {
        Some(failure) => {
            println!("seed {seed}: {}", failure.what);
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed}: nothing wrong; {:?}", outcome.statistics);
            ExitCode::SUCCESS
        }
    }
}
