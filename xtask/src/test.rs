//! `cargo xtask test`: unit, transcript, property and crash tests by cargo, then real clients against the real
//! server, then what others wrote to test those clients.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::prepare::{self, Prepared};
use crate::process::{self, cache, cargo, root};
use crate::{conformance, fuzz, tidy, toolchain};

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    only: Vec<String>,
    list: bool,
    against: Option<String>,
    jobs: Option<String>,
    /// Also what cases print that pass.
    show: bool,
}

/// The name that stands for `cargo test` in `--only`.
const UNIT: &str = "unit";
/// The name that stands for the short run of the conformance suites.
const CONFORMANCE: &str = "conformance";
/// The cases that have more to do when they are asked for the whole of it.
const CONNECTIONS: &str = "connections::";
/// Those of them that have clusters.
const FAULTS: [&str; 4] = ["cluster_catch_up::", "cluster_network::", "cluster_million::", "cluster_rounds::"];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    if options.list {
        return end_to_end(&options, &[]);
    }
    toolchain::require()?;
    let wants_unit =
        options.against.is_none() && (options.only.is_empty() || options.only.iter().any(|part| part == UNIT));
    if wants_unit {
        unit()?;
    }
    if options.only == [UNIT] {
        return Ok(());
    }
    if options.only == [CONFORMANCE] {
        return conformance::subset();
    }
    let prepared = prepare::all()?;
    end_to_end(&options, &environment(&prepared))?;
    if options.only.is_empty() && options.against.is_none() { conformance::subset() } else { Ok(()) }
}

/// The cases of very many connections, with all of their numbers.
pub(crate) fn stress(arguments: &[String]) -> Result<()> {
    toolchain::require()?;
    let mut options = parse(arguments)?;
    options.only.push(CONNECTIONS.to_owned());
    options.jobs = Some("1".to_owned());
    let prepared = prepare::all()?;
    let mut environment = environment(&prepared);
    environment.push(("E2E_WHOLE", Path::new("1")));
    end_to_end(&options, &environment)
}

/// Clusters and what can happen to them, in the length that the gate has no time for. Without `--only` all such cases.
pub(crate) fn faults(arguments: &[String]) -> Result<()> {
    toolchain::require()?;
    let (own, rest) = rounds(arguments)?;
    let mut options = parse(&rest)?;
    if options.only.is_empty() {
        options.only.extend(FAULTS.map(str::to_owned));
    }
    options.jobs.get_or_insert_with(|| "1".to_owned());
    options.show = true;
    let prepared = prepare::all()?;
    let mut environment = environment(&prepared);
    environment.push(("E2E_WHOLE", Path::new("1")));
    environment.push(("E2E_ROUNDS", Path::new(&own.rounds)));
    environment.push(("E2E_SEED", Path::new(&own.seed)));
    end_to_end(&options, &environment)
}

struct RoundsOptions {
    rounds: String,
    seed: String,
}

/// Takes `--rounds` and `--seed` out of the arguments.
fn rounds(arguments: &[String]) -> Result<(RoundsOptions, Vec<String>)> {
    let mut options = RoundsOptions { rounds: "50".to_owned(), seed: "1".to_owned() };
    let mut others = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let place = match argument.as_str() {
            "--rounds" => &mut options.rounds,
            "--seed" => &mut options.seed,
            _ => {
                others.push(argument.clone());
                continue;
            }
        };
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        let _: u64 = value.parse().with_context(|| format!("{argument} {value}: not a number"))?;
        place.clone_from(value);
    }
    Ok((options, others))
}

/// What needs no client: first the boundaries, since they are quickest to say no.
fn unit() -> Result<()> {
    eprintln!("== tidy");
    tidy::run()?;
    conformance::check()?;
    process::run("cargo test", cargo().args(["test", "--workspace"]))?;
    fuzz::replay()
}

fn environment(prepared: &Prepared) -> Vec<(&'static str, &Path)> {
    vec![
        ("E2E_SERVER", &prepared.server),
        ("E2E_KAFKA_JARS", &prepared.kafka_jars),
        ("E2E_GO_CASES", &prepared.go_cases),
        ("E2E_TOXIPROXY", &prepared.toxiproxy),
    ]
}

/// Hands over to the runner of the cases, whose last line counts them.
fn end_to_end(options: &Options, environment: &[(&str, &Path)]) -> Result<()> {
    let mut runner = Command::new(prepare::python()?);
    runner.arg(root().join("tests/e2e/run.py")).envs(environment.iter().copied());
    runner.arg("--keep").arg(cache().join("failed"));
    for part in options.only.iter().filter(|part| *part != UNIT) {
        runner.args(["--only", part]);
    }
    if let Some(against) = &options.against {
        runner.args(["--against", against]);
    }
    if let Some(jobs) = &options.jobs {
        runner.args(["--jobs", jobs]);
    }
    if options.show {
        runner.arg("--show");
    }
    if options.list {
        runner.arg("--list");
        let status = runner.status().context("the runner of the end-to-end cases does not start")?;
        return if status.success() { Ok(()) } else { bail!("listing failed") };
    }
    process::run("end-to-end cases", &mut runner)
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--only" => options.only.push(value()?),
            "--against" => options.against = Some(value()?),
            "--jobs" => options.jobs = Some(value()?),
            "--list" => options.list = true,
            // `--only a b c` reads as three parts.
            part if !part.starts_with('-') && !options.only.is_empty() => options.only.push(part.to_owned()),
            other => bail!("unknown argument `{other}`"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_parts_after_one_only() {
        let arguments: Vec<String> = ["--only", "crash", "java", "--jobs", "1"].map(String::from).to_vec();
        let options = parse(&arguments).unwrap();
        assert_eq!(options.only, ["crash", "java"]);
        assert_eq!(options.jobs.as_deref(), Some("1"));
    }

    #[test]
    fn rounds_and_seed_are_numbers_and_the_rest_is_left() {
        let arguments: Vec<String> = ["--only", "rounds", "--rounds", "3"].map(String::from).to_vec();
        let (options, rest) = rounds(&arguments).unwrap();
        assert_eq!((options.rounds.as_str(), options.seed.as_str()), ("3", "1"));
        assert_eq!(rest, ["--only", "rounds"]);
        assert!(rounds(&["--rounds".into(), "many".into()]).is_err());
        assert!(rounds(&["--seed".into()]).is_err());
    }

    #[test]
    fn an_unknown_argument_is_an_error() {
        assert!(parse(&["--fast".into()]).is_err());
        assert!(parse(&["--only".into()]).is_err());
    }
}
