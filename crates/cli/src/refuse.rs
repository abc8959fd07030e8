//! Commands of earlier servers, and those that this build does not have: answered with what to use instead.

use crate::config::problem::{Code, Place, Problem};
use crate::exit::Exit;
use crate::print;

/// `standalone` is `start`.
pub(crate) fn warn_standalone() {
    let warning = Problem::warning(Code::OldName, "`standalone` is an old name; it still works")
        .at(Place::flag("standalone", ""))
        .why("`start` runs a single node unless it is told otherwise")
        .fix("use `chronik-server start`");
    print::problems(&[warning]);
}

/// A command that asks a running cluster for something.
pub(crate) fn cluster() -> Exit {
    let problem = Problem::error(Code::NotInThisBuild, "`cluster` is not in this build")
        .at(Place::flag("cluster", ""))
        .why("nodes cannot be asked for their status, added or removed by a command yet")
        .fix("start each node with chronik-server start --config FILE, and ask Kafka's tools: kafka-metadata-quorum.sh, kafka-topics.sh --describe --under-replicated-partitions");
    print::problems(&[problem]);
    Exit::Configuration
}

/// An old way to start the node of a cluster, which says too little of the others.
pub(crate) fn raft_cluster() -> Exit {
    let problem = Problem::error(Code::OldNameRefused, "`raft-cluster` cannot be honoured")
        .at(Place::flag("raft-cluster", ""))
        .why("its --peers have one address for each node, and a node has three: for clients, for records, and for metadata")
        .fix(
            "list the nodes as [[peers]] in a file, the same for all: CHRONIK_NODE_ID=1 chronik-server start --config FILE\n\
             or in one variable: CHRONIK_NODE_ID=1 CHRONIK_CLUSTER_PEERS=host:kafka:wal:raft,… chronik-server start",
        );
    print::problems(&[problem]);
    Exit::Configuration
}

/// A command that `start` has replaced.
pub(crate) fn gone(command: &str) -> Exit {
    let problem = Problem::error(Code::OldNameRefused, format!("`{command}` is gone"))
        .at(Place::flag(command, ""))
        .why("a node has every role; there is nothing to choose")
        .fix("use `chronik-server start`");
    print::problems(&[problem]);
    Exit::Configuration
}
