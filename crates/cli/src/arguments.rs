//! What may stand on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::bench::arguments::BenchCommand;
use crate::cluster::arguments::ClusterArguments;
use crate::exit;

/// A Kafka-compatible event-streaming server.
#[derive(Debug, Parser)]
#[command(name = "chronik-server", version, arg_required_else_help = true)]
#[command(subcommand_help_heading = "Commands")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) old: OldFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server, a single node or a node of a cluster. Needs no argument: a single node on 0.0.0.0:9092 with its
    /// data in ./data
    Start(StartArguments),
    /// Ask a running cluster, or a single node, how it is
    Cluster(ClusterArguments),
    /// Check the configuration, show it, or list the variables it may come from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Put a load on a broker, ours or another, and measure it
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Show version information
    Version {
        #[command(flatten)]
        output: OutputArgument,
    },
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
    /// Old name of `start`
    #[command(hide = true)]
    Standalone(NodeArguments),
    /// Old name of `start` with peers
    #[command(hide = true)]
    RaftCluster(NodeArguments),
    /// Gone; `start` does it
    #[command(hide = true, disable_help_flag = true)]
    Ingest(Rest),
    /// Gone; `start` does it
    #[command(hide = true, disable_help_flag = true)]
    All(Rest),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check everything that `start` would check, and start nothing
    Check(NodeArguments),
    /// Show the value of every key
    Show {
        /// Also say where each value comes from: flag, environment, file or default
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        output: OutputArgument,
        #[command(flatten)]
        node: NodeArguments,
    },
    /// List every environment variable that is read
    Env {
        #[command(flatten)]
        output: OutputArgument,
    },
}

#[derive(Debug, Default, Args)]
pub(crate) struct StartArguments {
    #[command(flatten)]
    pub(crate) node: NodeArguments,
    #[command(flatten)]
    pub(crate) dev: DevArguments,
}

/// A cluster on one machine, to be tried and thrown away.
#[derive(Debug, Default, Args)]
pub(crate) struct DevArguments {
    /// A whole cluster on this machine, gone with its data on Ctrl-C
    #[arg(long, conflicts_with_all = ["config", "advertise"])]
    pub(crate) dev: bool,
    /// With --dev: how many nodes [default: 3]
    #[arg(long, value_name = "N", requires = "dev", value_parser = clap::value_parser!(u16).range(2..=9))]
    pub(crate) nodes: Option<u16>,
    /// With --dev: keep the data when the cluster stops
    #[arg(long, requires = "dev")]
    pub(crate) keep: bool,
    /// With --dev: ports of the first node, the others have the next ones [default: 9092:9291:5001:6092]
    #[arg(long, value_name = "KAFKA:WAL:RAFT:HTTP", requires = "dev")]
    pub(crate) first_ports: Option<String>,
    /// End with the process of this number, which started this one
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) child_of: Option<i32>,
}

/// What decides how a node runs.
#[derive(Debug, Default, Args)]
pub(crate) struct NodeArguments {
    /// Configuration file [env: CHRONIK_CONFIG]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is stored [env: CHRONIK_DATA_DIR] [default: ./data]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Address to listen on, host or host:port [env: CHRONIK_BIND] [default: 0.0.0.0:9092]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<String>,
    /// Address that clients are told to connect to, host or host:port [env: CHRONIK_ADVERTISE] [default: the address
    /// each client's connection arrived at]
    #[arg(long, value_name = "ADDR")]
    pub(crate) advertise: Option<String>,
    /// error, warn, info, debug or trace [env: CHRONIK_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Take an unknown CHRONIK_* variable for an error, not for a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgument {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
    Yaml,
}

/// Whatever follows an old command.
#[derive(Debug, Args)]
pub(crate) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) rest: Vec<OsString>,
}

/// Flags of earlier servers. Those that mean something on one node work with a warning; the others stop the start.
#[derive(Debug, Default, Args)]
pub(crate) struct OldFlags {
    #[arg(long, global = true, hide = true, value_name = "PORT")]
    pub(crate) kafka_port: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "ADDR")]
    pub(crate) bind_addr: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "ADDR")]
    pub(crate) advertised_addr: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "PORT")]
    pub(crate) advertised_port: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "N")]
    pub(crate) node_id: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub(crate) cluster_config: Option<PathBuf>,
    #[arg(long, global = true, hide = true, value_name = "PORT")]
    pub(crate) metrics_port: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "PORT")]
    pub(crate) admin_port: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "PORT")]
    pub(crate) search_port: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "ADDR")]
    pub(crate) raft_addr: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "PEERS")]
    pub(crate) peers: Option<String>,
    #[arg(long, global = true, hide = true)]
    pub(crate) bootstrap: bool,
    #[arg(long, global = true, hide = true, value_name = "ADDRS")]
    pub(crate) wal_followers: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "ADDR")]
    pub(crate) wal_receiver: Option<String>,
}

impl OldFlags {
    /// The flags that were given, with their values.
    pub(crate) fn given(&self) -> Vec<(&'static str, String)> {
        let file = self.cluster_config.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("--kafka-port", &self.kafka_port),
            ("--bind-addr", &self.bind_addr),
            ("--advertised-addr", &self.advertised_addr),
            ("--advertised-port", &self.advertised_port),
            ("--node-id", &self.node_id),
            ("--cluster-config", &file),
            ("--metrics-port", &self.metrics_port),
            ("--admin-port", &self.admin_port),
            ("--search-port", &self.search_port),
            ("--raft-addr", &self.raft_addr),
            ("--peers", &self.peers),
            ("--bootstrap", &self.bootstrap.then(String::new)),
            ("--wal-followers", &self.wal_followers),
            ("--wal-receiver", &self.wal_receiver),
        ];
        flags.into_iter().filter_map(|(flag, value)| Some((flag, value.clone()?))).collect()
    }
}

/// Reads the process's arguments. Wrong usage and `--help` end the process here, in clap's way (exit 2 and 0).
pub(crate) fn parse() -> Arguments {
    let matches = command().get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command as it is parsed, with the table of exit codes under the help of every level.
pub(crate) fn command() -> clap::Command {
    with_exit_codes(Arguments::command())
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    command.after_help(exit::TABLE).mut_subcommands(with_exit_codes)
}
