//! From flags, environment and file to the settings of a node: read in layers, checked as a whole, refused with all
//! that is wrong at once.

mod addresses;
mod environment;
mod file;
mod flags;
mod foreign;
mod node;
mod old_names;
pub(crate) mod problem;
#[cfg(test)]
mod reference;
pub(crate) mod schema;
pub(crate) mod settings;
mod suggest;
pub(crate) mod value;

use std::path::{Path, PathBuf};

use crate::arguments::{NodeArguments, OldFlags};

pub(crate) use environment::{names as variable_names, of_process as variables_of_process};
use problem::{Code, Place, Problem, Severity};
use settings::{Assignment, Origin, Settings};
use value::Value;

/// A configuration that a node can be started with.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) broker: chronik_broker::Config,
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
    let flags = flags::read(arguments, old);
    let environment = environment::read(variables, arguments.strict);
    let file = flags.config.clone().or(environment.config.clone());
    let from_file = file.as_deref().map(Layer::of_file).unwrap_or_default();

    let mut settings = Settings::defaults();
    let mut problems = Vec::new();
    for layer in [from_file, environment, flags] {
        problems.extend(layer.given_twice());
        problems.extend(layer.problems);
        layer.assignments.into_iter().for_each(|assignment| settings.lay(assignment));
    }
    developers_log_filter(&mut settings, variables);
    let broker = node::config(&mut settings, &mut problems);
    match problems.iter().any(|problem| problem.severity == Severity::Error) {
        true => Err(problems),
        false => Ok(Loaded { settings, broker, warnings: problems, file }),
    }
}

/// What one layer says.
#[derive(Debug, Default)]
struct Layer {
    assignments: Vec<Assignment>,
    problems: Vec<Problem>,
    /// The file it names, if it names one.
    config: Option<PathBuf>,
}

impl Layer {
    fn of_file(path: &Path) -> Layer {
        let (assignments, problems) = file::read(path);
        Layer { assignments, problems, config: None }
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
