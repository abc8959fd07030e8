//! `chronik-bench quick`: what a produced and a fetched gigabyte costs the server, beside the floor broker, in one run.

mod encode;
mod load;
mod process;
mod quick;
mod sample;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, server, floor, directory] = arguments.as_slice() else {
        bail!(
            "usage: chronik-bench quick SERVER FLOOR DIRECTORY (the programs, and a place on the disk to be measured)"
        )
    };
    if command != "quick" {
        bail!("unknown command `{command}`");
    }
    quick::run(&quick::Paths {
        server: PathBuf::from(server),
        floor: PathBuf::from(floor),
        directory: PathBuf::from(directory),
    })
}
