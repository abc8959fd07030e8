//! The environment layer: `CHRONIK_*` variables. Every key has one generated name; a few have a short one.

use std::path::PathBuf;

use super::flags::empty;
use super::foreign::{self, OLD_VARIABLES};
use super::old_names::{self, By};
use super::problem::{Code, Place, Problem};
use super::schema::{KEYS, Key};
use super::settings::{Assignment, Origin};
use super::suggest::closest;
use super::{Layer, file, peers};

pub(crate) const CONFIG: &str = "CHRONIK_CONFIG";
const PREFIX: &str = "CHRONIK_";

/// Variables of this project's own tools, which a server that they start inherits.
const OF_TOOLS: &[&str] = &["CHRONIK_VECTORS"];

/// The `CHRONIK_*` variables of this process, in the order of their names.
pub(crate) fn of_process() -> Vec<(String, String)> {
    let mut variables: Vec<_> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX) || name == "RUST_LOG")
        .collect();
    variables.sort();
    variables
}

/// Reads the variables. `strict` takes an unknown one for an error.
pub(crate) fn read(variables: &[(String, String)], strict: bool) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        variable(&mut layer, name, value, strict);
    }
    layer
}

/// Every variable that is read, those of no key first, then in the order of the schema: its name, and the key it sets.
pub(crate) fn names() -> Vec<(String, Option<&'static Key>)> {
    let mut names = vec![(CONFIG.to_owned(), None), (peers::VARIABLE.to_owned(), None)];
    for key in KEYS {
        names.extend(key.short_variable.map(|short| (short.to_owned(), Some(*key))));
        names.push((key.variable(), Some(*key)));
    }
    names
}

fn variable(layer: &mut Layer, name: &str, value: &str, strict: bool) {
    let key = KEYS.iter().find(|key| key.variable() == name || key.short_variable == Some(name));
    if foreign::is_service_link(name, value) || OF_TOOLS.contains(&name) {
        return;
    }
    if value.trim().is_empty() {
        layer.problems.push(empty(Place::variable(name, value), key.copied(), &format!("unset {name}")));
    } else if name == CONFIG {
        layer.config = Some(PathBuf::from(value));
    } else if name == peers::VARIABLE {
        let (peers, problems) = peers::of_variable(value);
        layer.peers = Some(peers);
        layer.problems.extend(problems);
    } else if let Some(key) = key {
        set(layer, key, name, value);
    } else if let Some(old) = OLD_VARIABLES.iter().find(|old| old.name == name) {
        old_names::apply(layer, old, By::Variable, value);
    } else {
        unknown(layer, name, value, strict);
    }
}

fn set(layer: &mut Layer, key: &'static Key, name: &str, value: &str) {
    let port_optional = key.short_variable == Some(name);
    match key.kind.parse(value, port_optional) {
        Ok(value) => {
            layer.assignments.push(Assignment { key, value, origin: Origin::Variable(name.to_owned()) });
        }
        Err(mismatch) => layer.problems.push(
            Problem::error(file::code(mismatch.reason), format!("{name}: {}", mismatch.what))
                .at(Place::variable(name, value))
                .fix(mismatch.fix),
        ),
    }
}

fn unknown(layer: &mut Layer, name: &str, value: &str, strict: bool) {
    let what = format!("unknown environment variable {name}");
    let problem = if strict {
        Problem::error(Code::UnknownVariable, what)
    } else {
        Problem::warning(Code::UnknownVariable, what)
    };
    let known = names();
    let fix = match closest(name, known.iter().map(|(name, _)| name.as_str())) {
        Some(near) => format!("did you mean {near}?"),
        None => "unset it; `chronik-server config env` lists every variable that is read".to_owned(),
    };
    layer.problems.push(problem.at(Place::variable(name, value)).why("nothing reads it").fix(fix));
}
