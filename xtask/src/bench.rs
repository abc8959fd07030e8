//! `cargo xtask bench`: builds what is measured as it is shipped to users, fetches what it is measured beside, and hands
//! over to `chronik-bench`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{cache, cargo, root, run as step};
use crate::{callgrind, prepare};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(("callgrind", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return callgrind::run(rest);
    }
    if let Some(("failover", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return failover(rest);
    }
    let (profile, folder) = if is_quick(arguments) { ("release", "release") } else { ("dist", "dist") };
    let packages = ["--package", "chronik-cli", "--package", "chronik-bench"];
    step("building", cargo().args(["build", "--profile", profile]).args(packages))?;
    let programs = cache().with_file_name(folder);
    let mut bench = Command::new(programs.join("chronik-bench"));
    bench.current_dir(root());
    bench.arg("--server").arg(programs.join("chronik-server"));
    bench.arg("--floor").arg(programs.join("floor"));
    bench.arg("--directory").arg(cache().join("bench"));
    bench.arg("--commit").arg(commit()?);
    if !is_quick(arguments) {
        bench.arg("--kafka-jars").arg(prepare::kafka_jars()?);
        bench.arg("--librdkafka").arg(librdkafka()?);
        places(&mut bench, arguments);
    }
    step("measuring", bench.args(arguments))
}

/// A whole run, the runs that stand apart and `page` write what is kept in the tree; figures that are taken alone stay out of it, for what
/// stands side by side in the page was measured in one go.
fn places(bench: &mut Command, arguments: &[String]) {
    let kept = match arguments {
        [] => true,
        [apart, options @ ..] if ["long", "cluster"].contains(&apart.as_str()) => options.iter().all(|option| option != "--small"),
        only => only == ["page"],
    };
    if !kept {
        bench.arg("--results").arg(cache().join("bench-results"));
        return;
    }
    bench.arg("--results").arg(root().join("bench/results"));
    bench.arg("--page").arg(root().join("docs/performance.md"));
    bench.arg("--notes").arg(root().join("bench/notes.toml"));
}

/// How long clients wait when a leader is killed or stopped: three nodes as processes, beside three of Apache Kafka's, and clients of
/// other people's.
fn failover(arguments: &[String]) -> Result<()> {
    step("building", cargo().args(["build", "--profile", "dist", "--package", "chronik-cli"]))?;
    let server = cache().with_file_name("dist").join("chronik-server");
    let mut script = Command::new(prepare::python()?);
    script.arg(root().join("tests/e2e/failover.py")).env("E2E_SERVER", server);
    script.env("E2E_KAFKA_JARS", prepare::kafka_jars()?);
    script.arg("--commit").arg(commit()?).arg("--results").arg(root().join("bench/results/failover.json"));
    step("ending leaders", script.args(arguments))
}

/// For work on the server itself: no peers to fetch, and a build that takes seconds.
fn is_quick(arguments: &[String]) -> bool {
    arguments == ["quick"]
}

/// The library inside the pinned Python client.
fn librdkafka() -> Result<PathBuf> {
    let python = prepare::python()?;
    let find = "import glob, os, confluent_kafka as c; \
                print(glob.glob(os.path.dirname(c.__file__) + '/../confluent_kafka.libs/librdkafka*.so*')[0])";
    let output = Command::new(python).args(["-c", find]).output()?;
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    path.canonicalize().context("the Python client carries no librdkafka")
}

/// The commit of the tree, with a `+` when files differ from it.
fn commit() -> Result<String> {
    let git = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("git").current_dir(root()).args(arguments).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Ok(git(&["rev-parse", "--short", "HEAD"])? + if changed.is_empty() { "" } else { "+" })
}
