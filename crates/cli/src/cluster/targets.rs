//! Whom to ask: the nodes that a configuration lists, or those that were named.

use crate::arguments::{NodeArguments, OldFlags};
use crate::config::problem::Problem;
use crate::config::{self, value::Address};

use super::arguments::StatusArguments;

/// A node to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its number, where the configuration says it.
    pub(super) id: Option<i32>,
    /// `host:port` for clients.
    pub(super) address: String,
}

/// Whom to ask, and the warnings that the configuration gives occasion to; or its errors.
pub(super) fn of(arguments: &StatusArguments, old: &OldFlags) -> Result<(Vec<Target>, Vec<Problem>), Vec<Problem>> {
    if !arguments.bootstrap_server.is_empty() {
        let parsed = arguments.bootstrap_server.iter().map(|address| named(address));
        return Ok((parsed.collect::<Result<_, _>>()?, Vec::new()));
    }
    let node = NodeArguments { config: arguments.config.clone(), ..NodeArguments::default() };
    let found = config::whereabouts(&node, old, &config::variables_of_process())?;
    let targets = found.nodes.into_iter().map(|(id, address)| Target { id, address: address.to_string() }).collect();
    Ok((targets, found.warnings))
}

fn named(text: &str) -> Result<Target, Vec<Problem>> {
    match Address::parse(text.trim(), false) {
        Ok(address) => Ok(Target { id: None, address: address.to_string() }),
        Err(mismatch) => Err(vec![config::flag_mismatch("--bootstrap-server", text, mismatch)]),
    }
}
