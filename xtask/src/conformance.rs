//! `cargo xtask conformance`: suites that others wrote for their own clients, against our broker or Apache Kafka.

use std::process::Command;

use anyhow::Result;

use crate::prepare::{kafka_jars, python, server};
use crate::process::{cache, root, run as step};
use crate::toolchain;

/// Hands over to the runner, which knows the suites; everything on the command line is its own.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut runner = runner()?;
    runner.args(arguments);
    // The page and the names of the tests need neither server.
    if !arguments.iter().any(|argument| matches!(argument.as_str(), "--page" | "--help" | "-h")) {
        toolchain::require()?;
        runner.env("E2E_SERVER", server()?).env("E2E_KAFKA_JARS", kafka_jars()?);
    }
    step("conformance suites", &mut runner)
}

/// The short run of all suites. What became of each test stands in files: thousands of lines in a log help nobody.
pub(crate) fn subset() -> Result<()> {
    run(&["--subset", "--jobs", "2", "--quiet"].map(String::from))
}

/// The rules of the gate, and whether the lists, the causes and the page fit together: seconds, and no broker.
pub(crate) fn check() -> Result<()> {
    let mut tests = Command::new("python3");
    tests.args(["-m", "unittest", "discover", "--buffer", "--start-directory"]);
    tests.arg(root().join("tests/conformance/tests"));
    step("conformance: the gate, the lists and the page", &mut tests)
}

fn runner() -> Result<Command> {
    let mut runner = Command::new(python()?);
    runner.arg(root().join("tests/conformance/run.py")).env("CONFORMANCE_CACHE", cache().join("conformance"));
    Ok(runner)
}
