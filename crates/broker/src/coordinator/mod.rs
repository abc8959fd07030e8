//! The group coordinator: groups and their offsets, kept on the internal topic `__consumer_offsets`.
//!
//! `codec` knows the bytes of that topic, `group` drives one partition's machine
//! ([`chronik_state::group::Groups`]), `runtime` finds the partition of a group, loads it, and keeps time.

mod codec;
mod group;
pub(crate) mod offsets_topic;
pub(crate) mod runtime;
#[cfg(test)]
mod tests;

pub(crate) use runtime::Coordinator;
