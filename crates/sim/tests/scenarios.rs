//! Days that walks at random do not come upon, told step by step in the model of the push stream.

use chronik_sim::model::{Action, Bounds, Push, World};
use chronik_state::rule::{self, Rule};
use stateright::{Expectation, Model};

/// Three nodes, 0 leads; where a record counts as confirmed that is only written.
const BOUNDS: Bounds = Bounds {
    records: 3,
    crashes: 1,
    fencings: 3,
    breaks: 0,
    lags: 0,
    min_in_sync_replicas: 2,
    durable: false,
    eager: false,
};

struct Day {
    model: Push,
    world: World,
    broken: Option<&'static str>,
}

impl Day {
    fn begin() -> Day {
        let model = Push { bounds: BOUNDS };
        let world = model.init_states().remove(0);
        Day { model, world, broken: None }
    }

    fn possible(&self) -> Vec<Action> {
        let mut possible = Vec::new();
        self.model.actions(&self.world, &mut possible);
        possible
    }

    fn act(&mut self, action: Action) {
        assert!(self.possible().contains(&action), "{action:?} cannot happen now, but {:?}", self.possible());
        self.world = self.model.next_state(&self.world, action).expect("an action that is possible");
        let properties = self.model.properties();
        let invariants = properties.iter().filter(|property| property.expectation == Expectation::Always);
        let broken = invariants.into_iter().find(|property| !(property.condition)(&self.model, &self.world));
        self.broken = self.broken.or(broken.map(|property| property.name));
    }

    /// Everything that may happen by itself happens, as far as it is `allowed`.
    fn go_on(&mut self, allowed: impl Fn(&Action) -> bool) {
        let by_itself = |action: &Action| {
            matches!(action, Action::Ship(..) | Action::Deliver(..) | Action::Learn(_) | Action::Hear(_) | Action::Sync(_))
        };
        for _ in 0..1000 {
            let Some(next) = self.possible().into_iter().find(|action| by_itself(action) && allowed(action)) else { return };
            self.act(next);
        }
        panic!("it does not come to rest");
    }
}

/// KIP-903. Node 2 has left the in-sync set, has caught up, and its leader asks for its return. Before the controller reads that,
/// node 2 crashes, loses what it had confirmed, and is registered anew.
fn a_confirmation_from_before_a_crash() -> Option<&'static str> {
    let mut day = Day::begin();
    let not_synced = |action: &Action| !matches!(action, Action::Sync(_));
    day.go_on(not_synced);
    day.act(Action::Fence(2));
    day.go_on(not_synced);
    day.act(Action::Unfence(2));
    day.act(Action::Produce(0));
    // Node 2 gets the record, and has it in memory only.
    day.go_on(|action| !matches!(action, Action::Sync(2)));
    day.act(Action::Crash(2, true));
    day.act(Action::Restart(2));
    // It is let in before it has got anything from its leader, who has not heard of all this.
    day.go_on(|action| matches!(action, Action::Learn(2)));
    day.act(Action::Unfence(2));
    day.act(Action::Decide(0));
    // Those who have the record are not heard of any more.
    day.act(Action::Fence(0));
    day.act(Action::Fence(1));
    day.go_on(|action| matches!(action, Action::Learn(_)));
    day.broken
}

#[test]
fn a_broker_joins_as_it_is_registered_not_as_it_was() {
    assert_eq!(a_confirmation_from_before_a_crash(), None);
    let without = rule::without(Rule::JoinsAsRegistered, a_confirmation_from_before_a_crash);
    assert!(without.is_some(), "the rule is not missed");
}

/// KIP-631, KIP-966. Node 2 dies and is fenced. The two others are enough, and go on at once: nobody waits for the dead until it counts as slow.
fn records_committed_while_one_is_dead() -> usize {
    let mut day = Day::begin();
    day.go_on(|_| true);
    day.act(Action::Crash(2, true));
    day.act(Action::Fence(2));
    day.act(Action::Produce(0));
    day.go_on(|_| true);
    day.world.acknowledged()
}

#[test]
fn nobody_waits_for_a_broker_that_is_fenced() {
    assert_eq!(records_committed_while_one_is_dead(), 1);
    assert_eq!(rule::without(Rule::FencedIsNotInSync, records_committed_while_one_is_dead), 0, "the rule is not missed");
}

/// KIP-841. Node 2 has caught up and its leader asks for its return; before the controller reads that, it has fenced node 2, which then dies.
/// It will not be fenced again: whoever lets it in waits for it for ever.
fn records_committed_after_a_dead_one_asked_to_join() -> usize {
    let mut day = Day::begin();
    day.go_on(|_| true);
    day.act(Action::Fence(2));
    day.go_on(|_| true);
    day.act(Action::Unfence(2));
    day.act(Action::Produce(0));
    day.go_on(|_| true);
    let before = day.world.acknowledged();
    day.act(Action::Fence(2));
    day.act(Action::Decide(0));
    day.act(Action::Crash(2, true));
    day.go_on(|_| true);
    day.act(Action::Produce(0));
    day.go_on(|_| true);
    day.world.acknowledged() - before
}

#[test]
fn a_broker_that_is_fenced_does_not_join() {
    assert_eq!(records_committed_after_a_dead_one_asked_to_join(), 1);
    let without = rule::without(Rule::OnlyEligibleJoin, records_committed_after_a_dead_one_asked_to_join);
    assert_eq!(without, 0, "the rule is not missed");
}
