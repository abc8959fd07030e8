//! The crash property over some thousands of seeds, and the test of that test: with a rule taken out, it fails.

use chronik_log::Mutation;
use chronik_sim::crash::{Plan, run, run_traced};
use chronik_sim::disk::Lies;

/// So many lives are lived through here; `cargo run --release -p chronik-sim -- soak` lives through more.
const SEEDS: u64 = 3_000;
/// Within so many seeds a missing rule must show.
const SEEDS_TO_NOTICE: u64 = 2_000;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented() {
    let mut torn_tails = 0;
    for seed in 0..SEEDS {
        let outcome = run(seed, &Plan::default());
        torn_tails += outcome.statistics.torn_tails;
        if let Some(failure) = outcome.failure {
            panic!("{}\n    cargo run -p chronik-sim -- replay {seed}", failure.what);
        }
    }
    assert!(torn_tails > 0, "the disk tears writes");
}

#[test]
fn the_power_may_fail_at_any_operation() {
    for seed in 0..5 {
        let whole = run(seed, &Plan { cut_at: Some(u64::MAX / 2), ..Plan::default() });
        assert!(whole.failure.is_none(), "{:?}", whole.failure);
        for cut_at in 1..=250 {
            let outcome = run(seed, &Plan { cut_at: Some(cut_at), ..Plan::default() });
            assert!(outcome.failure.is_none(), "seed {seed}, cut at {cut_at}: {:?}", outcome.failure);
        }
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in [3, 77, 1_234] {
        assert_eq!(run_traced(seed, &Plan::default()).1, run_traced(seed, &Plan::default()).1);
    }
}

#[test]
fn it_is_noticed_when_syncs_are_left_out() {
    let lies = Lies { ignores_syncs: true, ..Lies::default() };
    assert_noticed(&Plan { lies, ..Plan::default() });
}

#[test]
fn it_is_noticed_when_only_the_syncs_of_the_write_ahead_log_are_left_out() {
    let lies = Lies { ignores_wal_syncs: true, ..Lies::default() };
    assert_noticed(&Plan { lies, ..Plan::default() });
}

#[test]
fn it_is_noticed_when_directory_syncs_are_left_out() {
    let lies = Lies { ignores_directory_syncs: true, ..Lies::default() };
    assert_noticed(&Plan { lies, ..Plan::default() });
}

#[test]
fn it_is_noticed_when_entry_checksums_are_not_checked() {
    assert_noticed(&Plan { mutation: Some(Mutation::EntriesUnchecked), ..Plan::default() });
}

#[test]
fn it_is_noticed_when_a_checkpoint_does_not_wait_for_segments() {
    assert_noticed(&Plan { mutation: Some(Mutation::CheckpointBeforeSegments), ..Plan::default() });
}

fn assert_noticed(plan: &Plan) {
    let noticed = (0..SEEDS_TO_NOTICE).find_map(|seed| noticed_in(seed, plan));
    let (seed, what) = noticed.expect("a missing rule goes unnoticed");
    println!("noticed at seed {seed}: {what}");
}

/// What is found; a storage that trusts garbage may also panic on it.
fn noticed_in(seed: u64, plan: &Plan) -> Option<(u64, String)> {
    let plan = plan.clone();
    match std::panic::catch_unwind(move || run(seed, &plan)) {
        Ok(outcome) => outcome.failure.map(|failure| (seed, failure.what)),
        Err(_) => Some((seed, "a panic".into())),
    }
}
