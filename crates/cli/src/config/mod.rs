//! From flags, environment and file to the settings of a node: read in layers, checked as a whole, refused with all
//! that is wrong at once.

mod addresses;
mod cluster;
mod environment;
mod file;
mod flags;
mod foreign;
pub(crate) mod http;
mod node;
mod old_names;
pub(crate) mod peers;
pub(crate) mod problem;
mod raft_peers;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod reference;
pub(crate) mod schema;
pub(crate) mod settings;
mod suggest;
pub(crate) mod value;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::arguments::{NodeArguments, OldFlags};

pub(crate) use environment::{names as variable_names, of_process as variables_of_process};
pub(crate) use addresses::is_wildcard;
use problem::{Code, Place, Problem, Severity};
use schema::KEYS;
use settings::{Assignment, Origin, Settings};
use value::{Address, Mismatch, Value};

/// A configuration that a node can be started with.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) broker: chronik_broker::Config,
    pub(crate) http: http::Http,
    /// Told before the start, and not in its way.
    pub(crate) warnings: Vec<Problem>,
    pub(crate) file: Option<PathBuf>,
}

/// Reads and checks everything. The error holds all problems, warnings among them, at least one of them an error.
pub(crate) fn load(
    arguments: &NodeArguments,
    old: &OldFlags,
    variables: &[(String, String)],
) -> Result<Loaded, Vec<Problem>> {
    let (layers, file) = layers(arguments, old, variables);
    let (mut settings, mut problems) = lay(layers);
    developers_log_filter(&mut settings, variables);
    let broker = node::config(&mut settings, &mut problems, addresses::resolve);
    let http = http::config(&mut settings, &node::listens(&broker), &mut problems, addresses::resolve);
    match problems.iter().any(|problem| problem.severity == Severity::Error) {
        true => Err(problems),
        false => Ok(Loaded { settings, broker, http, warnings: problems, file }),
    }
}

/// Where clients reach nodes.
pub(crate) struct Whereabouts {
    /// Their numbers, where known, and addresses.
    pub(crate) nodes: Vec<(Option<i32>, Address)>,
    pub(crate) warnings: Vec<Problem>,
}

/// Where clients reach the nodes: those that the configuration lists, by their numbers, or the one that it describes. Which
/// of them this process would be is not asked. The error holds all problems.
pub(crate) fn whereabouts(
    arguments: &NodeArguments,
    old: &OldFlags,
    variables: &[(String, String)],
) -> Result<Whereabouts, Vec<Problem>> {
    let (settings, mut problems) = lay(layers(arguments, old, variables).0);
    problems.extend(settings.peers.iter().flat_map(|listed| peers::check_list(listed)));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    let nodes = match &settings.peers {
        Some(listed) => {
            let node = |peer: &peers::Peer| Some((Some(peer.id.as_ref()?.value), peer.addresses[0].as_ref()?.value.clone()));
            listed.iter().filter_map(node).collect()
        }
        None => vec![(None, addresses::from_here(&settings))],
    };
    Ok(Whereabouts { nodes, warnings: problems })
}

/// A value of a flag that is none of its kind.
pub(crate) fn flag_mismatch(flag: &str, value: &str, mismatch: Mismatch) -> Problem {
    Problem::error(file::code(mismatch.reason), format!("{flag}: {}", mismatch.what))
        .at(Place::flag(flag, value))
        .fix(mismatch.fix)
}

/// What each layer says, lowest first, and the file among them.
fn layers(arguments: &NodeArguments, old: &OldFlags, variables: &[(String, String)]) -> (Vec<Layer>, Option<PathBuf>) {
    let flags = flags::read(arguments, old);
    let environment = environment::read(variables, arguments.strict);
    let file = flags.config.clone().or(environment.config.clone());
    let from_file = file.as_deref().map(Layer::of_file).unwrap_or_default();
    (vec![from_file, environment, flags], file)
}

/// Lays them over the defaults, lowest first.
fn lay(layers: Vec<Layer>) -> (Settings, Vec<Problem>) {
    let mut settings = Settings::defaults();
    let mut problems = Vec::new();
    settings.peers = layers.iter().rev().find_map(|layer| layer.peers.clone());
    let node_id = layers.iter().rev().find_map(Layer::node_id);
    let raft_peers = layers.iter().rev().find_map(|layer| layer.raft_peers.clone());
    for assignment in peers::of_itself(settings.peers.as_deref().unwrap_or_default(), node_id) {
        settings.lay(assignment);
    }
    for layer in layers {
        problems.extend(layer.given_twice());
        problems.extend(layer.problems);
        layer.assignments.into_iter().for_each(|assignment| settings.lay(assignment));
    }
    if let Some(raft_peers) = raft_peers {
        problems.extend(raft_peers::complete(&mut settings, raft_peers));
    }
    (settings, problems)
}

/// What [`check_text`] found.
#[derive(Debug)]
pub struct Checked {
    /// Table, name and value of every key that has one, as they could stand in a file.
    pub values: Vec<(&'static str, &'static str, String)>,
    /// What the user would be told, errors and warnings.
    pub problems: Vec<String>,
    /// A node could be started with it.
    pub is_valid: bool,
    /// What the node would be given.
    pub broker: chronik_broker::Config,
}

/// Reads and checks `text` as a whole configuration file: what `config check` does, but for asking the system for the
/// addresses of hosts. The way in for tests that try many texts.
pub fn check_text(text: &str) -> Checked {
    let (mut settings, mut problems) = lay(vec![file::parse("chronik.toml", text)]);
    let resolve: addresses::Resolve = |host, port| {
        let known = if host == "localhost" { Ok(IpAddr::from([127, 0, 0, 1])) } else { host.parse() };
        known.map(|ip| vec![SocketAddr::new(ip, port)]).map_err(|error| error.to_string())
    };
    let broker = node::config(&mut settings, &mut problems, resolve);
    http::config(&mut settings, &node::listens(&broker), &mut problems, resolve);
    let may_stand = |key: &&&schema::Key| settings.peers.is_some() || !key.only_in_cluster;
    let values = KEYS.iter().filter(may_stand).filter_map(|key| {
        let value = settings.entry(key).value.as_ref()?;
        let written = match value {
            Value::Boolean(_) | Value::Integer(_) => value.to_string(),
            _ => toml::Value::String(value.to_string()).to_string(),
        };
        Some((key.table, key.name, written))
    });
    let peers = settings.peers.iter().map(|peers| ("", peers::TABLE, peers::written(peers)));
    Checked {
        values: values.chain(peers).collect(),
        is_valid: !problems.iter().any(|problem| problem.severity == Severity::Error),
        problems: problems.iter().map(Problem::to_string).collect(),
        broker,
    }
}

/// What one layer says.
#[derive(Debug, Default)]
struct Layer {
    assignments: Vec<Assignment>,
    /// The nodes of the cluster, if it lists them.
    peers: Option<Vec<peers::Peer>>,
    /// The same as earlier servers had it: others only, and of them what Raft needs.
    raft_peers: Option<raft_peers::RaftPeers>,
    problems: Vec<Problem>,
    /// The file it names, if it names one.
    config: Option<PathBuf>,
}

impl Layer {
    fn of_file(path: &Path) -> Layer {
        file::read(path)
    }

    fn node_id(&self) -> Option<i64> {
        self.assignments.iter().rev().find_map(|assignment| match assignment.value {
            Value::Integer(id) if assignment.key.path() == schema::NODE_ID.path() => Some(id),
            _ => None,
        })
    }

    /// Two names that set one thing within a layer: nobody could tell which one was meant. `--kafka-port 9192` and
    /// `--bind 127.0.0.1` go together, as each sets its part.
    fn given_twice(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, second) in self.assignments.iter().enumerate() {
            let same =
                |first: &&Assignment| first.key.path() == second.key.path() && first.value.overlaps(&second.value);
            let Some(first) = self.assignments[..index].iter().find(same) else { continue };
            let (a, b) = (first.origin.name(), second.origin.name());
            problems.push(
                Problem::error(Code::GivenTwice, format!("{a} and {b} both set `{}`", second.key.toml_path()))
                    .at(place_of(&first.origin, &first.value.to_string()))
                    .at(place_of(&second.origin, &second.value.to_string()))
                    .fix(format!("keep one of them, and leave out {a} for example")),
            );
        }
        problems
    }
}

/// `RUST_LOG` counts as the environment's log level, below `CHRONIK_LOG_LEVEL`. Its value is a filter of tracing's own
/// language, so it is not held against the schema.
fn developers_log_filter(settings: &mut Settings, variables: &[(String, String)]) {
    let Some((name, filter)) = variables.iter().find(|(name, value)| name == "RUST_LOG" && !value.is_empty()) else {
        return;
    };
    if matches!(settings.entry(&schema::LOG_LEVEL).origin, Origin::Default | Origin::File { .. }) {
        let origin = Origin::Variable(name.clone());
        settings.lay(Assignment { key: &schema::LOG_LEVEL, value: Value::Text(filter.clone()), origin });
    }
}

/// How the place of a setting is named in a problem about it.
fn place_of(origin: &Origin, value: &str) -> Place {
    match origin {
        Origin::Default => Place::Given(format!("default: {value}")),
        Origin::File { file, line } => Place::Given(format!("{file}:{line}: {value}")),
        Origin::Variable(name) => Place::variable(name, value),
        Origin::Flag(flag) => Place::flag(flag, value),
    }
}

/// Whether one number may not be above another.
fn contradiction(low: &schema::Key, high: &schema::Key, settings: &Settings) -> Option<Problem> {
    let (a, b) = (settings.integer(low), settings.integer(high));
    let place = |key: &schema::Key| {
        let entry = settings.entry(key);
        let value = entry.value.as_ref().map(Value::to_string).unwrap_or_default();
        place_of(&entry.origin, &format!("{} = {value}", key.toml_path()))
    };
    (a > b).then(|| {
        Problem::error(Code::Contradiction, format!("`{}` is above `{}`", low.name, high.name))
            .at(place(low))
            .at(place(high))
            .why("no value could be within both")
            .fix(format!("lower `{}` to at most {b}, or raise `{}`", low.name, high.name))
    })
}
