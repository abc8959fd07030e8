//! `cargo xtask differ`: random requests to Apache Kafka and to this server, whose answers are held against each other.

use std::process::Command;

use anyhow::Result;

use crate::prepare;
use crate::process::{self, root};

/// Hands over to `tests/differ/run.py`, which takes the arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut runner = Command::new(prepare::python()?);
    runner.arg(root().join("tests/differ/run.py")).args(arguments);
    runner.env("E2E_KAFKA_JARS", prepare::kafka_jars()?).env("E2E_SERVER", prepare::server()?);
    process::run("random requests to both", &mut runner)
}
