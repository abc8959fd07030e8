//! The model of the push stream: small worlds whole, larger ones at random, and each rule missed when it is taken out.

use chronik_sim::model::{self, SMALL, Push, WALKED};
use chronik_state::rule::Rule;

/// More and larger worlds: `cargo run --release -p chronik-sim -- model`.
const WALKS: u64 = 300;

/// Within how many walks each rule has to be missed.
const WALKS_TO_MISS: u64 = 2_000;

/// Without these nothing is lost, but things stand still: that is for the simulator of whole clusters to see. The last can
/// be lost, but takes more coincidences than walks at random come upon.
const NOT_MISSED_HERE: [Rule; 3] = [Rule::OnlyEligibleJoin, Rule::FencedIsNotInSync, Rule::JoinsAsRegistered];

#[test]
fn small_worlds_hold_in_every_order_of_events() {
    for bounds in SMALL {
        let explored = model::explore(bounds);
        assert!(explored.broken.is_none(), "{bounds:?}: {:?}", explored.broken);
    }
}

#[test]
fn larger_worlds_hold_wherever_chance_leads() {
    for bounds in WALKED {
        for seed in 0..WALKS {
            let walked = model::walk(&Push { bounds }, seed);
            assert_eq!(walked.broken, None, "{bounds:?}, seed {seed}: {:?}", walked.actions);
        }
    }
}

#[test]
fn each_rule_is_missed() {
    let rules = Rule::ALL.into_iter().filter(|rule| !NOT_MISSED_HERE.contains(rule));
    let superfluous: Vec<Rule> = rules.filter(|rule| model::missed(*rule, WALKS_TO_MISS).is_none()).collect();
    assert_eq!(superfluous, []);
}
