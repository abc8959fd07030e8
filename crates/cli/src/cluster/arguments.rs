//! What may stand behind `cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::{NodeArguments, Output, Rest};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ClusterArguments {
    #[command(subcommand)]
    pub(crate) command: Option<ClusterCommand>,
    /// Those of `start`: what `cluster` was once short for.
    #[command(flatten)]
    pub(crate) node: NodeArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Is the cluster well? Its nodes, who leads what, which copies are missing, and what to do about it. Exit code 0 if it is
    /// well, 10 if not
    Status(StatusArguments),
    /// Not in this build
    #[command(hide = true, disable_help_flag = true)]
    AddNode(Rest),
    /// Not in this build
    #[command(hide = true, disable_help_flag = true)]
    RemoveNode(Rest),
    /// Not in this build
    #[command(hide = true, disable_help_flag = true)]
    Rebalance(Rest),
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// File of any node of the cluster: all nodes that it lists are asked [env: CHRONIK_CONFIG]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Nodes to ask instead; the first that answers tells of the others [default: localhost:9092 where no file is given]
    #[arg(short, long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub(crate) bootstrap_server: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = StatusOutput::Table)]
    pub(crate) output: StatusOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusOutput {
    Table,
    /// A table with more columns, and every partition that is not whole
    Wide,
    Json,
    Yaml,
}

impl StatusOutput {
    /// The form of a document; none for a table.
    pub(super) fn document(self) -> Option<Output> {
        match self {
            StatusOutput::Table | StatusOutput::Wide => None,
            StatusOutput::Json => Some(Output::Json),
            StatusOutput::Yaml => Some(Output::Yaml),
        }
    }
}
