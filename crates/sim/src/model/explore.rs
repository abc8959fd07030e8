//! Small worlds, explored whole.

use stateright::{Checker, Model};

use super::world::{Action, Bounds, Push};

const NOTHING: Bounds = Bounds {
    records: 1,
    crashes: 0,
    fencings: 0,
    breaks: 0,
    lags: 0,
    min_in_sync_replicas: 2,
    durable: true,
    eager: true,
};

/// Worlds of some ten thousand states: explored at each test.
pub const SMALL: [Bounds; 3] =
    [Bounds { eager: false, ..NOTHING }, Bounds { fencings: 1, ..NOTHING }, Bounds { breaks: 1, ..NOTHING }];

/// Worlds of up to some million states: explored by command.
pub const LARGE: [Bounds; 6] = [
    Bounds { crashes: 1, ..NOTHING },
    Bounds { crashes: 1, durable: false, ..NOTHING },
    Bounds { crashes: 1, min_in_sync_replicas: 1, ..NOTHING },
    Bounds { records: 2, fencings: 1, ..NOTHING },
    Bounds { fencings: 1, breaks: 1, ..NOTHING },
    Bounds { breaks: 1, lags: 1, ..NOTHING },
];

/// What there was in a world.
#[derive(Debug)]
pub struct Explored {
    /// How many worlds were met, each counted once.
    pub unique: usize,
    /// The longest way that was needed to meet one.
    pub depth: usize,
    /// What was found not to hold, and what led there.
    pub broken: Option<(&'static str, Vec<Action>)>,
}

/// Goes every way there is.
pub fn explore(bounds: Bounds) -> Explored {
    let checker = Push { bounds }.checker().threads(2).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().find(|(name, _)| Push::is_invariant(name));
    let broken = broken.map(|(name, path)| (name, path.into_actions()));
    Explored { unique: checker.unique_state_count(), depth: checker.max_depth(), broken }
}
