//! Every order of events in a small world: three replicas of one partition.
//!
//! What differs from Kafka's protocol is that the leader pushes: acknowledgements come by themselves, frames of an old
//! leadership arrive late, and nobody proves anything with a fetch. This model lets the machines of `chronik-state`
//! themselves (leader, follower, the controller's rules) go through the interleavings of a bounded number of records,
//! crashes, fencings, broken connections and slow moments, and checks in every state what must hold. Connections keep
//! their order, as TCP does; everything else may take any time.
//!
//! Small worlds are explored whole ([`explore`], by stateright), larger ones by walks at random ([`walk`]). Of either,
//! [`Rule`]s can be taken out: then something has to break.
//!
//! [`Rule`]: chronik_state::rule::Rule

mod explore;
mod node;
mod walk;
mod world;

pub use explore::{Explored, LARGE, SMALL, explore};
pub use walk::{WALKED, Walk, missed, walk};
pub use world::{Action, Bounds, Push, World};
