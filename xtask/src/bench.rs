//! `cargo xtask bench`: builds what is measured as it is shipped to users, and hands over to `chronik-bench`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{cache, cargo, run as step};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments != ["quick"] {
        bail!("usage: cargo xtask bench quick");
    }
    step("building", cargo().args(["build", "--release", "--package", "chronik-cli", "--package", "chronik-bench"]))?;
    let cache = cache();
    let programs = cache.with_file_name("release");
    let mut bench = Command::new(programs.join("chronik-bench"));
    bench.arg("quick").arg(programs.join("chronik-server")).arg(programs.join("floor")).arg(cache.join("bench"));
    step("measuring", &mut bench)
}
