//! `chronik-server`: reads arguments, environment and configuration files, and composes the process. It holds no logic
//! of the broker.

mod arguments;
mod bench;
mod cluster;
mod config;
mod exit;
mod print;
mod refuse;
mod start;
mod version;

use std::process::ExitCode;

use arguments::{Arguments, Command, ConfigCommand, NodeArguments, OldFlags};
use cluster::arguments::{ClusterArguments, ClusterCommand};
use exit::Exit;
use start::Mode;

#[doc(hidden)]
pub use config::{Checked, check_text};

/// Does what the arguments of this process ask for.
pub fn main() -> ExitCode {
    let Arguments { command, old } = arguments::parse();
    let exit = match command {
        Command::Start(arguments) if arguments.dev.dev => start::dev::run(&arguments, &old),
        Command::Start(arguments) => match arguments.dev.child_of.map_or(Ok(()), start::child::bind_to) {
            Ok(()) => start::run(&arguments.node, &old, Mode::AsConfigured),
            Err(exit) => exit,
        },
        Command::Standalone(node) => {
            refuse::warn_standalone();
            start::run(&node, &old, Mode::AsConfigured)
        }
        Command::Config(command) => config_command(command, &old),
        Command::Bench(command) => bench::run(&command),
        Command::Version { output } => version::print(output.output),
        Command::Completions { shell } => completions(shell),
        Command::Cluster(ClusterArguments { command: Some(command), .. }) => match command {
            ClusterCommand::Status(arguments) => cluster::status(&arguments, &old),
            ClusterCommand::AddNode(_) => refuse::membership("add-node"),
            ClusterCommand::RemoveNode(_) => refuse::membership("remove-node"),
            ClusterCommand::Rebalance(_) => refuse::membership("rebalance"),
        },
        Command::Cluster(ClusterArguments { node, .. }) => start::run(&node, &old, Mode::OldCluster("cluster")),
        Command::RaftCluster(node) => start::run(&node, &old, Mode::OldCluster("raft-cluster")),
        Command::Ingest(_) => refuse::gone("ingest"),
        Command::All(_) => refuse::gone("all"),
    };
    exit.into()
}

fn config_command(command: ConfigCommand, old: &OldFlags) -> Exit {
    match command {
        ConfigCommand::Check(node) => check(&node, old),
        ConfigCommand::Show { origin, output, node } => match load(&node, old) {
            Ok(loaded) => print::settings(&loaded.settings, origin, output.output),
            Err(exit) => exit,
        },
        ConfigCommand::Env { output } => print::variables(output.output),
    }
}

fn check(node: &NodeArguments, old: &OldFlags) -> Exit {
    match load(node, old) {
        Ok(loaded) => {
            print::out(&format!("configuration valid: {}\n", print::source(&loaded)));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

/// Loads the configuration of this process and tells everything that is to be said about it on standard error.
fn load(node: &NodeArguments, old: &OldFlags) -> Result<config::Loaded, Exit> {
    match config::load(node, old, &config::variables_of_process()) {
        Ok(loaded) => {
            print::problems(&loaded.warnings);
            Ok(loaded)
        }
        Err(problems) => {
            print::problems(&problems);
            Err(Exit::Configuration)
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut arguments::command(), "chronik-server", &mut script);
    print::out(&String::from_utf8_lossy(&script));
    Exit::Done
}
