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

/// A command that only a cluster could answer.
pub(crate) fn cluster(command: &str) -> Exit {
    let problem =
        Problem::error(Code::Cluster, format!("`{command}` asks for a cluster, and this build runs single nodes only"))
            .at(Place::flag(command, ""))
            .why("there are no peers that it could speak to")
            .fix("run one node: chronik-server start");
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
