//! The command-line layer: the flags of `start`, and those of earlier servers.

use crate::arguments::{NodeArguments, OldFlags};

use super::foreign::Part;
use super::problem::{Code, Place, Problem};
use super::schema::{self, Key};
use super::settings::{Assignment, Origin};
use super::value::{Address, Value};
use super::{Layer, READ_ON, file};

/// Reads the flags. Old ones lie below new ones, so that `--kafka-port 9192 --bind 127.0.0.1` is what it says.
pub(crate) fn read(arguments: &NodeArguments, old: &OldFlags) -> Layer {
    let mut layer = Layer::default();
    renamed(&mut layer, old);
    refused(&mut layer, old);
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

/// Old flags that mean something on one node.
fn renamed(layer: &mut Layer, old: &OldFlags) {
    let listen = &schema::LISTEN_KAFKA;
    let advertise = &schema::ADVERTISE_KAFKA;
    for (flag, value, key, part, replacement) in [
        ("--kafka-port", &old.kafka_port, listen, Part::Port, "--bind HOST:PORT"),
        ("--bind-addr", &old.bind_addr, listen, Part::Whole, "--bind"),
        ("--advertised-addr", &old.advertised_addr, advertise, Part::Whole, "--advertise"),
        ("--advertised-port", &old.advertised_port, advertise, Part::Port, "--advertise HOST:PORT"),
    ] {
        let Some(value) = value else { continue };
        match address_part(part, value) {
            Ok(part) => {
                layer.lay(Assignment { key, value: part, origin: Origin::Flag(flag.to_owned()) });
                layer.problems.push(old_flag(flag, value, replacement));
            }
            Err(what) => layer.problems.push(
                Problem::error(Code::Malformed, format!("{flag}: {what}"))
                    .at(Place::flag(flag, value))
                    .fix(format!("use {replacement} instead")),
            ),
        }
    }
    if let Some(value) = &old.node_id {
        match schema::NODE_ID.kind.parse(value, false) {
            Ok(number) => {
                let origin = Origin::Flag("--node-id".to_owned());
                layer.assignments.push(Assignment { key: &schema::NODE_ID, value: number, origin });
                layer.problems.push(old_flag("--node-id", value, "node_id in the file, or CHRONIK_NODE_ID"));
            }
            Err(mismatch) => layer.problems.push(
                Problem::error(file::code(mismatch.reason), format!("--node-id: {}", mismatch.what))
                    .at(Place::flag("--node-id", value))
                    .fix(mismatch.fix),
            ),
        }
    }
    if let Some(path) = &old.cluster_config {
        layer.config = Some(path.clone());
        layer.problems.push(old_flag("--cluster-config", &path.display().to_string(), "--config"));
    }
}

fn old_flag(flag: &str, value: &str, replacement: &str) -> Problem {
    Problem::warning(Code::OldName, format!("{flag} is an old name; it still works"))
        .at(Place::flag(flag, value))
        .why(READ_ON)
        .fix(format!("use {replacement} instead"))
}

/// Old flags that this build cannot honour.
fn refused(layer: &mut Layer, old: &OldFlags) {
    for (flag, value) in [
        ("--raft-addr", old.raft_addr.as_deref()),
        ("--peers", old.peers.as_deref()),
        ("--bootstrap", old.bootstrap.then_some("")),
        ("--wal-followers", old.wal_followers.as_deref()),
        ("--wal-receiver", old.wal_receiver.as_deref()),
    ] {
        let Some(value) = value else { continue };
        layer.problems.push(
            Problem::error(Code::Cluster, format!("{flag} asks for a cluster, and this build runs single nodes only"))
                .at(Place::flag(flag, value))
                .why("a node that ignored it would keep one copy of what you want kept several times")
                .fix(format!("leave out {flag} to run one node")),
        );
    }
    for (flag, value) in
        [("--metrics-port", &old.metrics_port), ("--admin-port", &old.admin_port), ("--search-port", &old.search_port)]
    {
        let Some(value) = value else { continue };
        layer.problems.push(
            Problem::error(Code::OldNameRefused, format!("{flag} cannot be honoured: this build has no HTTP port"))
                .at(Place::flag(flag, value))
                .fix(format!("leave out {flag}")),
        );
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

/// The part of an address that an old name gives.
pub(super) fn address_part(part: Part, text: &str) -> Result<Value, String> {
    match part {
        Part::Whole => Address::parse(text, true).map(Value::Address).map_err(|mismatch| mismatch.what),
        Part::Port => match text.parse::<u16>() {
            Ok(port) => Ok(Value::Address(Address { host: None, port: Some(port) })),
            Err(_) => Err(format!("`{text}` is not a port (0 to 65535)")),
        },
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
