//! The command-line layer: the flags of `start`, and those of earlier servers.

use crate::arguments::{NodeArguments, OldFlags};

use super::foreign::OLD_FLAGS;
use super::old_names::{self, By};
use super::problem::{Code, Place, Problem};
use super::schema::{self, Key};
use super::settings::{Assignment, Origin};
use super::value::Address;
use super::{Layer, file};

/// Reads the flags. Old ones lie below new ones, so that `--kafka-port 9192 --bind 127.0.0.1` is what it says.
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
    given_twice(&mut layer, arguments, old);
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

/// A port by the old flag and another one by the new.
fn given_twice(layer: &mut Layer, arguments: &NodeArguments, old: &OldFlags) {
    for (new, new_value, old, old_value) in [
        ("--bind", &arguments.bind, "--kafka-port", &old.kafka_port),
        ("--bind", &arguments.bind, "--bind-addr", &old.bind_addr),
        ("--advertise", &arguments.advertise, "--advertised-port", &old.advertised_port),
        ("--advertise", &arguments.advertise, "--advertised-addr", &old.advertised_addr),
    ] {
        let (Some(new_value), Some(old_value)) = (new_value, old_value) else { continue };
        let has_port = Address::parse(new_value, true).is_ok_and(|address| address.port.is_some());
        if has_port || old.ends_with("addr") {
            layer.problems.push(
                Problem::error(Code::GivenTwice, format!("{new} and {old} say the same thing twice"))
                    .at(Place::flag(new, new_value))
                    .at(Place::flag(old, old_value))
                    .fix(format!("leave out {old}; it is the old name")),
            );
        }
    }
}

/// A flag or variable that is there and holds nothing.
pub(super) fn empty(place: Place, key: Option<&Key>, otherwise: &str) -> Problem {
    if key.is_some_and(|key| key.flag == schema::ADVERTISE_KAFKA.flag && key.flag.is_some()) {
        return Problem::error(Code::AdvertisedAddress, "the advertised address is empty")
            .at(place)
            .why("clients connect to the address they are told, and nobody can connect to an empty one")
            .fix(format!("give the host (or host:port) under which clients reach this node, or {otherwise}"));
    }
    Problem::error(Code::EmptyValue, "the value is empty").at(place).fix(format!("give a value, or {otherwise}"))
}
