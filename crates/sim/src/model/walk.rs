//! Random walks through the same model: worlds too large to be explored whole, in lives that end somewhere.

use chronik_state::rule::{self, Rule};
use stateright::{Expectation, Model};

use super::world::{Action, Bounds, Push, World};
use crate::random::Random;

const MUCH: Bounds = Bounds {
    records: 5,
    crashes: 2,
    fencings: 2,
    breaks: 2,
    lags: 2,
    min_in_sync_replicas: 2,
    durable: true,
    eager: false,
};

/// The worlds that are walked through. Where written counts as confirmed, one crash that loses records is what two copies
/// bear.
pub const WALKED: [Bounds; 4] = [
    MUCH,
    Bounds { min_in_sync_replicas: 1, ..MUCH },
    Bounds { crashes: 1, durable: false, ..MUCH },
    Bounds { crashes: 0, min_in_sync_replicas: 1, durable: false, ..MUCH },
];

const STEPS_MAX: usize = 2_000;

/// What came of a walk.
#[derive(Debug)]
pub struct Walk {
    /// What happened, in order.
    pub actions: Vec<Action>,
    /// What was found not to hold.
    pub broken: Option<&'static str>,
    /// The last world.
    pub end: World,
}

/// Walks until nothing more can happen, or something is broken. The same seed walks the same way.
pub fn walk(model: &Push, seed: u64) -> Walk {
    let mut random = Random::new(seed);
    let mut world = model.init_states().remove(0);
    let (mut actions, mut possible) = (Vec::new(), Vec::new());
    let properties = model.properties();
    loop {
        let invariants = properties.iter().filter(|property| property.expectation == Expectation::Always);
        let broken = invariants.into_iter().find(|property| !(property.condition)(model, &world)).map(|found| found.name);
        // Trouble is bounded, so everything has to come to rest.
        let broken = broken.or((actions.len() > STEPS_MAX).then_some("everything comes to rest"));
        possible.clear();
        model.actions(&world, &mut possible);
        if broken.is_some() || possible.is_empty() {
            return Walk { actions, broken, end: world };
        }
        let action = choose(&possible, &mut random);
        if let Some(next) = model.next_state(&world, action) {
            actions.push(action);
            world = next;
        }
    }
}

/// Trouble comes seldom, or all of it would come at the beginning.
fn choose(possible: &[Action], random: &mut Random) -> Action {
    let (trouble, life): (Vec<Action>, Vec<Action>) = possible.iter().partition(|action| action.is_trouble());
    let from = if life.is_empty() || (!trouble.is_empty() && random.below(10) == 0) { trouble } else { life };
    from[random.below(from.len() as u64) as usize]
}

/// Walks without `rule` until it is missed: the seed, and what broke. Each of the worlds is walked through with each seed.
pub fn missed(rule: Rule, seeds: u64) -> Option<(u64, &'static str)> {
    rule::without(rule, || {
        let walks = (0..seeds).flat_map(|seed| WALKED.iter().map(move |bounds| (seed, Push { bounds: *bounds })));
        walks.into_iter().find_map(|(seed, model)| Some((seed, walk(&model, seed).broken?)))
    })
}
