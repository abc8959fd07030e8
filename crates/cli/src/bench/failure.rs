//! Why a measurement did not come about, in the three parts of every other problem, and the exit code that says it.

use chronik_load::LoadError;

use crate::config::problem::{Code, Problem};
use crate::exit::Exit;

pub(super) fn explain(error: &LoadError) -> (Problem, Exit) {
    let what = error.to_string();
    let problem = |code| Problem::error(code, what.clone());
    match error {
        LoadError::Connect { .. } => (
            problem(Code::Unreachable)
                .why("a load needs a broker that listens there, and that it is told to connect to")
                .fix("start it, or name another: --bootstrap-server HOST:PORT"),
            Exit::Unreachable,
        ),
        LoadError::NoTopic(_) => {
            (problem(Code::NoTopic).fix("leave --topic out, and a topic is created for the run"), Exit::NotFound)
        }
        LoadError::EmptyTopic(_) => (
            problem(Code::NoTopic)
                .why("there is nothing to read")
                .fix("leave --topic out, and a topic is created and filled for the run"),
            Exit::NotFound,
        ),
        LoadError::Load(_) => (problem(Code::Load).fix("change the options: chronik-server bench --help"), Exit::Usage),
        LoadError::Machine(_) => (
            problem(Code::Load).why("this machine refused something to the load").fix("look at its limits (ulimit -n)"),
            Exit::Failed,
        ),
        LoadError::Unsupported { .. } => (
            problem(Code::Refused)
                .why("the load is made for brokers that speak Kafka's protocol of version 1.0 or later")
                .fix("measure another broker"),
            Exit::Failed,
        ),
        LoadError::Refused { .. } => (
            problem(Code::Refused)
                .why("a load repeats nothing: what a broker refuses has no latency")
                .fix("look at the broker's log, and whether its limits fit the options"),
            Exit::Failed,
        ),
        LoadError::Asked { .. } | LoadError::Broken { .. } | LoadError::Nonsense { .. } | LoadError::Silent { .. } => (
            problem(Code::Broken)
                .why("figures of a broker that fails under its load mean nothing")
                .fix("look at the broker's log"),
            Exit::Failed,
        ),
        LoadError::NotDelivered { .. } => (
            problem(Code::Broken)
                .why("every acknowledged record has to reach every group")
                .fix("look at the broker's log; a topic's retention may be shorter than the run"),
            Exit::Failed,
        ),
    }
}
