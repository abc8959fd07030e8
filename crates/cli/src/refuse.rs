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

/// `cluster` without a command, and `raft-cluster`, are `start` with peers.
pub(crate) fn warn_old_cluster(command: &str) {
    let warning = Problem::warning(Code::OldName, format!("`{command}` is an old name of a way to start; it still works"))
        .at(Place::flag(command, ""))
        .why("`start` runs a node of a cluster where the peers are listed")
        .fix("use `chronik-server start --config FILE`, the same on every node");
    print::problems(&[warning]);
}

/// The same where no peers are listed: a node on its own is not what was asked for.
pub(crate) fn no_peers(command: &str) -> Exit {
    let problem = Problem::error(Code::OldNameRefused, format!("`{command}` cannot be honoured: no peers are listed"))
        .at(Place::flag(command, ""))
        .why("it was a way to start the node of a cluster, and this would be a node on its own")
        .fix(
            "list the nodes as [[peers]] in a file, the same for all: CHRONIK_NODE_ID=1 chronik-server start --config FILE\n\
             or in one variable: CHRONIK_NODE_ID=1 CHRONIK_CLUSTER_PEERS=host:kafka:wal:raft,… chronik-server start\n\
             to ask a cluster how it is: chronik-server cluster status",
        );
    print::problems(&[problem]);
    Exit::Configuration
}

/// A change of the cluster's members.
pub(crate) fn membership(command: &str) -> Exit {
    let problem = Problem::error(Code::NotInThisBuild, format!("`cluster {command}` is not in this build"))
        .at(Place::flag("cluster", command))
        .why("the nodes of a cluster are those it was founded with")
        .fix("to see how it is: chronik-server cluster status; to give leaderships back: kafka-leader-election.sh");
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
