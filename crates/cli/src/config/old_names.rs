//! What becomes of a variable or flag of an earlier server: honoured with a warning, or refused with the right name.

use std::path::PathBuf;

use super::foreign::{Fate, OldName, Part};
use super::problem::{Code, Place, Problem};
use super::schema::{self, Key};
use super::settings::{Assignment, Origin};
use super::value::{Address, Kind, Value};
use super::{Layer, file, raft_peers};

/// Where a warning about an old name sends its reader.
pub(super) const READ_ON: &str = "earlier servers had this name; docs/operate/configuration.md, \"Old names\", lists them all";

/// How an old name was given, and so how it is spoken of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Flag,
    Variable,
}

/// Carries out the fate of `old`.
pub(super) fn apply(layer: &mut Layer, old: &OldName, by: By, value: &str) {
    let name = old.name;
    let place = by.place(name, value);
    match old.fate {
        Fate::Sets(path, part, replacement) => {
            let key = schema::find(path).expect("old names set keys that exist");
            match part_of(key, part, value) {
                Ok(value) => {
                    layer.assignments.push(Assignment { key, value, origin: by.origin(name) });
                    layer.problems.push(still_works(name, place, &format!("{} {replacement} instead", by.verb())));
                }
                Err(problem) => layer.problems.push(Problem {
                    what: format!("{name}: {}", problem.what),
                    ..problem.at(place).fix(format!("{} {replacement} instead", by.verb()))
                }),
            }
        }
        Fate::NamesFile(replacement) => {
            layer.config = Some(PathBuf::from(value));
            layer.problems.push(still_works(name, place, &format!("{} {replacement} instead", by.verb())));
        }
        Fate::RaftPeers(replacement) => match raft_peers::parse(value, place.clone(), by.origin(name)) {
            Ok(listed) => {
                layer.raft_peers = Some(listed);
                layer.problems.push(still_works(name, place, &format!("{} {replacement} instead", by.verb())));
            }
            Err(what) => layer.problems.push(
                Problem::error(Code::Malformed, format!("{name}: {what}"))
                    .at(place)
                    .fix(format!("{} {replacement} instead", by.verb())),
            ),
        },
        Fate::Needless(why) => layer.problems.push(
            Problem::warning(Code::OldName, format!("{name} is an old name, and of no use any more"))
                .at(place)
                .why(why)
                .fix(format!("{} {name}", by.verb_of_removal())),
        ),
        Fate::Refused(fix) => layer.problems.push(
            Problem::error(Code::OldNameRefused, format!("{name} cannot be honoured"))
                .at(place)
                .why("it would be ignored, and you would believe in a setting that you do not have")
                .fix(fix),
        ),
    }
}

fn still_works(name: &str, place: Place, fix: &str) -> Problem {
    Problem::warning(Code::OldName, format!("{name} is an old name; it still works")).at(place).why(READ_ON).fix(fix)
}

impl By {
    fn place(self, name: &str, value: &str) -> Place {
        match self {
            By::Flag => Place::flag(name, value),
            By::Variable => Place::variable(name, value),
        }
    }

    fn origin(self, name: &str) -> Origin {
        match self {
            By::Flag => Origin::Flag(name.to_owned()),
            By::Variable => Origin::Variable(name.to_owned()),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            By::Flag => "use",
            By::Variable => "set",
        }
    }

    fn verb_of_removal(self) -> &'static str {
        match self {
            By::Flag => "leave out",
            By::Variable => "unset",
        }
    }
}

/// The value, or the part of an address, that an old name gives.
fn part_of(key: &Key, part: Part, text: &str) -> Result<Value, Problem> {
    if part == Part::Port {
        return match text.parse::<u16>() {
            Ok(port) => Ok(Value::Address(Address { host: None, port: Some(port) })),
            Err(_) => Err(Problem::error(Code::Malformed, format!("`{text}` is not a port (0 to 65535)"))),
        };
    }
    let port_optional = matches!(key.kind, Kind::Address);
    let parsed = key.kind.parse(text, port_optional);
    parsed.map_err(|mismatch| Problem::error(file::code(mismatch.reason), mismatch.what))
}
