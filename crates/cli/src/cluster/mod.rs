//! `cluster`: what is asked of a running cluster, through the port for clients, of any node that answers.

pub(crate) mod arguments;
mod examine;
mod gather;
mod report;
mod speaker;
mod targets;

use chronik_state::health::{NodeState, Verdict};

use crate::arguments::OldFlags;
use crate::config::problem::{Code, Place, Problem};
use crate::exit::Exit;
use crate::print;
use arguments::StatusArguments;
use speaker::Silence;
use targets::Target;

/// Asks the nodes how they are, prints the verdict, and ends with it.
pub(crate) fn status(arguments: &StatusArguments, old: &OldFlags) -> Exit {
    let targets = match targets::of(arguments, old) {
        Ok((targets, warnings)) => {
            print::problems(&warnings);
            targets
        }
        Err(problems) => {
            print::problems(&problems);
            return Exit::Configuration;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::problems(&[Problem::error(Code::Broken, format!("this machine refused an event queue: {error}"))
                .fix("look at its limits (ulimit -n)")]);
            return Exit::Failed;
        }
    };
    match runtime.block_on(gather::gather(&targets)) {
        Ok(found) => {
            let health = examine::examine(&found);
            for (target, silence) in &found.silent {
                print::remark(&format!("{}{} {silence}", target.address, of_node(target)));
            }
            match arguments.output.document() {
                Some(output) => print::document(&report::json(&found, &health), output),
                None => print::out(&report::table(&found, &health, arguments.output)),
            }
            if health.verdict == Verdict::Healthy { Exit::Done } else { Exit::Unhealthy }
        }
        Err(silent) => {
            print::problems(&[nobody(&silent)]);
            Exit::Unreachable
        }
    }
}

/// A short look at a cluster that begins.
pub(crate) struct Look {
    pub(crate) is_healthy: bool,
    pub(crate) nodes_up: usize,
    pub(crate) cluster_id: String,
}

/// How the cluster at these addresses is; none while nobody answers.
pub(crate) async fn look(addresses: &[String]) -> Option<Look> {
    let targets: Vec<Target> = addresses.iter().map(|address| Target { id: None, address: address.clone() }).collect();
    let found = gather::gather(&targets).await.ok()?;
    let health = examine::examine(&found);
    Some(Look {
        is_healthy: health.verdict == Verdict::Healthy,
        nodes_up: health.nodes.iter().filter(|node| node.state == NodeState::Up).count(),
        cluster_id: found.cluster.cluster_id.to_string(),
    })
}

fn nobody(silent: &[(Target, Silence)]) -> Problem {
    let waits = silent.iter().any(|(_, silence)| matches!(silence, Silence::NoAnswer));
    let problem =
        silent.iter().fold(Problem::error(Code::Unreachable, "no node answers"), |problem, (target, silence)| {
            problem.at(Place::Given(format!("{}{} {silence}", target.address, of_node(target))))
        });
    match waits {
        true => problem
            .why("a cluster begins when all of its nodes are up, and goes on when a majority is")
            .fix("start the others; the log of a node that waits says for whom"),
        false => problem
            .why("the verdict is made of what the nodes say")
            .fix("start them, or name one that runs: --bootstrap-server HOST:PORT"),
    }
}

fn of_node(target: &Target) -> String {
    target.id.map(|id| format!(" (node {id})")).unwrap_or_default()
}
