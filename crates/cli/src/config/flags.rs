//! The command-line layer: the flags of `start`, and those of earlier servers.

use crate::arguments::{NodeArguments, OldFlags};

use super::foreign::OLD_FLAGS;
use super::old_names::{self, By};
use super::problem::{Code, Place, Problem};
use super::schema::{self, Key};
use super::settings::{Assignment, Origin};
use super::{Layer, file};

/// Reads the flags, old names and new.
pub(crate) fn read(arguments: &NodeArguments, old: &OldFlags) -> Layer {
    let mut layer = Layer::default();
    for (flag, value) in old.given() {
        let old = OLD_FLAGS.iter().find(|old| old.name == flag).expect("every old flag has its fate");
        old_names::apply(&mut layer, old, By::Flag, &value);
    }
    layer.config = arguments.config.clone().or(layer.config);
    for (key, value) in [
        (&schema::DATA_DIR, &arguments.data_dir),
        (&schema::LISTEN_KAFKA, &arguments.bind),
        (&schema::ADVERTISE_KAFKA, &arguments.advertise),
        (&schema::LOG_LEVEL, &arguments.log_level),
    ] {
        if let Some(value) = value {
            set(&mut layer, key, value);
        }
    }
    layer
}

fn set(layer: &mut Layer, key: &'static Key, value: &str) {
    let flag = key.flag.expect("only keys with a flag are set by one");
    let place = Place::flag(flag, value);
    if value.trim().is_empty() {
        layer.problems.push(empty(place, Some(key), &format!("leave out {flag}")));
        return;
    }
    match key.kind.parse(value, true) {
        Ok(value) => layer.assignments.push(Assignment { key, value, origin: Origin::Flag(flag.to_owned()) }),
        Err(mismatch) => layer.problems.push(
            Problem::error(file::code(mismatch.reason), format!("{flag}: {}", mismatch.what))
                .at(place)
                .fix(mismatch.fix),
        ),
    }
}

/// A flag or variable that is there and holds nothing.
pub(super) fn empty(place: Place, key: Option<&Key>, otherwise: &str) -> Problem {
    if key.is_some_and(|key| key.path() == schema::ADVERTISE_KAFKA.path()) {
        return Problem::error(Code::AdvertisedAddress, "the advertised address is empty")
            .at(place)
            .why("clients connect to the address they are told, and nobody can connect to an empty one")
            .fix(format!("give the host (or host:port) under which clients reach this node, or {otherwise}"));
    }
    Problem::error(Code::EmptyValue, "the value is empty").at(place).fix(format!("give a value, or {otherwise}"))
}
