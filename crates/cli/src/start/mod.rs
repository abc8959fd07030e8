//! `start`.
use crate::arguments::{NodeArguments, OldFlags};
use crate::exit::Exit;

pub(crate) fn run(node: &NodeArguments, old: &OldFlags) -> Exit {
    match crate::load(node, old) {
        Ok(_) => Exit::Failed,
        Err(exit) => exit,
    }
}
